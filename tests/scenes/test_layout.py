"""Layouts: scenes whose objects lie as those of one annotated picture do."""

from dataclasses import replace

import numpy as np
import pytest

from compositor.data.records import Annotation, Cutout
from compositor.scenes.bank import Bank, banked
from compositor.scenes.draw import choose, draw, generator
from compositor.scenes.law import PRESETS, Law, Placement
from compositor.scenes.observed import Observed, observe
from compositor.scenes.recipe import Recipe

LAYOUT = PRESETS["layout"]
SIZE = (160, 200)
NOTHING = np.zeros((0, 4))
# (height, width, label) of solid rectangles, for which box and object are the same.
SHAPES = [(60, 40, 1), (40, 80, 1), (50, 50, 2), (60, 60, 2), (30, 30, 0)]
BANK = Bank(
    [
        banked(Cutout(f"{k}", np.zeros((h, w, 3), np.uint8), np.ones((h, w), bool), label))
        for k, (h, w, label) in enumerate(SHAPES)
    ]
)
# On 80 x 100: a tall one of class 1 that a square of class 2 covers in part; and one of class 3,
# for which there is no cut-out.
TALL, SQUARE = (10, 20, 30, 50), (24, 36, 44, 56)
BOTH = [(TALL, 1, False), (SQUARE, 2, False), ((70, 10, 90, 30), 3, False)]


def seen(*pictures: list[tuple[tuple[float, float, float, float], int, bool]]) -> Observed:
    found = observe((Annotation.of(objects), (80, 100)) for objects in pictures)
    assert found is not None
    return found


def scenes(
    law: Law, observed: Observed, count: int = 200, there: np.ndarray = NOTHING
) -> list[Recipe]:
    found = []
    for number in range(count):
        choice = choose(law, BANK, 3, observed, generator(1, number))
        recipe = draw(law, BANK, choice, SIZE, there, observed, generator(1, number, 0))
        found.append(recipe)
    return found


def boxes(recipe: Recipe) -> dict[int, np.ndarray]:
    """By class: nothing is turned, so a box follows from centre and scale."""
    found = {}
    for layer in recipe.layers:
        h, w, label = SHAPES[layer.cutout]
        half = np.array([w * abs(layer.scale[0]), h * layer.scale[1]]) / 2
        found[label] = np.concatenate((layer.centre - half, layer.centre + half))
    return found


def law(**changes: object) -> Law:
    return replace(LAYOUT, placement=replace(LAYOUT.placement, distractors=(0, 0), **changes))


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_objects_lie_as_in_the_picture(flip: float) -> None:
    """On a canvas of twice the size, within a tenth of each object's sides."""
    for recipe in scenes(law(flip=flip), seen(BOTH)):
        placed = boxes(recipe)
        assert set(placed) == {1, 2}
        for label, (x1, y1, x2, y2) in ((1, TALL), (2, SQUARE)):
            wanted = 2.0 * np.array([x1, y1, x2, y2])
            if flip:
                wanted[[0, 2]] = 200 - wanted[[2, 0]]
            moved = placed[label] - wanted
            sides = np.tile(wanted[2:] - wanted[:2], 2)
            assert (np.abs(moved) <= 0.1 * sides + 1e-9).all()
            # It is moved, not stretched.
            np.testing.assert_allclose(moved[:2], moved[2:], atol=1e-9)
        assert all((layer.scale[0] < 0) == bool(flip) for layer in recipe.layers)


def test_the_shift_differs_from_scene_to_scene_and_reaches_a_tenth() -> None:
    moved = [boxes(r)[2][0] - 48 for r in scenes(law(flip=0.0), seen(BOTH))]
    # Uniform over +-4 pixels; 200 draws miss the outer tenth of either end once in 10^9.
    assert min(moved) < -3.2
    assert max(moved) > 3.2


def test_a_half_of_the_layouts_is_mirrored() -> None:
    mirrored = [boxes(r)[1][0] > 100 for r in scenes(law(), seen(BOTH))]
    assert np.mean(mirrored) == pytest.approx(0.5, abs=4 * 0.5 / 200**0.5)


def test_each_scene_takes_after_one_picture() -> None:
    """Of two pictures, never the one's object beside the other's."""
    left, right = [((4, 20, 24, 50), 1, False)], [((60, 36, 80, 56), 2, False)]
    kinds = [tuple(boxes(r)) for r in scenes(law(flip=0.0), seen(left, right))]
    assert set(kinds) == {(1,), (2,)}
    assert np.mean([kind == (1,) for kind in kinds]) == pytest.approx(0.5, abs=0.15)


def test_the_cut_out_is_one_that_can_be_stretched_to_the_aspect() -> None:
    """Width over height is two thirds: within 1.5 of it are 40 x 60 but not 80 x 40."""
    found = [layer.cutout for r in scenes(law(), seen(BOTH)) for layer in r.layers]
    assert set(found) == {0, 2, 3}
    # Where none can, any is taken, and stretched as far as it may be.
    wide = seen([((10, 10, 70, 22), 2, False)])
    stretched = [layer for r in scenes(law(), wide, 50) for layer in r.layers]
    assert {layer.cutout for layer in stretched} == {2, 3}
    for layer in stretched:
        assert abs(layer.scale[0]) / layer.scale[1] == pytest.approx(1.5)


def test_what_reaches_down_furthest_lies_on_top() -> None:
    for recipe in scenes(law(), seen(BOTH)):
        assert [SHAPES[layer.cutout][2] for layer in recipe.layers] == [1, 2]
    upside_down = seen([(TALL, 2, False), (SQUARE, 1, False)])
    for recipe in scenes(law(), upside_down, 50):
        assert [SHAPES[layer.cutout][2] for layer in recipe.layers] == [2, 1]


def test_what_cannot_be_enlarged_so_far_is_pasted_smaller() -> None:
    """The whole canvas would be three times the cut-out's own size."""
    whole = seen([((0, 0, 100, 80), 2, False)])
    for recipe in scenes(law(), whole, 50):
        (layer,) = recipe.layers
        assert layer.size == pytest.approx(2)


def test_the_backgrounds_own_objects_are_covered_no_more_than_the_pictures_were() -> None:
    """The tall one covers 14 x 14 of the square's 400 pixels, but nothing of the background's."""
    apart = seen([(TALL, 1, False), ((60, 36, 80, 56), 2, False)])
    there = np.array([[0.0, 0.0, 70.0, 160.0]])
    for recipe in scenes(law(flip=0.0), apart, 50, there):
        assert set(boxes(recipe)) == {2}


def test_objects_of_a_layout_may_cover_each_other_whole() -> None:
    """The large one covers all of the small one, and a ninth of it is covered."""
    nested = seen([((30, 30, 50, 50), 1, False), ((10, 10, 70, 70), 2, False)])
    for recipe in scenes(law(), nested, 50):
        assert set(boxes(recipe)) == {1, 2}


def test_distractors_are_placed_anywhere_and_lie_as_all_do() -> None:
    given = replace(LAYOUT, placement=replace(LAYOUT.placement, distractors=(1, 1)))
    lefts = []
    for recipe in scenes(given, seen(BOTH)):
        placed = boxes(recipe)
        bottoms = [
            boxes(replace(recipe, layers=(one,)))[SHAPES[one.cutout][2]][3] for one in recipe.layers
        ]
        assert bottoms == sorted(bottoms)
        lefts += [placed[0][0]] if 0 in placed else []
    assert len(lefts) > 100
    assert np.std(lefts) > 30


def test_a_layout_is_a_matched_law() -> None:
    with pytest.raises(ValueError, match=r"law\.placement\.layout: got True, wanted it with law"):
        Law(Placement(layout=True))
    with pytest.raises(ValueError, match=r"law\.placement\.matched: got no annotated pictures"):
        choose(LAYOUT, BANK, 1, None, generator(0, 0))


def test_pictures_keep_their_objects_together() -> None:
    observed = seen(BOTH, [], [(TALL, 1, True)], [(SQUARE, 2, False), (TALL, 1, True)])
    assert observed.numbers.tolist() == [3, 1]
    assert [list(observed.layout(k)) for k in range(2)] == [[0, 1, 2], [3]]
    assert observed.places.tolist() == [[0.2, 0.4375], [0.34, 0.575], [0.8, 0.25], [0.34, 0.575]]
