"""What T learns of a digit: its class, as in the paper, or its box, by regression (section 3.2)."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from torch import Tensor
from torch.nn.functional import cross_entropy, smooth_l1_loss

import compositor
from trainers.affnist.placement import SIZE, boxes

Name = Literal["class", "box"]


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """p - p* (N,): the probability of the likeliest wrong class less that of the true one."""
    p = logits.float().softmax(1)
    true = p.gather(1, labels[:, None])
    return (p.scatter(1, labels[:, None], -1).amax(1, keepdim=True) - true)[:, 0]


class Task(ABC):
    """What T learns.

    Attributes:
        outputs: How many numbers T tells of an image.
        measure: What it is tested by.
        unit: Its unit.
        digits: How many of its decimals to print.
    """

    outputs: ClassVar[int]
    measure: ClassVar[str]
    unit: ClassVar[str]
    digits: ClassVar[int]

    @abstractmethod
    def truth(
        self, labels: Tensor, images: Tensor, placed: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """What T should tell.

        Args:
            labels: (N,) int64, the digits' classes.
            images: (N, 1, 40, 40) in [0, 1].
            placed: theta (N, 2, 3) and the digits' outlines, if the truth is to be differentiable.
        """

    @abstractmethod
    def loss(self, told: Tensor, truth: Tensor) -> Tensor:
        """The loss (), a mean."""

    @abstractmethod
    def hardness(self, told: Tensor, truth: Tensor) -> Tensor:
        """How hard each image is, (N,)."""

    @abstractmethod
    def score(self, told: Tensor, truth: Tensor) -> Tensor:
        """What each image adds to the mean that T is tested by, (N,)."""


class Classification(Task):
    """T tells the class; an image's hardness is :func:`margin`."""

    outputs, measure, unit, digits = 10, "accuracy", "%", 1

    def truth(
        self, labels: Tensor, images: Tensor, placed: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        return labels

    def loss(self, told: Tensor, truth: Tensor) -> Tensor:
        return cross_entropy(told, truth)

    def hardness(self, told: Tensor, truth: Tensor) -> Tensor:
        return margin(told, truth)

    def score(self, told: Tensor, truth: Tensor) -> Tensor:
        return (told.argmax(1) == truth).float() * 100


class BoxRegression(Task):
    """T tells the tight box of the digit: (x1, y1, x2, y2), -1 and 1 at the image's edges.

    An image's hardness is its error, the mean distance of the four sides in pixels.
    """

    outputs, measure, unit, digits = 4, "error", "pixels", 2

    def truth(
        self, labels: Tensor, images: Tensor, placed: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """Boxes of the pixels more than half as bright as the brightest."""
        tight, _ = compositor.boxes(images > images.detach().amax((2, 3), keepdim=True) / 2)
        if placed is not None:
            # The box moves with its digit; otherwise every move would look like T's mistake.
            moving = boxes(*placed)
            tight = tight + (moving - moving.detach())
        return tight * (2 / SIZE) - 1

    def loss(self, told: Tensor, truth: Tensor) -> Tensor:
        """Smooth L1, quadratic up to a pixel."""
        return smooth_l1_loss(told.float(), truth, beta=2 / SIZE)

    def hardness(self, told: Tensor, truth: Tensor) -> Tensor:
        return (told - truth).abs().mean(1) * (SIZE / 2)

    def score(self, told: Tensor, truth: Tensor) -> Tensor:
        return self.hardness(told, truth)


TASKS: dict[Name, Task] = {"class": Classification(), "box": BoxRegression()}
