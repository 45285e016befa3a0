"""All that a detection run reads, and what is told of it."""

from dataclasses import dataclass

from trainers.detection.data.prepared import Photographs, Prepared
from trainers.detection.scenes import Scenes


@dataclass(frozen=True)
class Data:
    """What a run reads.

    Attributes:
        scenes: What T learns from and composites are made of.
        test: What it is tested on.
        note: Goes before every source in words.

    Raises:
        ValueError: The test has not the classes learnt, in their order.
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
        """What there is of each: ``train``, ``backgrounds``, ``cutouts``, ``test``."""
        return {
            "train": self.scenes.real,
            "backgrounds": self.scenes.backgrounds,
            "cutouts": self.scenes.cutouts,
            "test": self.test,
        }

    @property
    def sources(self) -> dict[str, str]:
        """In words where the parts came from."""
        return {name: self.note + part.source for name, part in self.parts.items()}

    @property
    def fingerprints(self) -> dict[str, str]:
        """Of the parts: other data has others."""
        return {name: part.fingerprint for name, part in self.parts.items()}
