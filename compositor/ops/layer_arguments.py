"""The checks of ``render``'s arguments, beyond those that all public functions share.

Each returns the value to use, or raises an error whose one line names the argument, what it got and
what it wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from compositor import _arguments
from compositor.ops import functional


def picture(name: str, value: object) -> Tensor:
    """An image or bytes, (N, C, height, width) without an empty dimension but N."""
    if not (isinstance(value, Tensor) and value.dtype == torch.uint8):
        value = _arguments.image(name, value)
    if value.dim() != 4 or min(value.shape[1:]) == 0:
        raise ValueError(
            f"{name}: got shape {tuple(value.shape)}, wanted (N, C, height, width),"
            " no dimension but N empty"
        )
    return value


def autocast(background: Any, foreground: Any, mask: Any) -> tuple[Any, Any, Any]:
    """Under autocast, the floating-point images in their widest dtype; all else as it is."""
    if not (isinstance(background, Tensor) and functional.under_autocast(background.device)):
        return background, foreground, mask
    groups = [[g] if isinstance(g, Tensor) else g for g in (background, foreground, mask)]
    images = [i for group in groups if isinstance(group, Sequence) for i in group]
    images = [i for i in images if isinstance(i, Tensor) and i.is_floating_point()]
    if not images:
        return background, foreground, mask
    widest = images[0].dtype
    for image in images:
        widest = torch.promote_types(widest, image.dtype)

    def widen(given: Any) -> Any:
        if isinstance(given, Sequence):
            return [widen(one) for one in given]
        floats = isinstance(given, Tensor) and given.is_floating_point()
        return given.to(widest) if floats else given

    return widen(background), widen(foreground), widen(mask)


def cutouts(
    foreground: Tensor | Sequence[Tensor],
    mask: Tensor | Sequence[Tensor] | None,
    background: Tensor,
) -> tuple[list[Tensor], list[Tensor] | None]:
    """Both as stacks (K, C, h, w): one of a tensor, one each of a list's."""
    channels = background.shape[1]
    foregrounds = _stacks("foreground", foreground, channels, background, picture)
    if mask is None:
        return foregrounds, None

    def in_frame(name: str, value: object) -> Tensor:
        return picture(name, _arguments.mask(name, value, background.dtype))

    masks = _stacks("mask", mask, 1, background, in_frame)
    if len(masks) != len(foregrounds):
        raise ValueError(
            f"mask: got {_counted(mask)}, wanted {_counted(foreground)}, as foreground is"
        )
    for number, (colours, cover) in enumerate(zip(foregrounds, masks, strict=True)):
        count, _, height, width = colours.shape
        if cover.shape != (count, 1, height, width):
            name = "mask" if isinstance(mask, Tensor) else f"mask[{number}]"
            raise ValueError(
                f"{name}: got {tuple(cover.shape)}, wanted the size and number of"
                f" foreground's {tuple(colours.shape)}"
            )
    return foregrounds, masks


def _counted(value: Tensor | Sequence[Tensor]) -> str:
    return "a tensor" if isinstance(value, Tensor) else f"{len(value)} tensors"


def _stacks(
    name: str,
    value: Any,
    channels: int,
    background: Tensor,
    check: Callable[[str, object], Tensor],
) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [_stack(name, check(name, value), channels, background)]
    if not isinstance(value, Sequence):
        kind = type(value).__name__
        raise TypeError(f"{name}: got {kind}, wanted a tensor or a sequence of tensors")
    stacks = []
    dtype, device = background.dtype, background.device
    for number, one in enumerate(value):
        # One look at what is right, which is most: a scene has many cut-outs.
        if (
            isinstance(one, Tensor)
            and one.dtype == dtype
            and one.device == device
            and len(size := one.shape) == 3
            and size[0] == channels
            and 0 not in size
        ):
            stacks.append(one.unsqueeze(0))
            continue
        if isinstance(one, Tensor) and one.dim() == 3:
            one = one.unsqueeze(0)
        elif isinstance(one, Tensor):
            wanted = f"({channels}, height, width)"
            raise ValueError(f"{name}[{number}]: got shape {tuple(one.shape)}, wanted {wanted}")
        part = f"{name}[{number}]"
        stacks.append(_stack(part, check(part, one), channels, background))
    return stacks


def _stack(name: str, value: Tensor, channels: int, background: Tensor) -> Tensor:
    if value.shape[1] != channels:
        wanted = f"{channels} channels"
        raise ValueError(f"{name}: got shape {tuple(value.shape)}, wanted {wanted}")
    if value.dtype != background.dtype:
        raise TypeError(f"{name}: got {value.dtype}, wanted background's {background.dtype}")
    return _beside(name, value, background)


def _beside(name: str, value: Tensor, background: Tensor) -> Tensor:
    if value.device != background.device:
        raise ValueError(
            f"{name}: got device {value.device}, wanted background's {background.device}"
        )
    return value


def maps(value: Any, background: Tensor) -> Tensor:
    """Theta, (L, 2, 3)."""
    theta = _arguments.precise("theta", _widened(value, background), 2, 3)
    if theta.dim() != 3:
        raise ValueError(f"theta: got shape {tuple(theta.shape)}, wanted (L, 2, 3)")
    return _beside("theta", theta, background)


def _widened(value: Any, background: Tensor) -> Any:
    """Under autocast, a network's numbers in at least float32."""
    if not (isinstance(value, Tensor) and functional.under_autocast(background.device)):
        return value
    return value.to(torch.promote_types(value.dtype, torch.float32))


def index(name: str, value: Any, what: str, count: int, layers: int) -> Tensor:
    """The canvas or cut-out of each layer, (L,); without one, each layer's own."""
    if value is None:
        if layers != count:
            raise ValueError(
                f"{name}: got None for {layers} layers and {count} {what}, wanted one index a layer"
            )
        return torch.arange(layers, device="cpu")
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: got {type(value).__name__}, wanted an int64 tensor")
    if value.dtype != torch.int64:
        raise TypeError(f"{name}: got {value.dtype}, wanted int64")
    if value.shape != (layers,):
        raise ValueError(
            f"{name}: got shape {tuple(value.shape)}, wanted ({layers},), one for each layer"
        )
    # On a device a look at the values waits for it: the kernels look once.
    if layers and value.device.type == "cpu" and _arguments.values_are_known(value):
        indices = value.tolist()
        least, most = min(indices), max(indices)
        if least < 0 or most >= count:
            got = least if least < 0 else most
            raise ValueError(f"{name}: got index {got}, wanted 0 to {count - 1} of {count} {what}")
    return value


def tone(name: str, value: Any, layers: int, background: Tensor) -> Tensor | None:
    """Gain or bias, (L, C)."""
    if value is None:
        return None
    tone = _arguments.precise(name, _widened(value, background))
    wanted = (layers, background.shape[1])
    if tone.shape != wanted:
        raise ValueError(f"{name}: got shape {tuple(tone.shape)}, wanted (L, C), {wanted}")
    return _beside(name, tone, background)


def widths(sigma: Any, layers: int) -> Tensor:
    """The blur of each layer, (L,) float64, where the kernels are launched from: the CPU."""
    if not isinstance(sigma, Tensor) or sigma.dim() == 0:
        width = _arguments.blur(sigma)
        return torch.full((layers,), width, dtype=torch.float64, device="cpu")
    if sigma.shape != (layers,) or not sigma.is_floating_point():
        got = f"a {sigma.dtype} tensor of shape {tuple(sigma.shape)}"
        raise ValueError(
            f"sigma: got {got}, wanted a number, or a floating-point tensor with one for each of"
            f" {layers} layers"
        )
    if sigma.requires_grad:
        raise ValueError(
            "sigma: got a tensor that requires a gradient, wanted one that does not; no gradient"
            " reaches it, so pass sigma.detach()"
        )
    widths = sigma.to("meta" if sigma.is_meta else "cpu", torch.float64)
    if _arguments.values_are_known(widths):
        bad = ~((widths >= 0) & (3 * widths <= _arguments.LONGEST_REACH))
        if bool(bad.any()):
            raise ValueError(
                f"sigma: got {float(widths[bad][0])}, wanted numbers of pixels from 0 to"
                f" {_arguments.LONGEST_REACH // 3}"
            )
    return widths
