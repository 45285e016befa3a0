"""``model.pt``: what was trained is what is loaded, by us and by torchvision alone."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from compositor.files import DataError
from trainers.detectors import TrainableDetector, TrainedDetector, build, load, model_file
from trainers.detectors.backbones import WeightsError
from trainers.detectors.light import LIGHT
from trainers.detectors.model_file import Model
from trainers.detectors.torchvision_models import TorchvisionTarget

SIZE = (96, 128)
CLASSES = ("__background__", "cup", "mug")
NAMES = ("ssdlite320_mobilenet_v3_large", "fasterrcnn_mobilenet_v3_large_320_fpn")


def shaken(detector: nn.Module) -> nn.Module:
    """The same with statistics and weights that no network starts with."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in detector.modules():
            if isinstance(module, nn.BatchNorm2d | FrozenBatchNorm2d):
                for tensor in (module.weight, module.running_var):
                    tensor.mul_(0.5 + torch.rand(tensor.shape, generator=generator))
    return detector


def written(path: Path, name: str, weights: str = "none") -> TorchvisionTarget:
    torch.manual_seed(1)
    detector = build(name, CLASSES, weights, SIZE, "--w").eval()
    assert isinstance(shaken(detector), TorchvisionTarget)
    state, frozen = detector.weights()
    options = dict(detector.options)
    model_file.write(path, Model(name, options, CLASSES, SIZE, frozen, {"seed": 3}, state))
    return detector


def frozen_file(path: Path, name: str) -> Path:
    """Weights as torchvision trains them on COCO, with frozen norms."""
    state = shaken(build(name, CLASSES, "none", SIZE, "--w").network).state_dict()
    torch.save({k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}, path)
    return path


def same(found: list[dict[str, Tensor]], wanted: list[dict[str, Tensor]], atol: float) -> None:
    for one, other in zip(found, wanted, strict=True):
        assert len(one["boxes"]) > 0
        for key, value in other.items():
            torch.testing.assert_close(one[key], value, rtol=0, atol=atol)


@pytest.mark.parametrize("name", [LIGHT, *NAMES])
def test_what_was_written_is_loaded(tmp_path: Path, name: str) -> None:
    detector, images = written(tmp_path / "model.pt", name), torch.rand(2, 3, *SIZE)
    loaded = load(tmp_path / "model.pt")
    assert (loaded.classes, loaded.size, loaded.trained_on) == (CLASSES, SIZE, {"seed": 3})
    with torch.no_grad():
        same(loaded.predict(images), detector.predict(images), 0)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_torchvision_loads_it_in_three_lines(tmp_path: Path, name: str, frozen: bool) -> None:
    weights = str(frozen_file(tmp_path / "frozen.pth", name)) if frozen else "none"
    detector, images = written(tmp_path / "model.pt", name, weights), torch.rand(2, 3, *SIZE)

    model = torch.load(tmp_path / "model.pt", weights_only=True)
    network = torchvision.models.get_model(
        model["architecture"], weights=None, weights_backbone=None, **model["options"]
    )
    network.load_state_dict(model["state_dict"])

    assert frozen == any(isinstance(m, FrozenBatchNorm2d) for m in detector.modules())
    with torch.no_grad():
        # A frozen norm is a multiplication and an addition, whose rounding is another's.
        same(network.eval()(list(images)), detector.predict(images), 1e-3 if frozen else 0)


@pytest.mark.parametrize("frozen", [False, True])
def test_training_goes_on_from_it(tmp_path: Path, frozen: bool) -> None:
    weights = str(frozen_file(tmp_path / "frozen.pth", NAMES[1])) if frozen else "none"
    detector = written(tmp_path / "model.pt", NAMES[1], weights)
    again = build(NAMES[1], CLASSES, str(tmp_path / "model.pt"), SIZE, "--w").eval()
    kinds = [type(module) for module in again.modules()]
    assert kinds == [type(module) for module in detector.modules()]
    assert any(kind is FrozenBatchNorm2d for kind in kinds) == frozen
    images = torch.rand(2, 3, *SIZE)
    with torch.no_grad():
        same(again.predict(images), detector.predict(images), 0)
    with pytest.raises(
        WeightsError, match="model.pt is of fasterrcnn_mobile.*, wanted weights of "
    ):
        build(NAMES[0], CLASSES, str(tmp_path / "model.pt"), SIZE, "--w")


def test_norms_without_an_eps_are_written_as_ones_with_it(tmp_path: Path) -> None:
    """As those of torchvision's ResNet-50 detectors, whose weights came from Caffe2."""
    name, path = "retinanet_resnet50_fpn", tmp_path / "frozen.pth"
    state = torch.load(frozen_file(path, name), weights_only=True)
    # So little that an eps of 1e-5 would change the norm by a third.
    state["backbone.body.bn1.running_var"].fill_(1e-5)
    torch.save(state, path)
    norm = build(name, CLASSES, str(path), SIZE, "--w").network.backbone.body.bn1
    features = torch.rand(1, 64, 4, 5)
    wanted = FrozenBatchNorm2d(64, eps=0.0)
    wanted.load_state_dict({key: state[f"backbone.body.bn1.{key}"] for key in wanted.state_dict()})
    torch.testing.assert_close(norm(features), wanted(features), rtol=1e-5, atol=1e-3)


def test_pictures_of_any_size_are_stretched_and_boxes_brought_back() -> None:
    seen = []

    class Corner(TrainableDetector):
        def loss(self, images: object, targets: object) -> Tensor:
            raise AssertionError

        def predict(self, images: Sequence[Tensor] | Tensor) -> list[dict[str, Tensor]]:
            seen.extend(images)
            box = torch.tensor([[64.0, 48, 128, 96]])
            return [{"boxes": box, "labels": torch.tensor([1]), "scores": torch.ones(1)}]

    corner = Corner()
    corner.add_module("any", nn.Linear(1, 1))
    model = Model("corner", {}, CLASSES, SIZE, False, {}, {})
    picture = torch.zeros(1, 3, 48, 192)
    picture[..., 96:] = 1
    (found,) = TrainedDetector(corner, model).predict(picture)
    assert found["boxes"].tolist() == [[96, 24, 192, 48]]
    assert seen[0].shape == (3, *SIZE)
    assert seen[0][:, :, :63].max() == 0
    assert seen[0][:, :, 65:].min() == 1


@pytest.mark.parametrize("content", [b"no", b""])
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(DataError, match="model.pt: cannot be read as a model.pt"):
        load(tmp_path / "model.pt")
    torch.save({"a": torch.ones(1)}, tmp_path / "model.pt")
    with pytest.raises(
        DataError, match="model.pt: is no model.pt, wanted one that a trainer wrote"
    ):
        load(tmp_path / "model.pt")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.pt")
