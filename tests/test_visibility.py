"""Boxes and visible fractions against torchvision, OpenCV and numbers worked by hand."""

import cv2
import numpy as np
import pytest
import torch
from torchvision.ops import masks_to_boxes

from compositor import affine, blend, boxes, visible_fraction

# boxes ------------------------------------------------------------------------------------------


def test_boxes_agree_with_torchvision():
    generator = torch.Generator().manual_seed(0)
    alpha = (torch.rand(200, 1, 13, 17, generator=generator) > 0.995).float()
    found, visible = boxes(alpha)
    seen = alpha.flatten(1).any(1)
    assert 0 < seen.sum() < 200 and torch.equal(visible, seen)
    wanted = masks_to_boxes(alpha[seen, 0] > 0.5)  # right and bottom inclusive there
    assert torch.equal(found[seen], wanted + torch.tensor([0.0, 0.0, 1.0, 1.0]))
    assert (found[~seen] == 0).all()


@pytest.mark.parametrize("y", [0, 3, 6])
@pytest.mark.parametrize("x", [0, 2, 4])
def test_single_pixel(x, y):
    alpha = torch.zeros(1, 1, 7, 5)
    alpha[0, 0, y, x] = 1
    found, visible = boxes(alpha)
    assert visible.tolist() == [True] and found.tolist() == [[x, y, x + 1, y + 1]]


def test_whole_canvas_and_one_pixel_canvas():
    assert boxes(torch.ones(1, 1, 7, 5))[0].tolist() == [[0, 0, 5, 7]]
    assert boxes(torch.ones(1, 1, 1, 1))[0].tolist() == [[0, 0, 1, 1]]


def test_threshold_is_strict_and_soft_edges_count_from_it():
    alpha = torch.tensor([0.2, 0.5, 0.75, 1.0, 0.75, 0.5, 0.0]).expand(1, 1, 3, 7)
    assert boxes(alpha)[0].tolist() == [[2, 0, 5, 3]]
    assert boxes(alpha, 0.75)[0].tolist() == [[3, 0, 4, 3]]
    assert boxes(alpha, 0)[0].tolist() == [[0, 0, 6, 3]]


def test_nan_is_not_visible():
    alpha = torch.full((2, 1, 4, 6), torch.nan)
    alpha[1, 0, 1:3, 2:4] = 1
    found, visible = boxes(alpha)
    assert visible.tolist() == [False, True]
    assert found.tolist() == [[0, 0, 0, 0], [2, 1, 4, 3]]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_boxes_are_float32_whole_numbers_without_gradient(dtype):
    alpha = torch.zeros(1, 1, 3, 3000, dtype=dtype, requires_grad=True) + 0
    alpha[..., 1, 2047:2999] = 1  # beyond what float16 can count
    found, visible = boxes(alpha)
    assert found.dtype == torch.float32 and found.tolist() == [[2047, 1, 2999, 2]]
    assert not found.requires_grad and not visible.requires_grad


def test_boxes_of_other_strides_and_empty_batches():
    alpha = torch.zeros(2, 1, 9, 6)
    alpha[:, :, 2:7, 1:3] = 1
    assert boxes(alpha.transpose(2, 3))[0].tolist() == [[2, 1, 7, 3]] * 2
    assert boxes(alpha.to(memory_format=torch.channels_last))[0].tolist() == [[1, 2, 3, 7]] * 2
    found, visible = boxes(alpha[:0])
    assert found.shape == (0, 4) and visible.shape == (0,)


def test_boxes_of_composites():
    """A 6 x 4 block at its own size: in the middle, cut by the frame, and gone."""
    foreground, background = torch.ones(3, 1, 8, 10), torch.zeros(3, 1, 20, 30)
    mask = torch.zeros(3, 1, 8, 10)
    mask[..., 2:6, 2:8] = 1
    parameters = torch.tensor([[0, 0, 1, 1, 0, 0], [0, 0, 1, 1, 14, 9], [0, 0, 1, 1, 40, 0.0]])
    theta = affine.from_parameters(parameters, (8, 10), (20, 30))
    _, alpha = blend(foreground, mask, background, theta, return_alpha=True)
    found, visible = boxes(alpha)
    assert visible.tolist() == [True, True, False]
    assert found.tolist() == [[12, 8, 18, 12], [26, 17, 30, 20], [0, 0, 0, 0]]


# visible_fraction -------------------------------------------------------------------------------


def fraction_of(mask, parameters, canvas=(40, 60)):
    """The visible fraction of one mask under parameters, in float64."""
    mask = torch.as_tensor(mask, dtype=torch.float64)
    parameters = torch.tensor(parameters, dtype=torch.float64)
    theta = affine.from_parameters(parameters, mask.shape, canvas)
    return visible_fraction(mask[None, None], theta[None], canvas).item()


@pytest.mark.parametrize(
    ("parameters", "wanted"),
    [
        ((0, 0, 1, 1, 0, 0), 1.0),
        ((0, 0, 1, 1, 30, 0), 0.5),  # 20 x 10 with its centre on the right border
        ((0, 0, 1, 1, 33.25, 0), 0.3375),  # 6.75 of 20 columns, a quarter of a pixel among them
        ((0, 0, 1, 1, -30, -20), 0.25),  # centred on a corner
        ((0, 0, 1, 1, 40, 0), 0.0),  # touching from outside
        ((0, 0, 1, 1, 1000, 0), 0.0),
        ((90, 0, 1, 1, 0, 20), 0.5),  # on its side: 10 x 20
        ((0, 0, 6, 8, 0, 0), 0.25),  # twice the canvas either way
        ((0, 0, 3000, 4000, 0, 0), 1e-6),  # each pixel larger than the canvas
        ((0, 0, 3000, 4000, 0, -80000), 0.0),
        ((0, 0, 1e-3, 1e-3, 10, 10), 1.0),  # far smaller than a pixel
        ((0, 0, 1e-3, 1e-3, 31, 10), 0.0),
        ((0, 0, -1, 1, 30, 0), 0.5),  # mirrored
    ],
)
def test_visible_fraction_by_hand(parameters, wanted):
    assert fraction_of(torch.ones(10, 20), parameters) == pytest.approx(wanted, rel=1e-9, abs=1e-12)


def test_only_the_mask_counts():
    mask = torch.zeros(10, 20)
    mask[:, :10] = 1  # the left half; the frame's right half may leave
    assert fraction_of(mask, (0, 0, 1, 1, 30, 0)) == pytest.approx(1, abs=1e-12)
    assert fraction_of(mask, (0, 0, 1, 1, 35, 0)) == pytest.approx(0.5, abs=1e-12)
    mask[:, 10:] = 0.5  # soft: 10 columns of 1 and 10 of a half
    assert fraction_of(mask, (0, 0, 1, 1, 30, 0)) == pytest.approx(2 / 3, abs=1e-12)


def test_turned_frame_agrees_with_polygons():
    h, w, canvas = 40, 60, (90, 70)
    corners = np.array([[-w, -h], [w, -h], [w, h], [-w, h]]) / 2
    frame = np.array([[0, 0], [canvas[1], 0], [canvas[1], canvas[0]], [0, canvas[0]]], np.float32)
    generator = np.random.default_rng(1)
    seen = []
    for _ in range(60):
        angle, scale = generator.uniform(-180, 180), generator.uniform(0.3, 2.5)
        move = generator.uniform(-60, 60, 2)
        radians = np.deg2rad(angle)
        turn = np.array([[np.cos(radians), np.sin(radians)], [-np.sin(radians), np.cos(radians)]])
        polygon = scale * corners @ turn.T + move + (canvas[1] / 2, canvas[0] / 2)
        area, _ = cv2.intersectConvexConvex(polygon.astype(np.float32), frame)
        wanted = area / (w * h * scale**2)
        got = fraction_of(torch.ones(h, w), (angle, 0, scale, scale, *move), canvas)
        # A pixel on the border is wrong by less than itself, 1 / 2400; neighbours cancel.
        assert got == pytest.approx(wanted, abs=2 / (h * w))
        seen.append(wanted)
    assert min(seen) == 0 and max(seen) == pytest.approx(1, abs=1e-6) and 0.2 < np.mean(seen) < 0.8


@pytest.mark.parametrize("size", [(1, 1), (40, 40), (300, 300), (299, 500), (1080, 1920)])
def test_wholly_inside_is_exactly_one(size):
    theta = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    assert visible_fraction(torch.rand(1, 1, *size), theta, size).item() == 1


def test_empty_mask_and_nan_theta_touch_no_other():
    mask = torch.ones(3, 1, 10, 10, requires_grad=True)
    theta = torch.eye(2, 3).repeat(3, 1, 1)
    theta[:, 0, 2] = 1.0  # half out
    theta[2] = torch.nan
    theta.requires_grad_()
    weight = torch.tensor([1.0, 0.0, 1.0]).reshape(3, 1, 1, 1)
    fraction = visible_fraction(mask * weight, theta, (10, 10))
    assert fraction[0].item() == 0.5 and fraction[1].item() == 0 and fraction[2].isnan()
    fraction.sum().backward()
    assert theta.grad[:2].isfinite().all() and mask.grad[:2].isfinite().all()


def test_gradient_is_the_true_one_and_zero_when_gone():
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(3, 1, 6, 8, dtype=torch.float64, generator=generator).requires_grad_()
    parameters = torch.tensor(
        [[20, 0.1, 1.2, 0.9, 8, 3], [-70, 0, 2, 3, 0, 1], [0, 0, 1, 1, 0.3, 7.7]],
        dtype=torch.float64,
    )
    theta = affine.from_parameters(parameters, (6, 8), (14, 12)).requires_grad_()
    assert torch.autograd.gradcheck(lambda m, t: visible_fraction(m, t, (14, 12)), (mask, theta))

    # One column of ten leaves with each pixel to the right.
    parameters = torch.tensor([[0, 0, 1, 1, 5, 0], [0, 0, 1, 1, 90, 0], [0, 0, 1, 1, 0.0, 0.0]])
    parameters.requires_grad_()
    theta = affine.from_parameters(parameters, (10, 10), (16, 16))
    visible_fraction(torch.ones(3, 1, 10, 10), theta, (16, 16)).sum().backward()
    assert parameters.grad[0, 4].item() == pytest.approx(-0.1, rel=1e-5)
    assert (parameters.grad[1:] == 0).all()


def test_bool_masks_count_as_zero_and_one():
    solid = torch.zeros(1, 1, 6, 8, dtype=torch.bool)
    solid[..., 2:4, 1:6] = True
    found, visible = boxes(solid)
    assert found.tolist() == [[1, 2, 6, 4]] and visible.all()
    theta = torch.tensor([[[1.0, 0.0, 0.5], [0.0, 1.0, 0.0]]])  # two columns to the left
    assert visible_fraction(solid, theta, (6, 8)).item() == pytest.approx(0.8)
    assert visible_fraction(solid, theta.double(), (6, 8)).dtype == torch.float64


@pytest.mark.parametrize("factor", [1e20, 1e-20])
def test_visible_fraction_of_a_map_of_any_magnitude(factor):
    """A speck in the middle is inside; of what covers the canvas many times over, next to none."""
    theta = torch.tensor([[[factor, 0, 0], [0, factor, 0.0]]])
    wanted = 1.0 if factor > 1 else 0.0
    assert visible_fraction(torch.ones(1, 1, 4, 4), theta, (4, 4)).item() == pytest.approx(wanted)


def test_visible_fraction_dtypes_and_empty_batch():
    theta = torch.eye(2, 3)[None]
    mask = torch.ones(1, 1, 4, 4)
    assert visible_fraction(mask.bfloat16(), theta, (4, 4)).dtype == torch.float32
    assert visible_fraction(mask, theta.double(), (4, 4)).dtype == torch.float64
    assert visible_fraction(mask[:0], theta[:0], (4, 4)).shape == (0,)


# both -------------------------------------------------------------------------------------------


def test_compile_vmap_and_autocast_change_nothing():
    def both(mask, theta):
        return *boxes(mask, 0.9), visible_fraction(mask, theta, (14, 12))

    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(3, 1, 6, 8, generator=generator)
    parameters = torch.tensor([[20, 0.1, 1.2, 0.9, 8, 3]]).expand(3, 6)
    theta = affine.from_parameters(parameters, (6, 8), (14, 12))
    eager = both(mask, theta)
    # Capturing the graph is what can break; generating code for it takes half a minute.
    compiled = torch.compile(both, fullgraph=True, backend="aot_eager")
    assert all(map(torch.equal, compiled(mask, theta), eager))
    single = torch.func.vmap(lambda m, t: both(m[None], t[None]))(mask, theta)
    assert all(torch.equal(one.squeeze(1), all_) for one, all_ in zip(single, eager, strict=True))
    with torch.autocast("cpu", torch.bfloat16):
        assert all(map(torch.equal, both(mask, theta), eager))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: boxes(torch.zeros(2, 4, 4)),
            ValueError,
            r"alpha: got shape \(2, 4, 4\), wanted \(N, 1, height, width\)",
        ),
        (
            lambda: boxes(torch.zeros(2, 3, 4, 4)),
            ValueError,
            r"alpha: got shape \(2, 3, 4, 4\), wanted \(N, 1, height, width\)",
        ),
        (
            lambda: boxes(torch.zeros(2, 1, 4, 4, dtype=torch.uint8)),
            TypeError,
            "alpha: got torch.uint8, wanted bool, float64, .*; give alpha != 0 for two values",
        ),
        (
            lambda: boxes(torch.zeros(2, 1, 4, 4), threshold=1),
            ValueError,
            r"threshold: got 1, wanted a number in \[0, 1\)",
        ),
        (
            lambda: boxes(torch.zeros(2, 1, 4, 4), threshold=float("nan")),
            ValueError,
            r"threshold: got nan, wanted a number in \[0, 1\)",
        ),
        (
            lambda: boxes(torch.zeros(2, 1, 4, 4), threshold=None),
            ValueError,
            r"threshold: got None, wanted a number in \[0, 1\)",
        ),
        (
            lambda: boxes(torch.zeros(2, 1, 4, 4), torch.zeros((), requires_grad=True)),
            ValueError,
            "threshold: got a tensor that requires a gradient, wanted a number",
        ),
        (
            lambda: visible_fraction(torch.zeros(2, 1, 4, 4).long(), torch.zeros(2, 2, 3), (4, 4)),
            TypeError,
            "mask: got torch.int64, wanted bool, .*mask == label for a map of labels",
        ),
        (
            lambda: visible_fraction(torch.zeros(2, 1, 4, 4), torch.zeros(2, 2, 3), 4),
            ValueError,
            r"canvas_size: got 4, wanted \(height, width\), two integers",
        ),
        (
            lambda: visible_fraction(None, torch.zeros(2, 2, 3), (4, 4)),
            TypeError,
            "mask: got NoneType, wanted a tensor",
        ),
        (
            lambda: visible_fraction(torch.zeros(2, 1, 4, 4), torch.zeros(3, 2, 3), (4, 4)),
            ValueError,
            r"theta: got shape \(3, 2, 3\), wanted \(2, 2, 3\) for this mask",
        ),
        (
            lambda: visible_fraction(torch.zeros(2, 1, 4, 4), torch.zeros(2, 2, 3).half(), (4, 4)),
            TypeError,
            "theta: got torch.float16, wanted float32 or float64",
        ),
        (
            lambda: visible_fraction(
                torch.zeros(2, 1, 4, 4), torch.zeros(2, 2, 3, device="meta"), (4, 4)
            ),
            ValueError,
            "theta: got device meta, wanted the mask's cpu",
        ),
        (
            lambda: visible_fraction(torch.zeros(2, 1, 4, 4), torch.zeros(2, 2, 3), (4,)),
            ValueError,
            r"canvas_size: got \(4,\), wanted \(height, width\), two integers",
        ),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
