"""A player: a network that learns while the others are frozen."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer


@contextmanager
def frozen(*networks: nn.Module) -> Iterator[None]:
    """Freeze networks, in eval mode without parameter gradients, and restore them afterwards.

    Gradients still flow through a frozen network to its input, which is how S learns from T.
    """
    modes = [(module, module.training) for net in networks for module in net.modules()]
    gradients = [(p, p.requires_grad) for net in networks for p in net.parameters()]
    try:
        for net in networks:
            net.eval().requires_grad_(False)
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, requires_grad in gradients:
            parameter.requires_grad_(requires_grad)


class Player:
    """A network and its optimizer, prepared for the available devices and processes.

    Attributes:
        network: The bare network, which the other players use while this one is frozen.
        model: The same network wrapped for its own updates (data-parallel on several processes).
    """

    def __init__(self, accelerator: Accelerator, network: nn.Module, optimizer: Optimizer) -> None:
        self._accelerator = accelerator
        # Halves a step's time at AffNIST's sizes on a CPU.
        network = network.to(memory_format=torch.channels_last)
        self.model, self.optimizer = accelerator.prepare(network, optimizer)
        self.network = network

    def differentiate(self, loss: Tensor) -> Tensor:
        """Compute the gradient of ``loss`` anew; return its norm, ()."""
        self.optimizer.zero_grad()
        self._accelerator.backward(loss)
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        return nn.utils.get_total_norm(gradients)

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
