"""Recipes: drawn, loaded, rendered."""

import pytest
import torch

from compositor.scenes.placement import Visibility
from detection.tiny_scenes import CLASSES, RANGE, SIZE, Objects, Pictures, scenes
from trainers.detection.batches import Lessons, Pairs
from trainers.detection.composites import with_artefacts
from trainers.detection.scenes import NOTHING, Recipes, Scenes
from trainers.detection.synthesis import rendered

VISIBLE = Visibility()


def placed(recipes: Recipes, seed: int = 0) -> Recipes:
    """With placements in the middle of S's range."""
    random = torch.Generator().manual_seed(seed)
    position = torch.rand(len(recipes), 6, generator=random) - 0.5
    theta = RANGE.theta(position, SIZE)
    return recipes.pasted(-1, recipes.last._replace(theta=theta))


def test_a_recipe_renders_to_the_same_bits_in_any_batch() -> None:
    made = scenes(artefacts=0.7)
    torch.manual_seed(3)
    recipes = placed(made.draw(8))
    batch = made.load(recipes)
    whole = rendered(batch, VISIBLE)
    assert (recipes.shape != NOTHING).any()
    assert whole.valid.all()
    for index in range(8):
        one = made.load(recipes[torch.tensor([index])])
        alone = rendered(one, VISIBLE)
        assert torch.equal(alone.images[0], whole.images[index])
        assert torch.equal(alone.boxes[0], whole.boxes[index])
    part = batch[torch.tensor([5, 2])]
    assert torch.equal(part.cutouts, batch.cutouts[[5, 2]])
    assert [t["boxes"].shape for t in part.targets] == [(0, 4)] * 2


def test_a_real_picture_stays_as_it_is_with_its_own_truth() -> None:
    made = scenes(artefacts=0)
    batch = made.load(made.draw_real(torch.tensor([4, 1])))
    shown = rendered(batch, VISIBLE)
    assert torch.equal(shown.images, made.real.pixels[[4, 1]].float() / 255)
    assert not shown.valid.any()
    assert batch.labels.tolist() == [[0], [0]]
    assert [t["boxes"].tolist() for t in shown.targets] == [[[9, 6, 64, 90]], [[6, 6, 61, 90]]]


def test_the_pasted_object_joins_the_truth_and_what_it_hides_leaves() -> None:
    """An object at its own size in the middle, over one box that it hides and one beside it."""
    made = scenes(artefacts=0, existing=[[50.0, 40, 60, 60], [2, 2, 20, 20]])
    recipes = Recipes(**(vars(made.draw(1)) | {"foreground": torch.tensor([[1]])}))
    batch = made.load(recipes)
    (target,) = rendered(batch, VISIBLE).targets
    # The mask is 15 to 97 by 46 to 82; the blur leaves more than half of alpha inside it.
    assert target["boxes"].tolist() == [[50, 40, 60, 60], [2, 2, 20, 20], [46, 15, 82, 97]]
    assert target["labels"].tolist() == [1, 1, 2]
    assert target["ignore"].tolist() == [True, False, False]


def test_an_artefact_hides_no_object_and_shows_none() -> None:
    """Artefacts change pixels, and where there are boxes next to none of theirs."""
    torch.manual_seed(0)
    made = scenes(artefacts=1)
    recipes = made.draw_real(torch.arange(6).repeat(20))
    batch = made.load(recipes)
    changed = (with_artefacts(batch) != batch.backgrounds.float() / 255).any(1)
    present = recipes.shape != NOTHING
    assert present.any()
    assert changed[~present].sum() == 0
    assert changed[present].flatten(1).any(1).all()
    for pixels, target in zip(changed[present], [batch.targets[i] for i in present.nonzero()[:, 0]],
                              strict=True):  # fmt: skip
        x1, y1, x2, y2 = target["boxes"][0].long().tolist()
        # A tenth of the box by the rule, and the blur's 3 pixels around the artefact.
        assert pixels[y1:y2, x1:x2].float().mean() < 0.2
    crowded = scenes(artefacts=1, existing=[[30.0, 20, 80, 80]])
    assert (crowded.draw(20).shape == NOTHING).all()


def test_artefacts_can_be_switched_off() -> None:
    torch.manual_seed(0)
    assert (scenes(artefacts=0).draw(30).shape == NOTHING).all()
    made = scenes(artefacts=1)
    assert (made.draw_real(torch.arange(6), plain=True).shape == NOTHING).all()
    assert made.load(made.draw_real(torch.arange(6), plain=True)).artefacts is None


def test_sets_of_other_classes_or_sizes_are_refused() -> None:
    plain = Pictures([[]], classes=CLASSES[:1])
    Scenes(Pictures([[]]), plain, Objects(), 0)
    with pytest.raises(ValueError, match="classes: cut-outs have .* wanted the real pictures'"):
        Scenes(plain, plain, Objects(), 0)
    other = Pictures([[]])
    other.size = (64, 64)
    with pytest.raises(ValueError, match="size: cut-outs have"):
        Scenes(Pictures([[]]), other, Objects(), 0)


def same(first: Recipes, second: Recipes) -> bool:
    return all(torch.equal(vars(first)[name], vars(second)[name]) for name in vars(first))


def test_a_batch_depends_on_seed_cycle_and_number_alone() -> None:
    made = scenes()
    pairs = [Pairs(made, seed, cycle, 3, 4) for seed, cycle in ((0, 1), (0, 1), (1, 1), (0, 2))]
    torch.rand(7)
    assert same(pairs[0][2].recipes, pairs[1][2].recipes)
    for other in (pairs[0][1], pairs[2][2], pairs[3][2]):
        assert not same(pairs[0][2].recipes, other.recipes)


@pytest.mark.parametrize("half", [True, False])
def test_lessons_mix_real_pictures_and_composites(half: bool) -> None:
    made = scenes(artefacts=0)
    composites = placed(made.draw(30))
    lessons = Lessons(made, composites, half, 0, 1, 9, 4)
    rows = [lessons[i][0].recipes for i in range(len(lessons))]
    real = torch.stack([row.foreground[:, 0] == NOTHING for row in rows])
    assert real.shape == (9, 4)
    if half:
        assert (real.sum(1) == 2).all()
    else:
        # One round of all 36 pictures, each once.
        assert int(real.sum()) == 6
    assert all((row.background[row.foreground[:, 0] == NOTHING] >= 5).all() for row in rows)
    alone = Lessons(made, None, half, 0, 1, 3, 4)
    assert all((alone[i][0].recipes.foreground == NOTHING).all() for i in range(3))


def test_processes_share_a_batch() -> None:
    made = scenes()
    composites = placed(made.draw(12))
    for kind in ("pairs", "lessons"):

        def part(*process: int, kind: str = kind) -> Recipes:
            if kind == "pairs":
                return Pairs(made, 0, 1, 2, 5, process)[1].recipes
            return Lessons(made, composites, True, 0, 1, 2, 5, process)[1][0].recipes

        whole, first, second = part(0, 1), part(0, 2), part(1, 2)
        assert (len(first), len(second)) == (3, 2)
        assert same(whole[0::2], first)
        assert same(whole[1::2], second)
    everything, first, second = (
        Lessons(made, composites, True, 0, 1, 2, 5, process)[1]
        for process in ((0, 1), (0, 2), (1, 2))
    )
    for whole, *parts in zip(everything[1:], first[1:], second[1:], strict=True):
        assert all(torch.equal(whole[n::2], part) for n, part in enumerate(parts))
        assert len(whole) == 5


def test_the_box_is_that_of_the_pixels() -> None:
    """The object's box is that of its pixels: checked against the pixels that changed."""
    made = scenes(artefacts=0)
    torch.manual_seed(1)
    recipes = placed(made.draw(6), seed=2)
    batch = made.load(recipes)
    shown = rendered(batch, VISIBLE)
    changed = (shown.images != batch.backgrounds.float() / 255).any(1)
    for pixels, box in zip(changed, shown.boxes, strict=True):
        rows, columns = pixels.any(1).nonzero()[:, 0], pixels.any(0).nonzero()[:, 0]
        outer = torch.tensor([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]])
        # The blur reaches 3 pixels farther than half of alpha does.
        assert (box - outer[0]).abs().max() <= 4
