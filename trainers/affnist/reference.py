"""A T that knows better, which tells what of the hard images can be learnt."""

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import AveragedModel

from trainers import checkpoint
from trainers.affnist.networks import CLASSIFIERS
from trainers.config import ConfigError


class Reference:
    """The T of a finished run.

    An image can be learnt if T's loss on it is reducible, that is above the reference's. Paper:
    Prioritized Training on Points that are Learnable, Worth Learning, and Not Yet Learnt (ICML
    2022).

    Args:
        network: Gives (n, 10) logits, in eval mode.
        fingerprint: Tells it from others.
    """

    def __init__(self, network: nn.Module, fingerprint: str) -> None:
        self._network, self.fingerprint = network, fingerprint

    @classmethod
    def load(cls, path: Path, device: torch.device) -> "Reference":
        """T's averaged weights out of a run's checkpoint, of whichever network it trained.

        Raises:
            ConfigError: There is no such file, or it is not the checkpoint of an AffNIST run.
            DataError: The file is damaged.
        """
        if not path.is_file():
            raise ConfigError(f"reference: there is no file {path}")
        content = checkpoint.load(path)
        try:
            network = CLASSIFIERS[content["header"]["identity"]["target.network"]]()
            average = AveragedModel(network, use_buffers=True)
            average.load_state_dict(content["parts"]["average"])
        except (KeyError, RuntimeError) as error:
            raise ConfigError(
                f"reference: {path} is not the checkpoint of an AffNIST run, such as random.pt"
            ) from error
        average = average.to(memory_format=torch.channels_last).to(device).eval()
        return cls(average, hashlib.sha256(path.read_bytes()).hexdigest()[:12])

    @torch.no_grad()
    def learnable(self, images: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """Which images (n, 1, 40, 40) of these labels (n,) can be learnt, given T's logits (n, 10).

        Returns:
            (n,) bool.
        """
        known = cross_entropy(self._network(images).float(), labels, reduction="none")
        return known < cross_entropy(logits.float(), labels, reduction="none")
