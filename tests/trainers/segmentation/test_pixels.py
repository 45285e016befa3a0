"""Classes of pixels: read, composed, learnt and measured."""

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from detection.tiny_scenes import SIZE, Objects, Pictures
from PIL import Image
from torch import Tensor, nn

from compositor.data.records import Photograph, Skip
from compositor.files import DataError
from compositor.scenes.placement import Visibility
from tests.data import tiny_data
from trainers.detection.augmentation import mirror
from trainers.detection.composites import Stage, composite, moving_classes
from trainers.detection.scenes import Paste
from trainers.detection.synthesis import rendered
from trainers.detection.tones import PLAIN
from trainers.detectors.base import training_loss
from trainers.segmentation.iou import confusion, ious
from trainers.segmentation.networks import Segmenter
from trainers.segmentation.pictures import NAMES, VOID, SegmentedScenes, photographs, prepare
from trainers.segmentation.task import Segmentation

PERSON, DOG = NAMES.index("person") + 1, NAMES.index("dog") + 1


def palette(path: Path, numbers: np.ndarray) -> None:
    image = Image.fromarray(numbers.astype(np.uint8), "P")
    image.putpalette([v for i in range(256) for v in (i, 255 - i, i * 7 % 256)])
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def segmented(folder: Path) -> None:
    """A dog and a person; no mask; a mask of another size; numbers that are no class."""
    root = folder / "VOC2012"
    boxes = [("person", (20.0, 10.0, 60.0, 80.0), 0), ("dog", (70.0, 20.0, 100.0, 50.0), 0)]
    for n in range(4):
        tiny_data.voc_image(root, f"{n}", boxes)
    numbers = np.zeros((90, 120), np.uint8)
    numbers[10:80, 20:60], numbers[20:50, 70:100] = PERSON, DOG
    numbers[10:80, 60:62] = 255
    palette(root / "SegmentationClass" / "0.png", numbers)
    palette(root / "SegmentationClass" / "2.png", numbers[:50])
    palette(root / "SegmentationClass" / "3.png", np.full((90, 120), 21))
    tiny_data.voc_sets(root, Segmentation_val=[f"{n}" for n in range(4)])


def test_classes_are_read_and_what_cannot_be_is_left_out(tmp_path: Path) -> None:
    segmented(tmp_path)
    found = tiny_data.items(photographs(tmp_path, [("2012", "val")], ["dog"]))
    assert [type(one) for one in found[1:3]] == [Skip, Skip]
    assert [one.reason for one in found[1:3]] == [
        "missing .png file",
        "image and mask differ in size",
    ]
    first, last = found[0], found[3]
    assert isinstance(first, Photograph)
    wanted = np.zeros((90, 120), np.uint8)
    wanted[20:50, 70:100], wanted[10:80, 60:62] = 1, VOID  # a person is background
    assert np.array_equal(first.classes, wanted)
    assert (last.classes == VOID).all()
    kept = prepare(photographs(tmp_path, [("2012", "val")], ["dog"]), tmp_path / "cache", (45, 60))
    assert np.array_equal(kept.classes_of(0), wanted[1::2, 1::2])
    assert kept.image(0).shape == (3, 45, 60)
    with pytest.raises(DataError, match="has class 'zebra', wanted VOC's"):
        photographs(tmp_path, [("2012", "val")], ["dog", "zebra"])


def test_iou_by_hand() -> None:
    truth = torch.tensor([[0, 0, 1, 1], [0, 2, 2, VOID]], dtype=torch.uint8)
    told = torch.tensor([[0, 1, 1, 1], [0, 0, 2, 2]], dtype=torch.uint8)
    # Of 0 two right, one told as 1, and a 2 told as 0; of 1 one too many; of 2 one of two.
    assert ious(confusion(told, truth, 4)) == [2 / 4, 2 / 3, 1 / 2, None]


def test_iou_is_that_of_sets_of_pixels() -> None:
    random = np.random.default_rng(0)
    truth, told = random.choice([0, 1, 2, VOID], (5, 9, 7)), random.choice([0, 1, 2], (5, 9, 7))
    pixels = sum(
        confusion(torch.tensor(a).byte(), torch.tensor(b).byte(), 3)
        for a, b in zip(told, truth, strict=True)
    )
    places = [p for p in np.ndindex(truth.shape) if truth[p] != VOID]
    for label, iou in enumerate(ious(pixels)):
        one, other = ({p for p in places if of[p] == label} for of in (told, truth))
        assert iou == len(one & other) / len(one | other)


class Told(nn.Module):
    """T that says what it is told to."""

    def __init__(self, classes: Tensor) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, images: Any) -> list[dict[str, Tensor]]:
        return [{"classes": one} for one in self.classes[: len(images)]]


def test_the_iou_of_a_pasted_object_is_its_own() -> None:
    """Another object of its class does not count, nor does void; the background does."""
    told = torch.tensor([[[1, 1, 0, 1, 1, 1, 0, 1, 0]]], dtype=torch.uint8)
    owner = torch.tensor([[[1, 1, 1, -1, -1, -1, -1, 0, -1]]])
    under = torch.tensor([[1, 0, 0, 0, 1, VOID, 1, 0, 0]], dtype=torch.uint8)

    class Scene(SegmentedScenes):
        def __init__(self) -> None:
            self.cutouts = Objects()  # of classes 1, 2, 1, 2

        def classes_of(self, index: int) -> Tensor:
            return under

    one = torch.ones(1, dtype=torch.int64)
    found: Any = SimpleNamespace(
        background=one,
        composites=torch.zeros(1, 3, 1, 9),
        owner=owner,
        labels=one,
        recipes=SimpleNamespace(foreground=torch.tensor([[2, 0]])),
    )
    answers = Segmentation().ask(Told(told), Scene(), found)
    # Two of three pixels, and one of the background's.
    assert answers["object"].tolist() == pytest.approx([2 / 4])


class Colours(nn.Module):
    """Logits that are the image's first two channels."""

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"out": 4 * images[:, :2]}


def target(classes: list[int], **others: list[float]) -> dict[str, Tensor]:
    known = {"boxes": torch.zeros(1, 4), "labels": torch.ones(1, dtype=torch.int64)}
    known |= {"ignore": torch.tensor([False])}
    known["classes"] = torch.tensor([classes], dtype=torch.uint8)
    return known | {name: torch.tensor([values]) for name, values in others.items()}


def test_the_loss_by_hand() -> None:
    """Void does not count unless covered; and what a move is worth."""
    a, b, c, d, e = 0.25, -0.5, 1.0, 0.75, 0.5
    images = torch.tensor([[[[a, b, c, d, e]], [[0.0] * 5], [[0.0] * 5]]])
    truth = target([0, 1, 1, VOID, 0])
    network = Segmenter(Colours(), {})
    zero = [-math.log(1 / (1 + math.exp(-4 * x))) for x in (a, b, c, d, e)]
    one = [-math.log(1 / (1 + math.exp(4 * x))) for x in (a, b, c, d, e)]
    mean = (zero[0] + one[1] + one[2] + zero[4]) / 4
    assert training_loss(network, images, [truth]).item() == pytest.approx(mean)
    # The pasted object, of class 1, is at b and c; under c is void.
    under, moved = torch.tensor([[0, 0, VOID, VOID, 0]]), torch.zeros(1, 5, requires_grad=True)
    loss = training_loss(network, images, [truth | {"under": under, "moved": moved}])
    assert loss.item() == pytest.approx(mean)
    loss.backward()
    assert moved.grad is not None
    # By a little more of it the sum changes, and over void the number of pixels, too.
    wanted = [one[n] - zero[n] for n in range(5)]
    wanted[2:4] = [one[2] - mean, one[3] - mean]
    assert moved.grad[0].tolist() == pytest.approx([w / 4 for w in wanted])


def test_what_a_move_is_worth_is_what_the_loss_of_the_moved_composite_says() -> None:
    """Composites are made anew, truth and all, at both ends of a move; in between are gradients."""
    ground = Pictures([[]] * 4)
    shades = torch.linspace(40, 250, SIZE[1]).round().to(torch.uint8)
    ground.pixels[:, 0], ground.pixels[:, 1] = shades, shades.flip(0)
    made = SegmentedScenes(ground, ground, Objects(), 0.0)
    batch = made.load(made.draw(4, torch.Generator().manual_seed(0)))
    batch.cutouts[:, :, :2] = torch.tensor([0, 255], dtype=torch.uint8)[:, None, None]
    batch = replace(batch, labels=torch.ones_like(batch.labels))
    steps = 61  # at many places between pixels

    def worth(pixels: float, moves: bool = True) -> tuple[float, float]:
        """The loss, and its gradient in a move along x."""
        shift = torch.tensor(2 * pixels / SIZE[1], requires_grad=True)
        theta = torch.eye(2, 3).repeat(4, 1, 1)
        theta = torch.cat((theta[..., :2], theta[..., 2:] - shift * theta[..., :1]), 2)
        grounds = batch.backgrounds.float() / 255
        paste = Paste(theta, PLAIN.expand_as(theta))
        composites = composite(batch, grounds, paste, Visibility())
        truth = composites.targets
        if moves:
            truth = moving_classes(Stage(batch, grounds, grounds, batch.targets), theta, truth)
        network = Segmenter(Colours(), {})
        loss = training_loss(network, composites.images, truth)
        loss.backward()
        assert shift.grad is not None
        return loss.item(), shift.grad.item() * 2 / SIZE[1]

    gained = worth(4)[0] - worth(-4)[0]
    places = [-4 + 8 * (step + 0.5) / steps for step in range(steps)]
    by_gradient = 8 * sum(worth(place)[1] for place in places) / steps
    # The op's gradient lies half a pixel beside its edge: see "straight_through" in blend.
    assert by_gradient == pytest.approx(gained, rel=0.3)
    still = 8 * sum(worth(place, moves=False)[1] for place in places) / steps
    assert still < gained / 2


def test_what_is_known_of_pixels_is_mirrored_with_them() -> None:
    one = target([0, 1, 2, VOID], under=[0.0, 0.0, 0.0, 1.0])
    images = torch.arange(4.0).expand(2, 3, 1, 4)
    seen, truths = mirror(images, [one, one], torch.tensor([True, False]))
    assert seen[0, 0, 0].tolist() == [3, 2, 1, 0]
    assert truths[0]["classes"].tolist() == [[VOID, 2, 1, 0]]
    assert truths[0]["under"].tolist() == [[1, 0, 0, 0]]
    assert truths[1]["classes"].tolist() == [[0, 1, 2, VOID]]


def test_pixels_are_of_the_object_that_they_show() -> None:
    """The second object hides a part of the first, which hides a part of a third class's."""
    ground = Pictures([[]])
    made = SegmentedScenes(ground, ground, Objects(), 0.0, layers=2)
    recipes = replace(made.draw(1), foreground=torch.tensor([[2, 1]]))
    theta = torch.eye(2, 3).repeat(1, 2, 1, 1)
    theta[0, 1, 1, 2] = 0.4  # upwards
    batch = made.load(replace(recipes, theta=theta))
    (picture,) = batch.targets
    picture["classes"][:, : SIZE[1] // 2] = VOID
    (truth,) = rendered(batch, Visibility(fraction=0.1, truncation=1)).targets
    first, second = (layer[3] > 0 for layer in batch.cutouts[0])
    moved = torch.zeros_like(second)
    rows = round(0.4 * SIZE[0] / 2)
    moved[:-rows] = second[rows:]
    wanted = picture["classes"].clone()
    wanted[first] = 1  # person
    wanted[moved] = 2  # dog
    inside = torch.ones_like(first)  # an edge is blurred, and a move is no whole number of pixels
    for shape in (first, moved):
        grown = torch.nn.functional.max_pool2d(shape[None].float(), 5, 1, 2)[0] > 0
        shrunk = torch.nn.functional.max_pool2d((~shape)[None].float(), 5, 1, 2)[0] > 0
        inside &= ~(grown & shrunk)
    assert torch.equal(truth["classes"][inside], wanted[inside])
    assert len(wanted[inside].unique()) == 4
