"""Pictures with targets as torchvision's detection models take them: read, checked, rewritten."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2.functional import convert_bounding_box_format

from compositor import _arguments
from compositor.visibility import around

REDRAWN = ("boxes", "masks", "area")
"""Entries that follow from what is seen; an object's others are carried along."""
NEEDED = ("masks", "labels", "boxes")


class Object(NamedTuple):
    """A row of a picture's target.

    Attributes:
        picture: Its number.
        row: In the target.
        where: Rows and columns of the picture in its mask's tight box.
        pasted: Whether it may be pasted: it has a pixel and is no crowd.
    """

    picture: int
    row: int
    where: tuple[slice, slice]
    pasted: bool

    @property
    def size(self) -> tuple[int, int]:
        """(h, w) of its box."""
        rows, columns = self.where
        return rows.stop - rows.start, columns.stop - columns.start


class Picture(NamedTuple):
    """A picture with its target.

    Attributes:
        name: Of the target, in messages.
        image: (C, H, W).
        target: As it was given.
        masks: In it, (n, H, W), as they were given.
        objects: Its n objects.
    """

    name: str
    image: Tensor
    target: Mapping[str, Any]
    masks: Tensor
    objects: Sequence[Object] = ()

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.image.shape[1], self.image.shape[2]


def read(
    names: tuple[str, str], pairs: Iterable[tuple[Any, Any]], wanted: Sequence[str]
) -> list[Picture]:
    """Check images of one kind and their targets, which must have the entries that are wanted.

    Waits for the device once, to know where the objects are.

    Args:
        names: What an image and a target are called, with {} for their number.
        pairs: Of images and targets.
        wanted: Of "masks", "labels" and "boxes", those that a target needs.
    """
    found: list[Picture] = []
    for number, (image, target) in enumerate(pairs):
        name, name_of_target = (one.format(number) for one in names)
        image = _image(name, image)
        found.append(_picture(name_of_target, image, target, wanted))
        check_kind(name, image, names[0].format(0), found[0].image)
        if image.device != found[0].image.device:
            first = f"{names[0].format(0)}'s {found[0].image.device}"
            raise ValueError(f"{name}: got device {image.device}, wanted {first}")
    return _located(found)


def check_kind(name: str, image: Tensor, of: str, other: Tensor) -> None:
    """Raise unless two images have one dtype and as many channels."""
    if image.dtype != other.dtype:
        raise TypeError(f"{name}: got {image.dtype}, wanted {of}'s {other.dtype}")
    if len(image) != len(other):
        raise ValueError(f"{name}: got {len(image)} channels, wanted {of}'s {len(other)}")


def _image(name: str, value: Any) -> Tensor:
    if not (isinstance(value, Tensor) and value.dtype == torch.uint8):
        value = _arguments.image(name, value)
    if value.dim() != 3 or 0 in value.shape:
        raise ValueError(f"{name}: got shape {tuple(value.shape)}, wanted (C, height, width)")
    plain: Tensor = value.as_subclass(Tensor)
    return plain


def _picture(name: str, image: Tensor, target: Any, wanted: Sequence[str]) -> Picture:
    if not isinstance(target, Mapping):
        raise TypeError(f"{name}: got {type(target).__name__}, wanted a dict")
    size = (image.shape[1], image.shape[2])
    for key in wanted:
        if key not in target:
            raise ValueError(f"{name}: got no {key!r}, wanted one for each object")
        value, entry = target[key], f"{name}[{key!r}]"
        if not isinstance(value, Tensor):
            raise TypeError(f"{entry}: got {type(value).__name__}, wanted a tensor")
        if value.device != image.device:
            raise ValueError(
                f"{entry}: got device {value.device}, wanted the image's {image.device}"
            )
        if isinstance(value, tv_tensors.BoundingBoxes):
            _arguments.box_format(entry, value, size)
        rest = {"masks": size, "boxes": (4,)}.get(key, value.shape[1:])
        count = rows(target["masks"])
        if value.dim() == 0 or len(value) != count or value.shape[1:] != rest:
            shape = f"{(count, *rest)}, a row for each mask"
            if key == "masks":
                shape = f"(n, {size[0]}, {size[1]}), as large as the picture"
            raise ValueError(f"{entry}: got shape {tuple(value.shape)}, wanted {shape}")
    return Picture(name, image, target, target["masks"].as_subclass(Tensor))


def solid(mask: Tensor) -> Tensor:
    """Where a mask of any dtype has its object, bool."""
    if mask.dtype in (torch.bool, torch.uint8):
        return mask.bool()
    return mask > (0.5 if mask.is_floating_point() else 0)


def boxes_of(masks: Tensor) -> tuple[Tensor, Tensor]:
    """:func:`compositor.boxes` of masks (n, H, W) of any dtype."""
    masks = masks.view(torch.uint8) if masks.dtype == torch.bool else masks
    columns, lines = (solid(masks.amax(side)).view(torch.uint8) for side in (1, 2))
    return around(columns, lines)


def rows(value: Any) -> int | None:
    """How many rows an entry has; None: it is no tensor or list."""
    if isinstance(value, Tensor):
        return len(value) if value.dim() else None
    return len(value) if isinstance(value, list) else None


def entries(pictures: Sequence[Picture], per_image: Collection[str]) -> dict[str, type]:
    """The entries that have a row for each object, in every target: tensors or lists, by name."""
    names = dict.fromkeys(key for picture in pictures for key in picture.target)
    found: dict[str, type] = {}
    for key in names:
        those = [picture for picture in pictures if key in picture.target]
        if key in per_image or any(rows(p.target[key]) != len(p.masks) for p in those):
            continue
        for picture in those:
            kind = type(picture.target[key])
            if key == "keypoints" or (issubclass(kind, tv_tensors.TVTensor) and key not in REDRAWN):
                raise TypeError(
                    f"{picture.name}: got {key!r} ({kind.__name__}), wanted no geometry of objects"
                    " but boxes and masks"
                )
        found[key] = Tensor if isinstance(those[0].target[key], Tensor) else list
        require(pictures, key, found[key])
    return found


def require(pictures: Sequence[Picture], key: str, kind: type) -> None:
    """Raise unless every picture with an object says this of each, in an entry of this kind."""
    for picture in pictures:
        value = picture.target.get(key)
        if len(picture.masks) and rows(value) != len(picture.masks):
            raise ValueError(f"{picture.name}: got no {key!r}, wanted one for each object")
        if value is not None and not isinstance(value, kind):
            got, wanted = type(value).__name__, kind.__name__.lower()
            raise TypeError(
                f"{picture.name}[{key!r}]: got a {got}, wanted a {wanted}, as in other targets"
            )


def completed(pictures: Sequence[Picture], names: Iterable[str]) -> list[Picture]:
    """The pictures, where those without an object have all entries of objects, without a row."""
    empty = {name: next(p.target[name][:0] for p in pictures if name in p.target) for name in names}
    return [picture._replace(target={**empty, **picture.target}) for picture in pictures]


def _located(pictures: list[Picture]) -> list[Picture]:
    """Find each picture's objects."""
    tables = []
    for picture in pictures:
        boxes, there = boxes_of(picture.masks)
        crowd = picture.target.get("iscrowd")
        crowd = torch.tensor(crowd, device=there.device) if isinstance(crowd, list) else crowd
        if isinstance(crowd, Tensor) and crowd.shape == there.shape:
            there = there & (crowd.to(there.device) == 0)
        nan = torch.zeros_like(there)
        if picture.masks.is_floating_point():
            nan = picture.masks.amax((1, 2)).isnan()
        flags = torch.stack((there, nan), 1)
        tables.append(torch.cat((boxes, flags.to(boxes.dtype)), 1))
    found = iter(torch.cat(tables).int().tolist() if tables else [])
    located = []
    for number, picture in enumerate(pictures):
        rows = list(enumerate(islice(found, len(picture.masks))))
        if any(nan for _, (*_, nan) in rows):
            raise ValueError(f"{picture.name}['masks']: got NaN, wanted numbers")
        objects = [
            Object(number, row, (slice(y1, y2), slice(x1, x2)), bool(there))
            for row, (x1, y1, x2, y2, there, _) in rows
        ]
        located.append(picture._replace(objects=objects))
    return located


def rewritten(
    picture: Picture,
    names: Iterable[str],
    kept: Sequence[int],
    origins: Sequence[tuple[Picture, int]],
    fresh: Mapping[str, Tensor],
    touched: Sequence[int],
) -> dict[str, Any]:
    """The target of a picture on which others' objects were pasted: its own, then K pasted ones.

    Args:
        picture: As it was.
        names: Its entries of each object.
        kept: The rows of its own objects that stay.
        origins: The picture and row that each pasted object is from.
        fresh: Masks (n + K, H, W), and boxes, corners, and, on the CPU, area of the own objects
            that lost a pixel and of the pasted ones.
        touched: Which of those kept lost a pixel; the others' boxes and areas stay as they are.
    """
    device, target = picture.image.device, dict(picture.target)
    own, changed = (
        torch.tensor(rows, dtype=torch.int64, device=device) for rows in (kept, touched)
    )
    for name in names:
        given = target[name]
        if isinstance(given, list):
            listed = [given[row] for row in kept]
            if name in fresh:
                counted = fresh[name].tolist()
                for row, value in zip(touched, counted, strict=False):
                    listed[row] = value
                listed += counted[len(touched) :]
            else:
                listed += [source.target[name][row] for source, row in origins]
            target[name] = listed
            continue
        if name == "masks":
            values = fresh[name]
        else:
            values = given.as_subclass(Tensor)[own]
            if name in fresh:
                new = _in_format(fresh[name], given).to(values)
                values[changed] = new[: len(changed)]
                new = new[len(changed) :]
            else:
                rows = [source.target[name].as_subclass(Tensor)[row] for source, row in origins]
                new = torch.stack(rows).to(values)
            values = torch.cat((values, new))
        target[name] = tv_tensors.wrap(values, like=given)
    return target


def _in_format(corners: Tensor, like: Tensor) -> Tensor:
    """Boxes (K, 4) from corners to the format that others have."""
    if not isinstance(like, tv_tensors.BoundingBoxes):
        return corners
    formats = tv_tensors.BoundingBoxFormat.XYXY, like.format
    boxes: Tensor = convert_bounding_box_format(corners, *formats)
    return boxes
