"""Cut-outs made ready: their levels lie on each other, and shrinking averages."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import compositor
from compositor.data.records import Cutout
from compositor.scenes.bank import Bank, banked
from compositor.scenes.compose import thetas
from compositor.scenes.recipe import Layer


def disc(side: int, radius: float) -> Cutout:
    """White on a disc, in an odd place of a black picture."""
    y, x = np.mgrid[:side, :side] + 0.5
    mask = (x - side * 0.45) ** 2 + (y - side * 0.55) ** 2 <= radius**2
    image = np.where(mask[..., None], 255, 0).astype(np.uint8).repeat(3, 2)
    return Cutout("disc", image, mask, 1)


def test_a_cutout_is_cropped_to_its_mask_and_continued_by_its_own_colours() -> None:
    cutout = banked(disc(101, 30.2))
    assert cutout.size == (61, 61)  # centres from 15.5 to 75.5
    assert cutout.frame[0] % 2 ** (len(cutout.levels) - 1) == 0
    # Black surroundings would darken a blurred edge.
    assert all(bool((level.colours == 255).all()) for level in cutout.levels)
    assert cutout.area == int((cutout.levels[0].mask == 255).sum())


@pytest.mark.parametrize("side", [24, 40, 101])
def test_all_levels_cover_the_same(side: int) -> None:
    cutout = banked(disc(side, side * 0.3))
    frame = cutout.frame
    for level in cutout.levels[:3]:
        mask = level.mask[0].float() / 255
        factor = frame[0] / mask.shape[0]
        assert frame[1] / mask.shape[1] == factor
        y, x = torch.meshgrid(*(torch.arange(n) + 0.5 for n in mask.shape), indexing="ij")
        centre = (float((mask * x).sum() / mask.sum()), float((mask * y).sum() / mask.sum()))
        # Binarising a level moves its edge by less than half of its pixels.
        assert centre == pytest.approx(
            (cutout.size[1] / 2 / factor, cutout.size[0] / 2 / factor), abs=0.5
        )
        assert float(mask.sum()) * factor**2 == pytest.approx(cutout.area, rel=0.3)


@pytest.mark.parametrize(("scale", "level"), [(3, 0), (1, 0), (0.51, 0), (0.5, 1), (0.2, 2)])
def test_the_level_is_the_smallest_that_is_not_magnified(scale: float, level: int) -> None:
    cutout = banked(disc(200, 60))
    assert cutout.level(scale) is cutout.levels[level]


def test_stripes_at_an_eighth_of_their_size_show_their_mean_colour() -> None:
    image = np.zeros((128, 128, 3), np.uint8)
    image[:, 1::2] = (200, 100, 40)  # each second column
    cutout = banked(Cutout("stripes", image, np.ones((128, 128), bool), 1))
    bank = Bank([cutout])
    layer = Layer(0, 0.0, (1 / 8, 1 / 8), (15.7, 16.3), sigma=0.0)
    level = cutout.level(layer.size)
    picture = compositor.render(
        torch.zeros(1, 3, 32, 32, dtype=torch.uint8),
        [level.colours],
        [level.mask],
        thetas([layer], bank, (32, 32)),
        threshold=0,
        sigma=0.0,
    )
    inside = picture[0, :, 10:22, 10:22].float()
    assert inside.flatten(1).amin(1).tolist() == [100, 50, 20]
    assert inside.flatten(1).amax(1).tolist() == [100, 50, 20]


def test_a_cutout_larger_than_any_canvas_is_halved_at_once() -> None:
    cutout, whole = banked(disc(400, 150), largest=100), banked(disc(400, 150))
    assert max(cutout.levels[0].mask.shape) <= 128
    assert cutout.size == (75, 75)
    assert torch.equal(cutout.levels[0].mask[:, :75, :75], whole.levels[2].mask[:, :75, :75])


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 3)])
def test_thin_cutouts_keep_a_level_that_shows(shape: tuple[int, int]) -> None:
    cutout = banked(Cutout("thin", np.full((*shape, 3), 9, np.uint8), np.ones(shape, bool), 1))
    assert cutout.size == shape
    assert all(int(level.mask.max()) == 255 for level in cutout.levels)
    assert cutout.level(1e-4) is cutout.levels[-1]


def test_a_bank_knows_objects_from_distractors() -> None:
    one = banked(disc(20, 5))
    other = banked(replace(disc(20, 6), label=0))
    bank = Bank([one, other, one])
    assert bank.objects.tolist() == [0, 2]
    assert bank.distractors.tolist() == [1]
    assert bank.by_label.keys() == {1}
    with pytest.raises(ValueError, match="cutouts: got none with a label"):
        Bank([other])
