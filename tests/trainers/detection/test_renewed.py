"""Scenes that make way for new ones while T learns."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from detection.test_loop import config, data
from detection.tiny_scenes import SIZE, scenes
from trainers.cache import HardExampleCache
from trainers.detection import players
from trainers.detection.augmentation import Augmentation
from trainers.detection.config import RenewalConfig
from trainers.detection.drawn import DrawnScenes
from trainers.detection.renewal import Renewal, renewal
from trainers.detection.run import DetectionRun
from trainers.detection.scenes import Recipes, Target
from trainers.detection.sources import Data
from trainers.detection.ways import MATCHED, RULES, Way
from trainers.detectors import TargetError
from trainers.loop import NonFiniteError
from trainers.renewal import CHOICES

NAN = float("nan")


def law(seed: int = 0) -> DrawnScenes:
    return DrawnScenes(scenes(), MATCHED, seed)


def filled(count: int) -> tuple[HardExampleCache, Recipes]:
    cache, recipes = HardExampleCache(1), law().draw(count, torch.Generator().manual_seed(0))
    cache.open(count)
    cache.add(torch.zeros(count, dtype=torch.int64), **vars(recipes))
    return cache, recipes


def renewing(way: Way = "renewed", share: float = 0.5, block: int = 2, seed: int = 3) -> Renewal:
    settings = RenewalConfig(block=block, share=share)
    made = renewal(Accelerator(cpu=True), settings, law(), RULES[way], seed)
    assert made is not None
    made.begin(1)
    return made


def losses(*values: list[float]) -> list[Tensor]:
    return [torch.tensor(value) for value in values]


def pasted(*objects: list[bool], ignore: list[list[bool]] | None = None) -> list[Target]:
    """Targets by which of their objects were pasted."""
    none = [[False] * len(each) for each in objects]
    return [
        {"pasted": torch.tensor(own).bool(), "ignore": torch.tensor(left_out).bool()}
        for own, left_out in zip(objects, ignore or none, strict=True)
    ]


def changed(cache: HardExampleCache, recipes: Recipes) -> list[int]:
    return (cache["scene"] != recipes.scene).nonzero()[:, 0].tolist()


def show(made: Renewal, cache: HardExampleCache) -> None:
    """Two updates: means 2, 1 and 4 of places 3, 0 and 7; then 3 and 0.5 of places 0 and 5."""
    index = torch.tensor([-6, 3, 0, 7])
    targets = pasted([False], [True] * 3, [True], [True])
    made.after_update(cache, index, losses([0.0], [1.0, NAN, 3.0], [1.0], [4.0]), targets)
    assert made.record()["visited"] == 0
    # A picture whose objects are all out of sight tells nothing of place 9.
    index = torch.tensor([-1, 0, 5, 9])
    made.after_update(
        cache, index, losses([], [3.0], [0.5], [NAN]), pasted([], [True], [True], [True])
    )


def test_the_half_that_t_knows_best_makes_way() -> None:
    cache, recipes = filled(10)
    made = renewing()
    show(made, cache)
    # The last visit of place 0 counts: 3, not 1.
    assert changed(cache, recipes) == [3, 5]
    assert made.record() == {"visited": 4, "renewed": 2, "stayed": 0.5}
    assert (cache["foreground"] == -1).all()
    assert len(cache) == 10


def test_the_backgrounds_own_objects_do_not_decide() -> None:
    """By all of their objects places 2 and 3 would be known; by those pasted 0 and 2 are."""
    cache, recipes = filled(4)
    made = renewing(block=1)
    targets = pasted(
        [False, True],
        [False, False, True],
        [False, True, True],
        [False],
        ignore=[[False] * 2, [False, True, False], [False, True, False], [False]],
    )
    index = torch.tensor([0, 1, 2, 3])
    made.after_update(cache, index, losses([9.0, 1.0], [0.1, 3.0], [0.5, 2.0], [0.1]), targets)
    assert made.record()["visited"] == 3
    assert changed(cache, recipes) == [0, 2]


@pytest.mark.parametrize("way", CHOICES)
def test_what_was_pasted_is_known_to_the_end(tmp_path: Path, way: Way) -> None:
    """Mirrored, cropped and cut off: people are on the backgrounds, and only dogs are pasted."""
    ours = data()
    made = scenes(existing=[[2.0, 2, 20, 22], [4.0, 90, 24, 110]])
    made.cutouts.labels = torch.full_like(made.cutouts.labels, 2)
    run = renewed(tmp_path, way, given=replace(ours, scenes=made), augmentation="ssd")
    seen: list[tuple[int, int]] = []
    after_update = run.renewal.after_update

    def watched(cache: Any, index: Tensor, losses: list[Tensor], targets: list[Target]) -> None:
        for place, loss, target in zip(index.tolist(), losses, targets, strict=True):
            dogs = target["labels"] == 2
            assert torch.equal(target["pasted"], dogs)
            assert len(loss) == int((~target["ignore"]).sum())
            if place >= 0:
                seen.append((int(dogs.sum()), int((~dogs).sum())))
            else:
                assert not dogs.any()
        after_update(cache, index, losses, targets)

    run.renewal.after_update = watched
    run.run(1)
    both = torch.tensor(seen).sum(0)
    assert (both > 0).all()


@pytest.mark.parametrize(
    ("way", "share", "places"),
    [("renewed_all", 0.25, [0, 3, 5, 7]), ("renewed", 1, [0, 3, 5, 7]), ("renewed", 0, [])],
)
def test_all_or_nothing_of_what_was_visited_makes_way(
    way: Way, share: float, places: list[int]
) -> None:
    cache, recipes = filled(10)
    made = renewing(way, share)
    show(made, cache)
    assert changed(cache, recipes) == places
    assert made.record()["renewed"] == len(places)


def test_as_many_at_random() -> None:
    chosen = set()
    for seed in range(12):
        cache, recipes = filled(10)
        show(renewing("renewed_at_random", seed=seed), cache)
        places = changed(cache, recipes)
        assert len(places) == 2
        assert set(places) <= {0, 3, 5, 7}
        chosen.add(tuple(places))
    assert len(chosen) > 3


def test_seed_and_cycle_decide_the_replacements() -> None:
    def after(seed: int, cycle: int) -> list[int]:
        cache, _ = filled(10)
        made = renewing(seed=seed)
        made.begin(cycle)
        torch.rand(3)  # of no consequence
        show(made, cache)
        numbers: list[int] = cache["scene"].tolist()
        return numbers

    first = after(1, 1)
    assert after(1, 1) == first
    assert after(1, 2) != first
    assert after(2, 1) != first


def renewed(
    folder: Path,
    way: Way = "renewed",
    kind: type[DetectionRun] = DetectionRun,
    given: Data | None = None,
    augmentation: Augmentation = "mirror",
    **changes: Any,
) -> DetectionRun:
    ours = config(folder, renewal=RenewalConfig(block=2), images_per_cycle=6, **changes)
    ours = replace(ours, target=replace(ours.target, iterations=5, augmentation=augmentation))
    return kind(ours, way, 0, given or data())


@pytest.mark.parametrize("way", CHOICES)
def test_a_run_learns_from_what_it_renews(tmp_path: Path, way: Way) -> None:
    run = renewed(tmp_path, way)
    held: list[Tensor] = []
    begin = run.renewal.begin

    def watched(cycle: int) -> None:
        held.append(run.cache["scene"].clone())
        begin(cycle)

    run.renewal.begin = watched
    record = run.run(1)[1]
    renewal = record["renewal"]
    # Four updates in whole blocks, of two composites each.
    assert 4 <= renewal["visited"] <= 8
    assert renewal["renewed"] >= renewal["visited"] // 2
    assert (record["added"], record["search"]["passes"]) == (6, 0)
    made = record["search"]["proposed"] - record["search"]["invalid"]
    assert made >= 6 + renewal["renewed"]
    assert 0 < int((run.cache["scene"] != held[0]).sum()) <= renewal["renewed"]
    batch = run.scenes.load(run._added())
    assert batch.backgrounds.shape == (6, 3, *SIZE)


def test_workers_and_a_break_change_nothing(tmp_path: Path) -> None:
    whole = renewed(tmp_path / "whole")
    whole.run(2)
    for name, workers in (("workers", 2), ("break", 0)):
        run = renewed(tmp_path / name, workers=workers)
        run.run(1)
        again = renewed(tmp_path / name, workers=workers) if name == "break" else run
        again.run(2)
        assert torch.equal(again.cache["scene"], whole.cache["scene"])
        weights = zip(again.average.parameters(), whole.average.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in weights)


def test_killed_after_a_renewal_it_resumes_bit_for_bit(tmp_path: Path) -> None:
    class Killed(DetectionRun):
        def update(self, *details: Any) -> float:
            if len(self.history) == 2 and self.renewal.record()["renewed"]:
                raise NonFiniteError("killed")
            return super().update(*details)

    whole = renewed(tmp_path / "whole")
    whole.run(2)
    with pytest.raises(NonFiniteError, match="killed"):
        renewed(tmp_path / "broken", kind=Killed).run(2)
    again = renewed(tmp_path / "broken")
    again.run(2)
    assert torch.equal(again.cache["scene"], whole.cache["scene"])
    weights = zip(again.average.parameters(), whole.average.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in weights)


def test_a_detector_that_does_not_tell_is_refused(tmp_path: Path) -> None:
    ours = config(tmp_path, ways=("baseline", "renewed"))
    target = replace(ours.target, network="fasterrcnn_resnet50_fpn", weights="none")
    with pytest.raises(
        TargetError, match=r"ways: got renewed, wanted an SSD, .* fasterrcnn_resnet50_fpn does not"
    ):
        players.check(replace(ours, target=target), players.detector)
