"""What scenes are made of, by split: cut-outs held in memory, and the backgrounds."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from compositor._threads import threads
from compositor.data.read import joining, source
from compositor.data.records import (
    Cutout,
    LeftOut,
    Photograph,
    Record,
    Records,
    Skip,
    counted,
    note,
)
from compositor.files import DataError, there
from compositor.generate.config import Config
from compositor.generate.likeness import Measured
from compositor.scenes.backgrounds import Backgrounds
from compositor.scenes.bank import Bank, BankedCutout, banked
from compositor.scenes.observed import Observed, Seen, observe

ENLARGED = 2
"""Cut-outs are held at no more than so many times the canvas's longer side."""
NAMED = 5
"""Names that a message lists."""
MEASURED = 300
"""Most real pictures that the generated ones are compared with, unless the law needs them all."""
ItemType = TypeVar("ItemType", Photograph, Cutout)


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
        annotated: Real pictures whose objects of the classes are annotated.
        left_out: Names of what could not be used, by reason.
        state: A digest of the cut-outs' pixels, and of the other pictures' names and sizes.
        matched: Whether the law is.
    """

    classes: tuple[str, ...]
    ids: dict[str, int] | None
    splits: dict[str, Material]
    annotated: Sequence[Record[Photograph]]
    left_out: LeftOut
    state: str
    matched: bool = False

    @cached_property
    def _seen(self) -> list[Seen]:
        """The annotated pictures, decoded once; only if a matched law or the report needs them."""
        found: list[Seen] = []

        def lost() -> Iterator[Skip]:
            for record in tqdm(self.annotated, "real pictures", unit="file", disable=None):
                items, skips = record.loaded()
                found.extend((item.annotation, item.image.shape[:2]) for item in items)
                yield from skips

        note(self.left_out, lost())
        return found

    @cached_property
    def observed(self) -> Observed | None:
        """What annotated pictures look like, for a matched law."""
        return observe(self._seen) if self.matched else None

    @cached_property
    def real(self) -> Measured | None:
        """What the generated pictures are compared with; None: no source annotates the classes.

        Reading it may add to what was left out.
        """
        return Measured.of(self._seen) if self._seen else None


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
    pictures = joining.distinct(pictures, config.backgrounds)
    grounds = joining.joined(pictures)
    match = [source.photographs(path, with_masks=False) for path in config.match]
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
    chosen = _validation(held, grounds.records, config.val)
    splits = {}
    for name in ("train", "val") if config.val else ("train",):
        cutouts = [cutout for path, cutout in held if (path in chosen) == (name == "val")]
        records = [each for each in grounds.records if (_file(each) in chosen) == (name == "val")]
        if not cutouts or not records:
            files, enough = len({path for path, _ in held}), ceil(1 / config.val)
            raise DataError(
                f"val: got {config.val:g}, which gives {name} {len(cutouts)} cut-outs, of {files} "
                f"files, and {len(records)} of {len(grounds)} backgrounds, wanted at least 1 of "
                f"each; {enough} files of a class and {enough} backgrounds are enough"
            )
        splits[name] = Material(Bank([*cutouts, *distractors]), Backgrounds(records, size))
    every = [*(cutout for _, cutout in held), *distractors]
    state = _state(objects.classes, every, [grounds, *match])
    classes, known, matched = objects.classes, match or pictures, config.law.placement.matched
    annotated = _annotated(known, classes, None if matched else MEASURED)
    sources = Sources(classes, _ids(objects), splits, annotated, left_out, state, matched)
    if matched and sources.observed is None:
        where = _listed(config.match or config.backgrounds)
        raise DataError(
            f"law.placement.matched: no object of {_listed(classes[1:])} is annotated in the "
            f"{sum(map(len, known))} pictures of {where}; name some with --match"
        )
    return sources


def _listed(names: Sequence[object]) -> str:
    """The first names, and how many there are besides."""
    rest = len(names) - NAMED
    return ", ".join(map(str, names[:NAMED])) + (f" and {rest} more" if rest > 0 else "")


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

    def lost(loaded: Iterable[tuple[list[BankedCutout], list[Skip]]]) -> Iterator[Skip]:
        pairs = zip(records.records, loaded, strict=True)
        for record, (items, skips) in tqdm(pairs, title, len(records), unit="file", disable=None):
            kept.extend((_file(record), item) for item in items)
            yield from skips

    with threads(2) as pool:
        note(left_out, lost(pool.map(load, records.records)))
    if not kept:
        raise DataError(f"{records.source}: no cut-out can be used ({counted(left_out)})")
    return kept


def _annotated(
    sources: Sequence[Records[Photograph]], classes: tuple[str, ...], most: int | None
) -> list[Record[Photograph]]:
    """The pictures of the sources that annotate any of the classes; so many of them, spread."""
    named = [_by_name(each, classes) for each in sources if {*each.classes[1:]} & {*classes}]
    records = [record for each in named for record in each.records]
    return records[:: max(-(-len(records) // most), 1) if most else 1]


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
