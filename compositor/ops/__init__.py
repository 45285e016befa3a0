"""The operations, each one torch op whatever the device."""

from compositor.ops.blend import blend

__all__ = ["blend"]
