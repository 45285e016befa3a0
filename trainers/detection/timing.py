"""Measures how a training step spends its time, and how strong the gradient is on each path."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate.utils import send_to_device
from torch import Tensor
from torch.profiler import record_function


class Clock:
    """Names the parts of a step for torch.profiler and, on request, adds up their seconds.

    Args:
        device: Measuring synchronises with it after each part, so that work counts for the part
            that requested it.
        measures: Whether to measure; if not, nothing is synchronised.

    Attributes:
        seconds: Seconds of each part since :meth:`take` was last called.
        norms: Norm of the last gradient that came back through each watched part.
    """

    def __init__(self, device: torch.device, measures: bool) -> None:
        self.device, self._measures = device, measures
        self.seconds: dict[str, float] = {}
        self.norms: dict[str, float] = {}
        self._last = 0.0

    def start(self) -> None:
        """Begin a step: the time before belongs to no part."""
        if self._measures:
            self._last = self._now()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Run a part of a step, which gets all time since the previous part's end."""
        with record_function(name):
            yield
            self._mark(name)

    def awaited(self, items: Iterable[Any]) -> Iterator[Any]:
        """Items, each moved to the device; the wait for them is the part "data"."""
        self.start()
        coming = iter(items)
        while True:
            with self.part("data"):
                item = next(coming, None)
                if item is None:
                    return
                moved = send_to_device(item, self.device)
            yield moved

    def watch(self, tensor: Tensor, part: str) -> Tensor:
        """A view of ``tensor`` that attributes its users' backward pass to ``part``."""
        if not (self._measures and tensor.requires_grad):
            return tensor
        view = tensor.view_as(tensor)

        def arrived(gradient: Tensor) -> None:
            self.norms[part] = float(gradient.norm())
            self._mark(part)

        view.register_hook(arrived)
        return view

    def take(self) -> dict[str, float]:
        """Return the seconds so far, by part, and reset them."""
        seconds, self.seconds = self.seconds, {}
        return seconds

    def _mark(self, part: str) -> None:
        if self._measures:
            now = self._now()
            self.seconds[part] = self.seconds.get(part, 0.0) + now - self._last
            self._last = now

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()
