"""Scenes drawn from a law in place of one object and its background."""

import dataclasses

import pytest
import torch

from compositor.files import DataError
from compositor.scenes.law import MATCHED, PLAIN, Law
from detection.tiny_scenes import SIZE, Objects, Pictures, scenes
from trainers.detection.composites import with_artefacts
from trainers.detection.drawn import DrawnScenes
from trainers.detection.scenes import NOTHING, Scenes


def drawn(law: Law = PLAIN, seed: int = 0, existing: list[list[float]] | None = None) -> Scenes:
    return DrawnScenes(scenes(existing=existing), law, seed)


def test_a_scene_is_the_same_whenever_it_is_loaded() -> None:
    made = drawn()
    recipes = made.draw(6, torch.Generator().manual_seed(1))
    assert (recipes.foreground == NOTHING).all()
    first, again = made.load(recipes), made.load(recipes[torch.tensor([5, 2])])
    assert torch.equal(first.backgrounds[[5, 2]], again.backgrounds)
    for row, target in zip((5, 2), again.targets, strict=True):
        assert all(torch.equal(value, first.targets[row][name]) for name, value in target.items())
    assert not torch.equal(first.backgrounds, drawn(seed=1).load(recipes).backgrounds)


def test_real_pictures_stay_what_they_are() -> None:
    made, plain = drawn(), scenes()
    recipes = made.draw_real(torch.tensor([2, 0]), plain=True)
    assert torch.equal(made.load(recipes).backgrounds, plain.load(recipes).backgrounds)
    assert torch.equal(made.load(recipes).backgrounds[0], plain.real.image(2))


def test_real_pictures_get_artefacts_as_for_any_way_and_scenes_none() -> None:
    """Otherwise a gain over real pictures alone could be that of learning from plain ones."""
    made, others = DrawnScenes(scenes(artefacts=1), PLAIN, 0), scenes(artefacts=1)
    index = torch.tensor([2, 0, 1])
    ours, theirs = (
        each.draw_real(index, torch.Generator().manual_seed(3)) for each in (made, others)
    )
    assert torch.equal(ours.shape, theirs.shape) and (ours.shape != NOTHING).all()
    assert torch.equal(with_artefacts(made.load(ours)), with_artefacts(others.load(theirs)))
    assert (made.draw(6).shape == NOTHING).all()


def test_the_labels_are_where_the_pictures_changed() -> None:
    made = drawn(dataclasses.replace(PLAIN, empty=0.2))
    recipes = made.draw(20, torch.Generator().manual_seed(0))
    batch = made.load(recipes)
    grounds = torch.stack([made.backgrounds.image(i) for i in range(len(made.backgrounds))])
    empty = 0
    for image, target in zip(batch.backgrounds, batch.targets, strict=True):
        # Noise: only its own background has pixels in common with a picture.
        alike = (grounds == image).all(1).sum((1, 2))
        changed = (grounds[alike.argmax()] != image).any(0)
        inside = torch.zeros(SIZE, dtype=torch.bool)
        for x1, y1, x2, y2 in target["boxes"].int().tolist():
            assert changed[y1:y2, x1:x2].float().mean() > 0.2
            # As far as a blur of 1.5 pixels shows.
            inside[max(y1 - 5, 0) : y2 + 5, max(x1 - 5, 0) : x2 + 5] = True
        assert not changed[~inside].any()
        assert set(target["labels"].tolist()) <= {1, 2}
        empty += not len(target["boxes"])
    assert 0 < empty < 20


def test_a_matched_law_takes_after_the_real_pictures() -> None:
    """All of them have one object, 55 by 84 pixels; rectangles of the same aspect are at hand."""
    law = dataclasses.replace(MATCHED, look=dataclasses.replace(MATCHED.look, sigma=(0.5, 0.5)))
    law = dataclasses.replace(
        law, placement=dataclasses.replace(law.placement, truncation=0.0, aspect=3.0)
    )
    made = drawn(law)
    batch = made.load(made.draw(12, torch.Generator().manual_seed(0)))
    for target in batch.targets:
        assert target["boxes"].shape == (1, 4)
        x1, y1, x2, y2 = target["boxes"][0].tolist()
        # Within a pixel a side, at which the mask's edge may fall.
        assert x2 - x1 == pytest.approx(55, abs=2)
        assert y2 - y1 == pytest.approx(84, abs=2)


def test_the_backgrounds_objects_keep_their_labels() -> None:
    made = drawn(existing=[[10.0, 10, 40, 60]])
    batch = made.load(made.draw(4, torch.Generator().manual_seed(0)))
    for target in batch.targets:
        assert target["boxes"][0].tolist() == [10, 10, 40, 60]
        assert len(target["boxes"]) > 1
        assert target["pasted"].tolist() == [False] + [True] * (len(target["boxes"]) - 1)
    (real,) = made.load(made.draw_real(torch.tensor([2]))).targets
    assert real["pasted"].tolist() == [False]


def test_nothing_to_match_is_refused() -> None:
    none = Scenes(Pictures([[]] * 3), Pictures([[]] * 2, seed=1), Objects(), 0.5)
    with pytest.raises(
        DataError, match="one that is matched, but no object of the real pictures is"
    ):
        DrawnScenes(none, MATCHED, 0)
