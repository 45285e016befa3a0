"""The folder that holds prepared data, written so that a kill leaves it valid.

``images.u8`` holds the pixels of one item after another, ``items.jsonl`` a line for each item and
for each name left out, and ``progress.json`` how much of both counts. Records are decoded in
chunks, and a chunk counts only once it is on disk, so that preparing resumes from there whenever
it was killed.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from compositor._threads import threads
from compositor.data.records import Ignored, Item, Record, Records, Skip
from compositor.files import DataError, locked, replacing, roomy

VERSION = 4
"""Version of the format and of the processing: changing it prepares everything again."""
CHUNK = 64
"""Records between saves of the progress."""
TOLD = 3
"""How many names a message gives for each reason."""

Encoded = tuple[NDArray[np.uint8], dict[str, Any]]
"""An item's pixels and its other data."""


@dataclass(frozen=True)
class Content:
    """What a finished cache holds.

    Attributes:
        source: A description.
        classes: Names by label.
        images: (n, H, W, C) uint8, mapped from the file.
        items: The data of each image; ``record`` is the name of the record it came from, ``sha256``
            the digest of its pixels.
        left_out: Names of everything that could not be used, by reason.
        ignored: The kind of objects that annotations say to ignore.
    """

    source: str
    classes: tuple[str, ...]
    images: NDArray[np.uint8]
    items: list[dict[str, Any]]
    left_out: dict[str, list[str]]
    ignored: Ignored

    @classmethod
    def read(cls, cache: Path) -> "Content":
        """Open a cache.

        Raises:
            DataError: It is damaged.
        """
        progress = json.loads((cache / "progress.json").read_text())
        items, left_out = _lines(cache, progress)
        shape = (progress["kept"], *progress["shape"])
        file = cache / "images.u8"
        if len(items) != shape[0] or file.stat().st_size != np.prod(shape):
            raise DataError(f"{cache}: does not match its progress.json; delete the folder")
        pixels = np.memmap(file, np.uint8, "r", shape=shape)
        return cls(
            progress["source"],
            tuple(progress["classes"]),
            pixels,
            items,
            left_out,
            progress["ignored"],
        )


def fill(
    records: Records[Item],
    folder: Path,
    shape: tuple[int, int, int],
    kind: str,
    encode: Callable[[Item], Encoded],
) -> Path:
    """Encode all records that an earlier call has not, and report what was left out.

    Args:
        records: What to read.
        folder: Holds all caches; this one's name depends on everything that its content does.
        shape: (H, W, C) of an item's pixels.
        kind: The kind of the items, with every option of ``encode``.
        encode: Turns an item into what is stored.

    Returns:
        The cache.

    Raises:
        DataError: Nothing of the source can be used.
    """
    cache = folder / f"{kind.split()[0]}-{_key(records, shape, kind)}"
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / "lock", wait=True):  # one process prepares, others wait
        writer = _Writer(cache, records, shape)
        if not writer.progress["complete"]:
            writer.fill(encode)
        left_out = told(_lines(cache, writer.progress)[1])
        tqdm.write(f"{records.source}: {writer.progress['kept']} kept; left out: {left_out}")
    return cache


def told(left_out: Mapping[str, Sequence[str]]) -> str:
    """One line on what was left out: for each reason, how many and the first names."""
    return (
        "; ".join(
            f"{len(names)} {reason} ({', '.join(names[:TOLD])}{', ...' * (len(names) > TOLD)})"
            for reason, names in left_out.items()
        )
        or "none"
    )


def _lines(
    cache: Path, progress: dict[str, Any]
) -> tuple[list[dict[str, Any]], dict[str, list[str]]]:
    """The items, and the names left out by reason, as far as they count."""
    items: list[dict[str, Any]] = []
    left_out: dict[str, list[str]] = {}
    for line in (cache / "items.jsonl").read_bytes()[: progress["bytes"]].splitlines():
        entry = json.loads(line)
        if "left_out" in entry:
            left_out.setdefault(entry["left_out"], []).append(entry["name"])
        else:
            items.append(entry)
    return items, left_out


class _Writer:
    """Appends to a cache from its saved progress on."""

    def __init__(self, cache: Path, records: Records[Any], shape: tuple[int, int, int]) -> None:
        self.cache, self.records = cache, records
        path = cache / "progress.json"
        self.progress: dict[str, Any] = (
            json.loads(path.read_text())
            if path.exists()
            else {
                "source": records.source,
                "classes": records.classes,
                "ignored": records.ignored,
                "shape": shape,
                "records": 0,
                "kept": 0,
                "bytes": 0,
                "complete": False,
            }
        )

    def fill(self, encode: Callable[[Any], Encoded]) -> None:
        progress, total = self.progress, len(self.records)
        workers = os.cpu_count() or 1
        with (
            roomy(self.cache),
            (self.cache / "images.u8").open("ab") as pixels,
            (self.cache / "items.jsonl").open("ab") as lines,
            threads(workers) as pool,
            tqdm(
                desc="preparing",
                total=total,
                unit="image",
                initial=progress["records"],
                disable=None,  # no bar where there is no terminal
            ) as bar,
        ):
            # What a killed run wrote after its last save does not count.
            pixels.truncate(progress["kept"] * int(np.prod(progress["shape"])))
            lines.truncate(progress["bytes"])
            if not progress["records"]:
                for reason, names in self.records.left_out.items():
                    for name in names:
                        self._append(Skip(reason, name), pixels, lines)
            while (start := progress["records"]) < total:
                chunk = self.records.records[start : start + CHUNK]
                for results in pool.map(lambda record: list(_load(record, encode)), chunk):
                    for result in results:
                        self._append(result, pixels, lines)
                    bar.update()
                progress["records"] += len(chunk)
                self._save(pixels, lines)
            if not progress["kept"]:
                lines.flush()
                _, left_out = _lines(self.cache, progress)
                raise DataError(f"{progress['source']}: nothing can be used: {told(left_out)}")
            progress["complete"] = True
            self._save(pixels, lines)

    def _append(self, result: Encoded | Skip, pixels: Any, lines: Any) -> None:
        if isinstance(result, Skip):
            line = {"left_out": result.reason, "name": result.name}
        else:
            image, line = result
            pixels.write(image.tobytes())
            self.progress["kept"] += 1
        self.progress["bytes"] += lines.write(json.dumps(line).encode() + b"\n")

    def _save(self, *files: Any) -> None:
        for file in files:
            file.flush()
            os.fsync(file.fileno())
        with replacing(self.cache / "progress.json") as partial:
            partial.write_text(json.dumps(self.progress, indent=1) + "\n")


def _load(record: Record[Item], encode: Callable[[Item], Encoded]) -> Iterator[Encoded | Skip]:
    try:
        for item in record.load():
            if isinstance(item, Skip):
                yield item
            else:
                pixels, known = encode(item)
                digest = hashlib.sha256(pixels.tobytes()).hexdigest()
                yield pixels, known | {"record": record.name, "sha256": digest}
    except Skip as skip:
        yield skip


def _key(records: Records[Item], shape: tuple[int, int, int], kind: str) -> str:
    """A digest of everything that the prepared arrays depend on."""
    whole = json.dumps([VERSION, shape, kind, state(records)])
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def state(records: Records[Item]) -> str:
    """A digest of the list, and of every file's size and time."""
    digest = hashlib.sha256(
        json.dumps([records.source, records.classes, records.left_out, records.ignored]).encode()
    )
    for record in records.records:
        for file in record.files:
            try:
                status = file.stat()
                found = f"{status.st_size} {status.st_mtime_ns}"
            # A file that may not be read counts as missing, as does an impossible name.
            except (OSError, ValueError):
                found = "missing"
            digest.update(f"{record.name} {file} {found}\n".encode(errors="surrogatepass"))
    return digest.hexdigest()
