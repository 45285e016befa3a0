"""The shards of a data set: units of a few pictures that are there whole or not at all.

A shard's content depends on the settings and its number alone, so resuming means to make those that
are missing, whoever made the others.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from compositor.data.frames import pillow
from compositor.data.labels import LabelledPicture
from compositor.files import DataError, check_writable, held, locked, roomy, write
from compositor.generate.config import REPLACED
from compositor.generate.scenes import TOO_EASY, Maker, Tally

SCENES = 50
"""Scenes of a shard."""
SUMMARY, PICTURES, SETTINGS = "summary.json", "pictures.json", "settings.json"
DIGESTS = ("content of the sources", "detector's file", "weights' file")
"""Settings that can only be said to have changed."""
WRITTEN = (*REPLACED, SETTINGS, "report.json", "report.html", "preview.png", "statistics.png")
"""All that a run leaves in a data set's folder."""
MADE = "shards/*/*.jpg"
"""Pictures in a data set's folder, those of shards that are half made too."""


@dataclass(frozen=True)
class Shards:
    """The shards in a data set's folder.

    Args:
        folder: The data set's.
        count: Scenes in all.
        launch: The name of this launch, unlike that of any other in this folder at the time.
    """

    folder: Path
    count: int
    launch: str = "0-of-1"

    def __len__(self) -> int:
        return -(-self.count // SCENES)

    def numbers(self, shard: int) -> range:
        """The numbers of a shard's scenes."""
        return range(shard * SCENES, min((shard + 1) * SCENES, self.count))

    def path(self, shard: int) -> Path:
        """Where a shard lies once it is whole."""
        return self.folder / "shards" / f"{shard:05}"

    def done(self, shard: int) -> bool:
        """Whether a shard is there, whole and with as many scenes as it should have."""
        place = self.path(shard)
        try:
            summary = self.summary(shard)
            sizes = {name: (place / name).stat().st_size for name in summary["files"]}
            return bool(summary["scenes"] == len(self.numbers(shard)) and sizes == summary["files"])
        except (OSError, ValueError, KeyError, TypeError):  # missing or damaged: made again
            return False

    def missing(self, first: int = 0, launches: int = 1) -> list[int]:
        """Which of every ``launches``-th shard from ``first`` on have to be made."""
        return [n for n in range(first, len(self), launches) if not self.done(n)]

    def make(self, shard: int, maker: Maker) -> Tally:
        """Make a shard under a hidden name, and rename it when it is whole.

        Raises:
            DataError: The disk is full.
        """
        place = self.path(shard)
        hidden = place.with_name(f".{place.name}.{self.launch}")
        shutil.rmtree(hidden, ignore_errors=True)
        numbers = self.numbers(shard)
        maker.start()
        with roomy(self.folder):
            hidden.mkdir(parents=True)
            pictures, easy = [], []
            for made in maker.make(numbers):
                if isinstance(made, int):
                    easy.append(f"scene {made}")
                    continue
                file = hidden / f"{made.number:06}.jpg"
                pillow(made.scene.image).save(file, quality=made.quality)
                pictures.append(
                    LabelledPicture(
                        made.number,
                        file,
                        (made.scene.image.shape[0], made.scene.image.shape[1]),
                        made.background,
                        maker.config.seed,
                        made.split,
                        made.scene.instances,
                    ).to_json()
                )
                maker.tally.scenes += 1
                maker.tally.objects += sum(i.cutout is not None for i in made.scene.instances)
                maker.tally.unplaced += made.unplaced
                maker.tally.hidden += made.hidden
            left_out = maker.left_out()
            if easy:
                left_out[TOO_EASY] = easy
            write(hidden / PICTURES, json.dumps(pictures))
            summary = {
                "scenes": len(numbers),
                "tally": asdict(maker.tally),
                "left_out": left_out,
                "files": {file.name: file.stat().st_size for file in sorted(hidden.iterdir())},
            }
            write(hidden / SUMMARY, json.dumps(summary))
            self._publish(shard, hidden)
        return maker.tally

    def _publish(self, shard: int, hidden: Path) -> None:
        place = self.path(shard)
        try:
            os.replace(hidden, place)
        except OSError:
            if not place.is_dir():
                raise
            if self.done(shard):  # another launch was faster, with the same bytes
                shutil.rmtree(hidden)
            else:  # damaged, or of a shorter set
                shutil.rmtree(place)
                os.replace(hidden, place)

    def summary(self, shard: int) -> dict[str, Any]:
        """What a whole shard cost, yielded and left out."""
        summary: dict[str, Any] = json.loads((self.path(shard) / SUMMARY).read_text())
        return summary

    def of(self, shard: int) -> list[LabelledPicture]:
        """A whole shard's pictures."""
        records = json.loads((self.path(shard) / PICTURES).read_text())
        return [LabelledPicture.from_json(values, self.path(shard)) for values in records]

    def pictures(self) -> Iterator[LabelledPicture]:
        """All pictures in the order of their numbers, one shard at a time."""
        return chain.from_iterable(map(self.of, range(len(self))))


@contextmanager
def settled(folder: Path, settings: Mapping[str, str], launch: str) -> Iterator[None]:
    """Hold a folder for a launch; its pictures, if any, are made of what the settings say.

    Args:
        folder: The data set's.
        settings: By name; those whose values say nothing to a reader are :data:`DIGESTS`.
        launch: As for :class:`Shards`.

    Raises:
        DataError: The folder holds pictures made of something else, or files that a run would
            replace but did not write; it cannot be written to; or this launch is running already.
    """
    check_writable(folder)
    _check_left_by_run(folder)
    with ExitStack() as kept:
        with locked(folder / ".settings.lock", wait=True):  # launches begin at once
            _settle(folder, settings)
            # Before the other lock is given back, so that its next holder sees who is at work.
            kept.enter_context(locked(folder / f".shard-{launch}.lock"))
        yield


def _check_left_by_run(folder: Path) -> None:
    # A launch that begins meanwhile writes the settings first, so what it leaves is looked for
    # before them.
    here = [name for name in WRITTEN if _holds(folder / name)]
    try:
        ours = not here or DIGESTS[0] in _settings(folder / SETTINGS)
    except DataError:
        if any(folder.glob(MADE)):
            raise
        ours = False
    if not ours:
        raise DataError(
            f"{folder}: holds {here[0]}, which no run has written; write to another folder "
            "(--output)"
        )


def _settle(folder: Path, settings: Mapping[str, str]) -> None:
    """Write down what a folder's pictures are made of, or compare it with what it says."""
    path, shards, text = folder / SETTINGS, folder / "shards", json.dumps(settings, indent=1)
    if not any(map(held, folder.glob(".shard-*.lock"))):
        for half_made in shards.glob(".*"):
            shutil.rmtree(half_made, ignore_errors=True)
        if not any(folder.glob(MADE)):
            if not path.is_file() or path.read_bytes() != text.encode():
                # Shards may be whole without a picture: all their scenes were too easy for others.
                shutil.rmtree(shards, ignore_errors=True)
            write(path, text)
    known = _settings(path)
    for name, wanted in settings.items():
        if (found := known.get(name)) != wanted:
            how = f"with {name} {found}, not {wanted}"
            if name in DIGESTS:
                how = f"made before the {name} changed"
            raise DataError(
                f"{folder}: holds pictures {how}; write to another folder (--output), or delete "
                "this one"
            )


def _holds(path: Path) -> bool:
    """Whether there is anything to lose: a file, or a folder that is not empty."""
    try:
        return any(path.iterdir()) if path.is_dir() else path.exists()
    except FileNotFoundError:  # another launch has just replaced it
        return False


def _settings(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text())
        if not isinstance(known, dict):
            raise ValueError("not a dictionary")
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: is missing or damaged ({error}), so what the pictures beside it are made of "
            "is unknown; write to another folder (--output), or delete this one"
        ) from None
    return known
