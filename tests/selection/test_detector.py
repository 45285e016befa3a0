"""Detectors: what is loaded predicts as the model itself does, and what is wrong gets one line."""

import sys
from urllib.error import URLError

import pytest
import torch
from torchvision.models import detection

from compositor.selection.adapters.torchvision_models import TorchvisionDetector
from compositor.selection.detector import detect, labels_by_name, load

IMAGES = torch.rand(2, 3, 64, 80, generator=torch.Generator().manual_seed(1))
SSD = "ssdlite320_mobilenet_v3_large"


def ssd(classes):
    torch.manual_seed(0)
    network = detection.ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=classes
    )
    return network.eval()


class Fixed:
    """A detector of one's own that says what it is given."""

    def __init__(self, found, classes=None):
        self.found, self.classes = found, classes

    def predict(self, images):
        return self.found


def one_line(function, *arguments):
    """What the error that ``function`` has to raise says."""
    with pytest.raises(ValueError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def agree(found, expected):
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert set(ours) == {"boxes", "labels", "scores"} and len(theirs["scores"])
        for name, value in ours.items():
            assert torch.equal(value, theirs[name]), name


@pytest.mark.parametrize("classes", [2, 91])
def test_torchvision_with_a_file(tmp_path, classes):
    network = ssd(classes)
    torch.save(network.state_dict(), tmp_path / "ssd.pt")
    detector = load(f"torchvision:{SSD}", tmp_path / "ssd.pt")
    with torch.no_grad():
        agree(detect(detector, IMAGES), network(list(IMAGES)))
    # Only as many classes as torchvision's own have their names.
    names = detection.SSDLite320_MobileNet_V3_Large_Weights.DEFAULT.meta["categories"]
    assert detector.classes == (names if classes == 91 else None)


@pytest.mark.parametrize(
    "name", ["fasterrcnn_mobilenet_v3_large_320_fpn", "retinanet_resnet50_fpn"]
)
def test_number_of_classes_is_found_in_any_head(tmp_path, name):
    options = {"weights": None, "weights_backbone": None, "num_classes": 3}
    torch.save(getattr(detection, name)(**options).state_dict(), tmp_path / "weights.pt")
    network = load(f"torchvision:{name}", tmp_path / "weights.pt").network
    saved = torch.load(tmp_path / "weights.pt")
    assert all(torch.equal(saved[key], value) for key, value in network.state_dict().items())


def test_torchvisions_own_weights(monkeypatch):
    """By name and by default; the download stands for itself."""
    asked = []

    def state(self, *_, **__):
        asked.append(self.name)
        return ssd(91).state_dict()

    monkeypatch.setattr("torchvision.models._api.WeightsEnum.get_state_dict", state)
    for weights in (None, "COCO_V1"):
        detector = load(f"torchvision:{SSD}", weights)
        assert detector.classes[:2] == ["__background__", "person"]
        assert len(detect(detector, IMAGES)[1]["scores"])
    assert asked == ["COCO_V1", "COCO_V1"]


def test_no_network(monkeypatch):
    def fail(*_, **__):
        raise URLError("Name or service not known\nand more")

    monkeypatch.setattr("torchvision.models._api.WeightsEnum.get_state_dict", fail)
    line = one_line(load, f"torchvision:{SSD}")
    assert "could not be downloaded (<urlopen error Name or service not known)" in line
    assert line.endswith("give a file as weights")


def test_broken_weights(tmp_path):
    path, spec = tmp_path / "weights.pt", f"torchvision:{SSD}"
    state = ssd(2).state_dict()
    assert "wanted a file with a state_dict, or one of COCO_V1" in one_line(load, spec, path)
    # Without torch.load's advice to trust the file and run what is in it.
    wanted = f"{path}: cannot be read as a state_dict (not a file of tensors and plain values)"
    path.write_bytes(b"no weights")
    assert wanted in one_line(load, spec, path)
    torch.save(torch.nn.Linear(1, 1), path)  # a whole model: code, which is not run
    assert wanted in one_line(load, spec, path)
    torch.save([1, 2], path)
    assert f"{path}: got list, wanted a state_dict" in one_line(load, spec, path)
    torch.save({"model": {}}, path)
    assert f"{path}: got dict, wanted a state_dict" in one_line(load, spec, path)
    torch.save(state, path)
    path.write_bytes(path.read_bytes()[:-5000])
    assert f"{path}: cannot be read as a state_dict (" in one_line(load, spec, path)
    key = next(iter(state))
    torch.save({name: value for name, value in state.items() if name != key}, path)
    assert f"1 tensors missing, {key} first" in one_line(load, spec, path)
    torch.save({**state, key: state[key][:1], "more": state[key]}, path)
    line = one_line(load, spec, path)
    shapes = f"{(1, *state[key].shape[1:])} for {tuple(state[key].shape)}"
    wanted = f"1 tensors unknown, more first; 1 tensors of another shape, {key} {shapes} first"
    assert wanted in line


@pytest.mark.parametrize("spec", ["", "torchvision", "torchvision:", ":load", "yolo.pt"])
def test_what_is_no_detector(spec):
    line = one_line(load, spec)
    assert line == (
        f"detector: got {spec!r}, wanted torchvision:NAME, hf:FOLDER, onnx:FILE or module:factory"
    )


def test_no_such_name_or_device():
    line = one_line(load, "torchvision:resnet50")
    assert line.startswith("torchvision: got 'resnet50', wanted one of fasterrcnn")
    for device in ("gpu", "cuda:99", 1.5):
        assert one_line(load, f"torchvision:{SSD}", None, device).startswith(
            f"device: got '{device}', wanted one that PyTorch has here"
        )


FACTORIES = """
class Detector:
    classes = ["background", "mug"]
    def __init__(self, weights=None):
        self.weights = weights
    def predict(self, images):
        return []
def load(weights, device):
    found = Detector(weights)
    found.device = device
    return found
def plain():
    return Detector()
def itself():
    return Detector
def nothing():
    pass
def fails():
    raise RuntimeError("first line\\nsecond line")
number = 3
"""


@pytest.mark.parametrize("by", ["name", "path"])
def test_factory(tmp_path, monkeypatch, by):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    module = f"factories_by_{by}"
    (tmp_path / f"{module}.py").write_text(FACTORIES)
    if by == "path":
        module = f"{tmp_path}/{module}.py"
    found = load(f"{module}:load", "file")
    assert (found.weights, found.device) == ("file", torch.device("cpu"))
    assert labels_by_name(found, ("", "mug")) == [0, 1]
    assert load(f"{module}:plain").weights is None
    assert load(f"{module}:Detector", "file").weights == "file"
    wanted = "wanted a Detector: an object with a method predict(images)"
    assert one_line(load, f"{module}:nothing") == f"{module}:nothing: returned NoneType, {wanted}"
    assert wanted in one_line(load, f"{module}:itself")
    assert one_line(load, f"{module}:fails") == f"{module}:fails: first line"
    assert "got nothing of that name" in one_line(load, f"{module}:none")
    assert "got int of that name" in one_line(load, f"{module}:number")
    line = one_line(load, f"{module}:plain", "file")
    assert line == f"weights: got file, which {module}:plain does not take"


def test_no_such_module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken_factory.py").write_text("import not_there_at_all")
    line = "cannot be imported (No module named"
    assert line in one_line(load, "no_such_module:load")
    assert line in one_line(load, "broken_factory:load")
    assert line in one_line(load, "broken_factory.py:load")
    assert one_line(load, "none.py:load") == "none.py:load: cannot be imported (no such file)"


def test_labels_go_by_name():
    names = ["N/A", "Person", "wine glass", "N/A", "dog"]
    detector = Fixed([], names)
    assert labels_by_name(detector, ("background", "dog", "wine_glass", "person")) == [0, 4, 2, 1]
    line = one_line(labels_by_name, detector, ("background", "mug"))
    assert line.startswith("detector: the data set's class 'mug' is not among its classes, which")
    assert "'N/A', 'Person', 'wine glass'" in line
    assert "'n/a' is twice or more among" in one_line(labels_by_name, detector, ("", "n/a"))
    for nameless in (Fixed([]), object()):
        assert labels_by_name(nameless, ("background", "mug", "cup")) == [0, 1, 2]
    for wrong in ("person", {0: "person"}, [1, 2]):
        line = one_line(labels_by_name, Fixed([], wrong), ("", "person"))
        assert line.endswith(
            f"got classes of type {type(wrong).__name__}, wanted a sequence of names"
        )


def test_what_a_detector_returns_is_checked():
    good = {
        "boxes": torch.tensor([[0.0, 0, 8, 8]]),
        "labels": torch.tensor([1]),
        "scores": torch.tensor([0.5]),
    }
    nothing = {
        "boxes": torch.zeros(0, 4),
        "labels": torch.zeros(0, dtype=torch.int64),
        "scores": torch.zeros(0),
    }
    assert detect(Fixed([good | {"masks": 0}, nothing]), IMAGES) == [good, nothing]
    for wrong, line in (
        (None, "got NoneType, wanted a list of 2"),
        ([good], "got 1 of them, wanted a list of 2, one per image"),
        ([good, good["boxes"]], "got Tensor for an image, wanted boxes"),
        ([good, {"boxes": good["boxes"]}], "got nothing as labels, wanted a tensor"),
        ([good, good | {"scores": [0.5]}], "got list as scores, wanted a tensor"),
        ([good, good | {"boxes": torch.zeros(1, 5)}], "got shapes (1, 5), (1,), (1,), labels of"),
        ([good, good | {"scores": torch.zeros(2)}], "got shapes (1, 4), (1,), (2,), labels of"),
        ([good, good | {"scores": torch.tensor(0.5)}], "got shapes (1, 4), (1,), (), labels"),
        ([good, good | {"labels": torch.ones(1)}], "labels of torch.float32, wanted"),
        ([good, good | {"scores": torch.tensor([torch.nan])}], "scores outside [0, 1]"),
        ([good, good | {"scores": torch.tensor([1.5])}], "scores outside [0, 1]"),
        ([good, good | {"scores": torch.tensor([-0.1])}], "scores outside [0, 1]"),
        ([good, good | {"boxes": torch.full((1, 4), torch.inf)}], "boxes that are not finite"),
    ):
        assert line in one_line(detect, Fixed(wrong), IMAGES)


def test_images_are_checked():
    detector = Fixed([])
    for images in (IMAGES * 255).byte(), IMAGES.double(), IMAGES.numpy():
        with pytest.raises(TypeError, match="^images: got .*, wanted a float32 tensor in"):
            detect(detector, images)
    for images in IMAGES[0], IMAGES[:, :1], IMAGES.permute(0, 2, 3, 1):
        line = one_line(detect, detector, images)
        assert line.endswith(f"shape {tuple(images.shape)}, wanted (N, 3, height, width)")


def test_any_network_as_torchvisions():
    class Network(torch.nn.Module):
        def forward(self, images):
            assert not self.training and not torch.is_grad_enabled()
            size = torch.tensor([images[0].shape[-1], images[0].shape[-2]]).float()
            box = torch.cat((torch.zeros(2), size))[None]
            one = {"boxes": box, "labels": torch.ones(1).long(), "scores": torch.ones(1)}
            return [one | {"masks": None} for _ in images]

    found = detect(TorchvisionDetector(Network(), ("", "mug")), IMAGES)
    assert [one["boxes"].tolist() for one in found] == [[[0, 0, 80, 64]]] * 2
