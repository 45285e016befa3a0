"""Differentiable compositing: a fused affine warp, mask threshold, blur and blend, and its kin."""

from compositor._extension import build_info
from compositor.ops import blend

__version__ = "0.1.0"

__all__ = ["blend", "build_info"]
