"""What loading a record leaves behind."""

import gc
import weakref
from collections.abc import Iterator

import numpy as np

from compositor.data.records import Photograph, Record, Skip


def test_what_is_left_out_holds_no_picture() -> None:
    pictures: list[weakref.ref[np.ndarray]] = []

    def load() -> Iterator[Photograph | Skip]:
        picture = np.zeros((4, 5, 3), np.uint8)
        pictures.append(weakref.ref(picture))
        try:
            raise Skip("no usable box", "a/1")
        except Skip as skip:
            yield skip
        try:
            picture[4]
        except IndexError:
            raise Skip("broken .jpg file", "a") from None

    gc.disable()  # nor until it is collected
    try:
        items, skips = Record("a", (), load).loaded()
        assert [each() is None for each in pictures] == [True]
    finally:
        gc.enable()
    assert (items, list(map(str, skips))) == ([], ["a/1: no usable box", "a: broken .jpg file"])
