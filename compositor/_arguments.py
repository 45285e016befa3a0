"""The checks of every public function's arguments: sizes, numbers and tensors.

Each check returns the value to use, or raises an error whose one line names the argument, what it
got and what it wanted. ``torch.compile`` can trace them all.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from numbers import Real
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

IMAGE_DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
PAPER_THRESHOLD = 1 - 1e-7
NO_THRESHOLD = 0.0
"""Masks are taken as they are, so that an object keeps its size however far it shrinks."""
LONGEST_REACH = 2**20
"""Longest reach of the blur in pixels: beyond any canvas, but its taps still fit in memory."""
Number = TypeVar("Number", int, float)
_IMAGE = "float64, float32, bfloat16 or float16"
_SIZE = "(height, width), two integers of at least 1"


def refused(name: str, value: object, wanted: str) -> ValueError:
    """Make the error for an option with an unwanted value."""
    if isinstance(value, Tensor):
        got = f"a {value.dtype} tensor of shape {tuple(value.shape)}"
    else:
        got = " ".join(repr(value).split())  # an array's spans several lines
    return ValueError(f"{name}: got {got}, wanted {wanted}")


def integer(name: str, value: Any, wanted: str) -> int:
    """Return anything that counts as an integer, NumPy's included, as an int; a bool does not."""
    if isinstance(value, (int, torch.SymInt)) and not isinstance(value, bool):
        return value  # type: ignore[return-value]  # SymInt stays symbolic under a trace
    try:
        if isinstance(value, bool) or (isinstance(value, Tensor) and value.dtype == torch.bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise refused(name, value, wanted) from None


def number(name: str, value: Any, wanted: str) -> float:
    """Return any real number, NumPy's or a tensor's included, as a float; a bool is not one."""
    if isinstance(value, Tensor) and value.numel() == 1:
        if value.requires_grad or _has_tangent(value):
            raise ValueError(
                f"{name}: got a tensor that requires a gradient, wanted {wanted};"
                f" no gradient reaches it, so pass {name}.item()"
            )
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, Real):
        raise refused(name, value, wanted)
    try:
        return float(value)
    except OverflowError:  # an int too large for a float
        raise refused(name, value, wanted) from None


def threshold(value: Any, dtype: torch.dtype = torch.float64) -> float:
    """Return a threshold that is in [0, 1) even when rounded to the computation type."""
    # In float32 1 - 1e-9 is 1 and would divide by zero.
    wanted, one = "a number in [0, 1)", 1.0
    if dtype == torch.float32:
        wanted, one = f"{wanted} after rounding to {dtype}", 1 - 2**-25
    floor = number("threshold", value, wanted)
    if not 0 <= floor < one:
        raise refused("threshold", value, wanted)
    return floor


def blur(sigma: Any) -> float:
    """Return the blur's standard deviation in pixels."""
    wanted = f"a number of pixels from 0 to {LONGEST_REACH // 3}"
    width = number("sigma", sigma, wanted)
    if not 0 <= 3 * width <= LONGEST_REACH:
        raise refused("sigma", sigma, wanted)
    return width


def radius(value: Any) -> int:
    """Return the reach asked for in pixels."""
    wanted = f"None or an integer from 0 to {LONGEST_REACH}"
    reach = integer("radius", value, wanted)
    if not 0 <= reach <= LONGEST_REACH:
        raise refused("radius", value, wanted)
    return reach


def share(name: str, value: Any) -> float:
    """Return a number in [0, 1]."""
    wanted = "a number in [0, 1]"
    part = number(name, value, wanted)
    if not 0 <= part <= 1:
        raise refused(name, value, wanted)
    return part


def span(
    name: str, value: Any, end: Callable[[str, Any, str], Number], wanted: str
) -> tuple[Number, Number]:
    """Return ``value`` as (least, largest), each as ``end`` (integer or number) checks it."""
    wanted = f"(least, largest), {wanted}"
    try:
        least, largest = [end(name, one, wanted) for one in value]
    except (TypeError, ValueError):
        raise refused(name, value, wanted) from None
    if not 0 <= least <= largest < math.inf:
        raise refused(name, value, wanted)
    return least, largest


def choices(mask_grad: str, name: str, wanted: bool) -> None:
    """Check ``mask_grad``, and what says whether more than the composite is to be returned."""
    if mask_grad not in ("straight_through", "exact"):
        raise ValueError(f"mask_grad: got {mask_grad!r}, wanted 'straight_through' or 'exact'")
    if not isinstance(wanted, bool):
        raise refused(name, wanted, "True or False")


def size(name: str, value: Any) -> tuple[int, int]:
    """Return ``value`` as (height, width), both at least 1."""
    try:
        height, width = [integer(name, side, _SIZE) for side in value]
    except (TypeError, ValueError):
        raise refused(name, value, _SIZE) from None
    if height < 1 or width < 1:
        raise refused(name, value, _SIZE)
    return height, width


def image(name: str, value: Any) -> Tensor:
    """Return an image unchanged: a tensor whose dtype is one of :data:`IMAGE_DTYPES`."""
    tensor = _tensor(name, value)
    if tensor.dtype in IMAGE_DTYPES:
        return tensor
    way = "" if tensor.is_complex() else f"; convert with {name}.float()"
    if tensor.dtype == torch.uint8:
        way += " / 255"
    elif not (tensor.dtype == torch.bool or tensor.is_floating_point() or tensor.is_complex()):
        way += ", divided by the value of white"
    raise TypeError(f"{name}: got {tensor.dtype}, wanted {_IMAGE}{way}")


def mask(name: str, value: Any, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return a mask or alpha unchanged, or, if it is bool, as 0 and white in ``dtype``."""
    tensor = _tensor(name, value)
    if dtype == torch.uint8:
        if tensor.dtype not in (torch.uint8, torch.bool):
            raise TypeError(
                f"{name}: got {tensor.dtype}, wanted uint8 from 0 to 255, or bool, as for uint8"
                " images"
            )
        return tensor if tensor.dtype == dtype else 255 * tensor.to(dtype)
    if tensor.dtype == torch.bool:
        return tensor.to(dtype)
    if tensor.dtype in IMAGE_DTYPES:
        return tensor
    ways = ""
    if not (tensor.is_floating_point() or tensor.is_complex()):
        ways = f"; give {name} != 0 for two values, {name} == label for a map of labels"
    if tensor.dtype == torch.uint8:
        ways += f", {name}.float() / 255 for levels from 0 to 255"
    raise TypeError(f"{name}: got {tensor.dtype}, wanted bool, {_IMAGE}{ways}")


def coverage(name: str, value: Any, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return a :func:`mask` of shape (N, 1, height, width)."""
    tensor = mask(name, value, dtype)
    if tensor.dim() != 4 or tensor.shape[1] != 1 or min(tensor.shape[2:]) < 1:
        raise ValueError(f"{name}: got shape {tuple(tensor.shape)}, wanted (N, 1, height, width)")
    return tensor


def precise(name: str, value: Any, *last: int) -> Tensor:
    """Return a tensor (..., *last) whose dtype is precise enough for coordinates.

    Half precision would move an object by pixels.
    """
    tensor = _tensor(name, value)
    if tensor.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"{name}: got {tensor.dtype}, wanted float32 or float64")
    if tensor.shape[tensor.dim() - len(last) :] != last:
        wanted = ", ".join(map(str, ("...", *last)))
        raise ValueError(f"{name}: got shape {tuple(tensor.shape)}, wanted ({wanted})")
    return tensor


def one_each(name: str, value: Any, last: tuple[int, ...], mask: Tensor) -> Tensor:
    """Return a :func:`precise` tensor (N, *last) of the mask's batch size and device."""
    tensor = precise(name, value)
    wanted = (mask.shape[0], *last)
    if tensor.shape != wanted:
        raise ValueError(f"{name}: got shape {tuple(tensor.shape)}, wanted {wanted} for this mask")
    if tensor.device != mask.device:
        raise ValueError(f"{name}: got device {tensor.device}, wanted the mask's {mask.device}")
    return tensor


def box_format(name: str, value: Any, canvas_size: tuple[int, int]) -> str:
    """Return the format of boxes of torchvision's type, which must be on such a canvas."""
    form: str = getattr(value.format, "value", value.format)  # of an enumeration
    if form not in ("XYXY", "XYWH", "CXCYWH"):
        raise ValueError(f"{name}: got format {form}, wanted XYXY, XYWH or CXCYWH")
    canvas = tuple(getattr(value, "canvas_size", canvas_size))
    if canvas != canvas_size:
        raise ValueError(f"{name}: got boxes on a canvas of {canvas}, wanted {canvas_size}")
    return form


def corners(name: str, value: Any, canvas_size: tuple[int, int], mask: Tensor) -> Tensor:
    """Return boxes (N, 4), one per mask, as corners; torchvision's type gives its own format."""
    if not hasattr(value, "format"):
        return one_each(name, value, (4,), mask)
    form = box_format(name, value, canvas_size)
    boxes = one_each(name, value, (4,), mask).as_subclass(Tensor)
    first, last = boxes[:, :2], boxes[:, 2:]
    if form == "XYWH":
        return torch.cat((first, first + last), 1)
    if form == "CXCYWH":
        return torch.cat((first - last / 2, first + last / 2), 1)
    return boxes


def values_are_known(tensor: Tensor) -> bool:
    """Whether an error may depend on the tensor's values: not while a graph is captured."""
    return not (
        torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or is_in_torch_dispatch_mode()  # of make_fx, or of fake tensors
        or tensor.is_meta
        or (tensor.is_cuda and torch.cuda.is_current_stream_capturing())
    )


def _has_tangent(value: Tensor) -> bool:
    unpack: Any = torch.autograd.forward_ad.unpack_dual  # without annotations
    return unpack(value).tangent is not None


def _tensor(name: str, value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: got {type(value).__name__}, wanted a tensor")
    return value
