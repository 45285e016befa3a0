"""A T of one's own, by the name of a function."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.trainers.detectors import own
from trainers.detectors import TargetError, TellingDetector, build, load, model_file
from trainers.detectors.backbones import WeightsError
from trainers.detectors.base import training_loss, training_loss_by_object
from trainers.detectors.model_file import Model

SIZE, CLASSES = (64, 96), ("__background__", "cup", "mug")
NAME = "tests.trainers.detectors.own:detector"


def test_it_is_called_with_classes_size_and_weights(tmp_path: Path) -> None:
    found = build(NAME, CLASSES, "anything/at all", SIZE, "--w")
    assert isinstance(found, own.Corner)
    assert found.given == (CLASSES, SIZE, "anything/at all")
    by_path = build(f"{own.__file__}:detector", CLASSES, "none", SIZE, "--w")
    assert type(by_path).__name__ == "Corner"


def test_what_was_written_is_loaded(tmp_path: Path) -> None:
    found, path, images = (
        build(NAME, CLASSES, "a", SIZE, "--w"),
        tmp_path / "model.pt",
        torch.rand(2, 3, *SIZE),
    )
    assert isinstance(found, own.Corner)
    with torch.no_grad():
        found.corner.copy_(torch.tensor([8.0, 9, 33, 44]))
    state, frozen_norms = found.weights()
    model_file.write(path, Model(NAME, dict(found.options), CLASSES, SIZE, frozen_norms, {}, state))
    loaded = load(path)
    assert isinstance(loaded.network, own.Corner) and loaded.network.given[2] == "none"
    same: list[dict[str, Tensor]] = loaded.predict(images)
    assert [one["boxes"].tolist() for one in same] == [[[8, 9, 33, 44]]] * 2
    with pytest.raises(WeightsError, match=r"model.pt is of .*own:detector, wanted weights of"):
        build("tests.trainers.detectors.own:other", CLASSES, str(path), SIZE, "--w")


def test_methods_are_enough(tmp_path: Path) -> None:
    """It may derive from nothing but a module, and tell of each object; its weights are its own."""
    name = "tests.trainers.detectors.own:plain"
    found = build(name, CLASSES, "none", SIZE, "--w")
    assert isinstance(found, TellingDetector)
    boxes = torch.tensor([[0.0, 0, 32, 52], [0, 0, 32, 62]])
    targets = [{"boxes": boxes, "labels": torch.ones(2), "ignore": torch.tensor([True, False])}]
    images = torch.rand(1, 3, *SIZE)
    loss, (each,) = training_loss_by_object(found, images, targets)
    assert float(loss.detach()) == pytest.approx(0.3)
    assert torch.equal(loss, training_loss(found, images, targets))
    assert each.tolist() == pytest.approx([0.3])
    loss.backward()
    state, frozen_norms = found.weights()
    assert list(state) == ["corner"]
    state["corner"] = torch.tensor([8.0, 9, 33, 44])
    path = tmp_path / "model.pt"
    model_file.write(path, Model(name, {}, CLASSES, SIZE, frozen_norms, {}, state))
    assert load(path).predict(images)[0]["boxes"].tolist() == [[8, 9, 33, 44]]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("no.such:thing", "no.such:thing: cannot be imported (No module named 'no')"),
        ("own.py:it", "own.py:it: cannot be imported (no such file)"),
        ("math:pi", "math:pi: got float of that name in math, wanted a callable"),
        (
            f"{own.__name__}:number",
            "number returned int, wanted a torch.nn.Module with methods loss and predict",
        ),
        (
            f"{own.__name__}:half",
            "half returned Linear, wanted a TrainableDetector: it has no predict",
        ),
        (f"{own.__name__}:failing", "failing: not today"),
        ("builtins:len", "builtins:len: len() takes no keyword arguments"),
    ],
)
def test_what_is_none_is_refused_in_a_line(name: str, line: str) -> None:
    with pytest.raises(TargetError) as caught:
        build(name, CLASSES, "none", SIZE, "--w")
    assert str(caught.value).startswith("target.network: ") and str(caught.value).endswith(line)


def test_its_heads_are_its_own() -> None:
    with pytest.raises(TargetError, match="target.heads: got 'random', wanted 'kept', as tests"):
        build(NAME, CLASSES, "none", SIZE, "--w", "random")
