"""Cut-Paste-Learn's box and motion blends, by hand."""

import numpy as np
import pytest
import torch

from compositor.data.records import Cutout
from compositor.scenes.bank import Bank, banked
from compositor.scenes.canvas import Canvas
from compositor.scenes.compose import compose
from compositor.scenes.draw import BOX_SIGMA
from compositor.scenes.motion import moved
from compositor.scenes.recipe import Layer, Recipe


def test_a_box_averages_the_mask_over_three_by_three() -> None:
    image = np.full((20, 30, 3), 200, np.uint8)
    bank = Bank([banked(Cutout("flat", image, np.ones((20, 30), bool), 1))])
    canvas = Canvas("g", torch.full((3, 60, 80), 20, dtype=torch.uint8), ())
    layers = tuple(
        Layer(0, 0.0, (1.0, 1.0), (x, 30.0), blend=blend, sigma=sigma)
        for blend, x, sigma in (("box", 20.0, BOX_SIGMA), ("hard", 60.0, 0.0))
    )
    recipe = Recipe((60, 80), layers, None, 0.0, 0.0, 95)
    scene = compose(recipe, bank, canvas, 0.1, None, np.random.default_rng(0))
    assert [found.box for found in scene.instances] == [(5, 20, 35, 40), (45, 20, 75, 40)]
    inside = np.zeros((60, 80))
    inside[20:40, 5:35] = 1
    nine = [np.roll(inside, (y, x), (0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    wanted = 20 + 180 * np.mean(nine, 0)  # 20, 40 and 80 beside the edge, 140, 100 within it
    wanted[20:40, 45:75] = 200
    assert (scene.image == np.rint(wanted)[..., None]).all()


@pytest.mark.parametrize(
    ("length", "angle", "line"),
    [
        (5, 0, [(10, 8), (10, 9), (10, 10), (10, 11), (10, 12)]),
        (3, 90, [(9, 10), (10, 10), (11, 10)]),
        (5, 45, [(12, 8), (11, 9), (10, 10), (9, 11), (8, 12)]),
        (3, 135, [(9, 9), (10, 10), (11, 11)]),
        (5, 26.5, [(11, 8), (10, 9), (10, 10), (10, 11), (9, 12)]),
    ],
)
def test_a_point_becomes_a_line(length: int, angle: float, line: list[tuple[int, int]]) -> None:
    picture = np.zeros((20, 25, 3), np.uint8)
    picture[10, 10] = 255
    wanted = np.zeros_like(picture)
    for place in line:
        wanted[place] = 255 // length
    assert (moved(picture, length, angle) == wanted).all()


def test_a_flat_picture_stays_flat_to_its_edge() -> None:
    picture = np.full((9, 7, 3), 255, np.uint8)
    assert (moved(picture, 9, 30.0) == 255).all()
