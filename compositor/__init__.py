"""Differentiable compositing: a fused affine warp, mask threshold, blur and blend, and its kin."""

from compositor import affine
from compositor._extension import build_info
from compositor.artefacts import blending_artefacts
from compositor.ops import blend
from compositor.visibility import boxes, visible_fraction

__version__ = "0.1.0"

__all__ = ["affine", "blend", "blending_artefacts", "boxes", "build_info", "visible_fraction"]
