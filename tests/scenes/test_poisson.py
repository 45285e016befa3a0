"""Poisson blending, against what its equation says."""

import numpy as np
import torch

from compositor.data.records import Cutout
from compositor.scenes.bank import Bank, banked
from compositor.scenes.canvas import Canvas
from compositor.scenes.compose import compose
from compositor.scenes.poisson import blended
from compositor.scenes.recipe import Layer, Recipe


def smooth(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack((x * 2, y * 2, x + y), -1).astype(np.uint8)


def test_gradients_alone_count_wherever_the_object_lies() -> None:
    ground = smooth(60, 80)
    for x1, y1, x2, y2 in ((20, 15, 51, 40), (0, 0, 30, 20), (60, 45, 80, 60)):
        mask = np.zeros((60, 80), bool)
        mask[y1:y2, x1:x2] = True
        # The canvas's own gradients under another light: the equation's solution is the canvas.
        pasted = np.where(mask[..., None], ground + 40, ground).astype(np.uint8)
        assert np.abs(blended(pasted, ground, mask).astype(int) - ground).max() <= 1  # rounding


def test_what_is_too_thin_has_no_inside_and_stays_flat() -> None:
    ground = smooth(60, 80)
    for width in (0, 1, 2):
        mask = np.zeros((60, 80), bool)
        mask[:, 10 : 10 + width] = True
        pasted = np.where(mask[..., None], 9, ground).astype(np.uint8)
        assert (blended(pasted, ground, mask) == pasted).all()


def test_a_layer_is_blended_so_and_its_label_is_the_flat_one() -> None:
    image = np.full((20, 30, 3), 90, np.uint8)
    bank = Bank([banked(Cutout("flat", image, np.ones((20, 30), bool), 1))])
    ground = smooth(60, 80)
    canvas = Canvas("g", torch.from_numpy(ground.transpose(2, 0, 1).copy()), ())
    layers = tuple(
        Layer(0, 0.0, (1.0, 1.0), (35.0, y), blend=blend, sigma=0.0)
        for blend, y in (("poisson", 30.0), ("hard", 50.0))
    )
    recipe = Recipe((60, 80), layers, None, 0.0, 0.0, 95)
    scene = compose(recipe, bank, canvas, 0.1, None, np.random.default_rng(0))
    assert [found.box for found in scene.instances] == [(20, 20, 50, 40), (20, 40, 50, 60)]
    assert (scene.image[40:, 20:50] == 90).all()
    # A flat object has no gradients: inside is the harmonic membrane over the canvas's edge, which
    # for this canvas, linear in x and y, is the canvas itself.
    inside = scene.image[22:38, 22:48].astype(int)
    assert np.abs(inside - ground[22:38, 22:48]).max() <= 5  # OpenCV's solver is that good
