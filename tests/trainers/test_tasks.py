"""A T that tells a digit's box."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import same, state
from PIL import Image
from tiny_affnist import arguments
from torch import Tensor

from trainers.affnist import __main__ as command
from trainers.affnist.dataset import composite
from trainers.affnist.placement import SIZE, Digits, boxes, place, uniform
from trainers.affnist.tasks import BoxRegression

BOX = BoxRegression()
WAYS = ("baseline", "random", "random_hard", "synthesizer")
LABELS = torch.zeros(0, dtype=torch.int64)


def around(image: np.ndarray) -> list[int]:
    """The box of what is more than half as bright as the brightest, pixel by pixel."""
    bright = [p for p in np.ndindex(image.shape) if image[p] > image.max() / 2]
    rows, columns = zip(*bright, strict=True)
    return [min(columns), min(rows), max(columns) + 1, max(rows) + 1]


def told(pixels: list[float]) -> Tensor:
    return torch.tensor([pixels]) / 20 - 1


def test_boxes_are_those_of_the_bright_pixels() -> None:
    random = torch.Generator().manual_seed(0)
    images = torch.zeros(9, 1, SIZE, SIZE)
    for n, image in enumerate(images):
        image[0, n : n + 5, 2 * n : 2 * n + 8] = torch.rand(5, 8, generator=random) * (n + 1) / 9
    found = (BOX.truth(LABELS, images) + 1) * 20
    wanted = [around(image[0].numpy()) for image in images]
    torch.testing.assert_close(found, torch.tensor(wanted).float())


def test_error_and_loss_by_hand() -> None:
    truth = told([10, 12, 30, 28])
    guess = told([14, 12, 29.5, 28])
    assert BOX.score(guess, truth).tolist() == pytest.approx([(4 + 0.5) / 4])
    assert torch.equal(BOX.hardness(guess, truth), BOX.score(guess, truth))
    # Of a pixel, which is 1 / 20: linear beyond it, less a half; quadratic below.
    wanted = ((4 - 0.5) + 0.5**2 / 2) / 20 / 4
    assert BOX.loss(guess, truth).item() == pytest.approx(wanted)


def test_placed_ink_lies_in_the_box_that_theta_gives(digits: Digits) -> None:
    position = uniform(len(digits), torch.Generator().manual_seed(0))
    theta = place(position, digits.outline)
    found = boxes(theta, digits.outline)
    bright = (BOX.truth(LABELS, composite(digits, theta)) + 1) * 20
    # The outermost half pixel is less bright, and rounded to whole pixels.
    assert (found - bright).abs().max() < 1.5
    assert (found[:, :2] > -1e-3).all() and (found[:, 2:] < SIZE + 1e-3).all()


def test_a_moves_gradient_is_what_the_loss_of_the_moved_composites_says(digits: Digits) -> None:
    """T says the same of any image, so the loss is of the truth alone."""
    steps, away = 40, 0.5
    start = uniform(len(digits), torch.Generator().manual_seed(1)) * 0.4
    told_always = told([8, 8, 20, 24]).expand(len(digits), -1)

    def loss(at: float) -> tuple[float, float]:
        shift = torch.tensor(at, requires_grad=True)
        position = torch.cat((start[:, :4], start[:, 4:] + shift), 1)
        theta = place(position, digits.outline)
        images = composite(digits, theta)
        truth = BOX.truth(LABELS, images.detach(), (theta, digits.outline))
        mean = BOX.loss(told_always, truth)
        mean.backward()
        assert shift.grad is not None
        return mean.item(), shift.grad.item()

    gained = loss(away)[0] - loss(-away)[0]
    places = [-away + 2 * away * (step + 0.5) / steps for step in range(steps)]
    by_gradient = 2 * away * sum(loss(place)[1] for place in places) / steps
    # Boxes are of whole pixels, of 200 digits that each begin elsewhere.
    assert by_gradient == pytest.approx(gained, rel=0.05)


def test_a_run_leaves_every_file_and_going_on_gives_the_same_bits(
    tiny_mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    line = ("--task", "box", "--hard-error", "0.1", "--ways", *WAYS)
    command.main(arguments(tiny_mnist, whole, *line))
    printed = capsys.readouterr().out
    assert "Error (pixels) of T's averaged weights on regenerated affNIST" in printed
    assert "Paper" not in printed
    results = json.loads((whole / "results.json").read_text())
    assert list(results["curve"]) == list(WAYS)
    for way, curve in results["curve"].items():
        ends = [0, 0, 0] if way == "baseline" else [0, 10, 20]
        assert [added for added, _ in curve] == ends
        assert curve[0] == results["curve"]["baseline"][0]
        (run,) = results["cycles"][way].values()
        assert [error for _, error in curve] == [record["error"] for record in run]
        last = f"{way}, seed 0, cycle 2/2: error {run[2]['error']:.2f} pixels, {ends[2]} images"
        assert last in printed
    for name in ("curve.png", "hard_examples.png", "placements.png"):
        assert min(Image.open(whole / name).size) > 100

    for cycles in ("1", "2"):
        two = (*line[:5], "baseline", "synthesizer", "--cycles", cycles)
        command.main(arguments(tiny_mnist, parts, *two))
        torch.rand(3)
    name = "checkpoints/seed0/synthesizer.pt"
    assert same(state(whole / name), state(parts / name))
    with pytest.raises(SystemExit, match="mnist.pt: was made with task 'box', this run has 'class"):
        command.main(arguments(tiny_mnist, parts, "--ways", "random"))


def test_ways_that_go_by_the_margin_are_refused(
    tiny_mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        command.main(arguments(tiny_mnist, tmp_path, "--task", "box", "--ways", "renewed"))
    told = " ".join(capsys.readouterr().err.replace("│", "").split())
    assert "ways: got renewed, which goes by the margin: wanted task class" in told
