"""torchvision's box detectors, and the light one that is made of its parts, as T."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, smooth_l1_loss
from torchvision.models import detection as torchvision_detection
from torchvision.models import get_model, get_model_weights, list_models
from torchvision.models.detection.ssd import SSD
from torchvision.ops import FrozenBatchNorm2d

from trainers.detectors.backbones import DEFAULT, NONE, Heads, chosen, load, read
from trainers.detectors.base import (
    Detections,
    Target,
    TellingDetector,
    TrainableDetector,
    mean_by_object,
)
from trainers.detectors.light import HELD_NORM, LIGHT, light

NAMES = (LIGHT, *(n for n in list_models(torchvision_detection) if n[:4] not in ("mask", "keyp")))
# torchvision overwrites the eps of these networks' frozen norms: their weights came from Caffe2.
NO_EPS = ("fasterrcnn_resnet50_fpn", "retinanet_resnet50_fpn")
EPS = 1e-5
"""What torchvision's networks add to a variance when they are built without weights."""
COUNTER = "num_batches_tracked"


class TorchvisionTarget(TrainableDetector):
    """Any network that is called as torchvision's detectors are.

    Args:
        network: Takes a list of images (3, H, W); in train mode it also takes targets and returns
            its losses, in eval mode it returns its detections.
        options: What ``torchvision.models.get_model`` takes to build it again.
    """

    def __init__(self, network: nn.Module, options: Mapping[str, Any]) -> None:
        super().__init__()
        self.network, self.options = network, options

    def loss(self, images: Sequence[Tensor], targets: Sequence[Target]) -> Tensor:
        losses: dict[str, Tensor] = self.network(list(images), list(targets))
        return torch.stack([loss.float() for loss in losses.values()]).sum()

    def predict(self, images: Sequence[Tensor] | Tensor) -> list[Detections]:
        found: list[Detections] = self.network(list(images))
        return found

    def weights(self) -> tuple[dict[str, Tensor], bool]:
        state = self.network.state_dict()
        frozen = [n for n, m in self.network.named_modules() if isinstance(m, FrozenBatchNorm2d)]
        if not self.options:  # the light one, whose held layers say so by their names
            return state, False
        return state | {f"{name}.{COUNTER}": torch.tensor(0) for name in frozen}, bool(frozen)


class SSDTarget(TorchvisionTarget, TellingDetector):
    """Any of torchvision's SSDs, with negatives from pictures without objects too."""

    network: SSD

    def loss(self, images: Sequence[Tensor], targets: Sequence[Target]) -> Tensor:
        return self._loss(images, targets, None)

    def loss_by_object(
        self, images: Sequence[Tensor], targets: Sequence[Target]
    ) -> tuple[Tensor, list[Tensor]]:
        parts: list[Tensor] = []
        return self._loss(images, targets, parts), parts

    def _loss(
        self, images: Sequence[Tensor], targets: Sequence[Target], parts: list[Tensor] | None
    ) -> Tensor:
        """The loss; adds each image's losses of its objects to ``parts``, if wanted."""
        network = self.network

        def compute_loss(targets: Any, outputs: Any, anchors: Any, matched: Any) -> Any:
            places, logits = outputs["bbox_regression"], outputs["cls_logits"]
            if parts is not None:
                columns = zip(targets, places, logits, anchors, matched, strict=True)
                parts.extend(_object_losses(network, *one) for one in columns)
            losses = SSD.compute_loss(network, targets, outputs, anchors, matched)
            losses["negatives"] = _negatives(network, logits, torch.stack(matched))
            return losses

        # torchvision's forward calls this with all that its losses are computed from.
        vars(network)["compute_loss"] = compute_loss
        try:
            return super().loss(images, targets)
        finally:
            del vars(network)["compute_loss"]


def build(
    name: str, classes: int, weights: str, size: tuple[int, int], option: str, heads: Heads
) -> TorchvisionTarget:
    """Build one of :data:`NAMES`; see :func:`trainers.detectors.build`.

    Weights "default" are torchvision's, trained on COCO; for :data:`LIGHT` an ImageNet backbone
    whose first layers do not learn.
    """
    if name == LIGHT:
        state = {} if weights in (DEFAULT, NONE) else read(weights, option, name).state
        held = weights == DEFAULT or bool(state) and HELD_NORM not in state
        network = light(classes, DEFAULT if weights == DEFAULT else NONE, size, option, held)
        if state:
            state = chosen(network, state, heads)
            load(network, state, option, weights, _resized(network, name, classes))
        return SSDTarget(network, {})
    options: dict[str, Any] = {"num_classes": classes}
    if not name.startswith("ssd"):
        options |= {"min_size": min(size), "max_size": max(size)}
    if weights == NONE:
        return _target(_plain(name, **options), options)
    # Before the detector, which may take seconds to build.
    found = read(weights, option, name, get_model_weights(name).DEFAULT)
    state, frozen = found.state, found.frozen_norms
    network = _plain(name, **options)
    if not any(key.endswith(COUNTER) for key in state):
        frozen = any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
        state = _unfrozen(network, state, 0.0 if name in NO_EPS else EPS)
    state = chosen(network, state, heads)
    load(network, state, option, weights, _resized(network, name, classes))
    if frozen:
        _freeze_norms(network)
    return _target(network, options)


def _target(network: nn.Module, options: Mapping[str, Any]) -> TorchvisionTarget:
    return (SSDTarget if isinstance(network, SSD) else TorchvisionTarget)(network, options)


@torch.no_grad()
def _object_losses(
    network: SSD, target: Target, regression: Tensor, logits: Tensor, anchors: Tensor, match: Tensor
) -> Tensor:
    """SSD's loss of an image's objects (k,): the mean of the default boxes that each matched.

    Args:
        network: The SSD.
        target: ``boxes`` (k, 4) and ``labels`` (k,).
        regression: (n, 4).
        logits: (n, C).
        anchors: (n, 4), the default boxes.
        match: (n,) int64, the object of each; -1: none.
    """
    own = (match >= 0).nonzero()[:, 0]
    objects = match[own]
    wanted = network.box_coder.encode_single(target["boxes"][objects], anchors[own])
    places = smooth_l1_loss(regression[own], wanted, reduction="none").sum(1)
    classes = cross_entropy(logits[own], target["labels"][objects], reduction="none")
    return mean_by_object(places + classes, objects, len(target["boxes"]))


def _negatives(network: SSD, logits: Tensor, matches: Tensor) -> Tensor:
    """SSD's loss () of pictures without objects, of which torchvision takes no negatives.

    Each gives as many as there are to one positive.

    Args:
        network: The SSD.
        logits: (N, n, C).
        matches: (N, n) int64, the object that each default box matched; -1: none.
    """
    positive = matches >= 0
    losses = -logits[~positive.any(1)].log_softmax(2)[..., 0]
    hardest = losses.topk(int(network.neg_to_pos_ratio), 1).values
    return hardest.sum() / positive.sum().clamp_min(1)


def _plain(name: str, **options: Any) -> nn.Module:
    network: nn.Module = get_model(name, weights=None, weights_backbone=None, **options)
    return network


def _resized(network: nn.Module, name: str, classes: int) -> set[str]:
    """Names of the tensors whose shape depends on the number of classes."""
    with torch.device("meta"):
        other = (
            light(classes + 1, NONE, (96, 96), "", False)
            if name == LIGHT
            else _plain(name, num_classes=classes + 1)
        ).state_dict()
    return {k for k, v in network.state_dict().items() if k in other and other[k].shape != v.shape}


def _unfrozen(network: nn.Module, state: Mapping[str, Tensor], eps: float) -> dict[str, Tensor]:
    """The state of frozen norms with an eps of their own, as that of ordinary ones."""
    state = dict(state)
    for name, module in network.named_modules():
        variance = state.get(f"{name}.running_var")
        if isinstance(module, nn.BatchNorm2d) and variance is not None:
            state[f"{name}.{COUNTER}"] = torch.tensor(0)
            if eps != module.eps:
                factor = ((variance + module.eps) / (variance + eps)).sqrt()
                state[f"{name}.weight"] = state[f"{name}.weight"] * factor
    return state


def _freeze_norms(network: nn.Module) -> None:
    """Replace batch normalisation by the frozen kind that pretrained weights were made with."""
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                norm = FrozenBatchNorm2d(child.num_features, child.eps)
                norm.load_state_dict(child.state_dict())
                setattr(module, name, norm)
