"""What loading a record leaves behind."""

import gc
import weakref
from collections.abc import Iterator

import numpy as np

from compositor.data.records import LeftOut, Photograph, Record, Skip, note


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


def test_each_name_is_noted_once_and_in_order() -> None:
    left_out: LeftOut = {"broken": ["b"], "crowd": ["z"]}
    note(left_out, map(Skip, ["broken", "small", "broken", "broken"], "abca"))
    note(left_out, [])
    assert left_out == {"broken": ["b", "a", "c"], "crowd": ["z"], "small": ["b"]}
    assert list(left_out) == ["broken", "crowd", "small"]


def test_many_names_are_not_compared_each_with_each() -> None:
    class Name(str):
        compared = 0

        def __eq__(self, other: object) -> bool:
            Name.compared += 1
            return super().__eq__(other)

        __hash__ = str.__hash__

    left_out: LeftOut = {}
    note(left_out, [Skip("small", Name(n)) for n in range(300)])
    assert len(left_out["small"]) == 300 and Name.compared < 300
