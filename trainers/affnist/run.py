"""One AffNIST run: one way of adding data, one seed."""

import time
from typing import Any

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from torch.optim import SGD, Adam
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from trainers.affnist import sampling
from trainers.affnist.config import Config, Way
from trainers.affnist.dataset import Data, Labelled
from trainers.affnist.mixture import Mixture, MixtureSampler
from trainers.affnist.networks import CLASSIFIERS, Synthesizer
from trainers.affnist.proposals import FittedRenewal, SynthesizedRenewal
from trainers.affnist.reference import Reference
from trainers.affnist.renewal import Renewal
from trainers.affnist.tasks import TASKS
from trainers.cache import HardExampleCache
from trainers.checkpoint import run_path
from trainers.draws import seed_all
from trainers.loop import Loop, cautions
from trainers.player import Player
from trainers.renewal import CHOICES

EVALUATION_BATCH = 500
STARTS_FROM = (
    "seed",
    "precision",
    "train",
    "task",
    *(f"target.{name}" for name in ("network", "learning_rate", "momentum", "weight_decay")),
    *(f"target.{name}" for name in ("batch", "mnist_iterations", "averaged")),
)
"""What the T that the cycles start from depends on; "train" is the fingerprint of the digits."""


class AffNISTRun(Loop):
    """One way of adding data, starting from a T trained on MNIST alone.

    Args:
        config: The experiment's config.
        name: Which of the config's variants to run.
        seed: Seeds everything but the test set. Runs with one seed start from the same T.
        data: What the run reads.
        line: The terminal line for its progress bar.
    """

    def __init__(self, config: Config, name: str, seed: int, data: Data, line: int = 0) -> None:
        way, config = config.variants()[name]
        accelerator = Accelerator(
            cpu=config.cpu,
            mixed_precision=config.precision,
            # Each batch is split over the processes, so that no setting depends on their number.
            dataloader_config=DataLoaderConfiguration(split_batches=True),
        )
        self.config, self.data, self.task = config, data, TASKS[config.task]
        reference, read = None, data.fingerprints
        if config.reference is not None:
            reference = Reference.load(config.reference, accelerator.device)
            read = read | {"reference": reference.fingerprint}
        seed_all(seed)  # all start from the main process's weights
        super().__init__(
            accelerator,
            name,
            seed,
            run_path(config.output, name, seed),
            config.identity() | {"way": way, "seed": seed} | data.sources,
            read,
            target=_target(accelerator, config),
            synthesizer=_synthesizer(accelerator, config) if way.endswith("synthesizer") else None,
            log_folder=config.output / "tensorboard" / f"seed{seed}-{name}",
            line=line,
        )
        self.cache = HardExampleCache(sampling.CLASSES)
        self.average = AveragedModel(self.target.network, use_buffers=True)
        self.parts |= {"cache": self.cache, "average": self.average}
        self._mixture = Mixture(data.train, self.cache)
        self._sampler = MixtureSampler(self._mixture, config.target, seed)
        loader = DataLoader(self._mixture, batch_sampler=self._sampler, collate_fn=_as_it_is)
        self._loader = accelerator.prepare(loader)
        self._way = self._sampling(way)
        self._way.reference = reference
        self.parts |= self._way.parts
        self._tally = sampling.Tally()
        self._clocks = time.perf_counter(), time.process_time()

    def start(self) -> None:
        """Train T on MNIST alone, or load the T that another run with this seed trained."""
        self.share_start(
            self.path.with_name("mnist.pt"),
            {"target": self.target.network, "average": self.average},
            STARTS_FROM,
            self.learn,
        )

    def synthesize(self) -> None:
        """Fill this cycle's quotas."""
        self.cache.open(self.config.images_per_cycle // sampling.CLASSES)
        self._way.cycle = len(self.history)
        self._tally = self._way.fill(self.cache, self.target.network)

    def learn(self) -> None:
        """Fine-tune T on MNIST and all added images, averaging its weights at the end."""
        config, cycle = self.config.target, len(self.history)
        if config.late_cycle is not None and cycle > config.late_cycle:
            for group in self.target.optimizer.param_groups:
                group["lr"] = config.late_learning_rate
        self._sampler.cycle = cycle
        self.average.n_averaged.zero_()
        bar = self.bar(self._loader)
        if self.history:
            last = self.history[-1][self.task.measure]
            bar.set_postfix({self.task.measure: f"{last:.{self.task.digits}f}"}, refresh=False)
        for iteration, index in enumerate(bar, 1):
            images, labels = (part.to(index.device) for part in self._mixture.batch(index.cpu()))
            shown = images.float() / 255
            told, truth = self.target.model(shown), self.task.truth(labels, shown)
            self.update(self.target, self.task.loss(told, truth), "target")
            added = index - len(self.data.train)
            if cycle:  # before, nothing is added
                self._way.after_update(self.cache, added, told.detach(), labels)
            if iteration > len(self._sampler) - config.averaged:
                self.average.update_parameters(self.target.network)

    def evaluate(self) -> dict[str, Any]:
        """Measure T's averaged weights, and cost and variety of the added images."""
        record: dict[str, Any] = {
            "added": len(self.cache),
            self.task.measure: self._score(self.data.test),
        }
        if self.data.validation is not None:
            record["validation"] = self._score(self.data.validation)
        if self.history:
            record |= vars(self._tally) | self._way.record(self.cache) | self._likeness()
            record["trained"] = len(self._sampler) * self.config.target.batch
            if self._tally.passes:
                record["hard_rate"] = self._tally.accepted / self._tally.passes
        before, self._clocks = self._clocks, (time.perf_counter(), time.process_time())
        for name, began, now in zip(("seconds", "cpu_seconds"), before, self._clocks, strict=True):
            record[name] = now - began
        self.log({f"cycle/{k}": v for k, v in record.items() if isinstance(v, int | float)})
        return record

    def summary(self) -> str:
        """One line on the last cycle."""
        last, task = self.history[-1], self.task
        doing = self.doing(len(self.history) - 1)
        told = f"{task.measure} {last[task.measure]:.{task.digits}f} {task.unit}"
        line = f"{doing}: {told}, {last['added']} images added"
        return line + cautions(last.get("shortfall", 0), last.get("mean_spread", 1.0))

    def _likeness(self) -> dict[str, Any]:
        """How varied the images added in this cycle are."""
        new = slice(self.history[-1]["added"], None)
        if len(self.cache["labels"][new]) < 2:
            return {}
        spread = sampling.relative_spread(self.cache["position"][new])
        return {
            "spread": [float(value) for value in spread],
            "mean_spread": float(spread.mean()),
            "density": sampling.density(self.cache["position"]),
            "out_of_frame": float(1 - self.cache["visible"][new].mean()),
            "diversity": sampling.diversity(self.cache["images"][new], self.cache["labels"][new]),
        }

    @torch.no_grad()
    def _score(self, labelled: Labelled) -> float:
        network = self.average.eval()
        device = self.accelerator.device
        mine = slice(self.accelerator.process_index, None, self.accelerator.num_processes)
        total = torch.zeros((), device=device)
        images, labels = labelled.images[mine], labelled.labels[mine]
        for start in range(0, len(labels), EVALUATION_BATCH):
            part = slice(start, start + EVALUATION_BATCH)
            shown = images[part].to(device).float() / 255
            truth = self.task.truth(labels[part].to(device), shown)
            total += self.task.score(network(shown), truth).sum()
        return float(self.accelerator.reduce(total, "sum")) / len(labelled)

    def _sampling(self, way: Way) -> sampling.Way:
        common = (self.accelerator, self.config, self.data.train)
        if way in CHOICES:
            return Renewal(*common, self.seed, CHOICES[way])
        if way == "renewed_fitted":
            return FittedRenewal(*common, self.seed)
        if self.synthesizer is not None:
            synthesis = sampling.Synthesis(*common, self.synthesizer, self.update, self.log)
            if way == "synthesizer":
                return synthesis
            return SynthesizedRenewal(*common, self.seed, synthesis)
        if way == "baseline":
            return sampling.Nothing(*common)
        tries = {"random": None, "random_hard": 1, "image_hard": self.config.tries}[way]
        return sampling.RandomAffine(*common, tries)


def _target(accelerator: Accelerator, config: Config) -> Player:
    network = CLASSIFIERS[config.target.network](TASKS[config.task].outputs)
    optimizer = SGD(
        network.parameters(),
        config.target.learning_rate,
        config.target.momentum,
        weight_decay=config.target.weight_decay,
        fused=True,
    )
    return Player(accelerator, network, optimizer)


def _synthesizer(accelerator: Accelerator, config: Config) -> Player:
    network = Synthesizer(config.synthesizer.dropout, config.synthesizer.gain)
    optimizer = Adam(
        network.parameters(),
        config.synthesizer.learning_rate,
        weight_decay=config.synthesizer.weight_decay,
        fused=True,
    )
    return Player(accelerator, network, optimizer)


def _as_it_is(batch: Any) -> Any:
    return batch
