import math

import pytest
import torch
from torch import Tensor

import compositor
from compositor.scenes.placement import Range
from compositor.scenes.random_placement import PlacementRules, random_placement

SIZE = (30, 40)
LIMITS, RULES = Range(), PlacementRules()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def forward(theta: Tensor) -> Tensor:
    """Pixels of the frame to pixels of the canvas, (N, 2, 3), worked out by hand."""
    height, width = SIZE
    to_pixels = torch.tensor([[width / 2, 0, width / 2], [0, height / 2, height / 2], [0, 0, 1]])
    to_pixels = to_pixels.double()
    square = torch.cat((theta.double(), torch.tensor([[[0.0, 0, 1]]]).expand(len(theta), 1, 3)), 1)
    return (to_pixels @ square.inverse() @ to_pixels.inverse())[:, :2]


def outlines(mask_boxes: Tensor, theta: Tensor) -> Tensor:
    x1, y1, x2, y2 = mask_boxes.double().unbind(1)
    ones = torch.ones_like(x1)
    corners = torch.stack(
        [torch.stack((x, y, ones), 1) for x, y in ((x1, y1), (x2, y1), (x1, y2), (x2, y2))], 2
    )
    placed = forward(theta) @ corners
    return torch.cat((placed.amin(2), placed.amax(2)), 1)


def masks(count: int) -> Tensor:
    """Boxes off the frame's centre, so that a turn about the wrong point shows."""
    return torch.tensor([[5.0, 2, 31, 17]]).repeat(count, 1)


def test_scale_angle_and_truncation_keep_the_limits_and_reach_them() -> None:
    boxes = masks(4000)
    theta, placed = random_placement(boxes, SIZE, LIMITS, RULES, generator())
    assert placed.all()
    turn = forward(theta)[:, :, :2]
    scale = torch.linalg.det(turn).sqrt()
    # Equal in both directions and without shear: the columns are orthogonal and as long as each
    # other. theta is float32: errors are some 1e-7 of entries up to 10.
    gram = turn.transpose(1, 2) @ turn
    torch.testing.assert_close(
        gram, scale.square()[:, None, None] * torch.eye(2).double(), atol=1e-5, rtol=0
    )
    angle = torch.rad2deg(torch.atan2(-turn[:, 1, 0], turn[:, 0, 0]))
    for value, low, high in ((scale, 0.15, 0.6), (angle, -30, 30)):
        assert low - 1e-4 <= value.min() and value.max() <= high + 1e-4
        # 4000 uniform draws: the mean is off by 0.5 % of the range (one sigma), ends by 0.03 %.
        assert abs(value.mean() - (low + high) / 2) < 0.03 * (high - low)
        assert value.min() < low + 0.01 * (high - low) and value.max() > high - 0.01 * (high - low)

    box = outlines(boxes, theta)
    for axis, side in ((0, 40), (1, 30)):
        low, high = box[:, axis], box[:, axis + 2]
        left, right = -low / (high - low), (high - side) / (high - low)
        for beyond in (left, right):
            assert 0.2 < beyond.max() <= 0.25 + 1e-4


def test_shear_and_aspect_are_drawn_where_the_range_has_them() -> None:
    limits = Range(angle=0, shear=0.2, scale=(0.4, 0.5), aspect=1.44)
    theta, placed = random_placement(masks(4000), SIZE, limits, RULES, generator())
    assert placed.all()
    # Without a turn the columns are (scale x, 0) and (shear scale y, scale y), in pixels.
    turn = forward(theta)[:, :, :2]
    torch.testing.assert_close(turn[:, 1, 0], torch.zeros(4000).double(), atol=1e-6, rtol=0)
    shear, ratio = turn[:, 0, 1] / turn[:, 1, 1], turn[:, 0, 0] / turn[:, 1, 1]
    for value, end in ((shear, 0.2), (ratio.log(), math.log(1.44))):
        assert -end - 1e-4 <= value.min() < -0.98 * end and 0.98 * end < value.max() <= end + 1e-4
        assert abs(value.mean()) < 0.03 * end
    scale = (turn[:, 0, 0] * turn[:, 1, 1]).sqrt()
    assert scale.min() >= 0.4 - 1e-4 and scale.max() <= 0.5 + 1e-4


def test_the_object_lands_where_the_limits_were_checked() -> None:
    """blend's own composite, not the formula: its box is within the checked one, and near it."""
    mask = torch.zeros(40, 1, *SIZE)
    mask[..., 2:17, 5:31] = 1
    boxes, visible = compositor.boxes(mask)
    assert visible.all()
    theta, _ = random_placement(boxes, SIZE, LIMITS, RULES, generator(), truncation=0)
    _, alpha = compositor.blend(
        torch.zeros(40, 3, *SIZE), mask, torch.zeros(40, 3, *SIZE), theta, sigma=0, threshold=0,
        return_alpha=True,
    )  # fmt: skip
    seen, _ = compositor.boxes(alpha)
    # Pixels above half alpha: half a pixel from rounding, one more where a corner is cut thin.
    torch.testing.assert_close(seen.double(), outlines(boxes, theta), atol=1.6, rtol=0)
    assert seen.min() >= 0 and bool((seen[:, 2:] <= torch.tensor([40, 30])).all())


def test_overlap_is_the_covered_part_of_the_existing_box() -> None:
    boxes = masks(500)
    existing = torch.tensor([[0.0, 0, 20, 30], [20, 0, 40, 30], [18, 13, 22, 17]])
    limits, rules = Range(scale=(0.5, 0.6)), PlacementRules(overlap=0.75, attempts=200)
    theta, placed = random_placement(boxes, SIZE, limits, rules, generator(), [existing] * 500)
    assert placed.all()

    def covered(theta: Tensor) -> Tensor:
        object_boxes = outlines(boxes, theta)[:, None]
        low = torch.maximum(object_boxes[..., :2], existing[:, :2])
        high = torch.minimum(object_boxes[..., 2:], existing[:, 2:])
        return (high - low).clamp_min(0).prod(-1) / (existing[:, 2:] - existing[:, :2]).prod(-1)

    kept = covered(theta)
    assert kept.max() <= 0.75 + 1e-4
    # An IoU would never come near: the little box is 16 pixels, the object some 150.
    free, _ = random_placement(boxes, SIZE, limits, rules, generator())
    assert (covered(free)[:, 2] > 0.75).float().mean() > 0.05


def test_no_room_is_said_and_touches_no_other() -> None:
    tiles = torch.tensor([[x, y, x + 1, y + 1] for x in range(40) for y in range(30)]).float()
    boxes = masks(3)
    nothing = torch.zeros(0, 4)
    theta, placed = random_placement(
        boxes, SIZE, LIMITS, RULES, generator(), [nothing, tiles, nothing]
    )
    assert placed.tolist() == [True, False, True]
    assert theta[1].tolist() == [[1, 0, 0], [0, 1, 0]]
    allowed, placed = random_placement(
        boxes, SIZE, LIMITS, PlacementRules(overlap=1), generator(), [nothing, tiles, nothing]
    )
    assert placed.all()
    free, _ = random_placement(boxes, SIZE, LIMITS, RULES, generator())
    assert torch.equal(theta[[0, 2]], free[[0, 2]])
    assert torch.equal(allowed, free)


def test_an_object_as_large_as_the_canvas_never_fits_and_a_small_mask_is_left_out() -> None:
    boxes = torch.tensor([[0.0, 0, 40, 30], [3, 3, 8, 20], [3, 3, 9, 20], [0, 0, 0, 0]])
    limits = Range(scale=(1, 1), angle=0)
    theta, placed = random_placement(boxes, SIZE, limits, RULES, generator())
    assert placed.tolist() == [False, False, True, False]
    assert theta.isfinite().all()


def test_seed_decides_and_empty_batches_pass() -> None:
    first, second, other = (
        random_placement(masks(5), SIZE, LIMITS, RULES, generator(seed))[0] for seed in (1, 1, 2)
    )
    assert torch.equal(first, second) and not torch.equal(first, other)
    theta, placed = random_placement(masks(0), SIZE, LIMITS, RULES, existing=[])
    assert theta.shape == (0, 2, 3) and placed.shape == (0,)
    assert theta.dtype == torch.float32 and placed.dtype == torch.bool


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"overlap": math.nan}, "overlap"),
        ({"attempts": 0}, "attempts"),
    ],
)
def test_wrong_rules_are_named(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}: got"):
        PlacementRules(**wrong)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"mask_boxes: got shape \(4, 3\)"):
        random_placement(torch.zeros(4, 3), SIZE, LIMITS, RULES)
    with pytest.raises(ValueError, match="existing: got 1 entries, wanted 2"):
        random_placement(masks(2), SIZE, LIMITS, RULES, existing=[torch.zeros(0, 4)])
    with pytest.raises(ValueError, match="truncation: got 1.5"):
        random_placement(masks(2), SIZE, LIMITS, RULES, truncation=1.5)
