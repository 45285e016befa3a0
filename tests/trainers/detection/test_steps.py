"""The adversarial steps: what each player gains, and that its gradient goes nowhere else."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from compositor.scenes.placement import Visibility
from detection.tiny_scenes import RANGE, SIZE, scenes
from trainers.detection.composites import Stage, composite, with_artefacts
from trainers.detection.config import Config, SynthesizerConfig
from trainers.detection.networks import Discriminator, Synthesizer
from trainers.detection.scenes import Batch
from trainers.detection.steps import discriminator_loss, synthesizer_step
from trainers.detection.timing import Clock
from trainers.detection.tones import Tones
from trainers.detectors import build
from trainers.detectors.backbones import efficientnet_lite0
from trainers.detectors.base import training_loss
from trainers.detectors.light import LIGHT
from trainers.detectors.torchvision_models import TorchvisionTarget
from trainers.player import frozen

RULES = Visibility(side=0.15)
CPU = torch.device("cpu")


def batch(count: int = 4) -> Batch:
    torch.manual_seed(0)
    made = scenes()
    return made.load(made.draw(count))


def players() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    return build(LIGHT, ("__background__", "cup", "mug"), "default", SIZE, "--w"), Discriminator(4)


def bits(*networks: nn.Module) -> list[Tensor]:
    return [value.clone() for net in networks for value in net.state_dict().values()]


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def play(
    pairs: Batch, position: Tensor, target: Any, discriminator: Any = None, **options: Any
) -> Any:
    tones, clock = options.pop("tones", Tones()), Clock(CPU, measures=False)
    weights = {"visibility": RULES, "target_mode": "eval", "realism": 0.5, "penalty": 3.0} | options
    synthesizer = SynthesizerConfig(**weights)
    config = Config(placement=RANGE, tones=tones, size=SIZE, synthesizer=synthesizer)
    grounds = with_artefacts(pairs)
    stage = Stage(pairs, grounds, grounds, pairs.targets)
    return synthesizer_step(stage, position, target, discriminator, config, clock)


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("with_discriminator", [True, False])
def test_the_synthesizers_step_moves_it_alone(mode: str, with_discriminator: bool) -> None:
    target, discriminator = players()
    judge = discriminator if with_discriminator else None
    synthesizer = Synthesizer(efficientnet_lite0("none", ""), RANGE.start(), gain=0.2).train()
    pairs = batch()
    before = bits(target, discriminator)
    with frozen(target, discriminator):
        position = synthesizer(pairs.colours() * pairs.masks(), with_artefacts(pairs))
        composites, stakes = play(pairs, position, target, judge, target_mode=mode)
        stakes.loss.backward()
    assert composites.valid.all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in synthesizer.parameters())
    assert all(float(p.grad.abs().max()) > 0 for p in synthesizer.position.parameters())
    assert all(p.grad is None for net in (target, discriminator) for p in net.parameters())
    assert same(before, bits(target, discriminator))


def test_the_synthesizers_loss_is_what_it_pays_less_what_it_gains() -> None:
    target, discriminator = players()
    pairs = batch()
    # The second one a dot, beyond the limits; the others in the middle.
    position = torch.tensor([[0.0, 0, 0.3, 0, 0.1 * i, 0] for i in range(4)])
    position[1, 2] = -1
    theta = RANGE.theta(position, SIZE)
    with frozen(target, discriminator):
        composites, stakes = play(pairs, position, target, discriminator)
        assert composites.valid.tolist() == [True, False, True, True]
        logits = discriminator(composites.images)
        target.train()
        for module in target.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        kept = [0, 2, 3]
        hard = training_loss(target, composites.images[kept], [composites.targets[i] for i in kept])
        target.eval()
    # -log of a sigmoid is the softplus of the negative logit.
    fooled = nn.functional.softplus(-logits).mean()
    price = RULES.price(pairs.masks(), theta, SIZE).mean()
    assert price > 0
    torch.testing.assert_close(stakes.target, hard)
    torch.testing.assert_close(stakes.fooled, fooled)
    torch.testing.assert_close(stakes.loss, 0.5 * fooled - hard + 3 * price)


def test_going_down_the_loss_raises_that_of_the_target() -> None:
    """A T that loses by red on the right: red objects on grey go there, and it loses more."""

    class Redness(nn.Module):
        def forward(self, images: list[Tensor], targets: object) -> dict[str, Tensor]:
            return {"red": (torch.stack(images)[:, 0] * torch.linspace(0, 1, SIZE[1])).mean()}

    pairs = batch()
    pairs.backgrounds.fill_(127)
    leaf = torch.tensor([[0.0, 0, 0.9, 0, 0, 0]] * 4, requires_grad=True)
    optimizer = torch.optim.Adam([leaf], 0.02)
    target = TorchvisionTarget(Redness(), {})
    seen = []
    for _ in range(6):
        composites, stakes = play(pairs, leaf.tanh(), target)
        optimizer.zero_grad()
        stakes.loss.backward()
        optimizer.step()
        seen.append(float(stakes.target))
        assert composites.valid.all()
    assert seen == sorted(seen)
    assert (leaf[:, 4] > 0).all()


def test_the_box_moves_with_its_object() -> None:
    """A T that puts the box 10 pixels beside the object loses the same wherever the object is."""

    class Beside(nn.Module):
        def forward(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> Any:
            red = torch.stack(images)[:, 0]
            seen = (red * (torch.arange(SIZE[1]) + 0.5)).sum((1, 2)) / red.sum((1, 2))
            boxes = torch.stack([target["boxes"][-1] for target in targets])
            middle = (boxes[:, 0] + boxes[:, 2]) / 2
            moved.extend(torch.autograd.grad(part.sum(), leaf, retain_graph=True)[0][:, 4]
                         for part in (seen, middle))  # fmt: skip
            return {"x": (middle - seen - 10).square().sum()}

    moved: list[Tensor] = []
    pairs = replace(batch(), artefacts=None)
    pairs.backgrounds.fill_(0)
    # Slanted, so that a side's pixels are cut by it at all places.
    leaf = torch.tensor([[0.4, 0, 0.5, 0, x, 0] for x in (-0.2, 0, 0.1, 0.3)], requires_grad=True)
    _, stakes = play(pairs, leaf, TorchvisionTarget(Beside(), {}))
    (gradient,) = torch.autograd.grad(stakes.loss, leaf)
    # Half a canvas for a move of 1; the object's by its few pixels to a quarter.
    seen, middle = moved
    torch.testing.assert_close(middle, torch.full((4,), SIZE[1] / 2))
    torch.testing.assert_close(seen, middle, rtol=0.25, atol=0)
    # Alone, either would give 2 x 10 pixels of error x half a canvas.
    assert float(gradient[:, 4].abs().max()) < 0.3 * 2 * 10 * SIZE[1] / 2


def test_objects_that_hardly_show_never_reach_the_target_but_cost() -> None:
    """All four are dots: T is not asked, and the price leads back."""

    class Untouchable(nn.Module):
        def forward(self, *arguments: object) -> Tensor:
            raise AssertionError("T was shown what has no right label")

    pairs = batch()
    leaf = torch.tensor([[0.0, 0, -0.999, 0, 0, 0]] * 4, requires_grad=True)
    composites, stakes = play(pairs, leaf, Untouchable())
    assert not composites.valid.any()
    assert stakes.target == 0
    assert [len(target["boxes"]) for target in composites.targets] == [0] * 4
    stakes.loss.backward()
    assert leaf.grad is not None
    assert (leaf.grad[:, 2] < 0).all()


def test_the_discriminators_loss_is_cross_entropy_with_equal_halves() -> None:
    _, network = players()
    images = torch.rand(5, 3, *SIZE, requires_grad=True)
    real = torch.tensor([True, False, False, False, True])
    loss = discriminator_loss(network, images.detach(), real)
    with torch.no_grad():
        p = network(images).sigmoid()
    expected = (-p[real].log().mean() - (1 - p[~real]).log().mean()) / 2
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert all(p.grad is not None for p in network.parameters())
    assert images.grad is None


def test_the_targets_step_moves_it_alone() -> None:
    target, discriminator = players()
    pairs = batch()
    theta = RANGE.theta(torch.zeros(4, 6), SIZE).requires_grad_()
    with torch.no_grad():
        paste = pairs.recipes.last._replace(theta=theta)
        shown = composite(pairs, with_artefacts(pairs), paste, RULES)
    training_loss(target.train(), shown.images, shown.targets).backward()
    trained = [p for p in target.parameters() if p.requires_grad]
    assert any(p.grad is not None and float(p.grad.abs().max()) > 0 for p in trained)
    assert theta.grad is None
    assert all(p.grad is None for p in discriminator.parameters())


def test_the_clock_gives_each_part_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    clock = Clock(CPU, measures=True)

    class Slow(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, value: Tensor) -> Tensor:
            now[0] += 1
            return value.clone()

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            now[0] += 10
            return gradient

    leaf = torch.ones(3, requires_grad=True)
    now[0] = 100
    clock.start()
    with clock.part("blend"):
        first = Slow.apply(clock.watch(leaf, "blend"))
    with clock.part("T"):
        second = Slow.apply(clock.watch(first, "T"))
    with clock.part("S"):
        now[0] += 5
        second.sum().backward()
        now[0] += 0.5
    assert clock.take() == {"blend": 11, "T": 16, "S": 0.5}
    assert clock.norms == {"T": pytest.approx(3**0.5), "blend": pytest.approx(3**0.5)}
    assert clock.take() == {}


def test_the_clock_waits_for_nothing_unless_it_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = []
    monkeypatch.setattr("torch.cuda.synchronize", waits.append)
    device = torch.device("cuda")
    for measures in (False, True):
        clock = Clock(device, measures)
        leaf = torch.ones(3, requires_grad=True)
        with torch.profiler.profile() as profiler:
            clock.start()
            with clock.part("blend"):
                value = clock.watch(leaf, "blend") * 2
            with clock.part("S"):
                value.sum().backward()
        assert {"blend", "S"} <= {event.key for event in profiler.key_averages()}
        assert leaf.grad is not None
        assert leaf.grad.tolist() == [2, 2, 2]
        # The start, two parts' ends, and the gradient that comes back.
        assert waits == [device] * (4 * measures)
        assert set(clock.take()) == set(("blend", "S") * measures)
        assert set(clock.norms) == set(("blend",) * measures)
