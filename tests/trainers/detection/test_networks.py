"""Shapes and parameter counts, worked out by hand from the paper's model dumps."""

import urllib.error
from pathlib import Path

import pytest
import torch
from torch import nn

from trainers.detection.networks import Discriminator, Synthesizer
from trainers.detectors.backbones import WeightsError, efficientnet_lite0, load, read, vgg16


def convolution(inputs: int, outputs: int, side: int) -> int:
    return inputs * outputs * side**2 + outputs


# The dump's C2d and BN2d, in its order; a BN has two values a channel.
VGG = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256)]
VGG += [(256, 512), (512, 512), (512, 512)]
BACKBONE = sum(convolution(i, o, 3) + 2 * o for i, o in VGG)
BRANCH = (
    (convolution(512, 256, 3) + 2 * 256)
    + (convolution(256, 256, 3) + 2 * 256)
    + convolution(256, 20, 3)
)
FEATURES = (convolution(40, 64, 5) + 2 * 64) + (convolution(64, 64, 5) + 2 * 64)
REGRESSOR = (64 * 128 + 128 + 2 * 128) + (128 * 128 + 128 + 2 * 128) + (128 * 6 + 6)
SYNTHESIZER = BACKBONE + 2 * BRANCH + FEATURES + REGRESSOR
DISCRIMINATOR = sum(
    convolution(i, o, 4) for i, o in [(3, 64), (64, 128), (128, 256), (256, 512), (512, 1)]
)
START = torch.tensor([0.0, 0.0, 0.3, -0.4, 0.0, 0.9])


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_counts_are_those_of_the_dumps() -> None:
    assert (BACKBONE, SYNTHESIZER, DISCRIMINATOR) == (7_640_640, 11_467_758, 2_764_737)


def test_the_synthesizer_has_the_dumps_shapes_and_count() -> None:
    network = Synthesizer(vgg16("none", "--weights"), START, dropout=0.5)
    assert count(network.backbone) == BACKBONE
    assert count(network) == SYNTHESIZER
    shapes: dict[str, tuple[int, ...]] = {}
    for name in ("backbone", "foreground", "background", "features", "regressor"):

        def note(module: object, inputs: object, output: torch.Tensor, name: str = name) -> None:
            shapes[name] = tuple(output.shape[1:])

        network.get_submodule(name).register_forward_hook(note)
    images = torch.rand(2, 3, 300, 300)
    with torch.no_grad():
        position = network(images, images)
    assert [*shapes.values()] == [
        (512, 18, 18), (20, 12, 12), (20, 12, 12), (64,), (128,),
    ]  # fmt: skip
    torch.testing.assert_close(position, START.expand(2, 6))


def test_the_light_synthesizer_sees_both_its_inputs_and_learns_everywhere() -> None:
    torch.manual_seed(0)
    network = Synthesizer(efficientnet_lite0("none", "--weights"), START, gain=1.0)
    network.backbone.register_forward_hook(lambda m, i, o: seen.append(tuple(o.shape[1:])))
    seen: list[tuple[int, ...]] = []
    first, second = torch.rand(4, 3, 112, 112), torch.zeros(4, 3, 112, 112)
    position = network(first, second)
    assert seen == [(112, 7, 7)] * 2
    assert position.abs().max() < 1
    assert not torch.allclose(position, network(second, first))
    position.square().sum().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_the_light_backbone_is_pretrained() -> None:
    """Its weights are those of the package, and the input is scaled as they want it."""
    default, random = (efficientnet_lite0(w, "--weights", whole=True) for w in ("default", "none"))
    assert default.channels == [40, 112, 320]
    names = [name for name, value in default.state_dict().items() if value.dim() == 4]
    assert len(names) > 40
    assert not any(
        torch.equal(default.state_dict()[name], random.state_dict()[name]) for name in names
    )
    # (x - 127) / 128, as the package's weights want it.
    pixels = torch.rand(2, 3, 32, 32)
    first = default.stages[0][0]
    expected = first((pixels * 255 - 127) / 128)
    seen: list[torch.Tensor] = []
    first.register_forward_hook(lambda module, inputs, output: seen.append(output))
    assert default(pixels).shape == (2, 320, 1, 1)
    # Two orders of the same float32 sums.
    torch.testing.assert_close(seen[0], expected, atol=1e-5, rtol=1e-4)


def test_the_discriminator_has_the_dumps_count_weights_and_patches() -> None:
    torch.manual_seed(0)
    network = Discriminator()
    assert count(network) == DISCRIMINATOR
    # 300 -> 151 -> 76 -> 39 by stride 2, then 40 and 41 by stride 1, each (n + 4 - 4) / s + 1.
    assert network(torch.rand(1, 3, 300, 300)).shape == (1, 1, 41, 41)
    weight = network[8].weight
    assert isinstance(weight, torch.Tensor)
    # Two million draws: the standard error of their deviation is 1e-5.
    assert float(weight.detach().std()) == pytest.approx(0.02, abs=1e-4)


def test_a_half_precision_run_places_to_full_precision() -> None:
    network = Synthesizer(efficientnet_lite0("none", "--weights"), START, gain=1.0).eval()
    images = torch.rand(2, 3, 112, 112)
    with torch.autocast("cpu", torch.bfloat16):
        position = network(images, images)
    assert position.dtype == torch.float32
    assert not torch.equal(position, position.bfloat16().float())


class Unreachable:
    url = "https://example.org/weights.pth"

    def get_state_dict(self, **options: object) -> dict[str, torch.Tensor]:
        raise urllib.error.URLError("no route")


def test_weights_that_cannot_be_had_are_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(
        WeightsError, match=r"--t.w: could not fetch .*weights.pth .*--t.w FILE.*--t.w none"
    ):
        read("default", "--t.w", pretrained=Unreachable())
    with pytest.raises(WeightsError, match="wanted 'default', 'none' or a file that exists"):
        read(str(tmp_path / "absent.pth"), "--t.w")
    file = tmp_path / "weights.pth"
    file.write_bytes(b"PK damaged")
    with pytest.raises(WeightsError, match="weights.pth cannot be read as PyTorch weights"):
        read(str(file), "--t.w")
    network = nn.Linear(2, 3)
    for content, message in (
        ([1], "is not a state dict"),
        ({"weight": torch.zeros(3, 2)}, "does not fit Linear: 1 tensors missing, bias first"),
        (
            {"weight": torch.zeros(3, 2), "bias": torch.zeros(4)},
            r"1 tensors of another shape, bias \(4,\) for \(3,\)",
        ),
    ):
        torch.save(content, file)
        with pytest.raises(WeightsError, match=message):
            load(network, read(str(file), "--t.w").state, "--t.w", "FILE")


def test_a_file_fills_the_network_but_for_its_class_layers(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 3).state_dict(), tmp_path / "w.pth")
    network = nn.Linear(2, 4)
    before = network.weight.detach().clone()
    state = read(str(tmp_path / "w.pth"), "--w").state
    load(network, state, "--w", "w.pth", resized={"weight", "bias"})
    assert torch.equal(network.weight, before)
    same = nn.Linear(2, 3)
    load(same, state, "--w", "w.pth")
    assert torch.equal(same.weight, state["weight"])
