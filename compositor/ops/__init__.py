"""The operations, each a single torch op on every device."""

from compositor.ops.functional import blend
from compositor.ops.layers import Labels, render

__all__ = ["Labels", "blend", "render"]
