"""The networks of the AffNIST experiment, as the paper's model dumps give them (supplement A.1)."""

import torch
from torch import Tensor, nn


def _bottleneck(inputs: int, outputs: int, dropout: float) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, 3),
        nn.ReLU(inplace=True),
        nn.BatchNorm2d(outputs),
        nn.Dropout2d(dropout),
    ]


def _hidden(inputs: int, outputs: int, dropout: float) -> list[nn.Module]:
    return [
        nn.Linear(inputs, outputs),
        nn.ReLU(inplace=True),
        nn.BatchNorm1d(outputs),
        nn.Dropout(dropout),
    ]


class Synthesizer(nn.Module):
    """S: takes a digit and a background, and proposes where the digit goes.

    Use it in train mode, for generating too: on 40x40 digits its running batch statistics lag so
    far behind that in eval mode its output hardly varies, and dropout makes most of its spread.

    Args:
        dropout: Dropout probability, 0.5 in the paper.
        gain: Gain of the Xavier initialisation, 0.4 in the paper: small enough for S to start near
            the middle of the range.
    """

    def __init__(self, dropout: float = 0.5, gain: float = 0.4) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(1, 10, 5),
            nn.MaxPool2d(3, 2),
            nn.BatchNorm2d(10),
            nn.ReLU(inplace=True),
            nn.Dropout2d(dropout),
        )
        self.foreground = nn.Sequential(
            *_bottleneck(10, 20, dropout), *_bottleneck(20, 20, dropout)
        )
        self.background = nn.Sequential(
            *_bottleneck(10, 20, dropout), *_bottleneck(20, 20, dropout)
        )
        self.features = nn.Sequential(*_bottleneck(40, 20, dropout), *_bottleneck(20, 20, dropout))
        self.regressor = nn.Sequential(
            *_hidden(9 * 9 * 20, 50, dropout), *_hidden(50, 20, dropout), nn.Linear(20, 6)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight, gain)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, foreground: Tensor, background: Tensor) -> Tensor:
        """Propose positions.

        Args:
            foreground: (N, 1, 40, 40) float in [0, 1].
            background: (N, 1, 40, 40) float in [0, 1].

        Returns:
            (N, 6) in (-1, 1), in the order of ``compositor.affine.PARAMETERS``. Squashed by tanh
            instead of the paper's clamp, whose gradient is 0 beyond the limits.
        """
        branches = (
            self.foreground(self.backbone(foreground)),
            self.background(self.backbone(background)),
        )
        position: Tensor = self.regressor(self.features(torch.cat(branches, 1)).flatten(1))
        return position.tanh()


class MNISTClassifier(nn.Sequential):
    """T of figure 7: (N, 1, 40, 40) to 10 logits. The pools, not in the dump, make 980 features."""

    def __init__(self, outputs: int = 10) -> None:
        super().__init__(
            nn.Conv2d(1, 10, 5),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(10, 20, 5),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Dropout2d(0.5),
            nn.Flatten(),
            nn.Linear(7 * 7 * 20, 50),
            nn.ReLU(inplace=True),
            nn.Linear(50, outputs),
        )


class MNISTClassifierDeep(nn.Sequential):
    """T of table 1: (N, 1, 40, 40) to 10 logits. Padding 2, not in the dump, makes 576 features."""

    def __init__(self, outputs: int = 10) -> None:
        convolutions: list[nn.Module] = []
        for inputs in (1, 64, 64, 64):
            convolutions += [
                nn.Conv2d(inputs, 64, 5, stride=2, padding=2),
                nn.BatchNorm2d(64),
                nn.SiLU(inplace=True),
            ]
        super().__init__(
            *convolutions,
            nn.Flatten(),
            nn.Linear(3 * 3 * 64, 50),
            nn.SiLU(inplace=True),
            nn.Linear(50, outputs),
        )


CLASSIFIERS = {"shallow": MNISTClassifier, "deep": MNISTClassifierDeep}
"""T by its name in the config."""
