"""Where the time of a training step goes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class Clock:
    """Adds up seconds by part: what has passed since the last mark belongs to the part marked.

    Args:
        device: Its queue is waited for at every mark, so that work counts where it is asked for.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def start(self) -> None:
        """Begin a step: what passed before belongs to nothing."""
        self._last = self._now()

    def mark(self, part: str) -> None:
        """Give the time since the last mark to ``part``."""
        now = self._now()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._last
        self._last = now

    def watch(self, tensor: Tensor, part: str) -> Tensor:
        """A view of ``tensor`` whose users' backward pass is given to ``part``."""
        view = tensor.view_as(tensor)
        if view.requires_grad:
            view.register_hook(lambda gradient: self.mark(part))
        return view

    def take(self) -> dict[str, float]:
        """The seconds so far, by part; they start at 0 again."""
        seconds, self.seconds = self.seconds, {}
        return seconds

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


@contextmanager
def timed(clock: Clock, part: str) -> Iterator[None]:
    """Give what happens inside to ``part``, and what happened before to nothing."""
    clock.start()
    yield
    clock.mark(part)
