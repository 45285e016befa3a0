"""What the formats' writers share: a data set is written in parts, which are then put together."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Generic, TypeVar

from compositor.data.labels import LabelledPicture
from compositor.data.write.checks import checked
from compositor.files import replacing_folder

PICTURES = 50
"""Pictures of a part, where there is no reason for another number."""
Part = TypeVar("Part")


class Writer(ABC, Generic[Part]):
    """Writes one format.

    Several processes may each call :meth:`part`, since a part depends on its pictures alone; one of
    them calls :meth:`whole`.

    Attributes:
        classes: Names by label; index 0 is ``__background__``.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = classes

    @abstractmethod
    def part(self, place: Path, pictures: Iterable[LabelledPicture]) -> Part:
        """Write to ``place`` what is of these pictures alone; return what is left to write."""

    @abstractmethod
    def whole(self, place: Path, parts: Iterable[Part]) -> None:
        """Write to ``place`` what is of all pictures, from all parts in order, one by one."""

    def write(self, folder: Path, pictures: Iterable[LabelledPicture]) -> None:
        """Write all of a data set.

        Args:
            folder: Replaced.
            pictures: Taken a few at a time.

        Raises:
            DataError: A picture is missing, two share a name, or the disk is full.
            ValueError: The labels are not valid.
        """
        left = checked(pictures, self.classes)
        batches = iter(lambda: list(islice(left, PICTURES)), [])
        with replacing_folder(folder) as place:
            self.whole(place, (self.part(place, batch) for batch in batches))
