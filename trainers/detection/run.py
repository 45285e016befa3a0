"""One detection run: one way to add composites, one seed."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object, send_to_device, set_seed
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import Dataset
from tqdm import tqdm

from trainers.cache import HardExampleCache
from trainers.detection import players
from trainers.detection.augmentation import distort_and_crop, mirror
from trainers.detection.average_precision import average_precision
from trainers.detection.batches import Lessons, Pairs, loader
from trainers.detection.config import Config, Way
from trainers.detection.gallery import Gallery
from trainers.detection.hardness import Tally
from trainers.detection.scenes import NOTHING, Batch, Recipes, composite, with_artefacts
from trainers.detection.sources import Data
from trainers.detection.steps import discriminator_loss, synthesizer_step
from trainers.detection.synthesis import (
    confidences,
    judge,
    propose_by,
    propose_randomly,
    search,
)
from trainers.detection.targets import training_loss
from trainers.detection.testing import detect_all
from trainers.detection.timing import Clock
from trainers.loop import Loop

SHOWN = 8
"""Composites a cycle that the contact sheet shows."""
STARTS_FROM = (
    "seed",
    "size",
    "precision",
    "train",
    *(f"target.{name}" for name in ("network", "weights", "optimizer", "momentum", "batch")),
    *(f"target.{name}" for name in ("weight_decay", "start_iterations", "start_learning_rate")),
    *("target.augmentation", "target.averaged"),
)
"""What the T that the cycles start from depends on; train is both the source and its data."""
T = TypeVar("T")


def checkpoint_path(config: Config, name: str, seed: int) -> Path:
    """The file of one run's state."""
    return config.output / "checkpoints" / f"seed{seed}" / f"{name}.pt"


class DetectionRun(Loop):
    """One way to add composites to what T learns from, from a T that learnt from real pictures.

    Args:
        config: Of the experiment.
        way: How composites are found.
        seed: Of everything. Runs of one seed start from the same T.
        data: What it reads.
        name: Of its files; the way's, unless several runs go one way.
        line: Of the terminal, for its progress bars.
    """

    def __init__(
        self,
        config: Config,
        way: Way,
        seed: int,
        data: Data,
        name: str | None = None,
        line: int = 0,
    ) -> None:
        accelerator = Accelerator(cpu=config.cpu, mixed_precision=config.precision)
        self.config, self.way, self.seed, self.data, self.line = config, way, seed, data, line
        self._seed()
        judged = way == "synthesizer_discriminator"
        super().__init__(
            accelerator,
            checkpoint_path(config, name or way, seed),
            config.identity()
            | {"way": way, "seed": seed, "ignored": data.test.ignored}
            | data.sources,
            data.fingerprints,
            target=players.target(accelerator, config, len(data.scenes.classes)),
            synthesizer=(
                players.synthesizer(accelerator, config) if way.startswith("synthesizer") else None
            ),
            discriminator=players.discriminator(accelerator, config) if judged else None,
            log_folder=config.output / "tensorboard" / f"seed{seed}-{name or way}",
        )
        self.average = AveragedModel(self.target.network, use_buffers=True)
        self.cache = HardExampleCache(1)
        self.gallery = Gallery()
        self.parts |= {"cache": self.cache, "average": self.average, "gallery": self.gallery}
        self.clock = Clock(accelerator.device)
        self._process = (accelerator.process_index, accelerator.num_processes)
        self._record: dict[str, Any] = {}

    def start(self) -> None:
        """Train T on real pictures alone, or take the T that another run of this seed trained."""
        iterations = self.config.target.start_iterations
        self.share_start(
            self.path.with_name("start.pt"),
            {"target": self.target.network, "average": self.average},
            STARTS_FROM,
            lambda: self._teach(iterations),
        )
        self._record.clear()
        # Trained here or read, the cycles have to see the same random numbers and a fresh momentum.
        self.target.optimizer.state.clear()
        self._seed()

    def synthesize(self) -> None:
        """Let S learn, then find this cycle's composites."""
        if self.way == "baseline":
            return
        config, rules = self.config, self.config.synthesizer.visibility
        propose = propose_randomly(config.placement, config.random, rules)
        if self.synthesizer is not None:
            self._train_synthesizer()
            propose = propose_by(self._place, rules)
        batch = -(-config.synthesizer.batch // self._process[1])
        found = search(
            self.way, config, self.data.scenes, propose, self.target.network, self._device, batch
        )
        if not self.way.endswith("_hard"):
            judged = judge(found, self.target.network, -(-config.judged // self._process[1]))
            everything = gather_object([judged])
            self._record["confidences"] = {
                name: [value for part in everything for value in part[name]] for name in judged
            }
        self.cache.open(config.images_per_cycle)
        share, passes = (
            -(-n // self._process[1]) for n in (config.images_per_cycle, config.max_passes)
        )
        kept = [proposals.recipes() for proposals in self._bar(found.fill(share, passes), share)]
        self._keep(found.tally, Recipes.cat(kept) if kept else None)

    def learn(self) -> None:
        """Let T, and D where it plays, learn from real pictures and all composites found."""
        self._teach(self.config.target.iterations)

    def evaluate(self) -> dict[str, Any]:
        """AP of T's averaged weights on the test pictures, and what happened in the cycle."""
        detections = detect_all(
            self.average.eval(), self.data.test, self._device, self._process, self._bar
        )
        test = self.data.test
        ap = average_precision(
            detections,
            test.targets,
            test.classes,
            points=self.config.points,
            ignored=test.ignored,
        )
        self.gallery.tested(detections, first=not self.history)
        record = {"added": len(self.cache), "ap": ap, **self._record}
        self._record.clear()
        scores = {f"cycle/ap{iou:g}": v for iou, v in ap["mean"].items() if v is not None}
        self.log({"cycle/added": len(self.cache), **scores})
        return record

    def summary(self) -> str:
        """The history's last cycle in a line."""
        last = self.history[-1]
        iou, ap = next(iter(last["ap"]["mean"].items()))
        score = "none" if ap is None else f"{100 * ap:.1f} %"
        return (
            f"{self._doing(len(self.history) - 1)}: AP at IoU {iou:g} {score}, "
            f"{last['added']} composites added"
        )

    @property
    def _device(self) -> torch.device:
        return self.accelerator.device

    def _train_synthesizer(self) -> None:
        """S against the frozen T and D (supplement A.2)."""
        assert self.synthesizer is not None
        config, clock = self.config.synthesizer, self.clock
        pairs = Pairs(
            self.data.scenes, self.seed, len(self.history), config.steps, config.batch,
            self._process,
        )  # fmt: skip
        means = {"invalid": 0.0, "spread": 0.0}
        for batch in self._loaded(pairs, "S"):
            with torch.no_grad():
                backgrounds = with_artefacts(batch)
            clock.mark("artefacts")
            position = self.synthesizer.model(_shown(batch), backgrounds)
            theta = self.config.placement.theta(position, self.config.size)
            clock.mark("S")
            composites, stakes = synthesizer_step(
                batch,
                backgrounds,
                theta,
                self.target.network,
                None if self.discriminator is None else self.discriminator.network,
                config.visibility,
                mode=config.target_mode,
                realism=config.realism,
                penalty=config.penalty,
                clock=clock,
            )
            self.update(self.synthesizer, stakes.loss, "synthesizer")
            clock.mark("S")
            seen = {
                "invalid": 1 - float(composites.valid.float().mean()),
                "spread": _spread(position[:, self.config.placement.free()]),
            }
            means = {name: means[name] + value / config.steps for name, value in seen.items()}
            paid = {name: float(v) for name, v in vars(stakes).items() if name != "loss"}
            self.log({f"synthesizer/{name}": value for name, value in (seen | paid).items()})
            # T's and D's reach the composites, the limits' and the blend's S's theta.
            self.log({f"gradient/{path}": norm for path, norm in clock.norms.items()})
        self._record["synthesizer"] = means
        self._took("synthesis")

    def _place(self, batch: Batch, backgrounds: Tensor) -> Tensor:
        """S's placements; in train mode, as it was trained."""
        assert self.synthesizer is not None
        # The bare network: processes search for as long as each needs, in no step with the others.
        position = self.synthesizer.network(_shown(batch), backgrounds)
        return self.config.placement.theta(position, self.config.size)

    def _keep(self, tally: Tally, recipes: Recipes | None) -> None:
        """Add what all processes found, and show some."""
        total = Tally(0, 0, 0, 0, 0, 0, 0)
        everything = gather_object([(vars(tally), None if recipes is None else vars(recipes))])
        before = len(self.cache)
        for counts, fields in everything:
            for name, count in counts.items():
                setattr(total, name, getattr(total, name) + count)
            if fields is not None:
                labels = torch.zeros(len(fields["background"]), dtype=torch.int64)
                self.cache.add(labels, **fields)
        total.taken = len(self.cache) - before
        total.shortfall = self.config.images_per_cycle - total.taken
        self._record["search"] = vars(total)
        self.log({f"search/{name}": count for name, count in vars(total).items()})
        if total.taken:
            self._show(self._added()[before : before + SHOWN])

    def _show(self, recipes: Recipes) -> None:
        batch = self.data.scenes.load(recipes).to(self._device)
        with torch.no_grad():
            theta, rules = batch.recipes.theta, self.config.synthesizer.visibility
            composites = composite(batch, with_artefacts(batch), theta, rules)
        scores = confidences(self.target.network, composites.images, composites.boxes, batch.labels)
        boxes = [target["boxes"].cpu() for target in composites.targets]
        sheet = self.gallery.add(f"cycle {len(self.history)}", composites.images, boxes, scores)
        self.picture("composites", sheet)

    def _added(self) -> Recipes:
        names = Recipes.__dataclass_fields__
        return Recipes(**{name: self.cache[name] for name in names})

    def _teach(self, iterations: int) -> None:
        """T's and D's updates of a cycle; cycle 0 is T's on real pictures alone."""
        config, clock, cycle = self.config.target, self.clock, len(self.history)
        lessons = Lessons(
            self.data.scenes,
            self._added() if len(self.cache) else None,
            config.mix == "half",
            self.seed,
            cycle,
            iterations,
            config.batch,
            self._process,
        )
        self.average.n_averaged.zero_()
        for number, (batch, mirrored, seeds) in enumerate(self._loaded(lessons, "T"), 1):
            for group in self.target.optimizer.param_groups:
                group["lr"] = config.learning_rate if cycle else self._falling(number, iterations)
            with torch.no_grad():
                composites = composite(
                    batch,
                    with_artefacts(batch),
                    batch.recipes.theta,
                    self.config.synthesizer.visibility,
                )
                images, targets = mirror(composites.images, composites.targets, mirrored)
            clock.mark("blend")
            seen: Sequence[Tensor] = images.unbind()
            if config.augmentation == "ssd":
                # T's alone: D compares pictures of one size.
                seen, targets = distort_and_crop(images, targets, seeds.tolist())
                clock.mark("augmentation")
            self.update(self.target, training_loss(self.target.model, seen, targets), "target")
            if number > iterations - config.averaged:
                self.average.update_parameters(self.target.network)
            clock.mark("T")
            real = batch.recipes.foreground == NOTHING
            if self.discriminator is not None and bool(real.any()) and not bool(real.all()):
                loss = discriminator_loss(self.discriminator.model, images, real)
                self.update(self.discriminator, loss, "discriminator")
                clock.mark("D")
        if not iterations:
            self.average.update_parameters(self.target.network)
        self._took("learning")

    def _falling(self, number: int, iterations: int) -> float:
        """The learning rate on real pictures alone: warmed up, then along a cosine to 0."""
        warm = min(1.0, number / (0.05 * iterations + 1))
        part = (number - 1) / iterations
        return self.config.target.start_learning_rate * warm * (1 + math.cos(math.pi * part)) / 2

    def _loaded(self, batches: "Dataset[T]", who: str) -> Iterator[T]:
        """A phase's batches on the device, with a progress bar; what waiting takes is "data"."""
        self.clock.start()
        for item in self._bar(loader(batches, self.config.workers, self._device), None, who):
            moved = send_to_device(item, self._device)
            self.clock.mark("data")
            yield moved

    def _bar(self, work: Any, total: int | None = None, who: str = "search") -> "tqdm[Any]":
        return tqdm(
            work,
            f"{self._doing(len(self.history))}, {who}",
            total,
            leave=False,
            position=self.line,
            # None: no bar where there is no terminal.
            disable=None if self.accelerator.is_main_process else True,
        )

    def _doing(self, cycle: int) -> str:
        part = f"cycle {cycle}/{self.config.cycles}" if cycle else "start"
        return f"{self.way}, seed {self.seed}, {part}"

    def _took(self, phase: str) -> None:
        """Record where the time of a phase's steps went."""
        seconds = self.clock.take()
        self._record.setdefault("seconds", {})[phase] = seconds
        self.log({f"seconds/{phase}/{part}": value for part, value in seconds.items()})

    def _seed(self) -> None:
        # Each process its own noise; all start from the main process's weights.
        set_seed(self.seed, device_specific=True)


def _shown(batch: Batch) -> Tensor:
    """The objects as S sees them: black around."""
    return batch.colours() * batch.masks()


def _spread(position: Tensor) -> float:
    """Standard deviation over that of the uniform law, mean of the numbers: 0 is a collapse."""
    return float(position.detach().std(0, correction=0).mean()) * 3**0.5
