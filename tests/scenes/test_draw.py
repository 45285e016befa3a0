"""Drawn scenes keep the law: measured on many scenes, by a geometry of their own."""

from dataclasses import replace

import numpy as np
import pytest

from compositor.data.records import Annotation, Cutout
from compositor.scenes.bank import Bank, banked
from compositor.scenes.draw import choose, draw, generator
from compositor.scenes.law import CUT_PASTE_LEARN, MATCHED, PLAIN, PRESETS, Law, Look, Placement
from compositor.scenes.observed import Observed, observe
from compositor.scenes.recipe import Choice, Layer, Recipe

SIZE = (120, 200)
NOTHING = np.zeros((0, 4))


def cutout(height: int, width: int, label: int) -> Cutout:
    return Cutout(
        f"{height} x {width}",
        np.zeros((height, width, 3), np.uint8),
        np.ones((height, width), bool),
        label,
    )


BANK = Bank(
    [banked(cutout(*shape)) for shape in ((60, 40, 1), (80, 80, 2), (30, 90, 2), (50, 50, 0))]
)


def scenes(law: Law, count: int = 300, observed: Observed | None = None) -> list[Recipe]:
    found = []
    for number in range(count):
        choice = choose(law, BANK, 7, observed, generator(1, number))
        found.append(draw(law, BANK, choice, SIZE, NOTHING, observed, generator(1, number, 0)))
    return found


def corners(layer: Layer) -> np.ndarray:
    """The placed corners of a cut-out's box, by complex numbers: turning multiplies."""
    h, w = BANK[layer.cutout].size
    half = np.array([complex(x, y) for x in (-w, w) for y in (-h, h)]) / 2
    grown = half.real * layer.scale[0] + 1j * half.imag * layer.scale[1]
    # y points down, so a counter-clockwise turn is by a negative angle.
    turned = grown * np.exp(-1j * np.radians(layer.angle)) + complex(*layer.centre)
    return np.stack((turned.real, turned.imag), 1)


def box(layer: Layer) -> np.ndarray:
    return np.concatenate((corners(layer).min(0), corners(layer).max(0)))


@pytest.mark.parametrize("law", [PLAIN, CUT_PASTE_LEARN], ids=["plain", "cut_paste_learn"])
def test_objects_keep_within_the_law(law: Law) -> None:
    placement = law.placement
    drawn = scenes(law)
    most = max(len(recipe.layers) for recipe in drawn)
    assert most == placement.objects[1] + placement.distractors[1]
    sizes = []
    for recipe in drawn:
        taken: list[np.ndarray] = []
        for layer in recipe.layers:
            x1, y1, x2, y2 = box(layer)
            slack = 1e-6
            assert -x1 <= placement.truncation * (x2 - x1) + slack
            assert -y1 <= placement.truncation * (y2 - y1) + slack
            assert x2 - SIZE[1] <= placement.truncation * (x2 - x1) + slack
            assert y2 - SIZE[0] <= placement.truncation * (y2 - y1) + slack
            assert abs(layer.angle) <= placement.angle
            stretch = abs(layer.scale[0]) / layer.scale[1]
            assert 1 / placement.aspect - slack <= stretch <= placement.aspect + slack
            sizes.append(layer.size * max(BANK[layer.cutout].size) / min(SIZE))
            for other in taken:
                low, high = np.maximum((x1, y1), other[:2]), np.minimum((x2, y2), other[2:])
                share = (high - low).clip(0).prod() / (other[2:] - other[:2]).prod()
                assert share <= placement.overlap + slack
            taken.append(np.array([x1, y1, x2, y2]))
    low, high = placement.scale
    assert low - 1e-9 <= min(sizes) < low * 1.05
    assert high * 0.95 < max(sizes) <= high + 1e-9
    # Drawn geometrically: as many below the geometric middle as above; 4 standard errors.
    if law is PLAIN:
        below = np.mean(np.array(sizes) < np.sqrt(low * high))
        assert below == pytest.approx(0.5, abs=4 * 0.5 / len(sizes) ** 0.5)


def test_classes_are_balanced_or_as_given() -> None:
    def share(classes: str) -> float:
        law = Law(replace(PLAIN.placement, classes=classes, objects=(4, 4), distractors=(0, 0)))
        chosen = [choose(law, BANK, 7, None, generator(2, number)).cutouts for number in range(500)]
        return float(np.mean([BANK[k].label == 1 for each in chosen for k in each]))

    assert share("balanced") == pytest.approx(1 / 2, abs=0.05)  # 2000 draws: 4 errors are 0.045
    assert share("given") == pytest.approx(1 / 3, abs=0.05)


def test_mirrored_empty_and_artefact_shares_are_those_of_the_law() -> None:
    law = replace(PLAIN, empty=0.3, look=replace(PLAIN.look, artefacts=0.4))
    drawn = scenes(law, 600)
    # 4 standard errors of 600 draws are at most 0.08.
    shares = [
        np.mean([not recipe.layers for recipe in drawn]),
        np.mean([recipe.artefact is not None for recipe in drawn]),
        np.mean([layer.scale[0] < 0 for recipe in drawn for layer in recipe.layers]),
    ]
    assert shares == pytest.approx([0.3, 0.4, 0.5], abs=0.08)


def test_an_artefact_is_of_any_other_background() -> None:
    law = replace(PLAIN, look=replace(PLAIN.look, artefacts=1.0))
    chosen = [choose(law, BANK, 3, None, generator(1, number)) for number in range(200)]
    pairs = {(choice.background, choice.other) for choice in chosen}
    assert pairs == {(a, b) for a in range(3) for b in range(3) if a != b}
    assert choose(law, BANK, 1, None, generator(1, 0)).other is None


def test_a_scene_follows_from_its_numbers_alone() -> None:
    first, again = scenes(PLAIN, 20), scenes(PLAIN, 20)
    assert first == again
    choice = Choice(0, (0, 1), None)
    placed = [draw(PLAIN, BANK, choice, SIZE, NOTHING, None, generator(1, 5, k)) for k in range(3)]
    assert placed[0] != placed[1] != placed[2]
    assert len({recipe.layers[0].centre for recipe in first if recipe.layers}) > 15


def test_motion_blurs_a_share_of_the_pictures_whose_objects_are_hard() -> None:
    drawn = scenes(CUT_PASTE_LEARN, 600)
    blurred = [recipe for recipe in drawn if recipe.motion]
    # A fifth, within four standard deviations.
    assert abs(len(blurred) / 600 - 0.2) < 4 * (0.2 * 0.8 / 600) ** 0.5
    assert {layer.blend for recipe in blurred for layer in recipe.layers} == {"hard"}
    assert {recipe.motion[0] for recipe in blurred if recipe.motion} == {3, 5, 7, 9}
    others = {layer.blend for r in drawn if not r.motion for layer in r.layers}
    assert others == {"gaussian", "hard", "box", "poisson"}
    assert not any(recipe.motion for recipe in scenes(PLAIN))


def test_distractors_lie_on_top_as_drawn_and_anywhere_at_random() -> None:
    distractor = int(BANK.distractors[0])
    shares = {}
    for order in ("drawn", "random"):
        placement = replace(PLAIN.placement, order=order, objects=(3, 3), distractors=(1, 1))
        orders = [
            [layer.cutout == distractor for layer in r.layers] for r in scenes(Law(placement))
        ]
        whole = [order for order in orders if len(order) == 4 and any(order)]
        assert len(whole) > 150
        shares[order] = np.mean(whole, 0)
    assert shares["drawn"].tolist() == [0, 0, 0, 1]
    # A quarter each, within four standard deviations of 150 draws.
    assert np.abs(shares["random"] - 0.25).max() < 4 * (0.25 * 0.75 / 150) ** 0.5


def test_the_largest_lies_below_in_order_of_size() -> None:
    law = Law(replace(PLAIN.placement, order="size", objects=(5, 5)))
    for recipe in scenes(law, 30):
        areas = [
            np.prod(BANK[layer.cutout].size) * abs(layer.scale[0]) * layer.scale[1]
            for layer in recipe.layers
        ]
        assert areas == sorted(areas, reverse=True)


def test_boxes_that_are_there_are_not_covered() -> None:
    law = Law(replace(PLAIN.placement, overlap=0.0, objects=(3, 3)))
    there = np.array([[0.0, 0, 100, 120]])
    placed = 0
    for number in range(100):
        choice = choose(law, BANK, 7, None, generator(3, number))
        recipe = draw(law, BANK, choice, SIZE, there, None, generator(3, number, 0))
        placed += len(recipe.layers)
        assert all(box(layer)[0] >= 100 - 1e-9 for layer in recipe.layers)
    assert placed > 100


def test_a_matched_law_draws_what_was_observed() -> None:
    # Wide ones of a third of the side; nothing overlaps.
    pictures = [
        (Annotation.of([((10, 10, 50, 30), 1, False), ((60, 60, 100, 80), 2, False)]), (100, 120))
        for _ in range(30)
    ]
    observed = observe(pictures)
    assert observed is not None
    law = replace(MATCHED, placement=replace(MATCHED.placement, flip=0.0, distractors=(0, 0)))
    drawn = scenes(law, 50, observed)
    for recipe in drawn:
        assert len(recipe.layers) <= 2
        for n, layer in enumerate(recipe.layers):
            x1, y1, x2, y2 = box(layer)
            assert np.sqrt((x2 - x1) * (y2 - y1)) / 120 == pytest.approx(np.sqrt(800) / 100)
            own = BANK[layer.cutout].size[1] / BANK[layer.cutout].size[0]
            stretch = (x2 - x1) / (y2 - y1) / own
            assert stretch == pytest.approx(np.clip(2 / own, 1 / 1.5, 1.5))
            for other in recipe.layers[:n]:
                low = np.maximum(box(layer)[:2], box(other)[:2])
                high = np.minimum(box(layer)[2:], box(other)[2:])
                assert (high - low).clip(0).prod() == 0
    assert np.mean([len(recipe.layers) for recipe in drawn]) > 1.8


def test_observing_measures_by_hand() -> None:
    half = Annotation.of(
        [((0, 0, 40, 40), 1, False), ((20, 0, 60, 10), 1, False), ((0, 0, 9, 9), 1, True)]
    )
    observed = observe([(half, (80, 100)), (Annotation.of(), (50, 50))])
    assert observed is not None
    assert observed.sizes.tolist() == [0.5, 0.25]
    assert observed.aspects.tolist() == [1, 4]
    assert observed.overlaps.tolist() == [200 / 1600, 0.5]
    assert observed.numbers.tolist() == [2]
    assert observe([(Annotation.of(), (50, 50))]) is None
    with pytest.raises(ValueError, match=r"law\.placement\.matched: got no annotated pictures"):
        choose(MATCHED, BANK, 1, None, generator(0, 0))


def test_nothing_is_enlarged_beyond_the_law() -> None:
    law = Law(replace(PLAIN.placement, scale=(0.9, 3.0), own=True, enlarged=1.2))
    layers = [layer for recipe in scenes(law, 60) for layer in recipe.layers]
    assert layers
    assert max(layer.size for layer in layers) <= 1.2 + 1e-9


@pytest.mark.parametrize(
    ("part", "wanted"),
    [
        (
            {"placement": Placement(objects=(3, 2))},
            r"law\.placement\.objects: got \(3, 2\), wanted 0 <=",
        ),
        (
            {"placement": Placement(scale=(0, 1))},
            r"law\.placement\.scale: got \(0, 1\), wanted 0.001 <=",
        ),
        (
            {"placement": Placement(aspect=0.5)},
            r"law\.placement\.aspect: got 0.5, wanted a number",
        ),
        ({"look": Look(quality=(0, 100))}, r"law\.look\.quality: got \(0, 100\), wanted 1 <="),
        ({"look": Look(sigma=(1, float("nan")))}, r"law\.look\.sigma: got \(1, nan\)"),
        ({"look": Look(blends=())}, r"law\.look\.blends: got none"),
        ({"empty": 1.5}, r"law\.empty: got 1.5"),
    ],
)
def test_a_law_that_cannot_be_is_refused(part: dict, wanted: str) -> None:
    with pytest.raises(ValueError, match=wanted):
        Law(**part)


def test_the_presets_are_laws() -> None:
    assert {name: type(law) for name, law in PRESETS.items()} == dict.fromkeys(PRESETS, Law)
