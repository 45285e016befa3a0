"""Transforms for training loops, used as torchvision's v2 transforms are."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import get_worker_info

try:
    from torchvision import tv_tensors
    from torchvision.transforms.v2 import Transform
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"compositor.transforms needs {error.name}: pip install 'compositor[data]'",
        name=error.name,
    ) from None

from compositor import _arguments, _pasting, _targets
from compositor._pasting import Layer, Scene
from compositor._targets import Object, Picture
from compositor.scenes.placement import TRUNCATION

LARGEST = 10.0
"""Largest scale."""

_uniform = partial(torch.rand, dtype=torch.float64, device="cpu")  # whatever torch's default is


class CopyPaste(Transform):
    """Paste objects on the pictures of a batch, and take from the targets what they hide.

    Called as torchvision's v2 transforms on a batch, ``images, targets = copy_paste(images,
    targets)``, on whatever device it is, or as ``DataLoader(..., collate_fn=copy_paste.collate)``.
    In PyTorch Lightning a module's ``on_after_batch_transfer`` is the place to call it on the GPU.
    Pictures may differ in size; those of one size are rendered in one call of
    :func:`compositor.render`, and once more those on which a pasted object is dropped. A call
    waits for the device once before rendering and twice after each rendering.

    An image is a tensor (C, H, W), uint8 or floating point; a target a dict with, of its n objects,
    ``boxes`` (n, 4), corners or ``tv_tensors.BoundingBoxes`` of any format without a turn,
    ``masks`` (n, H, W), above 0 (floating point: 0.5) on the object, and ``labels`` (n, ...).
    Whatever else has n rows in all of a batch's targets, a tensor or a list, belongs to the
    objects too: it is dropped and carried along with them. The target of a picture without objects
    may lack such an entry. Other entries stay as they are.

    Of an object that is partly hidden, mask, box and ``area`` become those of what is seen; masks
    come back as 0 and 1. An object with less than ``visible`` of its pixels seen is dropped: a
    pasted one is removed from the picture; one of the picture's own stays there without a label.
    The picture's own objects come first, pasted ones after them, the last on top. Types, dtypes and
    devices stay. A picture on which nothing is pasted comes back untouched, as does a batch without
    anything to paste: a batch of one without a bank. No gradient passes.

    An object is scaled, but not beyond the picture, perhaps mirrored, and put on whole pixels; at
    scale 1 and without blur its pixels are copied exactly. Crowds (``iscrowd``) are not pasted.

    All draws are torch's: ``torch.manual_seed`` and the seeds of a DataLoader's workers count.

    Args:
        bank: Pairs of an image and a target with ``masks``, ``labels`` and what else the batches'
            targets say of each object but boxes and ``area``; their objects are pasted. None: the
            objects of the batch's other pictures are.
        objects: Least and largest number of objects a picture; at most as many as there are.
        scale: Least and largest scale of an object, at most 10.
        flip: Probability that an object is mirrored.
        truncation: Largest share of an object's width and height beyond the picture's edge.
        sigma: Least and largest blur of an object's edge, the standard deviation in pixels.
        visible: Least share of an object's pixels on the picture that must be seen.
        p: Probability that anything is pasted on a picture.
        per_image: Names of entries that are a picture's, even if they have n rows.
        generator: On the CPU; None: torch's default. Each worker of a DataLoader mixes its own
            seed into it, or all would draw alike.

    Raises:
        TypeError: An image, a target or a dtype is not as above.
        ValueError: An argument is out of its range, a target has no masks, or a shape, device or
            format is not as above.
    """

    def __init__(
        self,
        bank: Sequence[tuple[Tensor, Mapping[str, Any]]] | None = None,
        *,
        objects: tuple[int, int] = (1, 5),
        scale: tuple[float, float] = (0.5, 1.5),
        flip: float = 0.5,
        truncation: float = TRUNCATION,
        sigma: tuple[float, float] = (0.0, 1.0),
        visible: float = 0.3,
        p: float = 1.0,
        per_image: Collection[str] = ("image_id", "size", "orig_size"),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        counts, factors = "two integers of at least 0", f"two numbers above 0, at most {LARGEST}"
        self.objects = _arguments.span("objects", objects, _arguments.integer, counts)
        self.scale = _arguments.span("scale", scale, _arguments.number, factors)
        if not 0 < self.scale[0] <= self.scale[1] <= LARGEST:
            raise _arguments.refused("scale", scale, f"(least, largest), {factors}")
        self.flip = _arguments.share("flip", flip)
        self.truncation = _arguments.share("truncation", truncation)
        self.sigma = _arguments.span("sigma", sigma, _arguments.number, "two numbers of pixels")
        _arguments.blur(self.sigma[1])
        self.visible = _arguments.share("visible", visible)
        self.p = _arguments.share("p", p)
        if isinstance(per_image, str) or not all(isinstance(name, str) for name in per_image):
            raise _arguments.refused("per_image", per_image, "a collection of names")
        self.per_image = tuple(per_image)
        if generator is not None:
            on = generator.device.type if isinstance(generator, torch.Generator) else None
            if on != "cpu":
                wanted = "a torch.Generator on the CPU or None"
                raise _arguments.refused("generator", on or generator, wanted)
        self._generator = generator
        self._mixed_in: int | None = None  # the worker's seed
        self._bank: list[Picture] | None = None
        if bank is not None:
            names = ("bank[{}][0]", "bank[{}][1]")
            self._bank = _targets.read(names, bank, ("masks", "labels"))
            if not any(one.pasted for source in self._bank for one in source.objects):
                raise ValueError(
                    f"bank: got {len(self._bank)} pictures without an object to paste, wanted at"
                    " least one object"
                )

    def __getstate__(self) -> dict[str, Any]:
        """Hold the generator as bytes: as it is, it does not reach a worker that is spawned."""
        state = dict(self.__dict__)
        if self._generator is not None:
            state["_generator"] = bytes(self._generator.get_state().tolist())
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if state["_generator"] is not None:
            self._generator = torch.Generator()
            numbers = torch.tensor(list(state["_generator"]), dtype=torch.uint8, device="cpu")
            self._generator.set_state(numbers)

    @torch.no_grad()
    def forward(
        self, images: Sequence[Tensor], targets: Sequence[Mapping[str, Any]]
    ) -> tuple[list[Tensor], list[Mapping[str, Any]]]:
        """Paste objects on each picture.

        Args:
            images: Of the batch, each (C, H, W).
            targets: A dict for each image.

        Returns:
            images, targets: New lists; what is given is not changed.
        """
        for name, value in (("images", images), ("targets", targets)):
            if not isinstance(value, (list, tuple)):
                raise TypeError(f"{name}: got {type(value).__name__}, wanted a list")
        if len(images) != len(targets):
            raise ValueError(
                f"targets: got {len(targets)}, wanted {len(images)}, one for each image"
            )
        pairs = zip(images, targets, strict=True)
        pictures = _targets.read(("images[{}]", "targets[{}]"), pairs, _targets.NEEDED)
        names = _targets.entries(pictures, self.per_image)
        sources, pictures = self._sources(pictures, names), _targets.completed(pictures, names)
        made_images, made_targets = list(images), list(targets)
        for scene in self._compose(pictures, sources):
            number = scene.pasted.number
            kept = [n for n, area in enumerate(scene.areas) if self._stays(area)]
            made_images[number] = tv_tensors.wrap(scene.pasted.image, like=images[number])
            made_targets[number] = _pasting.labelled(scene, pictures[number], sources, names, kept)
        return made_images, made_targets

    def collate(
        self, batch: Sequence[tuple[Tensor, Mapping[str, Any]]]
    ) -> tuple[list[Tensor], list[Mapping[str, Any]]]:
        """Make a batch of a data set's pairs of image and target, for a DataLoader."""
        images, targets = zip(*batch, strict=True)
        made: tuple[list[Tensor], list[Mapping[str, Any]]] = self(list(images), list(targets))
        return made

    def _sources(self, pictures: list[Picture], names: Mapping[str, type]) -> list[Picture]:
        """What objects are cut from."""
        if self._bank is None:
            return pictures
        if pictures:
            first = pictures[0].image
            _targets.check_kind("bank", self._bank[0].image, "images[0]", first)
        for name, kind in names.items():
            if name not in _targets.REDRAWN:
                _targets.require(self._bank, name, kind)
        return self._bank

    def _draw(self, pictures: list[Picture], sources: list[Picture]) -> list[Layer]:
        """Draw what is pasted where."""
        generator, layers = self._own_generator(), []
        least, most = self.objects
        cutouts = [one for source in sources for one in source.objects if one.pasted]
        for number, picture in enumerate(pictures):
            others = cutouts
            if self._bank is None:
                others = [one for one in cutouts if one.picture != number]
            pasted, amount = _uniform(2, generator=generator).tolist()
            if pasted >= self.p:
                continue
            amount = min(least + int(amount * (most - least + 1)), len(others))
            order = torch.randperm(len(others), generator=generator, device="cpu")
            chosen = order[:amount].tolist()
            draws = _uniform(amount, 5, generator=generator).tolist()
            layers += [
                self._placed(number, others[which], picture.size, draw)
                for which, draw in zip(chosen, draws, strict=True)
            ]
        return layers

    def _own_generator(self) -> torch.Generator | None:
        worker = get_worker_info()
        if self._generator and worker and worker.seed != self._mixed_in:
            # Each worker has a copy of one state.
            state = int(torch.randint(2**62, (), generator=self._generator, device="cpu"))
            self._generator.manual_seed((state + worker.seed) % 2**63)
            self._mixed_in = worker.seed
        return self._generator

    def _placed(
        self, number: int, cutout: Object, canvas: tuple[int, int], draw: list[float]
    ) -> Layer:
        h, w = cutout.size
        scale = self.scale[0] + draw[0] * (self.scale[1] - self.scale[0])
        scale = min(scale, canvas[0] / h, canvas[1] / w)
        left = self._corner(scale * w, canvas[1], draw[1])
        top = self._corner(scale * h, canvas[0], draw[2])
        sigma = self.sigma[0] + draw[4] * (self.sigma[1] - self.sigma[0])
        return Layer(number, cutout, (left, top, scale * w, scale * h), draw[3] < self.flip, sigma)

    def _corner(self, extent: float, canvas: int, draw: float) -> int:
        """A whole pixel, uniform where not too much of the object leaves the picture."""
        beyond = self.truncation * extent
        low, high = math.ceil(-beyond), math.floor(canvas - extent + beyond)
        return low + math.floor(draw * (high - low + 1))

    def _shows(self, area: tuple[int, int]) -> bool:
        seen, whole = area
        return seen > 0 and seen / whole >= self.visible

    def _stays(self, area: tuple[int, int] | None) -> bool:
        return area is None or area[0] == area[1] or self._shows(area)

    def _compose(self, pictures: list[Picture], sources: list[Picture]) -> Iterator[Scene]:
        """Render, and again without the layers of which too little shows."""
        layers = self._draw(pictures, sources)
        while layers:
            pasted, whole, layers = _pasting.paste(pictures, sources, layers), [], []
            for one in pasted:
                pairs = zip(one.layers, one.areas, strict=True)
                left = [layer for layer, area in pairs if self._shows(area)]
                if len(left) == len(one.layers):
                    whole.append(one)
                else:
                    layers += left
            yield from _pasting.seen(pictures, whole)
