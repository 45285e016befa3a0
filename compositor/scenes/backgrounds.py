"""Backgrounds decoded as scenes need them, of which the last ones stay in memory."""

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from compositor.data.records import LeftOut, Photograph, Record, Skip, counted, note
from compositor.files import DataError
from compositor.scenes.canvas import Canvas, covering, cut, enlargement

HELD = 256 * 2**20
"""Bytes of decoded backgrounds that a process holds."""
COARSEST = 8
"""A background that would have to be enlarged more to cover the canvas is left out."""
LONGEST = 65_500
"""Pixels; no JPEG has a longer side, so a longer background cannot keep its own size."""


class Backgrounds:
    """Backgrounds by index, of which the last ones used are kept.

    Args:
        records: The backgrounds, such as those of :func:`compositor.data.photographs`.
        size: (H, W) of the canvas in pixels; None: that of each background.

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

    def canvas(self, index: int, random: np.random.Generator) -> Canvas:
        """The canvas that a scene is drawn on, cut out of a background at random.

        Raises:
            DataError: None of the backgrounds can be used.
        """
        return cut(self.load(index), self._size, random)

    def other(self, index: int, canvas: Canvas, random: np.random.Generator) -> Tensor | None:
        """Another background (3, H, W) uint8 for an artefact on a canvas of (H, W).

        None if it is the canvas's own, which may come in the place of one that cannot be used, or
        would have to be enlarged too much: of native sizes another is.

        Raises:
            DataError: None of the backgrounds can be used.
        """
        found = self.load(index)
        if found.name == canvas.name or enlargement(found, canvas.size) > COARSEST:
            return None
        return cut(covering(found, canvas.size), canvas.size, random).image

    def _loaded(self, index: int) -> tuple[Photograph | None, list[Skip]]:
        """The background, if it can be used, and what of it cannot be."""
        if index in self._held:
            self._held.move_to_end(index)
            return self._held[index]
        items, skips = self._records[index].loaded()
        found = items[0] if items else None
        if found is not None and (reason := self._unfit(found)):
            skips.append(Skip(reason, found.name))
            found = None
        elif found is not None and self._size is not None:
            found = covering(found, self._size)
        self._held[index] = found, skips
        self._bytes += _bytes(found)
        while self._bytes > HELD and len(self._held) > 1:
            self._bytes -= _bytes(self._held.popitem(last=False)[1][0])
        return found, skips

    def _unfit(self, found: Photograph) -> str | None:
        """Why no canvas can be cut out of a background, if so."""
        if self._size is not None:
            coarse = enlargement(found, self._size) > COARSEST
            return f"enlarged more than {COARSEST} times" if coarse else None
        long = max(found.image.shape[:2]) > LONGEST
        return f"side longer than a JPEG's {LONGEST:,} pixels" if long else None


def _bytes(found: Photograph | None) -> int:
    if found is None:
        return 0
    return found.image.nbytes + sum(mask.nbytes for mask in found.masks if mask is not None)
