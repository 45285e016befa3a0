"""The players' losses in a step (paper, sections 3.2 to 3.4)."""

from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from trainers.detection.composites import Composites, Stage, composite, moving_classes
from trainers.detection.config import Config
from trainers.detection.scenes import Batch, Paste
from trainers.detection.timing import Clock
from trainers.detectors.base import giving_losses, training_loss


@dataclass(frozen=True)
class Stakes:
    """S's loss and its parts.

    Attributes:
        loss: S's loss, to be minimised: what it pays less what it gains.
        target: T's loss on the valid composites, which S maximises; 0 if none is valid.
        fooled: The loss for D to take composites for real; 0 without D.
        price: The mean price for objects that hardly show.
        alike: What S pays for choices that are alike: :func:`likeness`.
        spread: How far its placements are apart: :func:`spread`.
    """

    loss: Tensor
    target: Tensor
    fooled: Tensor
    price: Tensor
    alike: Tensor
    spread: Tensor


def synthesizer_step(
    stage: Stage,
    position: Tensor,
    target: nn.Module,
    discriminator: nn.Module | None,
    config: Config,
    clock: Clock,
) -> tuple[Composites, Stakes]:
    """Make composites with S's placements, and compute S's loss on them (equation 3, S's side).

    The gradient reaches S's choices alone, through :func:`compositor.render`.

    Args:
        stage: Pictures, and the object to paste on each. S placed those before it too, but learns
            from its last placement alone: one pass of T a picture, as with a single object.
        position: (n, 6 or 12) in (-1, 1), S's choice.
        target: T, frozen.
        discriminator: D, frozen, or None.
        config: What a position means, S's limits of visibility (T does not see composites that
            break them, S pays for them), T's mode, and the weights of S's losses.
        clock: Marks the parts, and the backward pass through each.
    """
    ours, (theta, tone) = config.synthesizer, chosen(position, config)
    with clock.part("blend"):
        paste = Paste(clock.watch(theta, "blend"), tone)
        composites = composite(stage.batch, stage.backgrounds, paste, ours.visibility)
        truth = composites.targets
        if "classes" in truth[0]:
            # As the box does, or every move would look like T's mistake.
            truth = moving_classes(stage, paste.theta, truth)
    with clock.part("limits"):
        there = clock.watch(theta, "limits")
        paid = ours.visibility.price(stage.batch.masks(), there, config.size).mean()
    hard = fooled = paid.new_zeros(())
    with clock.part("T"):
        valid = composites.valid.nonzero()[:, 0]
        if len(valid):
            images = clock.watch(composites.images, "T")[valid]
            targets = [truth[i] for i in valid.tolist()]
            with giving_losses(target, ours.target_mode):
                hard = training_loss(target, images, targets)
    if discriminator is not None:
        with clock.part("D"):
            logits = discriminator(clock.watch(composites.images, "D"))
            # The non-saturating form, because log(1 - D) is flat where D is sure.
            fooled = binary_cross_entropy_with_logits(logits, torch.ones_like(logits))
    pose, tones = position[:, :6], position[:, 6:]
    places = pose[:, config.placement.free()]
    alike = likeness(torch.cat((places, tones[:, config.tones.free()]), 1))
    loss = ours.realism * fooled - hard + ours.penalty * paid + ours.diversity * alike
    parts = hard, fooled, paid, alike, spread(places)
    return composites, Stakes(loss, *(part.detach() for part in parts))


def discriminator_loss(discriminator: nn.Module, images: Tensor, real: Tensor) -> Tensor:
    """D's loss (equation 2): binary cross-entropy on all patches' logits, equal for each half.

    Args:
        discriminator: D.
        images: (n, 3, H, W) in [0, 1], real ones and composites, without gradient.
        real: (n,) bool, at least one of each.
    """
    # In a single pass, since data-parallel training allows one per backward.
    logits = discriminator(images)
    losses = binary_cross_entropy_with_logits(
        logits, real.to(logits).view(-1, 1, 1, 1).expand_as(logits), reduction="none"
    ).mean((1, 2, 3))
    return (losses[real].mean() + losses[~real].mean()) / 2


def shown(batch: Batch) -> Tensor:
    """The objects (n, 3, H, W) as S sees them: black around."""
    return batch.colours() * batch.masks()


def chosen(position: Tensor, config: Config) -> Paste:
    """What S's positions mean, six numbers of a pose and those of a tone."""
    theta = config.placement.theta(position[:, :6], config.size)
    return Paste(theta, config.tones.tone(position[:, 6:]))


def teaches(accelerator: Accelerator, real: Tensor) -> bool:
    """Whether D learns from a batch: every process's part has real pictures and composites.

    Args:
        accelerator: Its processes must decide alike, or some would wait for the others for ever.
        real: (n,) bool, which of this process's part are real.
    """
    both = (real.any() & ~real.all()).float()
    return bool(accelerator.reduce(both, "mean") == 1)


def step_record(composites: Composites, stakes: Stakes) -> dict[str, float]:
    """A step of S in numbers: the share of invalid composites, and the stakes.

    Args:
        composites: From :func:`synthesizer_step`.
        stakes: From :func:`synthesizer_step`.
    """
    values = {
        "invalid": 1 - composites.valid.float().mean(),
        **{name: value for name, value in vars(stakes).items() if name != "loss"},
    }
    # All at once, since each read waits for the device.
    read = torch.stack([value.float() for value in values.values()]).tolist()
    return dict(zip(values, read, strict=True))


def spread(position: Tensor) -> Tensor:
    """Standard deviation of positions (n, k) over the uniform law's, mean of k: 0 is a collapse."""
    return position.std(0, correction=0).mean() * 3**0.5


def likeness(position: Tensor) -> Tensor:
    """How much narrower positions (n, k) are than the uniform law, mean of k: 1 is a collapse.

    Each number's standard deviation counts by itself, and no further than the uniform law's, so
    that nothing is gained by going to the ends.
    """
    return (1 - position.std(0, correction=0) * 3**0.5).relu().mean()
