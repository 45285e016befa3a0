"""The operations, each a single torch op on every device."""

from compositor.ops.functional import blend

__all__ = ["blend"]
