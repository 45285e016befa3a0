"""Data sets decoded once to one canvas size and kept as memory-mapped arrays.

A cache is a folder: ``images.u8``, the pixels one item after the other; ``items.jsonl``, a line an
item; ``progress.json``, how much of both counts. Records are decoded in chunks, and a chunk counts
only once it is on disk: preparing that was killed at any moment goes on from there.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from trainers.detection.data import images
from trainers.detection.data.records import Cutout, Item, Photograph, Record, Records, Skip
from trainers.files import DataError, replacing, roomy

VERSION = 1
"""Of the format and of what is done to the pictures: another one prepares anew."""
CHUNK = 64
"""Records after which progress is saved."""
FILL = 0.7
"""What the larger side of an object takes of its frame (the paper's section A.2)."""
NAMES = 100
"""How many left-out names a reason keeps for the report."""

Encoded = tuple[NDArray[np.uint8], dict[str, Any]]


class Prepared(Dataset[Any]):
    """What both kinds have in common; opened from the folder that preparing filled.

    Attributes:
        names: Of the items.
        classes: Names by label; index 0 is ``__background__``.
        size: (H, W) of the images in pixels.
        report: ``source``, ``kept``, and ``skipped``: by reason the ``count`` and first ``names``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        progress = json.loads((folder / "progress.json").read_text())
        self.classes: tuple[str, ...] = tuple(progress["classes"])
        self.report: dict[str, Any] = {k: progress[k] for k in ("source", "kept", "skipped")}
        lines = (folder / "items.jsonl").read_bytes()[: progress["bytes"]].splitlines()
        self.items: list[dict[str, Any]] = [json.loads(line) for line in lines]
        self.names: list[str] = [item["name"] for item in self.items]
        shape = (progress["kept"], *progress["shape"])
        file = folder / "images.u8"
        if len(lines) != shape[0] or file.stat().st_size != np.prod(shape):
            raise DataError(f"{folder}: is not what its progress.json says; delete the folder")
        self.size: tuple[int, int] = (shape[1], shape[2])
        self._images = np.memmap(file, np.uint8, "r", shape=shape)

    def __len__(self) -> int:
        return len(self.items)

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker process maps the file itself, instead of being sent gigabytes.
        return type(self), (self.folder,)

    def image(self, index: int) -> Tensor:
        """The image alone: (C, H, W) uint8."""
        return torch.from_numpy(self._images[index].transpose(2, 0, 1).copy())


class Photographs(Prepared):
    """Photographs with the objects that a detector is to find in them.

    An item is the image, (3, H, W) uint8 RGB, and its target: ``boxes`` (n, 4) float32 in its
    pixels, ``labels`` (n,) int64, ``ignore`` (n,) bool.

    Attributes:
        targets: Those of all images, for what needs no image.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.targets: list[dict[str, Tensor]] = [
            {
                "boxes": torch.tensor(item["boxes"], dtype=torch.float32).reshape(-1, 4),
                "labels": torch.tensor(item["labels"], dtype=torch.int64),
                "ignore": torch.tensor(item["ignore"], dtype=torch.bool),
            }
            for item in self.items
        ]

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        return self.image(index), {k: v.clone() for k, v in self.targets[index].items()}


class Cutouts(Prepared):
    """Objects centred in a frame of the canvas's size, with their masks.

    An item is (4, H, W) uint8, RGB and the mask (0 or 255), and the label.

    Attributes:
        labels: (n,) int64, of all objects.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.labels: Tensor = torch.tensor([item["label"] for item in self.items])

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.image(index), int(self.labels[index])


def prepare_photographs(
    records: Records[Photograph], folder: Path, size: tuple[int, int]
) -> Photographs:
    """Decode photographs and stretch them to one size, or open what an earlier call left.

    Args:
        records: What to read.
        folder: Holds all caches; this one's name there covers the source and every file's size
            and time, ``size`` and the format's version, so that a changed source is prepared anew.
        size: (H, W) in pixels.

    Raises:
        DataError: Nothing of the source can be used.
    """

    def encode(photograph: Photograph) -> Encoded:
        image, annotation = images.stretch(photograph, size)
        columns = ("boxes", "labels", "ignore")
        return image, {
            "name": photograph.name,
            **{column: getattr(annotation, column).tolist() for column in columns},
        }

    return Photographs(_prepare(records, folder, (*size, 3), "photographs", encode))


def prepare_cutouts(
    records: Records[Cutout], folder: Path, size: tuple[int, int], fill: float = FILL
) -> Cutouts:
    """Decode cut-outs and centre each in a frame, or open what an earlier call left.

    Args:
        records: What to read.
        folder: Holds all caches, as for :func:`prepare_photographs`.
        size: (H, W) of the frame in pixels.
        fill: What the larger side of an object takes of the frame's (section A.2), in (0, 1].

    Raises:
        DataError: Nothing of the source can be used.
        ValueError: ``fill`` is not in (0, 1].
    """
    if not 0 < fill <= 1:
        raise ValueError(f"fill: got {fill}, want a number in (0, 1]")

    def encode(cutout: Cutout) -> Encoded:
        return images.centre(cutout, size, fill), {"name": cutout.name, "label": cutout.label}

    return Cutouts(_prepare(records, folder, (*size, 4), f"cutouts {fill}", encode))


def _prepare(
    records: Records[Item],
    folder: Path,
    shape: tuple[int, int, int],
    kind: str,
    encode: Callable[[Item], Encoded],
) -> Path:
    cache = folder / f"{kind.split()[0]}-{_key(records, shape, kind)}"
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache):
        writer = _Writer(cache, records, shape)
        if not writer.progress["complete"]:
            writer.fill(encode)
        _tell(writer.progress)
    return cache


class _Writer:
    """Appends to a cache from where its progress stands."""

    def __init__(self, cache: Path, records: Records[Any], shape: tuple[int, int, int]) -> None:
        self.cache, self.records = cache, records
        path = cache / "progress.json"
        self.progress: dict[str, Any] = (
            json.loads(path.read_text())
            if path.exists()
            else {
                "source": records.source,
                "classes": records.classes,
                "shape": shape,
                "records": 0,
                "kept": 0,
                "bytes": 0,
                "skipped": {},
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
            ThreadPoolExecutor(workers) as pool,
            tqdm(total=total, initial=progress["records"], desc="preparing", unit="image") as bar,
        ):
            # What a killed run wrote after its last save does not count.
            pixels.truncate(progress["kept"] * int(np.prod(progress["shape"])))
            lines.truncate(progress["bytes"])
            while (start := progress["records"]) < total:
                chunk = self.records.records[start : start + CHUNK]
                for results in pool.map(lambda record: list(_load(record, encode)), chunk):
                    for result in results:
                        self._append(result, pixels, lines)
                    bar.update()
                progress["records"] += len(chunk)
                self._save(pixels, lines)
            if not progress["kept"]:
                raise DataError(f"{progress['source']}: nothing can be used: {_reasons(progress)}")
            progress["complete"] = True
            self._save(pixels, lines)

    def _append(self, result: Encoded | Skip, pixels: Any, lines: Any) -> None:
        if isinstance(result, Skip):
            entry = self.progress["skipped"].setdefault(result.reason, {"count": 0, "names": []})
            entry["count"] += 1
            entry["names"] += [result.name][: NAMES - len(entry["names"])]
            return
        image, item = result
        pixels.write(image.tobytes())
        self.progress["bytes"] += lines.write(json.dumps(item).encode() + b"\n")
        self.progress["kept"] += 1

    def _save(self, *files: Any) -> None:
        for file in files:
            file.flush()
            os.fsync(file.fileno())
        with replacing(self.cache / "progress.json") as partial:
            partial.write_text(json.dumps(self.progress, indent=1) + "\n")


def _load(record: Record[Item], encode: Callable[[Item], Encoded]) -> Iterator[Encoded | Skip]:
    try:
        for item in record.load():
            yield item if isinstance(item, Skip) else encode(item)
    except Skip as skip:
        yield skip


def _key(records: Records[Item], shape: tuple[int, int, int], kind: str) -> str:
    """A digest of all that the prepared arrays depend on."""
    digest = hashlib.sha256(
        json.dumps([VERSION, records.source, records.classes, shape, kind]).encode()
    )
    for record in records.records:
        for file in record.files:
            try:
                status = file.stat()
                state = f"{status.st_size} {status.st_mtime_ns}"
            except FileNotFoundError:
                state = "missing"
            digest.update(f"{record.name} {file} {state}\n".encode())
    return digest.hexdigest()[:16]


@contextmanager
def _locked(cache: Path) -> Iterator[None]:
    """Let one process of a data-parallel run prepare while the others wait."""
    with (cache / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _reasons(progress: dict[str, Any]) -> str:
    return "; ".join(
        f"{entry['count']} {reason} ({', '.join(entry['names'][:3])}"
        f"{', ...' if entry['count'] > 3 else ''})"
        for reason, entry in progress["skipped"].items()
    )


def _tell(progress: dict[str, Any]) -> None:
    skipped = _reasons(progress)
    tqdm.write(f"{progress['source']}: {progress['kept']} kept; left out: {skipped or 'none'}")
