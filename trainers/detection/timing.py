"""Where the time of a training step goes, and how strong the gradient is on each path."""

import time

import torch
from torch import Tensor


class Clock:
    """Adds up seconds by part: what has passed since the last mark belongs to the part marked.

    Args:
        device: Its queue is waited for at every mark, so that work counts where it is asked for.

    Attributes:
        seconds: By part, since they were last taken.
        norms: Of the last gradient that came back through each watched part.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.seconds: dict[str, float] = {}
        self.norms: dict[str, float] = {}
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

        def arrived(gradient: Tensor) -> None:
            self.norms[part] = float(gradient.norm())
            self.mark(part)

        if view.requires_grad:
            view.register_hook(arrived)
        return view

    def take(self) -> dict[str, float]:
        """The seconds so far, by part; they start at 0 again."""
        seconds, self.seconds = self.seconds, {}
        return seconds

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()
