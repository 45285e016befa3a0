"""What scenes are made of: cut-outs held in memory, backgrounds decoded as they are needed."""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from compositor.data.read import joining, source
from compositor.data.records import (
    Cutout,
    LeftOut,
    Photograph,
    Record,
    Records,
    Skip,
    counted,
)
from compositor.files import DataError, there
from compositor.generate.config import Config
from compositor.scenes.bank import Bank, BankedCutout, banked
from compositor.scenes.canvas import covering, enlargement
from compositor.scenes.observed import Observed, Seen, observe

HELD = 256 * 2**20
"""Bytes of decoded backgrounds that a process holds."""
COARSEST = 8
"""A background that would have to be enlarged more to cover the canvas is left out."""
ENLARGED = 2
"""Cut-outs are held at no more than so many times the canvas's longer side."""
ItemType = TypeVar("ItemType", Photograph, Cutout)


class Backgrounds:
    """Backgrounds by index, of which the last ones used are kept.

    Args:
        records: The backgrounds.
        size: (H, W) of the canvas that they are brought to; None: they keep their own.

    Attributes:
        left_out: Those that could not be used, by reason, since this was last emptied.
    """

    def __init__(self, records: Sequence[Record[Photograph]], size: tuple[int, int] | None) -> None:
        self._records, self._size = records, size
        self._held: OrderedDict[int, tuple[Photograph | None, list[Skip]]] = OrderedDict()
        self._bytes = 0
        self.left_out: LeftOut = {}

    def __len__(self) -> int:
        return len(self._records)

    def load(self, index: int) -> Photograph:
        """The background, or, if it cannot be used, the next one that can.

        Raises:
            DataError: None can be.
        """
        for step in range(len(self)):
            found, skips = self._loaded((index + step) % len(self))
            note(self.left_out, skips)
            if found is not None:
                return found
        raise DataError(f"backgrounds: none of {len(self)} can be used ({counted(self.left_out)})")

    def _loaded(self, index: int) -> tuple[Photograph | None, list[Skip]]:
        """The background, if it can be used, and what of it cannot be."""
        if index in self._held:
            self._held.move_to_end(index)
            return self._held[index]
        items, skips = self._records[index].loaded()
        found = items[0] if items else None
        if found is not None and self._size is not None:
            if enlargement(found, self._size) > COARSEST:
                skips.append(Skip(f"enlarged more than {COARSEST} times", found.name))
                found = None
            else:
                found = covering(found, self._size)
        self._held[index] = found, skips
        self._bytes += _bytes(found)
        while self._bytes > HELD and len(self._held) > 1:
            self._bytes -= _bytes(self._held.popitem(last=False)[1][0])
        return found, skips


@dataclass(frozen=True)
class Material:
    """What the scenes of one split are made of."""

    bank: Bank
    backgrounds: Backgrounds


@dataclass(frozen=True)
class Sources:
    """Everything that a data set is made of.

    Attributes:
        classes: Names by label; index 0 is ``__background__``.
        ids: The classes' ids by name, as the sources have them; None: the labels.
        splits: By split; val only if one is wanted.
        observed: What annotated pictures look like, for a matched law.
        left_out: Names of what could not be used, by reason.
        state: A digest of the cut-outs' pixels, and of the other pictures' names and sizes.
    """

    classes: tuple[str, ...]
    ids: dict[str, int] | None
    splits: dict[str, Material]
    observed: Observed | None
    left_out: LeftOut
    state: str


def read(config: Config) -> Sources:
    """List all sources and load the cut-outs.

    Raises:
        DataError: A source is missing or holds nothing that can be used.
    """
    paths = [*config.cutouts, *config.distractors]
    found = joining.distinct([source.cutouts(path, config.clean_up) for path in paths], paths)
    objects = joining.joined(found[: len(config.cutouts)])
    others = found[len(config.cutouts) :]
    pictures = [source.photographs(path) for path in config.backgrounds]
    grounds = joining.joined(joining.distinct(pictures, config.backgrounds))
    match = [source.photographs(path) for path in config.match]
    # Objects of the backgrounds join the labels if something of their class is pasted, too.
    grounds = _by_name(grounds, objects.classes)
    listed = [each.left_out for each in (objects, *others)]
    left_out = joining.merged([*listed, *(each.left_out for each in (grounds, *match))])
    size = None if config.size == "native" else config.size
    largest = ENLARGED * max(size) if size else None
    held = _banked(objects, "cut-outs", largest, left_out)
    distractors = [
        replace(cutout, label=0)
        for records in others
        for _, cutout in _banked(records, "distractors", largest, left_out)
    ]
    observed = None
    if config.law.placement.matched:
        seen = [_by_name(records, objects.classes) for records in match] or [grounds]
        observed = observe(_seen(seen, left_out))
        if observed is None:
            raise DataError(
                "law.placement.matched: none of the backgrounds is annotated; name annotated "
                "pictures of the classes with --match"
            )
    chosen = _validation(held, grounds.records, config.val)
    splits = {}
    for name in ("train", "val") if config.val else ("train",):
        cutouts = [cutout for path, cutout in held if (path in chosen) == (name == "val")]
        records = [each for each in grounds.records if (_file(each) in chosen) == (name == "val")]
        if not cutouts or not records:
            raise DataError(f"val: got {config.val}, which leaves nothing for {name}")
        splits[name] = Material(Bank([*cutouts, *distractors]), Backgrounds(records, size))
    every = [*(cutout for _, cutout in held), *distractors]
    state = _state(objects.classes, every, [grounds, *match])
    return Sources(objects.classes, _ids(objects), splits, observed, left_out, state)


def note(left_out: LeftOut, skips: Sequence[Skip]) -> None:
    """Add what could not be used to its reason, each name once."""
    for skip in skips:
        names = left_out.setdefault(skip.reason, [])
        if skip.name not in names:
            names.append(skip.name)


def _ids(objects: Records[Cutout]) -> dict[str, int] | None:
    """The ids of all classes; None if any has none, or two sources give them one."""
    ids = {name: objects.ids[name] for name in objects.classes[1:] if name in objects.ids}
    whole = len(set(ids.values())) == len(objects.classes) - 1
    return ids if whole else None


def _state(
    classes: tuple[str, ...],
    cutouts: Sequence[BankedCutout],
    pictures: Sequence[Records[Photograph]],
) -> str:
    """A digest that is the same wherever the files lie, and whenever they were copied there."""
    digest = hashlib.sha256(repr(classes).encode())
    for cutout in cutouts:
        digest.update(repr((cutout.name, cutout.label, cutout.size)).encode())
        for pixels in vars(cutout.levels[0]).values():
            digest.update(pixels.numpy())
    for records in pictures:
        for record in records.records:
            sizes = [file.stat().st_size if there(file) else None for file in record.files]
            digest.update(repr((record.name, sizes)).encode())
    return digest.hexdigest()


def _by_name(records: Records[Photograph], classes: tuple[str, ...]) -> Records[Photograph]:
    labels = {k: classes.index(n) for k, n in enumerate(records.classes) if n in classes[1:]}
    changed = [joining.relabelled(record, labels) for record in records.records]
    return Records(records.source, classes, changed, records.left_out, records.ignored)


def _banked(
    records: Records[Cutout],
    title: str,
    largest: int | None,
    left_out: LeftOut,
) -> list[tuple[Path, BankedCutout]]:
    """The cut-outs ready to be pasted, each with the file that it was cut out of."""

    def load(record: Record[Cutout]) -> tuple[list[BankedCutout], list[Skip]]:
        items, skips = record.loaded()
        return [banked(item, largest) for item in items], skips

    kept: list[tuple[Path, BankedCutout]] = []
    with ThreadPoolExecutor(2) as pool:
        loaded = zip(records.records, pool.map(load, records.records), strict=True)
        for record, (items, skips) in tqdm(loaded, title, len(records), unit="file", disable=None):
            kept += [(_file(record), item) for item in items]
            note(left_out, skips)
    if not kept:
        raise DataError(f"{records.source}: no cut-out can be used ({counted(left_out)})")
    return kept


def _seen(sources: Sequence[Records[Photograph]], left_out: LeftOut) -> list[Seen]:
    records = [record for each in sources for record in each.records]
    found = []
    for record in tqdm(records, "pictures to match", unit="file", disable=None):
        items, skips = record.loaded()
        note(left_out, skips)
        found += [(item.annotation, item.image.shape[:2]) for item in items]
    return found


def _file(record: Record[ItemType]) -> Path:
    """The picture that a record is in."""
    return record.files[0].resolve()


def _validation(
    held: Sequence[tuple[Path, BankedCutout]], grounds: Sequence[Record[Photograph]], val: float
) -> set[Path]:
    """The files for validation: the share ``val`` of each class's and of the backgrounds, so that
    no file, be it of cut-outs or a background, serves both."""
    kinds: dict[int, list[Path]] = {}
    for path, cutout in held:
        kinds.setdefault(cutout.label, []).append(path)
    chosen: dict[Path, bool] = {}
    for paths in (*kinds.values(), [_file(record) for record in grounds]):
        free = [path for path in dict.fromkeys(paths) if path not in chosen]
        chosen |= {path: is_val(n, val) for n, path in enumerate(free)}
    return {path for path, held_out in chosen.items() if held_out}


def is_val(number: int, val: float) -> bool:
    """Whether a scene, cut-out or background is for validation: the share ``val`` of all."""
    return int((number + 1) * val + 1e-9) > int(number * val + 1e-9)


def _bytes(found: Photograph | None) -> int:
    if found is None:
        return 0
    return found.image.nbytes + sum(mask.nbytes for mask in found.masks if mask is not None)
