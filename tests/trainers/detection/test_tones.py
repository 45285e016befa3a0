"""Photometric parameters and diversity, what section 5 of the paper leaves to future work."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import compositor
from compositor.scenes.placement import Visibility
from detection.test_loop import config, data
from detection.test_steps import batch, play
from detection.tiny_scenes import RANGE, SIZE
from trainers.detection.composites import composite, with_artefacts
from trainers.detection.networks import Synthesizer
from trainers.detection.run import DetectionRun
from trainers.detection.scenes import Paste
from trainers.detection.steps import likeness
from trainers.detection.synthesis import rendered
from trainers.detection.tones import PLAIN, Tones
from trainers.detection.ways import Way
from trainers.detectors.backbones import efficientnet_lite0
from trainers.detectors.torchvision_models import TorchvisionTarget

TONES = Tones(gain=1.5, bias=0.1)
VISIBLE = Visibility()


class Redness(nn.Module):
    """A T whose loss is the mean of red."""

    def forward(self, images: list[Tensor], targets: object) -> dict[str, Tensor]:
        return {"red": torch.stack(images)[:, 0].mean()}


def test_a_tone_is_within_its_limits() -> None:
    ends = torch.tensor([[-1.0, 0, 1, -1, 0, 1]], dtype=torch.float64)
    wanted = torch.tensor([[[1 / 1.5, 1, 1.5], [-0.1, 0, 0.1]]], dtype=torch.float64)
    torch.testing.assert_close(TONES.tone(ends), wanted)
    assert torch.autograd.gradcheck(TONES.tone, (0.5 * ends).requires_grad_())
    assert TONES.free().tolist() == [True] * 6
    assert Tones(gain=1.5).free().tolist() == [True] * 3 + [False] * 3


def test_by_default_colours_stay_as_they_are() -> None:
    assert (Tones().numbers, len(Tones().free())) == (0, 0)
    assert torch.equal(Tones().tone(torch.zeros(2, 0)), PLAIN.expand(2, 2, 3))
    names = {name for name, _ in Synthesizer(efficientnet_lite0("none", ""), RANGE.start()
                                             ).named_parameters()}  # fmt: skip
    assert not any(name.startswith("tone") for name in names)


def test_pixels_are_gain_times_colour_plus_bias_and_saturate() -> None:
    pairs = batch(2)
    grounds = torch.full_like(with_artefacts(pairs), 0.5)
    tone = torch.stack((torch.tensor([[0.5, 2, 1], [0, 0.1, -0.2]]), PLAIN))
    theta = RANGE.theta(RANGE.start().expand(2, 6), SIZE)
    made = composite(pairs, grounds, Paste(theta, tone), VISIBLE)
    colour = pairs.cutouts[0, 0, :3, 56, 64].double() / 255
    wanted = (tone[0, 0].double() * colour + tone[0, 1].double()).clamp(0, 1)
    # The images are float32.
    torch.testing.assert_close(made.images[0, :, 56, 64].double(), wanted, atol=1e-6, rtol=0)
    assert made.images.amin() >= 0
    plain = compositor.blend(pairs.colours(), pairs.masks(), grounds, theta)
    assert torch.equal(made.images[1], plain[1])
    assert torch.equal(made.images[:, :, 0, 0], grounds[:, :, 0, 0])


def test_the_gradient_of_a_tone_is_what_the_object_covers() -> None:
    pairs = batch(2)
    pairs.cutouts[:, :, :3] = 100  # beyond the masks too, and far from saturation
    place = torch.tensor([0, 0, 0.9, 0, 0, 0])  # large enough to be valid
    position = torch.cat((place, torch.zeros(6))).repeat(2, 1).requires_grad_()
    play(pairs, position, TorchvisionTarget(Redness(), {}), tones=TONES)[1].loss.backward()
    theta = RANGE.theta(place.repeat(2, 1), SIZE).double()
    images = pairs.colours().double(), pairs.masks().double(), with_artefacts(pairs).double()
    composites, alpha = compositor.blend(*images, theta, return_alpha=True)
    share = alpha.flatten(1).sum(1) / composites[:, 0].numel()
    assert position.grad is not None
    gradient = position.grad.double()
    # The loss is less what T loses; the images are float32.
    of_gain = -share * 100 / 255 * torch.tensor(1.5).log()
    torch.testing.assert_close(gradient[:, 6], of_gain, rtol=1e-4, atol=0)
    torch.testing.assert_close(gradient[:, 9], -share * 0.1, rtol=1e-4, atol=0)
    assert (gradient[:, [7, 8, 10, 11]] == 0).all()


def test_s_starts_with_colours_as_they_are_and_its_head_learns() -> None:
    torch.manual_seed(0)
    backbone = efficientnet_lite0("none", "")
    network = Synthesizer(backbone, RANGE.start(), gain=0.2, tones=TONES.numbers)
    pairs = batch()
    position = network(pairs.colours() * pairs.masks(), with_artefacts(pairs))
    assert position.shape == (4, 12)
    assert (position[:, 6:] == 0).all()
    assert torch.equal(TONES.tone(position[:, 6:]), PLAIN.expand(4, 2, 3))
    play(pairs, position, TorchvisionTarget(Redness(), {}), tones=TONES)[1].loss.backward()
    assert network.tone is not None
    weights = network.tone.weight.grad
    assert weights is not None
    assert (weights.abs().amax(1) > 0).tolist() == [True, False, False] * 2


@pytest.mark.parametrize("way", ["random", "synthesizer"])
def test_a_runs_tones_are_kept_with_its_recipes(tmp_path: Path, way: Way) -> None:
    ours = config(tmp_path, tones=TONES, layers=2)
    run = DetectionRun(ours, way, 0, data(2))
    assert run.run(1)[1]["added"] == 5
    recipes = run._added()
    gain, bias = recipes.tone.unbind(2)
    # S has learnt for two steps.
    assert (gain != 1).any(-1).all()
    assert (bias != 0).any(-1).all()
    assert gain.log().abs().max() <= torch.tensor(1.5).log() + 1e-6
    assert bias.abs().max() <= 0.1
    loaded = run.scenes.load(recipes)
    toned = rendered(loaded, VISIBLE).images
    plain = replace(loaded, recipes=replace(recipes, tone=PLAIN.expand_as(recipes.tone)))
    assert (toned != rendered(plain, VISIBLE).images).flatten(1).any(1).all()


def test_alike_is_what_a_batch_lacks_of_the_uniform_spread() -> None:
    # Of one number the standard deviation of 1 and -1 is 1, of the uniform law 1 / sqrt(3).
    ends = torch.tensor([-1.0, 1], dtype=torch.float64)[:, None]
    for half, wanted in ((0.0, 1.0), (0.25, 1 - 0.25 * 3**0.5), (3**-0.5, 0.0), (1.0, 0.0)):
        assert float(likeness(half * ends)) == pytest.approx(wanted, abs=1e-12)
    both = torch.cat((0.25 * ends, ends), 1)
    assert float(likeness(both)) == pytest.approx((1 - 0.25 * 3**0.5) / 2)
    torch.manual_seed(0)
    position = (0.4 * torch.rand(5, 3, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(likeness, position)
    collapsed = torch.zeros(4, 2, requires_grad=True)
    likeness(collapsed).backward()
    assert collapsed.grad is not None
    assert (collapsed.grad == 0).all()


def test_going_down_the_loss_with_diversity_spreads_placements() -> None:
    pairs = batch()
    target = TorchvisionTarget(Redness(), {})
    position = 0.05 * torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    without, with_it = (play(pairs, position, target, diversity=w)[1] for w in (0.0, 2.0))
    torch.testing.assert_close(with_it.loss - without.loss, 2 * likeness(position))
    # Tones that are all alike cost too, but are no collapse of placements.
    toned = torch.cat((position, torch.zeros(4, 6)), 1)
    stakes = play(pairs, toned, target, tones=TONES)[1]
    torch.testing.assert_close(stakes.alike, (likeness(position) + 1) / 2)
    assert stakes.spread == without.spread > 0
    leaf = position.clone().requires_grad_()
    optimizer = torch.optim.Adam([leaf], 0.02)
    seen = []
    for _ in range(5):
        _, stakes = play(pairs, leaf.tanh(), target, diversity=10.0)
        optimizer.zero_grad()
        stakes.loss.backward()
        optimizer.step()
        seen.append(float(stakes.spread))
    assert seen == sorted(seen)
    assert seen[-1] > 1.5 * seen[0]
