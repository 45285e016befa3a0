"""A light SSD for small pictures, whose pretrained trunk comes as a PyPI package."""

from collections import OrderedDict
from functools import partial

from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD
from torchvision.models.detection.ssdlite import SSDLiteHead
from torchvision.ops import Conv2dNormActivation

from trainers.detectors.backbones import efficientnet_lite0

LIGHT = "ssdlite_efficientnet_lite0"
"""Our own detector, the only one whose pretrained backbone comes as a PyPI package."""
HELD_NORM = "backbone.trunk.0.1.num_batches_tracked"
"""A name that its state dict has only if its first layers learn: a frozen norm has no counter."""


class Features(nn.Module):
    """EfficientNet-Lite0 at strides 8, 16 and 32, and three more maps, each half as large."""

    def __init__(self, weights: str, option: str, held: bool) -> None:
        super().__init__()
        trunk = efficientnet_lite0(weights, option, whole=True, held=held)
        self.trunk = trunk.stages
        self.more = nn.ModuleList(
            nn.Sequential(
                Conv2dNormActivation(inputs, outputs // 2, 1, activation_layer=nn.ReLU6),
                Conv2dNormActivation(
                    outputs // 2, outputs // 2, 3, 2, groups=outputs // 2, activation_layer=nn.ReLU6
                ),
                Conv2dNormActivation(outputs // 2, outputs, 1, activation_layer=nn.ReLU6),
            )
            for inputs, outputs in ((320, 256), (256, 256), (256, 128))
        )
        self.channels = [*trunk.channels, 256, 256, 128]
        self.mean, self.std = trunk.mean, trunk.std

    def forward(self, images: Tensor) -> "OrderedDict[str, Tensor]":
        maps = []
        for stage in (*self.trunk, *self.more):
            images = stage(images)
            maps.append(images)
        return OrderedDict((str(i), features) for i, features in enumerate(maps))


def light(classes: int, weights: str, size: tuple[int, int], option: str, held: bool) -> SSD:
    """torchvision's SSD with its SSDlite head, for small pictures.

    SSDlite320's finest map has stride 16; on pictures half as large stride 8 takes its place, and
    the default boxes start at a tenth of the side.
    """
    features = Features(weights, option, held)
    anchors = DefaultBoxGenerator([[2, 3]] * 6, min_ratio=0.1, max_ratio=0.95)
    norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.03)
    head = SSDLiteHead(features.channels, anchors.num_anchors_per_location(), classes, norm)
    return SSD(
        features,
        anchors,
        # torchvision's order here: width, height.
        (size[1], size[0]),
        classes,
        image_mean=features.mean,
        image_std=features.std,
        head=head,
    )
