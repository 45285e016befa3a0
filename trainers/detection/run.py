"""One detection run: one way to add composites, one seed."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from torch.optim.swa_utils import AveragedModel

from compositor.selection.search import Tally
from trainers.cache import HardExampleCache
from trainers.checkpoint import run_path
from trainers.detection import players, steps
from trainers.detection.augmentation import mirror, vary
from trainers.detection.batches import Batches, Lessons, Pairs, loaded
from trainers.detection.best import BestWeights
from trainers.detection.composites import staged
from trainers.detection.config import STARTS_FROM, Config
from trainers.detection.context import Contexts, context_loss
from trainers.detection.drawn import DrawnScenes
from trainers.detection.gallery import SHOWN, Gallery
from trainers.detection.renewal import renewal
from trainers.detection.scenes import NOTHING, Recipes
from trainers.detection.sources import Data
from trainers.detection.spent import Spent
from trainers.detection.synthesis import (
    Found,
    gathered,
    judge,
    last_objects,
    passes_to_place,
    placing,
    rendered,
    search,
)
from trainers.detection.task import DETECTION, Task
from trainers.detection.testing import detect_all
from trainers.detection.timing import Clock
from trainers.detection.ways import RULES, Way
from trainers.detectors.base import training_loss, training_loss_by_object
from trainers.draws import seed_all
from trainers.loop import Loop, cautions


class DetectionRun(Loop):
    """One way of adding composites, starting from a T trained on real pictures alone.

    Args:
        config: The experiment's config.
        way: How composites are found.
        seed: Seeds everything. Runs with one seed start from the same T.
        data: What the run reads.
        name: Names its files; the way by default, unless several runs share a way.
        line: The terminal line for its progress bars.
        task: What T does.
    """

    def __init__(
        self,
        config: Config,
        way: Way,
        seed: int,
        data: Data,
        name: str | None = None,
        line: int = 0,
        task: Task = DETECTION,
    ) -> None:
        accelerator = Accelerator(cpu=config.cpu, mixed_precision=config.precision)
        self.config, self.way, self.data, self.task = config, way, data, task
        self.rules = rules = RULES[way]
        self.scenes = DrawnScenes(data.scenes, rules.law, seed) if rules.law else data.scenes
        seed_all(seed)  # all start from the main process's weights
        super().__init__(
            accelerator,
            way,
            seed,
            run_path(config.output, name or way, seed),
            config.identity()
            | {"way": way, "seed": seed, "ignored": data.test.ignored}
            | data.sources,
            data.fingerprints,
            target=players.target(accelerator, config, task.build(config, data.scenes.classes)),
            synthesizer=players.placer(accelerator, config, rules, data.scenes.classes),
            discriminator=players.discriminator(accelerator, config) if rules.judged else None,
            log_folder=config.output / "tensorboard" / f"seed{seed}-{name or way}",
            line=line,
        )
        self._ask = partial(task.ask, self.target.network, self.scenes)
        self.average = AveragedModel(self.target.network, use_buffers=True)
        self.cache = HardExampleCache(1)
        self.gallery = Gallery()
        self.parts |= {"cache": self.cache, "average": self.average, "gallery": self.gallery}
        self.parts["best"] = self.best = BestWeights()
        self.renewal = renewal(accelerator, config.renewal, self.scenes, rules, seed)
        self.clock = Clock(accelerator.device, config.profile)
        self._process = (accelerator.process_index, accelerator.num_processes)
        self._record: dict[str, Any] = {}
        self._spent = Spent()

    def start(self) -> None:
        """Train T on real pictures alone, or load the T that another run with this seed trained."""
        self.share_start(
            self.path.with_name("start.pt"),
            {"target": self.target.network, "average": self.average},
            STARTS_FROM,
            lambda: self._teach(self.config.target.start_iterations),
        )
        self._record, self._spent = {}, Spent()  # which of a seed's runs trained T is chance
        if self.rules.places == "context":
            self._learn_context()

    def synthesize(self) -> None:
        """Train S, then find this cycle's composites."""
        config, rules = self.config, self.rules
        if not (rules.places or rules.law):
            return
        if rules.places == "synthesizer":
            self._train_synthesizer()
        counts = config.synthesizer.batch, config.judged, config.images_per_cycle, config.max_passes
        batch, judged, share, passes = (-(-count // self._process[1]) for count in counts)
        placer = None if self.synthesizer is None else self.synthesizer.network
        ask = self._ask
        found = search(rules, config, self.scenes, placer, ask, self.clock.device, batch, judged)
        self._record["hard"] = found.hard
        if rules.proposes and rules.places != "nobody":
            self._record["confidences"] = judge(found, ask, judged)
        self.cache.open(config.images_per_cycle)
        kept: list[Recipes] = []
        with self.bar((), share, "search") as bar:
            for proposals in found.fill(share, passes):
                assert isinstance(proposals, Found)
                kept.append(proposals.recipes)
                bar.update(len(proposals))
        self._spent.placing += found.tally.proposed * passes_to_place(rules, config)
        self._keep(found.tally, Recipes.cat(kept).to(torch.device("cpu")) if kept else None)

    def learn(self) -> None:
        """Train T, and D if it plays, on real pictures and all composites found."""
        if self.renewal is not None:
            self.renewal.begin(len(self.history))
        self._teach(self.config.target.iterations)
        if self.renewal is not None:
            record = self._record["renewal"] = self.renewal.record()
            self._record["search"]["proposed"] += record["renewed"]

    def evaluate(self) -> dict[str, Any]:
        """Measure T's averaged weights on the test pictures; add the cycle's records."""
        network, test, measure = self.average.eval(), self.data.test, self.task.measure
        found = detect_all(network, test, self.clock.device, self._process, self.bar)
        figures = self.task.figures(found, test, self.config)
        self.gallery.tested(self.task.kept(found), first=not self.history)
        spent = self._spent.total()
        record = {"added": len(self.cache), measure: figures, "spent": spent, **self._record}
        self.best.update([*self.history, record], measure, self.way, network.module)
        self._record, self._spent = {}, Spent()
        means = [(at, value) for at, value in figures["mean"].items() if value is not None]
        scores = {f"cycle/{measure}{'' if at == 'mean' else at}": value for at, value in means}
        self.log({"cycle/added": len(self.cache), **scores})
        self.log({f"spent/{name}": value for name, value in spent.items()})
        return record

    def summary(self) -> str:
        """One line on the last cycle."""
        last = self.history[-1]
        missing = last.get("search", {}).get("shortfall", 0)
        return (
            f"{self.doing(len(self.history) - 1)}: {self.task.told(last[self.task.measure])}, "
            f"{last['added']} composites added"
            f"{cautions(missing, last.get('synthesizer', {}).get('spread', 1.0))}"
        )

    def _train_synthesizer(self) -> None:
        """Train S against the frozen T and D (supplement A.2)."""
        assert self.synthesizer is not None
        config, clock, cycle = self.config.synthesizer, self.clock, len(self.history)
        pairs = Pairs(self.scenes, self.seed, cycle, config.steps, config.batch, self._process)
        place = placing(self.rules, self.config, self.scenes, self.synthesizer.network)
        means = {"invalid": 0.0, "spread": 0.0}
        for number, batch in enumerate(self._loaded(pairs, "S")):
            layers = 1 + number % self.config.layers  # all that it will have to place
            with clock.part("scene"):
                stage = staged(batch.first(layers), place, config.visibility)
            with clock.part("S"):
                position = self.synthesizer.model(steps.shown(stage.batch), stage.images)
            composites, stakes = steps.synthesizer_step(
                stage,
                position,
                self.target.network,
                None if self.discriminator is None else self.discriminator.network,
                self.config,
                clock,
            )
            with clock.part("S"):
                self.update(self.synthesizer, stakes.loss, "synthesizer")
            self._spent.target += int(composites.valid.sum())
            self._spent.synthesizer += len(batch)
            self._spent.placing += len(batch) * (layers - 1)
            self._spent.discriminator += len(batch) * (self.discriminator is not None)
            values = steps.step_record(composites, stakes)
            means = {name: mean + values[name] / config.steps for name, mean in means.items()}
            self.log({f"synthesizer/{name}": value for name, value in values.items()})
            # Norms of T and D are taken at the composites, those of limits and blend at S's theta.
            self.log({f"gradient/{path}": norm for path, norm in clock.norms.items()})
        if config.steps:
            self._record["synthesizer"] = means
        self._took("synthesis")

    def _learn_context(self) -> None:
        """Teach Context-DA's network what is around objects."""
        assert self.synthesizer is not None
        size, count = self.config.synthesizer.batch, self.config.context.steps
        contexts = Contexts(self.scenes.real, self.seed, count, size, self._process)
        for batch in self._loaded(contexts, "context"):
            with self.clock.part("context"):
                loss = context_loss(self.synthesizer.model, *batch)
                self.update(self.synthesizer, loss, "context")
            self._spent.context += len(batch[-1])
        self._took("context")

    def _keep(self, tally: Tally, recipes: Recipes | None) -> None:
        """Add what all processes found to the cache, and show some."""
        total, everything = gathered(tally, recipes)
        before = len(self.cache)
        if everything is not None:
            self.cache.add(torch.zeros(len(everything), dtype=torch.int64), **vars(everything))
        total.taken = len(self.cache) - before
        total.shortfall = self.config.images_per_cycle - total.taken
        self._record["search"] = vars(total)
        self.log({f"search/{name}": count for name, count in vars(total).items()})
        if total.taken:
            self._show(self._added()[before : before + SHOWN])

    def _show(self, recipes: Recipes) -> None:
        batch = self.scenes.load(recipes).to(self.clock.device)
        made = rendered(batch, self.config.synthesizer.visibility)
        last, labels = last_objects(made.targets)
        found = Found.of(batch, replace(made, boxes=last), batch.recipes.last, made.valid)
        scores = self._ask(replace(found, labels=labels))["object"]
        shown = 0 if self.rules.places == "nobody" else None  # no box is a pasted object's
        boxes = [target["boxes"][:shown].cpu() for target in made.targets]
        sheet = self.gallery.add(f"cycle {len(self.history)}", made.images, boxes, scores)
        self.picture("composites", sheet)

    def _added(self) -> Recipes:
        return Recipes(**{name: self.cache[name] for name in Recipes.__dataclass_fields__})

    def _teach(self, iterations: int) -> None:
        """Train T and D for a cycle; in cycle 0, only T, on real pictures alone."""
        config, clock, cycle = self.config.target, self.clock, len(self.history)
        added = self._added() if len(self.cache) else None
        lessons = Lessons(
            self.scenes, added, config.mix == "half", self.seed, cycle, iterations,
            config.batch, self._process,
        )  # fmt: skip
        self.average.n_averaged.zero_()
        renewing = self.renewal if cycle else None
        batches = self._loaded(lessons, "T", renewing.block if renewing else None)
        for number, (batch, mirrored, seeds, place) in enumerate(batches, 1):
            for group in self.target.optimizer.param_groups:
                group["lr"] = players.learning_rate(config, cycle, number)
            with clock.part("blend"):
                composites = rendered(batch, self.config.synthesizer.visibility)
                images, targets = mirror(composites.images, composites.targets, mirrored)
            with clock.part("augmentation"):
                # For T alone, since D compares pictures of one size.
                seen, targets = vary(images, targets, seeds, config.augmentation)
            with clock.part("T"):
                if renewing is None:
                    loss = training_loss(self.target.model, seen, targets)
                    self.update(self.target, loss, "target")
                else:
                    loss, parts = training_loss_by_object(self.target.model, seen, targets)
                    self.update(self.target, loss, "target")
                    renewing.after_update(self.cache, place, parts, targets)
                if number > iterations - config.averaged:
                    self.average.update_parameters(self.target.network)
            self._spent.trained += len(batch)
            real = batch.recipes.foreground[:, -1] == NOTHING
            if self.discriminator is not None and steps.teaches(self.accelerator, real):
                with clock.part("D"):
                    loss = steps.discriminator_loss(self.discriminator.model, images, real)
                    self.update(self.discriminator, loss, "discriminator")
                self._spent.discriminated += len(batch)
        if not iterations:
            self.average.update_parameters(self.target.network)
        self._took("learning")

    def _loaded(self, batches: Batches, who: str, block: int | None = None) -> Iterator[Any]:
        """A phase's batches on the device, with a bar; the wait for them is the part "data"."""
        work = loaded(batches, self.config.workers, self.clock.device, block)
        return self.clock.awaited(self.bar(work, len(batches), who))

    def _took(self, phase: str) -> None:
        """Record how a phase's steps spent their time, if that was measured."""
        if seconds := self.clock.take():
            self._record.setdefault("seconds", {})[phase] = seconds
            self.log({f"seconds/{phase}/{part}": value for part, value in seconds.items()})
