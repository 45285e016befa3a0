"""NanoDet's loss against hand-worked cases, plain loops and finite differences."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from trainers.detectors import nanodet_loss
from trainers.detectors.nanodet_loss import (
    assigned,
    distribution_focal,
    loss_by_object,
    overlap,
    quality_focal,
)
from trainers.detectors.nanodet_network import Grid, boxes_of, detections, flat


def grid(height: int, width: int) -> Grid:
    heads = [(torch.zeros(1, 1, height // stride, width // stride),) * 2 for stride in (8, 16, 32)]
    return flat([(logits, bins.repeat(1, 44, 1, 1)) for logits, bins in heads])[2]


def test_cells_by_hand() -> None:
    cells = grid(32, 64)
    assert cells.counts == [32, 8, 2]
    assert cells.centres[:9].tolist() == [[4 + 8 * x, 4] for x in range(8)] + [[4, 12]]
    assert cells.centres[-2:].tolist() == [[16, 16], [48, 16]]
    assert cells.strides.tolist() == [8] * 32 + [16] * 8 + [32] * 2


def test_two_objects_by_hand() -> None:
    """Both lie within all their candidates' squares, of sides 40, 80 and 160.

    So with a = area / 1600 nine candidates overlap by a, nine by a / 4, nine by a / 16, whose mean
    and standard deviation add up to 0.85 a: each gets those of the first nine that it contains.
    The second's a is 0.36, the first's 0.25: it gets the cells that both claim.
    """
    cells = grid(96, 96)
    owner = assigned(torch.tensor([[34.0, 34, 54, 54], [40, 32, 64, 56]]), cells)
    for number, columns in ((0, (36,)), (1, (44, 52, 60))):
        found = {tuple(centre) for centre in cells.centres[owner == number].tolist()}
        assert found == {(x, y) for x in columns for y in (36, 44, 52)}
    assert assigned(torch.zeros(0, 4), cells).tolist() == [-1] * len(cells.centres)
    # An object between the cells' centres has none.
    assert assigned(torch.tensor([[37.0, 37, 43, 43]]), cells).max() == -1


def plainly_assigned(boxes: np.ndarray, cells: Grid) -> list[int]:
    """ATSS in loops, by its paper."""
    centres, strides = cells.centres.double().numpy(), cells.strides.numpy()
    owner, best = [-1] * len(centres), [0.0] * len(centres)
    levels = np.split(np.arange(len(centres)), np.cumsum(cells.counts)[:-1])
    for number, (x1, y1, x2, y2) in enumerate(boxes):
        candidates = []
        for level in levels:
            far = [math.dist(centres[c], ((x1 + x2) / 2, (y1 + y2) / 2)) for c in level]
            candidates += [level[k] for k in np.argsort(far, kind="stable")[:9]]
        overlaps = []
        for cell in candidates:
            (x, y), half = centres[cell], 2.5 * strides[cell]
            shared = max(0, min(x2, x + half) - max(x1, x - half)) * max(
                0, min(y2, y + half) - max(y1, y - half)
            )
            overlaps.append(shared / ((x2 - x1) * (y2 - y1) + (2 * half) ** 2 - shared))
        least = np.mean(overlaps) + np.std(overlaps, ddof=1)
        for cell, value in zip(candidates, overlaps, strict=True):
            x, y = centres[cell]
            if value >= least and x1 < x < x2 and y1 < y < y2 and value > best[cell]:
                owner[cell], best[cell] = number, value
    return owner


@pytest.mark.parametrize("seed", range(5))
def test_many_objects_as_in_plain_loops(seed: int) -> None:
    random = np.random.default_rng(seed)
    cells = grid(96, 128)
    corners = random.uniform(0, 90, (12, 2))
    boxes = np.concatenate((corners, corners + random.uniform(4, 70, (12, 2))), 1)
    wanted = plainly_assigned(boxes, cells)
    assert len(set(wanted)) > 6
    assert assigned(torch.tensor(boxes), cells).tolist() == wanted


def test_quality_focal_by_its_formula() -> None:
    """|q - p|^2 (-(1 - q) log(1 - p) - q log p)."""
    random = np.random.default_rng(0)
    logits, quality = random.normal(0, 3, (5, 4)), random.uniform(0, 1, (5, 4))
    quality[0] = 0
    p = 1 / (1 + np.exp(-logits))
    wanted = -((quality - p) ** 2) * ((1 - quality) * np.log(1 - p) + quality * np.log(p))
    found = quality_focal(torch.tensor(logits), torch.tensor(quality))
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-12)


def test_distribution_focal_by_hand() -> None:
    """A distance of 2.25 is three parts bin 2 and one part bin 3; beyond 9.99 none can be told."""
    logits = torch.zeros(1, 4, 11, dtype=torch.float64)
    logits[0, 1, 2] = math.log(3)
    distances = torch.tensor([[0.0, 2.25, 7.5, 40]], dtype=torch.float64)
    sides = [math.log(11), 0.75 * math.log(13 / 3) + 0.25 * math.log(13), math.log(11)]
    wanted = (sum(sides) + math.log(11)) / 4
    assert float(distribution_focal(logits, distances)) == pytest.approx(wanted, rel=1e-12)


def test_boxes_of_bins_by_hand() -> None:
    """A quarter of bin 0 and three of bin 1: 0.75 strides; and bin 10 alone."""
    bins = torch.full((1, 4, 11), -1e9)
    for side, share in enumerate((0.75, 0.5, 0.25)):
        bins[0, side, :2] = torch.tensor([1 - share, share]).log()
    bins[0, 3, 10] = 0
    box = boxes_of(bins, torch.tensor([[20.0, 28]]), torch.tensor([8]))
    assert box.tolist() == [[14, 24, 22, 108]]


def test_overlap_by_hand() -> None:
    first = torch.tensor([[0.0, 0, 4, 4], [0, 0, 2, 2], [1, 1, 1, 1]])
    second = torch.tensor([[2.0, 0, 6, 4], [2, 0, 4, 2], [1, 1, 1, 1]])
    torch.testing.assert_close(overlap(first, second), torch.tensor([1 / 3, 0, 0]))


def batch() -> tuple[Tensor, Tensor, Grid, list[dict[str, Tensor]]]:
    random = torch.Generator().manual_seed(0)
    cells = grid(64, 96)
    count = len(cells.centres)
    logits = torch.randn(2, count, 3, generator=random, dtype=torch.float64)
    bins = torch.randn(2, count, 4, 11, generator=random, dtype=torch.float64)
    # None ends at a cell's centre or a whole number of strides from it, where the loss has a kink.
    boxes = torch.tensor([[10.3, 12.6, 40.1, 51.4], [30.7, 8.2, 77.3, 60.9]], dtype=torch.float64)
    targets = [
        {"boxes": boxes, "labels": torch.tensor([3, 1])},
        {"boxes": boxes[:0], "labels": torch.zeros(0, dtype=torch.int64)},
    ]
    return logits, bins, cells, targets


def loss(*given: Any) -> Tensor:
    return loss_by_object(*given)[0]


def test_the_loss_is_made_of_its_parts() -> None:
    """As its paper adds them up, in a plain loop over the cells; an object's is that of its own."""
    logits, bins, cells, targets = batch()
    owner = plainly_assigned(targets[0]["boxes"].numpy(), cells)
    quality = torch.zeros_like(logits)
    places = sides = total = 0.0
    each: dict[int, list[tuple[int, float]]] = {0: [], 1: []}
    for cell, number in enumerate(owner):
        if number < 0:
            continue
        box, stride = targets[0]["boxes"][number], float(cells.strides[cell])
        weight = float(logits[0, cell].max().sigmoid())
        found = boxes_of(bins[0, cell], cells.centres[cell], cells.strides[cell])
        low, high = torch.maximum(found, box), torch.minimum(found, box)
        shared = float((high[2] - low[0]).clamp_min(0) * (high[3] - low[1]).clamp_min(0))
        hull = float((low[2] - high[0]) * (low[3] - high[1]))
        area = sum(float((b[2] - b[0]) * (b[3] - b[1])) for b in (found, box)) - shared
        quality[0, cell, int(targets[0]["labels"][number]) - 1] = shared / area
        place, side_loss = 1 - shared / area + (hull - area) / hull, 0.0
        x, y = cells.centres[cell].tolist()
        for side, end in enumerate((x - box[0], y - box[1], box[2] - x, box[3] - y)):
            distance = min(float(end) / stride, 9.99)
            low_bin = int(distance)
            shares = bins[0, cell, side].log_softmax(0)
            side_loss -= float(
                (low_bin + 1 - distance) * shares[low_bin]
                + (distance - low_bin) * shares[low_bin + 1]
            ) / 4  # fmt: skip
        places, sides, total = places + weight * place, sides + weight * side_loss, total + weight
        each[number].append((cell, 2 * place + side_loss / 4))
    count = sum(number >= 0 for number in owner)
    assert count > 4
    scores = quality_focal(logits, quality)
    wanted = float(scores.sum()) / count + (2 * places + sides / 4) / total
    found, (of_both, of_none) = loss_by_object(logits, bins, cells, targets)
    # torchvision's GIoU adds 1e-7 to its denominators.
    assert float(found) == pytest.approx(wanted, rel=1e-6)
    means = [np.mean([float(scores[0, cell].sum()) + part for cell, part in each[k]]) for k in each]
    assert of_both.tolist() == pytest.approx(means, rel=1e-6)
    assert of_none.shape == (0,)


def test_gradients_by_finite_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    """S moves the boxes too; the quality, which is no more than T's goal, sends no gradient."""
    logits, bins, cells, targets = batch()
    monkeypatch.setattr(nanodet_loss, "quality_focal", lambda logits, quality: logits * 0)

    def of(boxes: Tensor, bins: Tensor) -> Tensor:
        return loss(logits, bins, cells, [{**targets[0], "boxes": boxes}, targets[1]])

    boxes = targets[0]["boxes"].clone().requires_grad_()
    owner = torch.tensor(plainly_assigned(targets[0]["boxes"].numpy(), cells))
    some = (owner >= 0).nonzero()[:2, 0]

    def of_some(boxes: Tensor, values: Tensor) -> Tensor:
        return of(boxes, bins.index_put((torch.zeros_like(some), some), values))

    values = bins[0, some].clone().requires_grad_()
    assert torch.autograd.gradcheck(of_some, (boxes, values))
    (gradient,) = torch.autograd.grad(of(boxes, bins), boxes)
    assert (gradient.abs().amax(1) > 0).all()


def test_without_any_object_only_the_scores_count() -> None:
    logits, bins, cells, targets = batch()
    bins.requires_grad_()
    found = loss(logits, bins, cells, [targets[1], targets[1]])
    assert found.item() == float(quality_focal(logits, torch.zeros_like(logits)).sum())
    found.backward()
    assert bins.grad is not None and float(bins.grad.abs().max()) == 0


def test_an_object_that_no_cell_has_to_find_has_no_loss() -> None:
    logits, bins, cells, targets = batch()
    # The first lies between the cells' centres.
    boxes = torch.tensor([[37.0, 37, 43, 43], [10, 10, 40, 50]], dtype=torch.float64)
    hidden = {**targets[0], "boxes": boxes}
    _, (found, _) = loss_by_object(logits.requires_grad_(), bins, cells, [hidden, targets[1]])
    assert found.isnan().tolist() == [True, False]
    assert not found.requires_grad


def test_its_minimum_are_the_objects() -> None:
    """Maps that are free to take any value become what detects the boxes, and little else."""
    torch.manual_seed(0)
    size, (target, _) = (64, 96), batch()[3]
    target["boxes"] = target["boxes"].float()
    heads = [
        tuple(
            torch.randn(1, count, size[0] // s, size[1] // s).requires_grad_() for count in (3, 44)
        )
        for s in (8, 16, 32)
    ]
    optimizer = torch.optim.Adam([tensor for pair in heads for tensor in pair], 0.2)
    for _ in range(150):
        optimizer.zero_grad()
        loss(*flat(heads), [target]).backward()
        optimizer.step()
    (found,) = detections([(a.detach(), b.detach()) for a, b in heads], size, 0.3)
    order = found["labels"].argsort(descending=True)
    assert (found["labels"][order] + 1).tolist() == target["labels"].tolist()
    assert (found["boxes"][order] - target["boxes"]).abs().max() < 0.5
    assert found["scores"].min() > 0.9
