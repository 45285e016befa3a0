"""Makes one list of records out of several: classes by their names, and no name twice."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from compositor.data.records import (
    BACKGROUND,
    Annotation,
    Cutout,
    Photograph,
    Record,
    Records,
    Skip,
)

ItemType = TypeVar("ItemType", Photograph, Cutout)


def joined(sources: Sequence[Records[ItemType]], names: Sequence[str] = ()) -> Records[ItemType]:
    """Several lists as one, whose classes are those of all, by their names.

    Args:
        sources: The lists.
        names: Classes that come first; the others follow in the order in which the lists have them.
    """
    if len(sources) == 1:
        return sources[0]
    known = dict.fromkeys((BACKGROUND, *names))
    for source in sources:
        known |= dict.fromkeys(source.classes)
    classes = list(known)
    records: list[Record[ItemType]] = []
    for source in sources:
        labels = {label: classes.index(name) for label, name in enumerate(source.classes)}
        records += [relabelled(record, labels) for record in source.records]
    left_out = merged(source.left_out for source in sources)
    title = " + ".join(source.source for source in sources)
    ids = {name: number for source in reversed(sources) for name, number in source.ids.items()}
    return Records(title, tuple(classes), records, left_out, sources[0].ignored, ids)


def relabelled(record: Record[ItemType], labels: Mapping[int, int]) -> Record[ItemType]:
    """A record whose objects have other labels; those that have none are left out."""
    return replace(record, load=partial(_relabelled, record.load, labels))


def _relabelled(load: Callable[[], Iterable[Any]], labels: Mapping[int, int]) -> Iterator[Any]:
    for item in load():
        if isinstance(item, Cutout):
            if item.label in labels:
                yield replace(item, label=labels[item.label])
        elif isinstance(item, Photograph):
            boxes, found, ignore = vars(item.annotation).values()
            rows = zip(boxes.tolist(), found.tolist(), ignore.tolist(), strict=True)
            kept = [(box, labels[n], unclear) for box, n, unclear in rows if n in labels]
            pairs = zip(item.masks, found.tolist(), strict=False)
            masks = tuple(mask for mask, n in pairs if n in labels)
            yield replace(item, annotation=Annotation.of(kept), masks=masks)
        else:
            yield item


def merged(several: Iterable[Mapping[str, Sequence[str]]]) -> dict[str, list[str]]:
    """What several lists left out by reason, each name once."""
    left_out: dict[str, dict[str, None]] = {}
    for each in several:
        for reason, names in each.items():
            left_out.setdefault(reason, {}).update(dict.fromkeys(names))
    return {reason: list(names) for reason, names in left_out.items()}


def distinct(
    sources: Sequence[Records[ItemType]], paths: Sequence[Path]
) -> list[Records[ItemType]]:
    """Sources of which none has another's names: before those that two have comes the folder's.

    Args:
        sources: The lists.
        paths: Where each is from.
    """
    # A source that is named twice gives the same pictures again.
    held = {path.resolve(): each for path, each in zip(paths, sources, strict=True)}
    counts = Counter(name for each in held.values() for name in {r.name for r in each.records})
    return [
        replace(
            each,
            records=[
                replace(record, name=f"{title}/{record.name}", load=partial(_titled, record, title))
                if counts[record.name] > 1
                else record
                for record in each.records
            ],
        )
        for each, title in zip(sources, _titles(paths), strict=True)
    ]


def _titles(paths: Sequence[Path]) -> list[str]:
    """The paths' ends, as long as it takes to tell them apart."""
    parts = [path.resolve().parts for path in paths]
    for count in range(1, max(map(len, parts), default=0) + 1):
        titles = ["/".join(each[-count:]).lstrip("/") for each in parts]
        if len(set(titles)) == len(set(parts)):
            break
    return titles if parts else []


def _titled(record: Record[Any], title: str) -> Iterator[Any]:
    try:
        for item in record.load():
            name = f"{title}/{item.name}"
            yield Skip(item.reason, name) if isinstance(item, Skip) else replace(item, name=name)
    except Skip as skip:
        raise Skip(skip.reason, f"{title}/{skip.name}") from None


def forgiving(records: Records[Cutout], reason: str) -> Records[Cutout]:
    """A list whose records are no loss for this reason: they just hold nothing."""
    changed = [replace(each, load=partial(_quiet, each, reason)) for each in records.records]
    return replace(records, records=changed)


def _quiet(record: Record[Any], reason: str) -> Iterator[Any]:
    try:
        yield from record.load()
    except Skip as skip:
        if skip.reason != reason:
            raise
