"""Where S can put an object, and when too little of it shows."""

import math

import pytest
import torch
from torch import Tensor

import compositor
from compositor import affine
from compositor.scenes.law import CUT_PASTE_LEARN
from compositor.scenes.placement import (
    Range,
    Visibility,
    covered,
    outlines,
    truncation,
    visible_fraction,
)
from compositor.scenes.random_placement import PlacementRules, random_placement

SIZE = (80, 120)


def mask(height: float, width: float) -> Tensor:
    """A rectangle in the middle of the frame, its sides as parts of the frame's."""
    y, x = torch.meshgrid(*(torch.arange(n) + 0.5 - n / 2 for n in SIZE), indexing="ij")
    inside = (y.abs() < height * SIZE[0] / 2) & (x.abs() < width * SIZE[1] / 2)
    return inside[None, None].float()


MASKS = torch.cat([mask(0.7, 0.7), mask(0.7, 0.2), mask(0.15, 0.7)])


RANGE = Range(shear=0.2, scale=(0.15, 1.25), aspect=1.25)


def placed(position: list[float], limits: Range = RANGE) -> Tensor:
    return limits.theta(torch.tensor([position]), SIZE)


def test_the_start_is_the_identity() -> None:
    limits = RANGE
    theta = limits.theta(limits.start()[None], SIZE)
    # exp(log) of the scale's range rounds.
    torch.testing.assert_close(theta, torch.eye(2, 3)[None], atol=1e-6, rtol=0)
    assert limits.start().abs().max() < 1
    middle = Range(scale=(0.1, 0.4))
    found = affine.to_parameters(middle.theta(middle.start()[None], SIZE), SIZE, SIZE)[0]
    assert float(found[2]) == pytest.approx(0.2)
    one = Range(scale=(0.3, 0.3))
    found = affine.to_parameters(one.theta(one.start()[None], SIZE), SIZE, SIZE)[0]
    assert float(found[2]) == pytest.approx(0.3)


def test_what_changes_nothing_is_not_free() -> None:
    assert RANGE.free().all()
    assert Range(angle=0, scale=(0.3, 0.3)).free().tolist() == [False] * 4 + [True] * 2
    still = Range(angle=0, scale=(0.3, 0.3)).theta(torch.rand(5, 6) * 2 - 1, SIZE)
    assert len(still[:, :, :2].unique(dim=0)) == 1


@pytest.mark.parametrize("end", [-1.0, 1.0])
def test_the_ends_of_the_range_are_those_it_states(end: float) -> None:
    limits = Range(30, 0.2, (0.2, 1.5), 1.44)
    ends = [end] * 6
    found = affine.to_parameters(placed(ends, limits), SIZE, SIZE)[0].tolist()
    scale = 1.5 if end > 0 else 0.2
    expected = [30 * end, 0.2 * end, scale * 1.2**end, scale / 1.2**end, 60 * end, 40 * end]
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("scale", "aspect"), [((0.0, 1.0), 1.0), ((2.0, 1.0), 1.0), ((1, 2), 0.5)])
def test_a_range_that_is_none_is_refused(scale: tuple[float, float], aspect: float) -> None:
    with pytest.raises(ValueError, match="scale: got|aspect: got"):
        Range(scale=scale, aspect=aspect)


@pytest.mark.parametrize("name", ["fraction", "truncation", "side"])
@pytest.mark.parametrize("limit", [0.0, -0.1, 1.1, math.nan])
def test_a_limit_that_is_none_is_refused(name: str, limit: float) -> None:
    """At 0 the price would be 0 / 0."""
    with pytest.raises(ValueError, match=f"{name}: got"):
        Visibility(**{name: limit})


def test_valid_asks_for_the_fraction_the_cut_and_both_sides() -> None:
    rules = Visibility(fraction=0.3, truncation=0.2, side=0.1)  # 12 pixels wide, 8 high
    enough = [0.0, 0, 12, 8]
    cases = [
        (enough, 0.3, 0.2, True),
        ([0.0, 0, 11, 8], 1.0, 0.0, False),
        ([0.0, 0, 12, 7], 1.0, 0.0, False),
        (enough, 0.29, 0.0, False),
        (enough, 1.0, 0.21, False),
        ([0.0, 0, 0, 0], 0.0, 0.0, False),
    ]
    boxes, fraction, cut = (torch.tensor([case[n] for case in cases]) for n in range(3))
    assert rules.valid(boxes, fraction, cut, SIZE).tolist() == [case[3] for case in cases]


def test_truncation_by_hand() -> None:
    """The mask takes 0.7 of the frame: 84 x 56 pixels of a canvas of 120 x 80."""
    cases = [
        ((0.0, 0.0), 0.0),
        ((18.0, 12.0), 0.0),  # at the right and at the lower edge
        ((18.0 + 21, 12.0), 21 / 84),
        ((-18.0 - 21, 0.0), 21 / 84),
        ((0.0, 12.0 + 28), 28 / 56),
        ((18.0 + 21, -12.0 - 28), 28 / 56),  # the larger of the two
        ((500.0, 0.0), (500 - 18) / 84),  # gone for good
    ]
    moves = torch.tensor([[0, 0, 1, 1, *move] for move, _ in cases])
    theta = affine.from_parameters(moves, SIZE, SIZE)
    found = truncation(MASKS[:1].expand(len(cases), 1, *SIZE), theta)
    assert found.tolist() == pytest.approx([cut for _, cut in cases], abs=1e-5)


def test_the_law_and_chance_have_the_numbers_of_cut_paste_and_learn() -> None:
    """Those of ``defaults.py`` in its authors' code."""
    law, limits, rules = CUT_PASTE_LEARN.placement, Range(), PlacementRules()
    wanted = ((0.15, 0.6), 30, 0.75, 6, 20)
    assert (law.scale, law.angle, law.overlap, law.side, law.attempts) == wanted
    assert (limits.scale, limits.angle, rules.overlap, rules.smallest, rules.attempts) == wanted
    assert law.truncation == Visibility().truncation == 0.25


def test_the_limits_leave_chance_all_its_places() -> None:
    """S and chance choose from the same places: turned or not, at every edge."""
    torch.manual_seed(0)
    masks = MASKS[:2].repeat(200, 1, 1, 1)
    boxes = compositor.boxes(masks)[0]
    theta, placed = random_placement(boxes, SIZE, Range(scale=(0.3, 1.0)), PlacementRules())
    cut = truncation(masks, theta)[placed]
    assert bool((cut <= Visibility().truncation).all())
    assert float(cut.max()) > 0.24  # and no fewer


def test_the_visible_fraction_of_an_averaged_mask_is_that_of_the_mask() -> None:
    torch.manual_seed(0)
    theta = RANGE.theta(torch.rand(3, 6) * 2 - 1, SIZE)
    exact = compositor.visible_fraction(MASKS, theta, SIZE)
    # A tile of the average is 1.25 x 1.9 pixels: what the border cuts differs by less than a tile.
    torch.testing.assert_close(visible_fraction(MASKS, theta, SIZE), exact, atol=0.02, rtol=0)


def test_nothing_is_paid_for_an_object_that_shows() -> None:
    theta = placed([0, 0, 0.5, 0, 0.2, -0.2]).expand(3, 2, 3)
    assert Visibility().price(MASKS, theta, SIZE).tolist() == [0, 0, 0]


def test_the_price_leads_back() -> None:
    """Down the price's gradient a dot grows and an object half out comes in."""
    rules, limits = Visibility(fraction=0.6, truncation=0.2, side=0.15), RANGE
    for position, axis in (
        ([0.0, 0, -0.95, 0, 0, 0], 2),
        ([0.0, 0, 0.6, 0, 0.98, 0], 4),
        ([0.0, 0, 0.6, 0, 0, -0.98], 5),
    ):
        leaf = torch.tensor([position], requires_grad=True)
        rules.price(MASKS[:1], limits.theta(leaf, SIZE), SIZE).sum().backward()
        assert leaf.grad is not None
        step = -float(leaf.grad[0, axis])
        assert step * -position[axis] > 0, (position, step)


def test_whoever_is_not_valid_pays_and_can_turn_back() -> None:
    """Over the whole range: no placement within it leaves S without a gradient."""
    torch.manual_seed(0)
    limits, rules, count = RANGE, Visibility(), 400
    for shape in MASKS.unsqueeze(1):
        position = (torch.rand(count, 6) * 2 - 1).requires_grad_()
        masks = shape.expand(count, 1, *SIZE)
        theta = limits.theta(position, SIZE)
        price = rules.price(masks, theta, SIZE)
        price.sum().backward()
        blank = torch.zeros(count, 1, *SIZE)
        alpha = compositor.blend(blank, masks, blank, theta.detach(), return_alpha=True)[1]
        boxes, _ = compositor.boxes(alpha)
        still = theta.detach()
        seen, cut = visible_fraction(masks, still, SIZE), truncation(masks, still)
        valid = rules.valid(boxes, seen, cut, SIZE)
        assert 0 < int(valid.sum()) < count
        assert position.grad is not None
        assert (price[~valid] > 0).all()
        assert (position.grad[~valid].abs().amax(1) > 0).all()


def test_covered_is_the_part_of_the_box_under_the_object() -> None:
    alpha = torch.zeros(1, 10, 20)
    alpha[:, 2:6, 3:9] = 1
    boxes = torch.tensor(
        [[3.0, 2, 9, 6], [0, 0, 6, 4], [12, 0, 20, 10], [0, 0, 20, 10], [-5, -5, 5, 30]]
    )
    # The last one sticks out: 10 rows by 5 columns of it are on the canvas.
    expected = [1, 3 * 2 / 24, 0, 24 / 200, 4 * 2 / 50]
    assert covered(boxes, alpha).tolist() == pytest.approx(expected)
    assert covered(boxes[:0], alpha).shape == (0,)
    assert math.isfinite(float(covered(torch.tensor([[4.0, 4, 4, 4]]), alpha)[0]))


def test_outlines_are_the_boxes_of_what_shows() -> None:
    """Of rectangles, turned a little and cut by the canvas's edge as well."""
    theta = torch.cat(
        [
            placed([0, 0, 0.2, 0.5, 0.1, -0.2]),
            placed([0.1, 0, 0, 0, 0, 0]),
            placed([0, 0, 0, 0, 1, 1]),
        ]
    )
    canvas = torch.zeros(3, 3, *SIZE)
    _, alpha = compositor.blend(canvas, MASKS, canvas, theta, sigma=0, return_alpha=True)
    shown, _ = compositor.boxes(alpha)
    # To the pixel: alpha's boxes are whole pixels that the object covers by half.
    torch.testing.assert_close(outlines(MASKS, theta, SIZE), shown, atol=1.5, rtol=0)
