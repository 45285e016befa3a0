"""A run's progress bars, and its batches as they are loaded."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from accelerate.utils import send_to_device
from tqdm import tqdm

from trainers.detection.batches import Batches, loaded
from trainers.detection.config import Config
from trainers.detection.timing import Clock


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

    def loaded(
        self, cycle: int, batches: Batches, who: str, block: int | None = None
    ) -> Iterator[Any]:
        """A phase's batches on the device, with a bar; the wait for them is the part "data".

        Args:
            cycle: The cycle's number.
            batches: The batches.
            who: Whose they are.
            block: As for :func:`trainers.detection.batches.loaded`.
        """
        device = self.clock.device
        self.clock.start()
        work = loaded(batches, self.config.workers, device, block)
        items = iter(self.bar(cycle, work, len(batches), who))
        while True:
            with self.clock.part("data"):
                item = next(items, None)
                if item is None:
                    return
                moved = send_to_device(item, device)
            yield moved
