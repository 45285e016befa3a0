"""The operations, each one torch op whatever the device."""

from compositor.ops.functional import blend

__all__ = ["blend"]
