"""Context-DA: what its network is shown, what it learns, and where objects go by it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import box_iou

import compositor
from compositor.files import DataError
from compositor.scenes.random_placement import PlacementRules
from detection.test_loop import config, data
from detection.tiny_scenes import CLASSES, SIZE, Pictures, scenes
from trainers.detection.composites import Stage
from trainers.detection.config import ContextConfig
from trainers.detection.context import (
    EMPTY,
    GREY,
    SIDE,
    ContextNetwork,
    Contexts,
    context_loss,
    neighbourhoods,
    object_sides,
    place_in_context,
    random_boxes,
)
from trainers.detection.run import DetectionRun
from trainers.detection.scenes import Batch
from trainers.detectors.backbones import BACKBONES


def test_a_neighbourhood_by_hand() -> None:
    """28 x 14 pixels in a square of 56, of which each is 2 x 2 in the neighbourhood."""
    image = torch.rand(2, 3, 112, 128)
    (found,) = neighbourhoods(image, torch.tensor([[20.0, 21, 48, 35]]), torch.tensor([1]))
    # The square begins at (6, 0), the box at (14, 21) in it.
    assert (found[:, 42:70, 28:84] == GREY).all()
    around = torch.ones(SIDE, SIDE, dtype=torch.bool)
    around[42:70, 28:84] = False
    assert (found[:, around] != GREY).float().mean() > 0.99
    mean = found.unfold(1, 2, 2).unfold(2, 2, 2).mean((3, 4))
    wanted = image[1, :, 0:56, 6:62]
    clear = torch.ones(56, 56, dtype=torch.bool)
    clear[21:35, 14:42] = False
    # Bilinear samples a quarter of a pixel from its centre: three quarters of it, twice.
    weights = torch.tensor([[1.0, 6, 1], [6, 36, 6], [1, 6, 1]]) / 64
    blurred = nn.functional.conv2d(wanted[:, None], weights[None, None])[:, 0]
    inner = clear[1:-1, 1:-1]
    torch.testing.assert_close(mean[:, 1:-1, 1:-1][:, inner], blurred[:, inner])


def test_beyond_the_picture_is_black() -> None:
    white = torch.ones(1, 3, 112, 128)
    (found,) = neighbourhoods(white, torch.tensor([[0.0, 0, 40, 40]]), torch.tensor([0]))
    # 20 of 80 pixels lie beyond the edge: 28 of the neighbourhood's 112.
    assert (found[:, :26] == 0).all()
    assert (found[:, :, :26] == 0).all()
    # The weights of a bilinear sample add up to 1 but for rounding.
    assert (found[:, 85:, 30:] - 1).abs().max() < 1e-6


def real() -> Pictures:
    """Objects of two sizes, one of them to ignore, and a picture without any."""
    pictures = Pictures([[[10.0, 10, 40, 60], [70, 20, 120, 100]], [], [[30.0, 40, 60, 90]]])
    pictures.targets[0]["ignore"][1] = True
    pictures.targets[2]["labels"][:] = 2
    return pictures


def test_batches_have_an_object_and_clear_boxes_of_each_picture() -> None:
    pictures = real()
    assert object_sides(pictures).tolist() == [[30, 50], [30, 50]]
    contexts = Contexts(pictures, seed=0, steps=40, batch=4)
    assert len(contexts) == 40
    seen = set()
    for number in range(40):
        images, boxes, of, labels = contexts[number]
        assert images.shape == (4, 3, *SIZE)
        for place in range(4):
            (index,) = [k for k in range(3) if torch.equal(pictures.image(k), images[place])]
            seen.add(index)
            own = boxes[of == place]
            label = labels[of == place]
            target = pictures.targets[index]
            assert label[0] == target["labels"][0]
            assert torch.equal(own[0], target["boxes"][0])
            assert len(own) <= 1 + EMPTY
            assert (label[1:] == 0).all()
            # Clear of what is to be ignored, too.
            assert (box_iou(own[1:], target["boxes"]) < 0.3).all()
            assert torch.allclose(own[1:, 2:] - own[1:, :2], torch.tensor([30.0, 50]))
    assert seen == {0, 2}
    assert all(torch.equal(a, b) for a, b in zip(contexts[3], contexts[3], strict=True))
    images, boxes, of, labels = contexts[3]
    mine = Contexts(pictures, 0, 40, 4, process=(1, 2))[3]
    assert torch.equal(mine[0], images[1::2])
    second = (of == 1) | (of == 3)
    assert torch.equal(mine[1], boxes[second])
    assert torch.equal(mine[2], of[second] // 2)
    assert torch.equal(mine[3], labels[second])


def test_without_any_object_there_is_nothing_to_learn() -> None:
    pictures = Pictures([[], [[1.0, 2, 30, 40]]])
    pictures.targets[1]["ignore"][:] = True
    with pytest.raises(DataError, match="ways: got context, but no object of noise is known"):
        Contexts(pictures, 0, 1, 1)


def test_boxes_lie_on_the_canvas() -> None:
    sides = torch.tensor([[30.0, 50], [500, 20], [500, 500]]).repeat(200, 1)
    boxes = random_boxes(sides, SIZE)
    assert boxes.amin() >= 0
    assert boxes[:, 2].amax() <= SIZE[1]
    assert boxes[:, 3].amax() <= SIZE[0]
    # Shrunk as a whole: 500 x 20 to the canvas's width, 500 x 500 to its height.
    shrunk = torch.tensor([[SIZE[1], 20 * SIZE[1] / 500], [SIZE[0], SIZE[0]]]).repeat(200, 1)
    found = (boxes[:, 2:] - boxes[:, :2]).view(200, 3, 2)[:, 1:].flatten(0, 1)
    torch.testing.assert_close(found, shrunk)
    # Uniform: a mean of 49 and a standard deviation of 28 among 200.
    assert abs(float(boxes[::3, 0].mean()) - 49) < 4 * 28 / 200**0.5


def test_its_loss_is_the_cross_entropy_of_what_is_around() -> None:
    torch.manual_seed(0)
    backbone = BACKBONES["efficientnet_lite0"]("none", "--weights")
    network = ContextNetwork(backbone, len(CLASSES)).eval()
    batch = Contexts(real(), 0, 1, 2)[0]
    shown = neighbourhoods(batch[0].float() / 255, *batch[1:3])
    logits = network(shown)
    assert logits.shape == (len(batch[3]), 3)
    chosen = logits.log_softmax(1)[torch.arange(len(logits)), batch[3]]
    torch.testing.assert_close(context_loss(network, *batch), -chosen.mean())


class Bright(nn.Module):
    """Sure of a class where a third of the surroundings is bright."""

    def __init__(self, label: int) -> None:
        super().__init__()
        self.label = label

    def forward(self, shown: Tensor) -> Tensor:
        logits = torch.zeros(len(shown), len(CLASSES))
        logits[:, self.label] = 20 * (shown.mean((1, 2, 3)) - 0.3)
        return logits


def drawn(existing: list[list[float]] | None = None) -> Batch:
    made = scenes(existing=existing)
    return made.load(replace(made.draw(4), foreground=torch.arange(4)[:, None]))


def places(
    network: nn.Module, batch: Batch | None = None, side: float | None = None, **changes: Any
) -> tuple[Tensor, Tensor]:
    batch = batch or drawn()
    sides = object_sides(scenes().real) if side is None else torch.full((1, 2), side)
    backgrounds = torch.zeros(4, 3, *SIZE)
    backgrounds[:, :, :, SIZE[1] // 2 :] = 1
    settings = replace(ContextConfig(candidates=60, least=0.5), **changes)
    (theta, _), fits = place_in_context(
        network,
        Stage(batch, backgrounds, backgrounds, batch.targets),
        sides,
        settings,
        PlacementRules(0.25),
    )
    alpha = compositor.blend(batch.colours(), batch.masks(), backgrounds, theta, return_alpha=True)
    return compositor.boxes(alpha[1])[0], fits


def test_objects_go_where_their_class_fits_in() -> None:
    labels = drawn().labels[:, 0]
    assert labels.tolist() == [1, 2, 1, 2]
    boxes, fits = places(Bright(1), side=20)
    assert torch.equal(fits, labels == 1)
    middle = (boxes[:, 0] + boxes[:, 2]) / 2
    assert (middle[fits] > 0.6 * SIZE[1]).all()
    # Of the area that was asked for and the object's own aspect, to a pixel.
    extent = boxes[fits, 2:] - boxes[fits, :2]
    wanted = torch.tensor([[24.0, 82], [48, 82]])
    wanted *= (400 / wanted.prod(1, keepdim=True)).sqrt()
    assert ((extent - wanted).abs() <= 1).all()
    assert not places(Bright(1), side=20, least=1.0)[1].any()


def test_no_object_goes_where_it_covers_another() -> None:
    """On the right, where it is bright, an object fills all but a strip."""
    there = [70.0, 0, 128, 112]
    batch = drawn([there])
    boxes, fits = places(Bright(1), batch, least=0.0, candidates=100)
    assert fits.any()
    low, high = boxes[fits, :2].clamp_min(70), boxes[fits, 2:]
    inside = (torch.tensor([128.0, 112]).minimum(high) - low.minimum(high)).prod(1)
    # alpha is wider by a blur of 3 than the box that was asked about: by (w + 3) (h + 6) - w h.
    assert (inside <= 0.25 * 58 * 112 + 3 * 112 + 6 * 58 + 18).all()
    assert not places(Bright(1), drawn([[2.0, 2, 126, 110]]))[1].any()


def test_a_mask_of_which_nothing_shows_has_no_place() -> None:
    """One is empty, one a pixel wide, which from_boxes refuses at the op's own threshold."""
    batch = drawn()
    batch.cutouts[0, 0, 3] = 0
    batch.cutouts[1, 0, 3] = 0
    batch.cutouts[1, 0, 3, 20:80, 50] = 255
    boxes, fits = places(Bright(int(batch.labels[0])), batch, least=0.0)
    assert not fits[0]
    assert fits[1:].all()
    assert boxes.isfinite().all()


def test_a_run_learns_what_is_around_objects_once(tmp_path: Path) -> None:
    settings = ContextConfig(steps=3, candidates=3, least=0.0)
    ours = config(tmp_path, context=settings)
    run = DetectionRun(ours, "context", 0, data())
    assert isinstance(run.synthesizer.network, ContextNetwork)
    learnt: list[int] = []
    learn = run._learn_context

    def watched() -> None:
        before = run.updates
        learn()
        learnt.append(run.updates - before)

    run._learn_context = watched
    record = run.run(2)[1]
    assert learnt == [3]
    assert (record["added"], record["search"]["passes"]) == (5, 0)
    other = replace(ours, output=tmp_path / "other")
    DetectionRun(other, "context", 0, data()).run(1)
    torch.rand(3)  # of no consequence
    again = DetectionRun(other, "context", 0, data())
    again.run(2)
    assert torch.equal(again._added().theta, run._added().theta)
    for player in ("synthesizer", "target"):
        first, second = (getattr(r, player).network.state_dict() for r in (run, again))
        assert all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize("least", [0.0, 1.0])
def test_what_does_not_fit_in_is_counted_as_invalid(tmp_path: Path, least: float) -> None:
    settings = ContextConfig(steps=1, candidates=2, least=least)
    search = DetectionRun(config(tmp_path, context=settings), "context", 0, data()).run(1)[1][
        "search"
    ]
    assert (search["invalid"] == search["proposed"]) == (least == 1)
