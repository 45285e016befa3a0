"""The synthesizer and the discriminator of the detection experiments (supplement A.2)."""

import torch
from torch import Tensor, nn

from trainers.detectors.backbones import Backbone


class Synthesizer(nn.Module):
    """S: takes a foreground and a background, and proposes where the foreground goes.

    The network is figure 6's (supplement A.2). Use it in train mode, for generating too, as on
    AffNIST: its running batch statistics lag, and dropout, if any, is part of its spread.

    Args:
        backbone: Shared by foreground and background.
        start: (6,) in (-1, 1): the position it initially proposes for everything.
        dropout: Dropout probability; 0 for none. The paper says that it helps (table 2) but not
            where it goes: here, as on AffNIST, after every normalisation.
        gain: Gain of the last layer's Xavier initialisation; 0 starts exactly at ``start``.
        tones: How many numbers a second last layer gives, for the tone. It starts at 0: colours as
            they are.
    """

    def __init__(
        self,
        backbone: Backbone,
        start: Tensor,
        dropout: float = 0.0,
        gain: float = 0.0,
        tones: int = 0,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.foreground = _branch(backbone.channels[-1], dropout)
        self.background = _branch(backbone.channels[-1], dropout)
        self.features = nn.Sequential(
            nn.Conv2d(40, 64, 5, padding=2),
            nn.ReLU(inplace=True),
            nn.BatchNorm2d(64),
            nn.Dropout2d(dropout),
            nn.Conv2d(64, 64, 5, padding=2),
            nn.ReLU(inplace=True),
            nn.BatchNorm2d(64),
            nn.Dropout2d(dropout),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.regressor = nn.Sequential(*_hidden(64, dropout), *_hidden(128, dropout))
        self.position = nn.Linear(128, 6)
        nn.init.xavier_uniform_(self.position.weight, gain)
        with torch.no_grad():
            self.position.bias.copy_(start.atanh())
        self.tone = nn.Linear(128, tones) if tones else None
        if self.tone is not None:
            nn.init.zeros_(self.tone.weight)
            nn.init.zeros_(self.tone.bias)

    def forward(self, foreground: Tensor, background: Tensor) -> Tensor:
        """Propose positions.

        Args:
            foreground: (N, 3, H, W) float in [0, 1], black where its mask is 0.
            background: (N, 3, H, W) float in [0, 1]; H and W at least 112.

        Returns:
            (N, 6 + tones) float32 in (-1, 1), for :class:`compositor.scenes.placement.Range` and
            :class:`trainers.detection.tones.Tones`.
        """
        branches = (
            self.foreground(self.backbone(foreground)),
            self.background(self.backbone(background)),
        )
        hidden = self.regressor(self.features(torch.cat(branches, 1)))
        # Half precision would move an object by pixels.
        with torch.autocast(hidden.device.type, enabled=False):
            heads = [head(hidden.float()) for head in (self.position, self.tone) if head]
        return torch.cat(heads, 1).tanh()


def _branch(inputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, 256, 3),
        nn.BatchNorm2d(256),
        nn.ReLU(inplace=True),
        nn.Dropout2d(dropout),
        nn.Conv2d(256, 256, 3),
        nn.BatchNorm2d(256),
        nn.ReLU(inplace=True),
        nn.Dropout2d(dropout),
        nn.Conv2d(256, 20, 3),
    )


def _hidden(inputs: int, dropout: float) -> list[nn.Module]:
    return [
        nn.Linear(inputs, 128),
        nn.ReLU(inplace=True),
        nn.BatchNorm1d(128),
        nn.Dropout(dropout),
    ]


class Discriminator(nn.Sequential):
    """D: images (N, 3, H, W) in [0, 1] to a logit per patch (N, 1, h, w), positive for real.

    A PatchGAN (supplement A.2). The dump ends in a pooling layer, which pix2pixHD uses between two
    scales; with one scale it has no purpose.

    Args:
        width: Channels of the first layer, 64 in the paper; the others are proportional.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__(
            nn.Conv2d(3, width, 4, stride=2, padding=2),
            nn.LeakyReLU(0.2, inplace=True),
            *_patches(width, 2 * width, 2),
            *_patches(2 * width, 4 * width, 2),
            *_patches(4 * width, 8 * width, 1),
            nn.Conv2d(8 * width, 1, 4, padding=2),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                # The supplement calls 0.02 the variance, but in pix2pix, whose network this is, it
                # is the standard deviation.
                nn.init.normal_(module.weight, 0, 0.02)


def _patches(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, 4, stride=stride, padding=2),
        nn.InstanceNorm2d(outputs),
        nn.LeakyReLU(0.2, inplace=True),
    ]
