"""Ways of finding composites: plain backgrounds, random placement, whole scenes, a network's
placements; or only the hard ones of these."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from accelerate.utils import gather_object
from torch import Tensor, nn

import compositor
from compositor.scenes.placement import Range, Visibility
from compositor.scenes.random_placement import PlacementRules, random_placement
from compositor.selection.search import Proposals, Search, Tally
from trainers.detection.composites import (
    Composites,
    Place,
    Stage,
    composite,
    staged,
    with_artefacts,
)
from trainers.detection.config import Config
from trainers.detection.context import object_sides, place_in_context
from trainers.detection.scenes import NOTHING, Batch, Paste, Recipes, Scenes, Target
from trainers.detection.steps import chosen, shown
from trainers.detection.tones import Tones
from trainers.detection.ways import RULES, Rules

Propose = Callable[[Batch], "Found"]
Judge = Callable[["Found"], Mapping[str, Tensor]]
"""Asks T about composites: its confidence (n,) for each pasted ``object``, and anything else."""


@dataclass(frozen=True)
class Found(Proposals):
    """Proposals with the object that each pixel shows, and what it takes to make them again."""

    owner: Tensor
    recipes: Recipes

    @staticmethod
    def of(batch: Batch, composites: Composites, paste: Paste, valid: Tensor) -> "Found":
        """Composites of a batch, its last objects pasted like this."""
        recipes = batch.recipes.pasted(-1, paste)
        return Found(
            composites.images,
            composites.boxes,
            batch.labels[:, -1],
            paste.theta,
            valid,
            recipes.background,
            composites.owner,
            recipes,
        )


def randomly(limits: Range, rules: PlacementRules, tones: Tones, visibility: Visibility) -> Place:
    """Random placements that the rules allow for each object and its picture, in random tones."""

    def place(stage: Stage) -> tuple[Paste, Tensor]:
        size = (stage.images.shape[-2], stage.images.shape[-1])
        frames, _ = compositor.boxes(stage.batch.masks())
        there = [target["boxes"].cpu() for target in stage.targets]
        theta, placed = random_placement(
            frames, size, limits, rules, None, there, visibility.truncation
        )
        tone = tones.tone(2 * torch.rand(len(theta), tones.numbers) - 1)
        return Paste(theta, tone.to(theta)), placed

    return place


def propose_nothing(visibility: Visibility) -> Propose:
    """Backgrounds as they are: what T learns from these is not due to what is pasted on them."""

    def propose(batch: Batch) -> Found:
        empty = batch.without(torch.ones_like(batch.labels, dtype=torch.bool))
        shape = torch.full_like(empty.recipes.shape, NOTHING)
        recipes = replace(empty.recipes, shape=shape)
        empty = replace(empty, recipes=recipes, artefacts=None)
        composites = rendered(empty, visibility)
        everything = torch.ones_like(composites.valid)
        return Found.of(empty, composites, recipes.last, everything)

    return propose


def propose_by(place: Place, visibility: Visibility) -> Propose:
    """Objects placed one by one, by chance or a network."""

    def propose(batch: Batch) -> Found:
        stage = staged(batch, place, visibility)
        paste, placed = place(stage)
        composites = composite(stage.batch, stage.backgrounds, paste, visibility)
        return Found.of(stage.batch, composites, paste, composites.valid & placed)

    return propose


def propose_drawn(visibility: Visibility) -> Propose:
    """Scenes of a law, as :class:`trainers.detection.drawn.DrawnScenes` loads them."""

    def propose(batch: Batch) -> Found:
        composites = rendered(batch, visibility)
        pasted = [
            {name: target[name][target["pasted"]] for name in ("boxes", "labels")}
            for target in composites.targets
        ]
        boxes, labels = last_objects(pasted)
        made = replace(composites, boxes=boxes)
        found = Found.of(batch, made, batch.recipes.last, labels > 0)
        return replace(found, labels=labels)

    return propose


def last_objects(targets: Sequence[Target]) -> tuple[Tensor, Tensor]:
    """The object pasted last on each picture: boxes (n, 4), and labels (n,), 0 where is none."""
    none = torch.zeros(1, 4), torch.zeros(1, dtype=torch.int64)
    padded = [
        [torch.cat((empty.to(target[name]), target[name]))[-1] for target in targets]
        for name, empty in zip(("boxes", "labels"), none, strict=True)
    ]
    return torch.stack(padded[0]), torch.stack(padded[1])


def search(
    rules: Rules,
    config: Config,
    scenes: Scenes,
    placer: nn.Module | None,
    ask: Judge,
    device: torch.device,
    batch: int,
    judged: int,
) -> Search[Batch]:
    """Make the search of a way; if the limit is a share, ask T about random placements first.

    Args:
        rules: The way's.
        config: The experiment's config.
        scenes: What pairs are drawn from, with the global generator.
        placer: The bare network that places a way's objects, if one does: each process searches for
            as long as it needs, out of step with the others.
        ask: Asks T, which is frozen.
        device: Where to make composites.
        batch: Pairs at a time.
        judged: How many random placements to ask T about, in each process.
    """

    def draw(count: int) -> Batch:
        # S needs batches of its training size, since it normalises by the batch's statistics.
        count = batch if rules.places == "synthesizer" else count
        return scenes.load(scenes.draw(count)).to(device)

    def score(proposals: Proposals) -> Tensor:
        assert isinstance(proposals, Found)
        return ask(proposals)["object"]

    found = Search(
        draw,
        _proposing(rules, config, scenes, placer),
        score if rules.hard else None,
        tries=config.tries if rules.each else 1,
        batch=batch,
        hard=config.hard,
    )
    if rules.hard and config.hard_share is not None:
        chance = RULES["matched" if rules.law else "random"]
        anywhere = Search(draw, _proposing(chance, config, scenes, None), None, batch=batch)
        known = judge(anywhere, ask, judged)["object"]
        found.tally.passes += judged
        if known:
            limit = np.quantile(known, config.hard_share, method="inverted_cdf")
            # That share lies at it or below, and hard is what lies below.
            found.hard = float(np.nextafter(limit, math.inf))
    return found


def passes_to_place(rules: Rules, config: Config) -> int:
    """Forward passes of a network of the way's own to place a picture's objects."""
    each = config.context.candidates if rules.places == "context" else int(rules.network)
    return config.layers * each


def _proposing(rules: Rules, config: Config, scenes: Scenes, placer: nn.Module | None) -> Propose:
    limits = config.synthesizer.visibility
    if rules.places == "nobody":
        return propose_nothing(limits)
    if rules.law is not None:
        return propose_drawn(limits)
    return propose_by(placing(rules, config, scenes, placer), limits)


def placing(rules: Rules, config: Config, scenes: Scenes, placer: nn.Module | None) -> Place:
    """Placements by S, in train mode as it was trained, by Context-DA's network, or by chance."""
    if placer is None:
        limits = config.synthesizer.visibility
        return randomly(config.placement, config.random, config.tones, limits)
    if rules.places == "context":
        placer.eval()
        sides = object_sides(scenes.real)
        return lambda stage: place_in_context(placer, stage, sides, config.context, config.random)

    def place(stage: Stage) -> tuple[Paste, Tensor]:
        paste = chosen(placer(shown(stage.batch), stage.images), config)
        return paste, torch.ones_like(stage.batch.labels[:, -1], dtype=torch.bool)

    return place


def gathered(tally: Tally, recipes: Recipes | None) -> tuple[Tally, Recipes | None]:
    """The sum of all processes' tallies, and all recipes they found; None if there are none."""
    total = Tally()
    everything = gather_object([(tally, recipes)])
    for part, _ in everything:
        total += part
    found = [recipes for _, recipes in everything if recipes is not None]
    return total, Recipes.cat(found) if found else None


@torch.no_grad()
def rendered(batch: Batch, visibility: Visibility) -> Composites:
    """Render a batch's recipes."""
    return composite(batch, with_artefacts(batch), batch.recipes.last, visibility)


@torch.no_grad()
def judge(found: Search[Batch], ask: Judge, count: int) -> dict[str, list[float]]:
    """Score a way's proposals by T, hard or not (figure 8), without counting them in a tally.

    Args:
        found: The way's search.
        ask: Asks T, which is frozen.
        count: How many valid proposals to score in each process; fewer if hardly any is valid.

    Returns:
        T's answers to the proposals of all processes, by the names that ``ask`` gives them.
    """
    values: dict[str, list[float]] = {"object": []}
    for _ in range(4 * -(-count // found.batch)):
        if len(values["object"]) >= count:
            break
        proposals = found.propose(found.draw(found.batch))
        assert isinstance(proposals, Found)
        shown = proposals[proposals.valid]
        if len(shown):
            for name, answers in ask(shown).items():
                values.setdefault(name, []).extend(answers.tolist())
    everything: list[dict[str, list[float]]] = gather_object([values])
    names = dict.fromkeys(name for part in everything for name in part)
    return {n: [s for part in everything for s in part.get(n, [])[:count]] for n in names}
