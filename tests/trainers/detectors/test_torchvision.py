"""torchvision's detectors as T: built by name, and their losses while they are frozen."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.models import get_model_weights
from torchvision.models.detection.ssd import SSD
from torchvision.ops import FrozenBatchNorm2d

from trainers.detectors import TargetError, backbones, build
from trainers.detectors.backbones import HELD, WeightsError, efficientnet_lite0
from trainers.detectors.base import (
    Mode,
    TellingDetector,
    detect,
    giving_losses,
    training_loss,
    training_loss_by_object,
)
from trainers.detectors.light import LIGHT
from trainers.detectors.torchvision_models import NAMES, TorchvisionTarget, _resized
from trainers.player import frozen

SIZE = (96, 128)
ONE, TWO, FOUR = (("__background__", *"abcd"[:count]) for count in (1, 2, 4))


def target(*boxes: list[float], ignore: bool = False) -> dict[str, Tensor]:
    n = len(boxes)
    return {
        "boxes": torch.tensor(boxes).reshape(n, 4),
        "labels": torch.ones(n, dtype=torch.int64),
        "ignore": torch.full((n,), ignore),
    }


@pytest.mark.parametrize("name", [LIGHT, "ssdlite320_mobilenet_v3_large"])
def test_a_detector_by_name_gives_losses_and_detections(name: str) -> None:
    torch.manual_seed(0)
    network = build(name, TWO, "none", SIZE, "--weights")
    images = torch.rand(2, 3, *SIZE)
    loss = training_loss(network.train(), images, [target([4.0, 5, 60, 90]), target()])
    assert loss.shape == ()
    loss.backward()
    for detections in detect(network.eval(), images):
        assert detections.keys() == {"boxes", "labels", "scores"}
        x1, y1, x2, y2 = detections["boxes"].unbind(1)
        assert 0 <= x1.min() <= x2.max() <= SIZE[1]
        assert 0 <= y1.min() <= y2.max() <= SIZE[0]
        assert detections["labels"].max() < 3


@pytest.mark.parametrize("name", [LIGHT, "ssd300_vgg16"])
def test_an_ssds_objects_make_up_its_own_loss(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without negatives torchvision's loss is the mean of all matched default boxes."""
    torch.manual_seed(0)
    detector = build(name, TWO, "none", SIZE, "--weights").train()
    assert isinstance(detector, TellingDetector)
    network, counts = detector.network, []
    network.neg_to_pos_ratio = 0
    compute_loss = SSD.compute_loss

    def watched(self: SSD, targets: Any, outputs: Any, anchors: Any, matched: Any) -> Any:
        for target, match in zip(targets, matched, strict=True):
            counts.append(match[match >= 0].bincount(minlength=len(target["boxes"])))
        return compute_loss(self, targets, outputs, anchors, matched)

    images = torch.rand(3, 3, *SIZE)
    targets = [target([4.0, 5, 60, 90], [50, 20, 120, 70]), target(), target([30.0, 8, 70, 88])]
    targets[0]["ignore"] = torch.tensor([False, False])
    targets[2]["ignore"] = torch.tensor([True])
    # Norms see the same batches in both calls.
    state = {name: value.clone() for name, value in detector.state_dict().items()}
    with monkeypatch.context() as patched:
        patched.setattr(SSD, "compute_loss", watched)
        plain = training_loss(detector, images, targets)
    detector.load_state_dict(state)
    torch.manual_seed(0)
    loss, parts = training_loss_by_object(detector, images, targets)
    assert "compute_loss" not in vars(network)
    torch.testing.assert_close(loss, plain)
    assert [part.shape for part in parts] == [(2,), (0,), (0,)]
    assert not parts[0].requires_grad
    mean = (parts[0] * counts[0]).sum() / counts[0].sum()
    torch.testing.assert_close(mean, loss.detach())
    assert parts[0][0] != parts[0][1]


def test_other_detectors_do_not_tell() -> None:
    with torch.device("meta"):
        detector = build("fasterrcnn_resnet50_fpn", TWO, "none", SIZE, "--weights")
    assert not isinstance(detector, TellingDetector)


def test_every_box_detector_of_torchvision_is_to_be_had() -> None:
    """Built without memory: their names, numbers of classes and sizes are accepted."""
    assert len(NAMES) == 10
    with torch.device("meta"):
        for name in NAMES:
            network = build(name, TWO, "none", SIZE, "--weights")
            changed = _resized(network.network, name, 3)
            # Classification layers, in Faster R-CNN the boxes' too, and nothing else.
            assert changed, name
            assert all("cls" in k or "classif" in k or "box_predictor" in k for k in changed)
    with pytest.raises(TargetError, match="target.network: got 'yolo', wanted one of ssd"):
        build("yolo", TWO, "none", SIZE, "--weights")


def test_ignored_boxes_are_no_ground_truth() -> None:
    seen: list[Any] = []

    class Sums(nn.Module):
        def forward(self, images: list[Tensor], wanted: list[dict[str, Tensor]]) -> Any:
            seen.extend(wanted)
            return {"a": images[0].sum(), "b": images[1].sum()}

    network = TorchvisionTarget(Sums(), {})

    both = target([0.0, 0, 9, 9], [1.0, 1, 5, 5])
    both["ignore"][0] = True
    images = torch.ones(2, 3, 2, 2)
    assert training_loss(network, images, [both, target()]) == 24
    assert seen[0]["boxes"].tolist() == [[1, 1, 5, 5]]
    assert seen[0]["labels"].tolist() == [1]
    assert seen[1]["boxes"].shape == (0, 4)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_a_frozen_detectors_loss_reaches_the_images_alone(mode: Mode) -> None:
    torch.manual_seed(0)
    network = build(LIGHT, ONE, "default", SIZE, "--weights").train()
    images = torch.rand(2, 3, *SIZE, requires_grad=True)
    wanted = [target([4.0, 5, 60, 90]), target([20.0, 20, 40, 60])]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm)]
    used: list[tuple[bool, bool]] = []
    norms[0].register_forward_hook(
        lambda m, i, o: used.append((m.training, bool(m.track_running_stats)))
    )
    with frozen(network):
        with giving_losses(network, mode):
            training_loss(network, images, wanted).backward()
        assert not any(m.training for m in network.modules())
        assert all(m.track_running_stats for m in norms)
    assert used == [(mode == "train", mode == "eval")]
    assert images.grad is not None
    assert (images.grad.flatten(1).abs().amax(1) > 0).all()
    assert all(p.grad is None for p in network.parameters())
    after = network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert all(m.training for m in network.modules())


def test_in_eval_mode_the_loss_is_that_of_the_network_as_it_is_tested() -> None:
    """SSD's loss by its definition, from the logits that eval mode gives."""
    torch.manual_seed(0)
    network = build(LIGHT, ONE, "none", SIZE, "--weights").eval()
    heads: list[dict[str, Tensor]] = []
    network.network.head.register_forward_hook(lambda m, i, o: heads.append(o))
    images = torch.rand(1, 3, *SIZE)
    detect(network, images)
    with frozen(network), giving_losses(network, "eval"):
        training_loss(network, images, [target([10.0, 10, 60, 80])])
    for name, value in heads[0].items():
        torch.testing.assert_close(value, heads[1][name], rtol=0, atol=0)


def test_a_file_of_another_number_of_classes_fills_all_but_the_class_layers(
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    saved = build(LIGHT, FOUR, "none", SIZE, "--w").network.state_dict()
    torch.save(saved, tmp_path / "five.pth")
    for classes in (FOUR, ONE):
        network = build(LIGHT, classes, str(tmp_path / "five.pth"), SIZE, "--w")
        own = network.network.state_dict()
        equal = {k for k, v in own.items() if v.shape == saved[k].shape and v.equal(saved[k])}
        other = own.keys() - equal
        assert all("classification_head" in name for name in other)
        assert bool(other) == (classes == ONE)
    with pytest.raises(WeightsError, match=r"five.pth' does not fit SSD: \d+ tensors missing, "):
        build("ssdlite320_mobilenet_v3_large", ONE, str(tmp_path / "five.pth"), SIZE, "--w")


@pytest.mark.parametrize("name", [LIGHT, "fasterrcnn_mobilenet_v3_large_320_fpn"])
def test_with_heads_at_random_only_the_backbone_is_taken(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    saved = build(name, ONE, "none", SIZE, "--w").network.state_dict()
    for value in saved.values():
        value += 1
    torch.save(saved, tmp_path / "one.pth")
    network = build(name, ONE, str(tmp_path / "one.pth"), SIZE, "--w", "random").network
    for key, value in network.state_dict().items():
        assert torch.equal(value, saved[key]) == key.startswith("backbone.")


def test_weights_made_with_frozen_norms_freeze_them(tmp_path: Path) -> None:
    """As torchvision's Faster R-CNN file, which holds no batch counts."""
    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    plain = build(name, ONE, "none", SIZE, "--w").network.state_dict()
    frozen_state = {k: v for k, v in plain.items() if not k.endswith("num_batches_tracked")}
    torch.save(frozen_state, tmp_path / "frozen.pth")
    network = build(name, ONE, str(tmp_path / "frozen.pth"), SIZE, "--w")
    assert not any(isinstance(m, nn.BatchNorm2d) for m in network.modules())
    assert any(isinstance(m, FrozenBatchNorm2d) for m in network.modules())
    assert network.network.state_dict().keys() == frozen_state.keys()


def test_default_weights_are_those_of_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fetch(pretrained: Any, option: str) -> dict[str, Tensor]:
        asked.append(pretrained)
        raise WeightsError(option)

    monkeypatch.setattr(backbones, "_fetch", fetch)
    with pytest.raises(WeightsError, match="--target.weights"):
        build("ssd300_vgg16", ONE, "default", SIZE, "--target.weights")
    assert asked == [get_model_weights("ssd300_vgg16").DEFAULT]


def test_the_light_detector_holds_its_first_pretrained_layers() -> None:
    """They neither learn nor count statistics, and give what they gave; a file of them fits."""
    torch.manual_seed(0)
    network = build(LIGHT, ONE, "default", SIZE, "--w").train()
    first = network.network.backbone.trunk[0][:HELD]
    learns = {name for name, p in network.named_parameters() if p.requires_grad}
    assert not any(p.requires_grad for p in first.parameters())
    assert len(learns) == len(list(network.parameters())) - len(list(first.parameters()))
    assert any(name.startswith("network.backbone.trunk.0") for name in learns)
    whole = efficientnet_lite0("default", "--w", held=False).stages[0][:HELD].eval()
    images = torch.rand(2, 3, *SIZE)
    # Values reach 40, and the two normalisations round on their own.
    torch.testing.assert_close(first(images), whole(images), rtol=0, atol=1e-3)
