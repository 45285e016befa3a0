"""Drawn looks keep the law's ranges, reach their ends, and are no wider."""

from dataclasses import replace

import numpy as np
import pytest

from compositor.scenes.law import PLAIN, Look
from compositor.scenes.recipe import Layer, Recipe
from tests.scenes.test_draw import scenes

STILL = Look(sigma=(1.0, 1.0), brightness=0.0, contrast=0.0, colour=0.0)


def drawn(look: Look) -> list[Recipe]:
    return scenes(replace(PLAIN, look=look))


def layers(look: Look) -> list[Layer]:
    return [layer for recipe in drawn(look) for layer in recipe.layers]


def spans(values: list[float], low: float, high: float) -> bool:
    """Whether they are all in a range, and come within a fiftieth of its ends: of 300 uniform draws
    the chance of missing one end is 0.98 ** 300, a quarter of a percent."""
    slack = (high - low) / 50
    return low <= min(values) < low + slack and high - slack < max(values) <= high


def test_brightness_shifts_all_colours_alike() -> None:
    found = layers(replace(STILL, brightness=0.2))
    assert {layer.gain for layer in found} == {(1, 1, 1)}
    assert all(len(set(layer.bias)) == 1 for layer in found)
    assert spans([layer.bias[0] for layer in found], -0.2, 0.2)


def test_contrast_grows_about_the_middle_grey() -> None:
    found = layers(replace(STILL, contrast=0.3))
    assert all(len(set(layer.gain)) == 1 for layer in found)
    assert spans([layer.gain[0] for layer in found], 0.7, 1.3)
    greys = [0.5 * layer.gain[0] + layer.bias[0] for layer in found]
    assert greys == pytest.approx([0.5] * len(found))


def test_each_colour_changes_by_itself() -> None:
    found = layers(replace(STILL, colour=0.1))
    gains = np.array([layer.gain for layer in found])
    assert {layer.bias for layer in found} == {(0, 0, 0)}
    for colour in gains.T:
        assert spans(colour.tolist(), 0.9, 1.1)
    # Independent of each other: four standard errors.
    assert np.abs(np.corrcoef(gains.T) - np.eye(3)).max() < 4 / len(gains) ** 0.5


def test_sigma_noise_and_blur_span_their_ranges() -> None:
    look = replace(STILL, sigma=(0.5, 2.5), noise=(0.01, 0.05), blur=(0.2, 1.4))
    recipes = drawn(look)
    assert spans([layer.sigma for recipe in recipes for layer in recipe.layers], 0.5, 2.5)
    assert spans([recipe.noise for recipe in recipes], 0.01, 0.05)
    assert spans([recipe.blur for recipe in recipes], 0.2, 1.4)
    assert {(recipe.noise, recipe.blur) for recipe in drawn(STILL)} == {(0, 0)}


def test_every_quality_of_the_range_comes_up_and_no_other() -> None:
    found = [recipe.quality for recipe in drawn(replace(STILL, quality=(60, 69)))]
    assert set(found) == set(range(60, 70))
