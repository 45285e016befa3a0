"""T: what a detector has to offer to play the game, and how S uses it while it is frozen."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

Mode = Literal["eval", "train"]
Target = Mapping[str, Tensor]
Detections = dict[str, Tensor]
PER_PIXEL = ("classes", "under", "moved")
"""What targets say of each pixel, (H, W), to a T that segments."""


class TargetError(ValueError):
    """A detector that cannot be built."""


class TrainableDetector(nn.Module, ABC):
    """A detector that learns from targets and says what it sees.

    Labels are those of the data: 1 for the first class, 0 for the background.

    Attributes:
        options: What it takes to build its network again, plain values; see
            :mod:`trainers.detectors.model_file`.
        loss_in_eval: Whether it gives its loss in eval mode too, without noise of its own.
    """

    options: Mapping[str, Any] = {}
    loss_in_eval: bool = False

    @abstractmethod
    def loss(self, images: Sequence[Tensor], targets: Sequence[Target]) -> Tensor:
        """The loss (), its parts summed (equation 1); differentiable in images and boxes.

        Called in train mode, but for layers that :func:`giving_losses` turns off, and in eval mode
        if ``loss_in_eval``.

        Args:
            images: N of (3, H, W) in [0, 1], possibly of different sizes.
            targets: Of each image ``boxes`` (n, 4) in pixels and ``labels`` (n,) int64.
        """

    @abstractmethod
    def predict(self, images: Sequence[Tensor] | Tensor) -> list[Detections]:
        """Detect, in eval mode: each image's ``boxes`` (n, 4), ``labels`` (n,), ``scores`` (n,).

        Args:
            images: N of (3, H, W) in [0, 1].
        """

    def weights(self) -> tuple[dict[str, Tensor], bool]:
        """Its weights by the network's own names, and whether its batch norms are frozen ones."""
        return self.state_dict(), False

    def forward(
        self, images: Sequence[Tensor] | Tensor, targets: Sequence[Target] | None = None
    ) -> Any:
        """The loss if there are targets, otherwise detections: what data-parallel wrappers call."""
        return self.predict(images) if targets is None else self.loss(list(images), targets)


class TellingDetector(TrainableDetector):
    """One that also tells the loss of each object, by which composites are renewed."""

    @abstractmethod
    def loss_by_object(
        self, images: Sequence[Tensor], targets: Sequence[Target]
    ) -> tuple[Tensor, list[Tensor]]:
        """What :meth:`loss` returns, and for each image the loss of each of its objects (n,).

        The latter without gradient; NaN where nothing was matched to an object.
        """

    def forward(
        self,
        images: Sequence[Tensor] | Tensor,
        targets: Sequence[Target] | None = None,
        by_object: bool = False,
    ) -> Any:
        """What :class:`TrainableDetector` returns, or :meth:`loss_by_object`'s."""
        if targets is not None and by_object:
            return self.loss_by_object(list(images), targets)
        return super().forward(images, targets)


def mean_by_object(losses: Tensor, objects: Tensor, count: int) -> Tensor:
    """The mean loss of each object's cells or boxes, (count,); NaN where it has none.

    Args:
        losses: (n,).
        objects: (n,) int64, the object that each belongs to.
        count: The number of objects.
    """
    columns = torch.stack((losses.detach(), torch.ones_like(losses)))
    total, number = columns.new_zeros(2, count).index_add(1, objects, columns)
    return total / number


def training_loss(
    detector: nn.Module, images: Tensor | Sequence[Tensor], targets: Sequence[Target]
) -> Tensor:
    """A detector's loss without the objects to ignore.

    Args:
        detector: A :class:`TrainableDetector`, or the data-parallel wrapper of one.
        images: (N, 3, H, W) in [0, 1], or N of sizes of their own.
        targets: Of each image ``boxes`` (n, 4) and ``labels`` (n,); what ``ignore`` (n,) marks is
            left out.
    """
    loss: Tensor = detector(list(images), _without_ignored(targets))
    return loss


def training_loss_by_object(
    detector: nn.Module, images: Tensor | Sequence[Tensor], targets: Sequence[Target]
) -> tuple[Tensor, list[Tensor]]:
    """What :func:`training_loss` returns, and each image's loss of each object that counts."""
    told: tuple[Tensor, list[Tensor]] = detector(list(images), _without_ignored(targets), True)
    return told


@torch.no_grad()
def detect(detector: nn.Module, images: Tensor) -> list[Detections]:
    """Detections of each image: ``boxes`` (n, 4), ``labels`` (n,) and ``scores`` (n,).

    Args:
        detector: As for :func:`training_loss`, in eval mode.
        images: (N, 3, H, W) in [0, 1].
    """
    detections: list[Detections] = detector(list(images))
    return detections


@contextmanager
def giving_losses(network: nn.Module, mode: Mode) -> Iterator[None]:
    """Make a frozen detector give its losses, and leave it unchanged.

    torchvision's detectors compute losses only in train mode, which also changes normalisation and
    dropout; here these are chosen separately. Those of others may drop out without such a layer, so
    one that gives losses in eval mode stays in it.

    Args:
        network: T, frozen by :func:`trainers.player.frozen`; it is back in eval mode afterwards.
        mode: "eval": learnt statistics and no dropout, as T is tested. "train": the batch's
            statistics, without updating the averages, and dropout, as T is trained.
    """
    if mode == "eval" and getattr(network, "loss_in_eval", False):
        network.eval()
        yield
        return
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


def _without_ignored(targets: Sequence[Target]) -> list[Target]:
    return [
        {name: target[name][~target["ignore"]] for name in ("boxes", "labels")}
        | {name: target[name] for name in PER_PIXEL if name in target}
        for target in targets
    ]
