"""Differentiable compositing: a fused affine warp, mask threshold, blur and blend, and its kin."""

from compositor import _interrupt as _interrupt  # before what takes seconds
from compositor import affine
from compositor._extension import build_info
from compositor.artefacts import blending_artefacts
from compositor.ops import Labels, blend, render
from compositor.visibility import boxes, visible_fraction

__version__ = "0.1.0"

__all__ = [
    "Labels",
    "affine",
    "blend",
    "blending_artefacts",
    "boxes",
    "build_info",
    "render",
    "visible_fraction",
]
