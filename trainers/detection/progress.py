"""A run's progress bars, and its batches as they are loaded."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from accelerate.utils import send_to_device
from torch.utils.data import Dataset
from tqdm import tqdm

from trainers.detection.batches import loader
from trainers.detection.config import Config
from trainers.detection.timing import Clock

T = TypeVar("T")


@dataclass(frozen=True)
class Progress:
    """Progress of one run.

    Attributes:
        config: The experiment's configuration.
        name: A description of the run.
        line: The terminal's line for the bars.
        shown: Whether this process shows bars.
        clock: Measures the wait for batches.
    """

    config: Config
    name: str
    line: int
    shown: bool
    clock: Clock

    def doing(self, cycle: int) -> str:
        """A description of the run and the cycle."""
        part = f"cycle {cycle}/{self.config.cycles}" if cycle else "start"
        return f"{self.name}, {part}"

    def bar(
        self, cycle: int, work: Any, total: int | None = None, who: str = "search"
    ) -> "tqdm[Any]":
        """A progress bar over a cycle's work."""
        return tqdm(
            work,
            f"{self.doing(cycle)}, {who}",
            total,
            leave=False,
            position=self.line,
            # None: no bar where there is no terminal.
            disable=None if self.shown else True,
        )

    def loaded(self, cycle: int, batches: "Dataset[T]", who: str) -> Iterator[T]:
        """A phase's batches on the device, with a bar; the wait for them is the part "data"."""
        device = self.clock.device
        self.clock.start()
        items = iter(self.bar(cycle, loader(batches, self.config.workers, device), None, who))
        while True:
            with self.clock.part("data"):
                item = next(items, None)
                if item is None:
                    return
                moved = send_to_device(item, device)
            yield moved
