"""torchvision's segmentation networks as T, and a light one that is made of its parts."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchvision.models import get_model, get_model_weights, list_models
from torchvision.models import segmentation as torchvision_segmentation
from torchvision.models.segmentation import LRASPP

from trainers.detectors.backbones import (
    DEFAULT,
    NONE,
    Backbone,
    Heads,
    chosen,
    efficientnet_lite0,
    load,
    read,
)
from trainers.detectors.base import Detections, Target, TargetError, TrainableDetector
from trainers.segmentation.pictures import VOID

LIGHT = "lraspp_efficientnet_lite0"
"""Our own, the only one whose pretrained backbone comes as a PyPI package."""
HELD_NORM = "backbone.trunk.stages.0.1.num_batches_tracked"
"""A name that its state dict has only if its first layers learn: a frozen norm has no counter."""
NAMES = (LIGHT, *list_models(torchvision_segmentation))
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""What torchvision's networks are used to; the light one normalises by itself."""


class Segmenter(TrainableDetector):
    """A network that tells the class of each pixel.

    Targets say the ``classes`` of the pixels, (H, W) uint8, and while S learns ``under`` and
    ``moved``, as :func:`trainers.detection.composites.moving_classes` does.

    Args:
        network: Takes images (N, 3, H, W), normalised, and returns logits (N, C, H, W) as ``out``.
        options: What ``torchvision.models.get_model`` takes to build it again; the light one's are
            empty.
    """

    loss_in_eval = True

    def __init__(self, network: nn.Module, options: Mapping[str, Any]) -> None:
        super().__init__()
        self.network, self.options = network, options

    def loss(self, images: Sequence[Tensor], targets: Sequence[Target]) -> Tensor:
        """Cross-entropy, mean of the pixels that count."""
        logits = self.logits(images)
        classes = torch.stack([target["classes"] for target in targets]).long()
        losses, counts = _entropies(logits, classes), (classes != VOID).float()
        if "moved" in targets[0]:
            moved, under = (torch.stack([t[name] for t in targets]) for name in ("moved", "under"))
            last = torch.stack([target["labels"][-1] for target in targets])  # what was pasted
            pasted = last[:, None, None].expand_as(classes)
            gained = _entropies(logits, pasted) - _entropies(logits, under.long())
            # Void has no loss, and does not count unless it is covered.
            losses, counts = losses + moved * gained, counts + moved * (under == VOID)
        return losses.sum() / counts.sum().clamp_min(1)

    @torch.no_grad()
    def predict(self, images: Sequence[Tensor] | Tensor) -> list[Detections]:
        """The ``classes`` of each image's pixels, (H, W) uint8."""
        found = self.logits(images).argmax(1).to(torch.uint8)
        return [{"classes": classes} for classes in found]

    def weights(self) -> tuple[dict[str, Tensor], bool]:
        return self.network.state_dict(), False

    def logits(self, images: Sequence[Tensor] | Tensor) -> Tensor:
        """What it says of each class at each pixel of images of one size, (N, C, H, W)."""
        batch = torch.stack(list(images))
        if self.options:
            mean, std = (batch.new_tensor(values)[:, None, None] for values in (MEAN, STD))
            batch = (batch - mean) / std
        logits: Tensor = self.network(batch)["out"]
        return logits.float()


def build(name: str, classes: int, weights: str, option: str, heads: Heads = "kept") -> Segmenter:
    """Build one of :data:`NAMES`.

    Args:
        name: Its name.
        classes: How many, with the background.
        weights: "default": torchvision's, trained on COCO with VOC's classes, or for the light one
            an ImageNet backbone; "none": random ones. Otherwise a file with a state dict of this
            network, or a ``model.pt``; if its number of classes differs, the layers that depend on
            that start at random.
        option: The command line's name for ``weights``, for errors.
        heads: "random": take the backbone alone from the weights.

    Raises:
        TargetError: There is none of this name.
        WeightsError: The weights cannot be fetched or read, or belong to another network.
    """
    if name not in NAMES:
        raise TargetError(f"target.network: got {name!r}, wanted one of {', '.join(NAMES)}")
    options = {} if name == LIGHT else {"num_classes": classes}
    state: dict[str, Tensor] = {}
    if weights != NONE and not (name == LIGHT and weights == DEFAULT):
        pretrained = None if name == LIGHT else get_model_weights(name).DEFAULT
        state = read(weights, option, name, pretrained).state
        # A second output, which some were trained with.
        state = {k: v for k, v in state.items() if not k.startswith("aux_classifier.")}
    network = _network(name, classes, weights, option, state)
    if state:
        with torch.device("meta"):
            other = _network(name, classes + 1, NONE, option, state).state_dict()
        own = network.state_dict()
        resized = {k for k in own if k in other and own[k].shape != other[k].shape}
        load(network, chosen(network, state, heads), option, weights, resized)
    return Segmenter(network, options)


def _network(
    name: str, classes: int, weights: str, option: str, state: Mapping[str, Tensor]
) -> nn.Module:
    if name != LIGHT:
        network: nn.Module = get_model(
            name, weights=None, weights_backbone=None, num_classes=classes
        )
        return network
    pretrained = weights == DEFAULT
    held = pretrained or bool(state) and HELD_NORM not in state
    trunk = efficientnet_lite0(DEFAULT if pretrained else NONE, option, held=held)
    return LRASPP(_Maps(trunk), *trunk.channels, classes)


class _Maps(nn.Module):
    """A trunk's maps at strides 8 and 16, by the names that LR-ASPP has for them."""

    def __init__(self, trunk: Backbone) -> None:
        super().__init__()
        self.trunk: Backbone = trunk

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        low, high = self.trunk.maps(images)
        return {"low": low, "high": high}


def _entropies(logits: Tensor, classes: Tensor) -> Tensor:
    """Cross-entropy of each pixel, (N, H, W); 0 for void."""
    return cross_entropy(logits, classes, ignore_index=VOID, reduction="none")
