"""Blending artefacts on backgrounds, so that a blended edge gives nothing away (section 3.1)."""

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

    A region in the shape of each mask is copied from ``others`` and pasted into ``images`` by the
    same blend as the composites, so that a blended edge is no sign of an object, and neither the
    target nor the discriminator can learn to look for one. The cut-out is taken from the mask's
    position in its frame, and ``theta`` moves its colours and shape together, like a foreground.

    Paste the artefacts first and the objects on top, so that no artefact hides a labelled object.

    Args:
        images: (N, C, H, W), floating point, the backgrounds that get the artefacts.
        others: (N, C, h, w), other backgrounds, cropped or resized to the masks' frame. If all
            sizes are equal, a batch of backgrounds and its ``roll(1, 0)`` will do.
        masks: (N, 1, h, w), in [0, 1] or bool, foreground masks drawn at random. None is refused,
            since no foreground has the shape of the whole frame.
        theta: (N, 2, 3), output to input (canvas to mask frame), normalised coordinates, float32
            or float64.
        return_alpha: Also return alpha, (N, 1, H, W).
        **blend_options: Options of :func:`compositor.blend` (``threshold``, ``sigma``, ...); pass
            the ones used for the composites.

    Returns:
        The images with artefacts, (N, C, H, W), or the pair (images, alpha); differentiable as
        :func:`compositor.blend` is.

    Raises:
        TypeError: A dtype is not one that :func:`compositor.blend` takes, or ``masks`` is not a
            tensor.
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
