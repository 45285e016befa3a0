"""The data that a detection run reads, listed and then prepared, and its summary."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch

from compositor import files
from compositor.data import sheets
from compositor.data.prepared import Photographs, Prepared, prepare_cutouts, prepare_photographs
from compositor.data.records import Cutout, Photograph, Records
from compositor.files import DataError
from trainers.detection.config import Config
from trainers.detection.scenes import Scenes


@dataclass(frozen=True)
class Sources:
    """The data that a config names, listed: nothing is decoded yet.

    Attributes:
        real: What T learns from.
        cutouts: What is pasted.
        test: What T is tested on.
        backgrounds: What is pasted on; None: the real pictures.
        note: Precedes each source's description.
    """

    real: Records[Photograph]
    cutouts: Records[Cutout]
    test: Records[Photograph]
    backgrounds: Records[Photograph] | None = None
    note: str = ""

    photographs: ClassVar = staticmethod(prepare_photographs)
    scenes: ClassVar[type[Scenes]] = Scenes

    def prepare(self, config: Config) -> "Data":
        """Decode everything, or open what an earlier run prepared, and draw the cut-outs."""
        where = config.cache, config.size
        real = backgrounds = self.photographs(self.real, *where)
        if self.backgrounds is not None:
            backgrounds = prepare_photographs(self.backgrounds, *where)
        test = self.photographs(self.test, *where)
        cutouts = prepare_cutouts(self.cutouts, *where)
        sheets.contact_sheet(cutouts, config.output / "cutouts.png")
        parts = real, backgrounds, cutouts
        return Data(self.scenes(*parts, config.artefacts, config.layers), test, self.note)


@dataclass(frozen=True)
class Data:
    """The data that a run reads.

    Attributes:
        scenes: What T learns from and what composites are made of.
        test: What T is tested on.
        note: Precedes each source's description.

    Raises:
        ValueError: The test's classes, or their order, are not those that T learns.
    """

    scenes: Scenes
    test: Photographs
    note: str = ""

    def __post_init__(self) -> None:
        if self.test.classes != self.scenes.classes:
            raise ValueError(
                f"classes: the test has {self.test.classes}, wanted {self.scenes.classes}"
            )

    @property
    def parts(self) -> dict[str, Prepared]:
        """The data sets by name: ``train``, ``backgrounds``, ``cutouts``, ``test``."""
        return {
            "train": self.scenes.real,
            "backgrounds": self.scenes.backgrounds,
            "cutouts": self.scenes.cutouts,
            "test": self.test,
        }

    @property
    def sources(self) -> dict[str, str]:
        """Where each part came from, in words."""
        return {name: self.note + part.source for name, part in self.parts.items()}

    @property
    def fingerprints(self) -> dict[str, str]:
        """A fingerprint of each part's content."""
        return {name: part.fingerprint for name, part in self.parts.items()}

    def of(self, pictures: int, seed: int) -> "Data":
        """The same with so many of the real pictures, and of the cut-outs those out of these alone.

        A seed's fewer pictures are among its more. Backgrounds that are real pictures too are left
        out with them; cut-outs of which none is out of a real picture all stay.

        Raises:
            DataError: There are fewer pictures, or none of the cut-outs is out of these.
        """
        real, cutouts, backgrounds = self.scenes.real, self.scenes.cutouts, self.scenes.backgrounds
        if pictures > len(real):
            raise DataError(f"pictures: got {pictures}, but {real.source} has {len(real)}")
        order = torch.randperm(len(real), generator=torch.Generator().manual_seed(seed))
        chosen = real.only(sorted(order[:pictures].tolist()))
        names = {item["record"] for item in chosen.items}
        ours = [i for i, item in enumerate(cutouts.items) if item["record"] in names]
        every = {item["record"] for item in real.items}
        if not {item["record"] for item in cutouts.items} & every:
            ours = list(range(len(cutouts)))
        lost = {*_pictures(real)} - {*_pictures(chosen)}
        under = [i for i, one in enumerate(_pictures(backgrounds)) if one not in lost]
        if not ours:
            raise DataError(
                f"pictures: got {pictures}, seed {seed}, but no cut-out of {cutouts.source} is out"
                " of these"
            )
        sources = chosen, backgrounds.only(under), cutouts.only(ours)
        scenes = type(self.scenes)(*sources, self.scenes.artefacts, self.scenes.layers)
        return replace(self, scenes=scenes)

    def tell(self, folder: Path) -> None:
        """Write data.json to a folder, and print how many objects each class has."""
        found = {name: part.summary for name, part in self.parts.items()}
        files.write(folder / "data.json", json.dumps(found, indent=1) + "\n")
        for name, summary in found.items():
            objects = ", ".join(f"{kind} {count}" for kind, count in summary["objects"].items())
            left_out = sum(map(len, summary["left_out"].values()))
            print(
                f"{name}: {summary['pictures']} pictures; objects: {objects or 'none'}; "
                f"left out: {left_out}"
            )
        if empty := sum(not len(target["labels"]) for target in self.scenes.real.targets):
            print(f"train: {empty} of the pictures show no object")
        if untested := self._untested():
            print(f"test: no countable object of {', '.join(untested)}, so no AP for these classes")
        print(f"{folder / 'data.json'}: lists everything left out, with the reason", flush=True)

    def _untested(self) -> list[str]:
        """Classes without AP: the test has no object of theirs that counts."""
        tested = {
            label
            for target in self.test.targets
            for label in target["labels"][~target["ignore"]].tolist()
        }
        return [n for label, n in enumerate(self.test.classes) if label and label not in tested]


def _pictures(photographs: Photographs) -> list[tuple[str, str]]:
    """Names and digests of pixels: those of two folders may have one name."""
    return [(item["record"], item["sha256"]) for item in photographs.items]
