"""Several objects a picture: each placed in turn, the truth what the later ones leave to see."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from compositor import affine
from compositor.scenes.placement import Range, Visibility
from compositor.scenes.random_placement import PlacementRules
from detection.test_loop import config, data
from detection.tiny_scenes import SIZE, scenes
from trainers.detection import steps
from trainers.detection.composites import Stage, staged
from trainers.detection.run import DetectionRun
from trainers.detection.scenes import NOTHING, Batch, Paste, Target
from trainers.detection.synthesis import propose_by, randomly, rendered
from trainers.detection.tones import PLAIN, Tones
from trainers.detection.ways import Way

VISIBLE = Visibility()
LAYERS = 3


def moved(x: float, y: float = 0, scale: float = 1) -> Tensor:
    """A placement (1, 2, 3) so many pixels off the middle."""
    return affine.from_parameters(torch.tensor([[0.0, 0, scale, scale, x, y]]), SIZE, SIZE)


def plain(theta: Tensor) -> Paste:
    """Placements with the colours as they are."""
    return Paste(theta, PLAIN.expand_as(theta))


def pasted(
    *objects: tuple[int, float, float], existing: list[list[float]] | None = None
) -> tuple[Batch, Target]:
    """A picture with objects, each with its moves along x and y; and its truth."""
    made = scenes(artefacts=0, existing=existing, layers=len(objects))
    recipes = replace(made.draw(1), foreground=torch.tensor([[one for one, *_ in objects]]))
    for layer, (_, x, y) in enumerate(objects):
        recipes = recipes.pasted(layer, plain(moved(x, y)))
    batch = made.load(recipes)
    (target,) = rendered(batch, VISIBLE).targets
    return batch, target


def test_the_truth_is_what_later_objects_leave_to_see() -> None:
    """Rectangles of 15 to 97 by 64 - w to 64 + w, w = 12, 18, 24, 30, before they are moved."""
    _, target = pasted((1, 0, 0), (3, 24, 0), (0, 0, 0))
    # The second hides two thirds of the first, the third half of what is left, both but for the
    # pixel in each corner, where a blurred edge has no half of alpha.
    assert target["boxes"].tolist() == [[46, 15, 53, 97], [75, 15, 118, 97], [52, 15, 76, 97]]
    assert target["labels"].tolist() == [2, 2, 1]
    assert target["ignore"].tolist() == [True, False, False]
    _, target = pasted((1, 0, 0), (3, 24, 0))
    assert target["boxes"].tolist() == [[46, 15, 59, 97], [58, 15, 118, 97]]
    assert target["ignore"].tolist() == [False, False]


def test_what_nothing_is_seen_of_is_no_object() -> None:
    _, target = pasted((0, 0, 0), (3, 0, 0))
    assert target["boxes"].tolist() == [[34, 15, 94, 97]]
    _, target = pasted((NOTHING, 0, 0), (0, 0, 0))
    assert target["boxes"].tolist() == [[52, 15, 76, 97]]


def test_a_background_object_is_ignored_if_all_together_hide_it() -> None:
    """Each of two objects hides half of the box."""
    there = [40.0, 20, 88, 90]
    for objects, ignored in ((((0, -12, 0), (0, 12, 0)), True), (((0, -12, 0),), False)):
        _, target = pasted(*objects, existing=[there])
        assert target["boxes"][0].tolist() == there
        assert target["ignore"].tolist() == [ignored] + [False] * len(objects)


def test_the_last_object_lies_over_the_others() -> None:
    batch, _ = pasted((3, 0, 0), (2, 0, 0), (1, 0, 0))
    row = rendered(batch, VISIBLE).images[0, :, 50]
    inside = {3: row[:, 36], 2: row[:, 42], 1: row[:, 64]}
    for index, colour in inside.items():
        # A blur of 3 pixels' reach is all but whole 2 pixels inside an edge.
        assert (colour * 255).tolist() == pytest.approx([250, 60 * index, 20], abs=1)
    assert torch.equal(row[:, :30], batch.backgrounds[0, :, 50, :30].float() / 255)


def test_each_object_is_placed_on_the_picture_with_the_former_ones() -> None:
    """The second of two pictures has no place for its first object."""
    made = scenes(artefacts=0, layers=LAYERS)
    batch = made.load(made.draw(2, torch.Generator().manual_seed(0)))
    seen: list[Stage] = []
    thetas = [moved(x, scale=0.5).expand(2, 2, 3) for x in (-30.0, 0.0, 30.0)]

    def place(stage: Stage) -> tuple[Paste, Tensor]:
        seen.append(stage)
        return plain(thetas[len(seen) - 1]), torch.tensor([True, len(seen) > 1])

    found = propose_by(place, VISIBLE)(batch)
    assert [stage.batch.labels.shape[1] for stage in seen] == [1, 2, 3]
    assert torch.equal(seen[0].images, batch.backgrounds.float() / 255)
    assert [[len(t["boxes"]) for t in stage.targets] for stage in seen] == [[0, 0], [1, 0], [2, 1]]
    for number, stage in enumerate(seen):
        assert torch.equal(stage.batch.cutouts[0, -1], batch.cutouts[0, number])
        # It is shown the layers below, and no trace of those to come.
        if number:
            below = rendered(stage.batch.first(number), VISIBLE)
            assert torch.equal(below.images, stage.images)
    assert found.valid.all()
    assert (found.recipes.foreground == NOTHING).tolist() == [[False] * 3, [True, False, False]]
    assert torch.equal(found.recipes.theta, torch.stack(thetas, 1))
    assert torch.equal(found.labels, batch.labels[:, -1])
    again = rendered(made.load(found.recipes), VISIBLE)
    assert torch.equal(again.images, found.composites)
    assert [len(target["boxes"]) for target in again.targets] == [3, 2]
    # The batch can be placed anew, as the search does.
    assert (batch.recipes.foreground != NOTHING).all()


def test_what_hardly_shows_is_left_out() -> None:
    made = scenes(artefacts=0, layers=2)
    batch = made.load(made.draw(1))
    stage = staged(
        batch, lambda stage: (plain(moved(100)), torch.ones(1, dtype=torch.bool)), VISIBLE
    )
    assert stage.batch.recipes.foreground[0, 0] == NOTHING
    assert torch.equal(stage.images, stage.backgrounds)


def test_chance_keeps_clear_of_the_objects_pasted_before() -> None:
    torch.manual_seed(0)
    made = scenes(artefacts=0, layers=LAYERS)
    place = randomly(Range(scale=(0.2, 0.3)), PlacementRules(overlap=0), Tones(), VISIBLE)
    found = propose_by(place, VISIBLE)(made.load(made.draw(30)))
    targets = rendered(made.load(found.recipes), VISIBLE).targets
    assert sum(len(target["boxes"]) for target in targets) > 80
    for target in targets:
        x1, y1, x2, y2 = target["boxes"].unbind(1)
        width = torch.minimum(x2[:, None], x2) - torch.maximum(x1[:, None], x1)
        height = torch.minimum(y2[:, None], y2) - torch.maximum(y1[:, None], y1)
        both = (width.clamp_min(0) * height.clamp_min(0)).fill_diagonal_(0)
        # A box is that of alpha, a pixel wider at most than the outline that was kept clear.
        assert both.max() <= 2 * SIZE[0] * 0.3


@pytest.mark.parametrize(
    ("way", "most"), [("random", LAYERS), ("foreground_hard", LAYERS), ("backgrounds", 0)]
)
def test_a_way_adds_as_many_as_it_places(tmp_path: Path, way: Way, most: int) -> None:
    ours = config(tmp_path, layers=LAYERS)
    run = DetectionRun(ours, way, 0, data(LAYERS))
    assert run.run(1)[1]["added"] == 5
    made = rendered(run.scenes.load(run._added()), ours.synthesizer.visibility)
    assert max(len(target["boxes"]) for target in made.targets) == most


def test_a_run_with_several_objects_is_resumed_bit_for_bit(tmp_path: Path) -> None:
    way: Way = "synthesizer_discriminator"
    ours = config(tmp_path / "one", layers=LAYERS, tones=Tones(1.5, 0.1))
    run = DetectionRun(ours, way, 0, data(LAYERS))
    run.run(2)
    other = replace(ours, output=tmp_path / "other")
    DetectionRun(other, way, 0, data(LAYERS)).run(1)
    torch.rand(3)  # of no consequence
    again = DetectionRun(other, way, 0, data(LAYERS))
    again.run(2)
    for name, value in vars(run._added()).items():
        assert torch.equal(value, vars(again._added())[name]), name
    for player, twin in zip(run._players.values(), again._players.values(), strict=True):
        if player is not None and twin is not None:
            first, second = player.network.state_dict(), twin.network.state_dict()
            assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_s_learns_to_place_each_of_the_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Stage] = []
    step = steps.synthesizer_step

    def watched(stage: Stage, position: Tensor, *others: Any) -> Any:
        assert position.requires_grad
        assert not stage.batch.recipes.theta.requires_grad
        seen.append(stage)
        return step(stage, position, *others)

    monkeypatch.setattr(steps, "synthesizer_step", watched)
    ours = config(tmp_path, layers=LAYERS)
    ours = replace(ours, synthesizer=replace(ours.synthesizer, steps=4))
    DetectionRun(ours, "synthesizer", 0, data(LAYERS)).run(1)
    assert [stage.batch.labels.shape[1] for stage in seen] == [1, 2, 3, 1]
    for stage in seen:
        changed = (stage.images != stage.backgrounds).flatten(1).any(1)
        assert changed.any() == (stage.batch.labels.shape[1] > 1)
