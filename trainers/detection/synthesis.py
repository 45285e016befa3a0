"""The ways to find composites: by chance, by chance where hard, and by the synthesizer."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from accelerate.utils import gather_object
from torch import Tensor, nn

import compositor
from trainers.detection.config import Config, Way
from trainers.detection.hardness import Proposals, Search, Tally, confidence, presence
from trainers.detection.placement import Range, Visibility
from trainers.detection.random_placement import PlacementRules, random_placement
from trainers.detection.scenes import Batch, Composites, Recipes, Scenes, composite, with_artefacts
from trainers.detection.targets import detect

Propose = Callable[[Batch], "Found"]


@dataclass(frozen=True)
class Found(Proposals):
    """Proposals that can be made again.

    Attributes:
        foreground, shape, other, artefact: As in :class:`trainers.detection.scenes.Recipes`.
    """

    foreground: Tensor
    shape: Tensor
    other: Tensor
    artefact: Tensor

    @staticmethod
    def of(batch: Batch, composites: Composites, theta: Tensor, valid: Tensor) -> "Found":
        """Composites of a batch, as proposals."""
        recipes = batch.recipes
        return Found(
            composites.images,
            composites.boxes,
            batch.labels,
            theta,
            valid,
            recipes.background,
            recipes.foreground,
            recipes.shape,
            recipes.other,
            recipes.artefact,
        )

    def recipes(self) -> Recipes:
        """What to keep of them, on the CPU."""
        return Recipes(
            self.background, self.foreground, self.theta, self.shape, self.other, self.artefact
        ).to(torch.device("cpu"))


def propose_randomly(limits: Range, rules: PlacementRules, visibility: Visibility) -> Propose:
    """Placements by chance, each object on its background as the rules allow."""

    def propose(batch: Batch) -> Found:
        size = (batch.backgrounds.shape[-2], batch.backgrounds.shape[-1])
        frames, _ = compositor.boxes(batch.masks())
        there = [target["boxes"].cpu() for target in batch.targets]
        theta, placed = random_placement(
            frames, size, limits, rules, None, there, visibility.truncation
        )
        composites = composite(batch, with_artefacts(batch), theta, visibility)
        return Found.of(batch, composites, theta, composites.valid & placed)

    return propose


def propose_by(place: Callable[[Batch, Tensor], Tensor], visibility: Visibility) -> Propose:
    """Placements by the synthesizer.

    Args:
        place: Gives theta for a batch and its backgrounds.
        visibility: The limits.
    """

    def propose(batch: Batch) -> Found:
        backgrounds = with_artefacts(batch)
        theta = place(batch, backgrounds)
        composites = composite(batch, backgrounds, theta, visibility)
        return Found.of(batch, composites, theta, composites.valid)

    return propose


def confidences(target: nn.Module, images: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
    """T's confidence (n,) for one object of each picture, on the CPU.

    Args:
        target: T, in eval mode.
        images: (n, 3, H, W) in [0, 1].
        boxes: (n, 4) of the objects, pixels.
        labels: (n,) int64.
    """
    found = detect(target, images)
    return torch.tensor(
        [confidence(d, b, int(c)) for d, b, c in zip(found, boxes, labels, strict=True)]
    )


def search(
    way: Way,
    config: Config,
    scenes: Scenes,
    propose: Propose,
    target: nn.Module,
    device: torch.device,
    batch: int,
) -> Search[Batch]:
    """The search that a way makes.

    Args:
        way: Which.
        config: Of the experiment.
        scenes: What pairs are drawn from, with the global generator.
        propose: The way's placements.
        target: T, frozen.
        device: Where to compose.
        batch: Pairs at a time.
    """

    def draw(count: int) -> Batch:
        # S sees batches of the size that it was trained with: its normalisation is the batch's.
        count = batch if way.startswith("synthesizer") else count
        return scenes.load(scenes.draw(count)).to(device)

    def score(images: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
        return confidences(target, images, boxes, labels)

    return Search(
        draw,
        propose,
        None if way == "random" else score,
        tries=config.tries if way == "foreground_hard" else 1,
        batch=batch,
        hard=config.hard,
    )


def gathered(tally: Tally, recipes: Recipes | None) -> tuple[Tally, Recipes | None]:
    """The sums of all processes' tallies, and all recipes that they found; None: none was."""
    total = Tally(0, 0, 0, 0, 0, 0, 0)
    everything = gather_object([(tally, recipes)])
    for tally, _ in everything:
        for name, count in vars(tally).items():
            setattr(total, name, getattr(total, name) + count)
    found = [recipes for _, recipes in everything if recipes is not None]
    return total, Recipes.cat(found) if found else None


@torch.no_grad()
def rendered(batch: Batch, visibility: Visibility) -> Composites:
    """The pictures that a batch's recipes are of."""
    return composite(batch, with_artefacts(batch), batch.recipes.theta, visibility)


@torch.no_grad()
def judge(found: Search[Batch], target: nn.Module, count: int) -> dict[str, list[float]]:
    """What T makes of a way's proposals, hard or not (figure 8); counted in no tally.

    Args:
        found: The way's search.
        target: T, frozen.
        count: How many valid proposals in each process; fewer where nearly none are valid.

    Returns:
        Of each proposal T's :func:`confidence` for the pasted ``object``, and its :func:`presence`
        of the object's class in the ``picture``; those of all processes.
    """
    values: dict[str, list[float]] = {"object": [], "picture": []}
    for _ in range(4 * -(-count // found.batch)):
        if len(values["object"]) >= count:
            break
        proposals = found.propose(found.draw(found.batch))
        shown = proposals[proposals.valid]
        if len(shown):
            detections = detect(target, shown.composites)
            labels = shown.labels.tolist()
            values["object"] += map(confidence, detections, shown.boxes, labels)
            values["picture"] += map(presence, detections, labels)
    everything = gather_object([values])
    return {name: [s for part in everything for s in part[name][:count]] for name in values}
