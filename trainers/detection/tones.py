"""How the colours of pasted objects may change: photometric parameters (paper, section 5)."""

from dataclasses import dataclass
from math import log

import torch
from torch import Tensor

PLAIN = torch.tensor([[1.0, 1, 1], [0, 0, 0]])
"""The tone of colours that stay as they are."""


@dataclass(frozen=True)
class Tones:
    """The tones that random placement draws from, uniformly, and that S chooses from.

    A tone turns each channel of an object's colours, in [0, 1], into gain times it plus bias. By
    default colours stay as they are.
    """

    gain: float = 1.0
    """Largest factor of a channel either way (geometric); 1: none."""
    bias: float = 0.0
    """Most that is added to a channel, or taken away; 0: nothing."""

    @property
    def numbers(self) -> int:
        """How many numbers a tone is chosen by: 6, or 0 if there is nothing to choose."""
        return 6 * (self.gain > 1 or self.bias > 0)

    def free(self) -> Tensor:
        """Which of these have any effect, bool."""
        return torch.tensor([self.gain > 1, self.bias > 0]).repeat_interleave(self.numbers // 2)

    def tone(self, position: Tensor) -> Tensor:
        """Gain and bias of each channel, (N, 2, 3).

        Args:
            position: (N, :attr:`numbers`) in [-1, 1], differentiable: each channel's gain, then
                its bias, relative to its limit.
        """
        if not self.numbers:
            return PLAIN.to(position).repeat(len(position), 1, 1)
        gain, bias = position.unflatten(1, (2, 3)).unbind(1)
        return torch.stack(((log(self.gain) * gain).exp(), self.bias * bias), 1)
