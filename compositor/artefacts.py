"""Blending artefacts on background regions, so that a blended edge tells nothing (section 3.1)."""

from typing import Any, Literal, overload

from torch import Tensor

from compositor import _arguments
from compositor.ops.functional import blend, prepare


@overload
def blending_artefacts(
    images: Tensor,
    others: Tensor,
    masks: Tensor,
    theta: Tensor,
    *,
    return_alpha: Literal[False] = False,
    **blend_options: Any,
) -> Tensor: ...
@overload
def blending_artefacts(
    images: Tensor,
    others: Tensor,
    masks: Tensor,
    theta: Tensor,
    *,
    return_alpha: Literal[True],
    **blend_options: Any,
) -> tuple[Tensor, Tensor]: ...
def blending_artefacts(
    images: Tensor,
    others: Tensor,
    masks: Tensor,
    theta: Tensor,
    *,
    return_alpha: bool = False,
    **blend_options: Any,
) -> Tensor | tuple[Tensor, Tensor]:
    """Paste foreground-shaped cut-outs of other backgrounds into images (paper, section 3.1).

    The region shaped like each mask is copied from ``others`` and pasted into ``images`` by the
    blend that makes the composites, so that the edge it leaves is no sign of an object: neither the
    target nor the discriminator can learn to look for it. The cut-out lies where the mask lies in
    its frame, and ``theta`` moves colours and shape together, as it moves a foreground.

    Paste the artefacts first and the objects on top: then no artefact hides a labelled object.

    Args:
        images: (N, C, H, W), floating point, the backgrounds that get the artefacts.
        others: (N, C, h, w), other backgrounds, in the masks' frame: crop or resize them to it.
            With one size for all, a batch of backgrounds and its ``roll(1, 0)`` serve.
        masks: (N, 1, h, w), in [0, 1] or bool, foreground masks drawn at random. None is refused:
            the whole frame is no foreground's shape.
        theta: (N, 2, 3), output to input (canvas to mask frame), normalised coordinates, float32
            or float64.
        return_alpha: Also return alpha, (N, 1, H, W).
        **blend_options: What the composites are blended with (``threshold``, ``sigma``, ...); see
            :func:`compositor.blend`. The same values belong in both places.

    Returns:
        The images with artefacts, (N, C, H, W), or the pair (images, alpha); differentiable as
        :func:`compositor.blend` is.

    Raises:
        TypeError: A dtype is not what :func:`compositor.blend` takes, or ``masks`` is no tensor.
        ValueError: A shape differs from the above, or an option is out of its range.
    """
    others = _arguments.image("others", others)
    masks = _arguments.coverage("masks", masks, others.dtype)
    if others.shape[-2:] != masks.shape[-2:]:
        raise ValueError(
            f"others: got shape {tuple(others.shape)}, wanted the masks' frame,"
            f" (N, C, {masks.shape[-2]}, {masks.shape[-1]})"
        )
    names = ("others", "masks", "images")
    others, shapes, images, theta = prepare(others, masks, images, theta, names)
    return blend(others, shapes, images, theta, return_alpha=return_alpha, **blend_options)
