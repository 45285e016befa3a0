"""Placements against OpenCV, NumPy and numbers worked by hand."""

import cv2
import numpy as np
import pytest
import torch
from torch.nn.functional import affine_grid, grid_sample

from compositor import affine, blend

FOREGROUND, CANVAS = (24, 36), (60, 50)  # neither square nor alike


def random_parameters(n, dtype=torch.float64, seed=0):
    """Turns all the way round, shear, unequal scales, moves."""
    generator = torch.Generator().manual_seed(seed)
    low = torch.tensor([-179.0, -0.5, 0.4, 0.4, -30.0, -30.0], dtype=torch.float64)
    high = torch.tensor([179.0, 0.5, 2.5, 2.5, 30.0, 30.0], dtype=torch.float64)
    return torch.lerp(low, high, torch.rand(n, 6, dtype=torch.float64, generator=generator)).to(
        dtype
    )


def forward_pixels(theta, foreground_size, canvas_size, points):
    """Where foreground pixels (x, y), counted from 0 at pixel centres, land on the canvas."""
    (h, w), (height, width) = foreground_size, canvas_size
    x, y = (2 * points[:, 0] + 1) / w - 1, (2 * points[:, 1] + 1) / h - 1
    landed = np.stack((x, y, np.ones_like(x)), -1) @ affine.invert(theta).numpy().T
    return ((landed + 1) * (width, height) - 1) / 2


def test_identity_and_hand_worked_numbers():
    parameters = torch.tensor(
        [
            [0.0, 0.0, 1.0, 1.0, 0.0, 0.0],  # nothing
            [0.0, 0.0, 1.0, 1.0, 5.0, -10.0],  # 5 pixels right of 40, 10 up of 80
            [0.0, 0.0, 2.0, 0.5, 0.0, 0.0],  # twice as wide, half as high
            [0.0, 0.5, 1.0, 1.0, 0.0, 0.0],  # sheared by half a pixel a row
            [90.0, 0.0, 2.0, 1.0, 0.0, 0.0],  # twice as wide, then on its side
        ]
    )
    wanted = torch.tensor(
        [
            [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
            [[1.0, 0.0, -0.25], [0.0, 1.0, 0.25]],
            [[0.5, 0.0, 0.0], [0.0, 2.0, 0.0]],
            [[1.0, -1.0, 0.0], [0.0, 1.0, 0.0]],  # x -= 0.5 y in pixels; y is measured in 80ths
            [[0.0, -1.0, 0.0], [0.5, 0.0, 0.0]],  # x = -y / 2 in pixels, y = x
        ]
    )
    assert torch.equal(affine.from_parameters(parameters, (80, 40), (80, 40)), wanted)


def test_default_keeps_the_pixel_size_between_frames():
    parameters = torch.tensor([0.0, 0.0, 1.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    theta = affine.from_parameters(parameters, FOREGROUND, CANVAS)
    corners = np.array([[0.0, 0.0], [35.0, 23.0]])
    landed = forward_pixels(theta, FOREGROUND, CANVAS, corners)
    # 36 x 24 in the middle of 50 x 60: 7 columns to the left and 18 rows above.
    np.testing.assert_allclose(landed, corners + (7, 18), rtol=0, atol=1e-12)


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0, -137.5])
def test_turn_and_scale_agree_with_opencv(angle):
    scale, move = 1.3, (4.0, -7.0)
    parameters = torch.tensor([angle, 0.0, scale, scale, *move], dtype=torch.float64)
    theta = affine.from_parameters(parameters, FOREGROUND, CANVAS)
    centre = ((FOREGROUND[1] - 1) / 2, (FOREGROUND[0] - 1) / 2)
    matrix = cv2.getRotationMatrix2D(centre, angle, scale)
    matrix[:, 2] += ((CANVAS[1] - 1) / 2 - centre[0], (CANVAS[0] - 1) / 2 - centre[1])
    matrix[:, 2] += move
    points = np.array([[0.0, 0.0], [35.0, 0.0], [3.0, 20.0], [17.5, 11.5]])
    wanted = np.concatenate((points, np.ones((4, 1))), 1) @ matrix.T
    # float64 rounding of numbers below 100.
    np.testing.assert_allclose(
        forward_pixels(theta, FOREGROUND, CANVAS, points), wanted, rtol=0, atol=1e-11
    )


def test_warp_agrees_with_opencv():
    image = np.random.default_rng(0).random(FOREGROUND)
    image[[0, -1]] = image[:, [0, -1]] = 0  # so that the two border rules agree
    parameters = torch.tensor([25.0, 0.3, 1.4, 0.8, 3.0, -4.0], dtype=torch.float64)
    theta = affine.from_parameters(parameters, FOREGROUND, CANVAS)
    corners = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    landed = forward_pixels(theta, FOREGROUND, CANVAS, corners)
    matrix = cv2.getAffineTransform(corners.astype(np.float32), landed.astype(np.float32))
    wanted = cv2.warpAffine(image, matrix, (CANVAS[1], CANVAS[0]))
    grid = affine_grid(theta[None], (1, 1, *CANVAS), align_corners=False)
    warped = grid_sample(torch.from_numpy(image)[None, None], grid, align_corners=False)
    # OpenCV counts source positions in 32nds of a pixel and the matrix was fitted in float32.
    np.testing.assert_allclose(warped[0, 0].numpy(), wanted, rtol=0, atol=1 / 16)


@pytest.mark.parametrize("turns", range(-5, 6))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_right_angles_are_exact(turns, dtype):
    parameters = torch.tensor([90.0 * turns, 0.0, 1.0, 1.0, 0.0, 0.0], dtype=dtype)
    theta = affine.from_parameters(parameters, (7, 7), (7, 7))
    wanted = torch.tensor([(1, 0), (0, 1), (-1, 0), (0, -1)][turns % 4], dtype=dtype)
    assert torch.equal(theta[:, 0], wanted)
    assert torch.equal(theta[0, 1], -theta[1, 0])
    assert torch.equal(theta[1, 1], theta[0, 0])
    picture = torch.rand(1, 3, 7, 7, dtype=dtype)
    turned = blend(picture, None, torch.zeros_like(picture), theta[None], threshold=0, sigma=0)
    assert torch.equal(turned, picture.rot90(turns, (2, 3)))  # NumPy's counter-clockwise


def test_gradient_survives_at_right_angles():
    for angle in (0.0, 90.0, 180.0, -90.0, 45.0, 720.0):
        parameters = torch.tensor([[angle, 0.2, 1.1, 0.9, 2.0, 3.0]], dtype=torch.float64)
        parameters.requires_grad_()
        assert torch.autograd.gradcheck(
            lambda p: affine.from_parameters(p, FOREGROUND, CANVAS), parameters
        )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_round_trip_of_parameters(dtype):
    parameters = random_parameters(200, dtype)
    parameters[::3, 3] *= -1  # mirrored
    theta = affine.from_parameters(parameters, FOREGROUND, CANVAS)
    assert theta.dtype == dtype and theta.shape == (200, 2, 3)
    back = affine.to_parameters(theta, FOREGROUND, CANVAS)
    # About 100 roundings of angles near 180 and moves near 30.
    tolerance = 100 * torch.finfo(dtype).eps
    torch.testing.assert_close(back, parameters, rtol=tolerance, atol=180 * tolerance)


def test_negative_scale_x_comes_back_as_the_equal_turn():
    parameters = torch.tensor([30.0, 0.1, -1.5, 0.7, 1.0, 2.0], dtype=torch.float64)
    theta = affine.from_parameters(parameters, FOREGROUND, CANVAS)
    back = affine.to_parameters(theta, FOREGROUND, CANVAS)
    wanted = torch.tensor([-150.0, 0.1, 1.5, -0.7, 1.0, 2.0], dtype=torch.float64)
    torch.testing.assert_close(back, wanted)
    torch.testing.assert_close(affine.from_parameters(back, FOREGROUND, CANVAS), theta)


def test_invert_agrees_with_numpy():
    theta = affine.from_parameters(random_parameters(50), FOREGROUND, CANVAS)
    square = np.zeros((50, 3, 3))
    square[:, :2], square[:, 2, 2] = theta.numpy(), 1
    wanted = np.linalg.inv(square)[:, :2]
    np.testing.assert_allclose(affine.invert(theta).numpy(), wanted, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(affine.invert(affine.invert(theta)), theta)


def test_singular_is_not_finite():
    theta = torch.tensor([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0]])
    assert not affine.invert(theta).isfinite().any(-1).all()
    assert affine.to_parameters(theta, FOREGROUND, CANVAS).isnan().any()


def test_gradients_of_the_inverse_maps():
    theta = affine.from_parameters(random_parameters(3), FOREGROUND, CANVAS).requires_grad_()
    assert torch.autograd.gradcheck(affine.invert, theta)
    assert torch.autograd.gradcheck(lambda t: affine.to_parameters(t, FOREGROUND, CANVAS), theta)


def test_leading_shapes_and_empty_batches():
    for shape in ((), (0,), (2, 0), (2, 3)):
        parameters = random_parameters(6)[0].expand(*shape, 6)
        theta = affine.from_parameters(parameters, FOREGROUND, CANVAS)
        assert theta.shape == (*shape, 2, 3)
        assert affine.invert(theta).shape == (*shape, 2, 3)
        assert affine.to_parameters(theta, FOREGROUND, CANVAS).shape == (*shape, 6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("factor", [1e20, 1e-20, 1e-30, 1e30])
def test_maps_of_any_magnitude_invert(factor, dtype):
    """What float32 holds, it inverts: the determinant alone would leave its range."""
    theta = affine.from_parameters(random_parameters(20), FOREGROUND, CANVAS)
    square = np.zeros((20, 3, 3))
    square[:, :2], square[:, 2, 2] = theta.numpy() * [factor, factor, 1], 1
    wanted = np.linalg.inv(square)[:, :2]
    # Relative rounding of maps whose condition numbers are below 100.
    found = affine.invert(torch.from_numpy(square[:, :2]).to(dtype))
    tolerance = 100 * torch.finfo(dtype).eps
    np.testing.assert_allclose(found[..., :2], wanted[..., :2], rtol=tolerance, atol=0)
    assert found.dtype == dtype

    parameters = torch.tensor([30.0, 0.2, 2 * factor, -factor, 0, 0], dtype=dtype)
    back = affine.to_parameters(
        affine.from_parameters(parameters, FOREGROUND, CANVAS), FOREGROUND, CANVAS
    )
    torch.testing.assert_close(back, parameters, rtol=tolerance, atol=30 * tolerance)


def test_unequal_magnitudes_and_denormals_invert():
    theta = torch.tensor([[1e20, 0.0, 0.0], [0.0, 1e-20, 1.0]])
    wanted = torch.tensor([[1e-20, 0.0, 0.0], [0.0, 1e20, -1e20]])
    torch.testing.assert_close(affine.invert(theta), wanted, rtol=1e-6, atol=0)
    assert affine.invert(torch.full((2, 3), 0.0)).isnan().any()


def test_compile_vmap_and_autocast_change_nothing():
    def everything(parameters, mask, box):
        theta = affine.from_parameters(parameters, FOREGROUND, CANVAS)
        return (
            theta,
            affine.invert(theta),
            affine.to_parameters(theta, FOREGROUND, CANVAS),
            affine.from_boxes(mask, box, CANVAS),
        )

    parameters = random_parameters(4, torch.float32)
    mask = torch.ones(4, 1, *FOREGROUND)
    box = torch.tensor([10.0, 20.0, 19.0, 31.0]).expand(4, 4)
    eager = everything(parameters, mask, box)
    # Capturing the graph is what can break; generating code for it takes half a minute.
    compiled = torch.compile(everything, fullgraph=True, backend="aot_eager")
    assert all(map(torch.equal, compiled(parameters, mask, box), eager))
    mapped = torch.func.vmap(lambda p: affine.from_parameters(p, FOREGROUND, CANVAS))(parameters)
    assert torch.equal(mapped, eager[0])
    with torch.autocast("cpu", torch.bfloat16):
        assert all(map(torch.equal, everything(parameters, mask, box), eager))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: affine.from_parameters(torch.zeros(2, 5), (4, 4), (4, 4)),
            ValueError,
            r"parameters: got shape \(2, 5\), wanted \(\.\.\., 6\)",
        ),
        (
            lambda: affine.from_parameters([30.0], (4, 4), (4, 4)),
            TypeError,
            "parameters: got list, wanted a tensor",
        ),
        (
            lambda: affine.from_parameters(torch.zeros(6).half(), (4, 4), (4, 4)),
            TypeError,
            "parameters: got torch.float16, wanted float32 or float64",
        ),
        (
            lambda: affine.from_parameters(torch.zeros(6), (0, 4), (4, 4)),
            ValueError,
            r"foreground_size: got \(0, 4\), wanted \(height, width\), two integers",
        ),
        (
            lambda: affine.to_parameters(torch.zeros(2, 3), (4, 4), (3, 4, 4)),
            ValueError,
            r"canvas_size: got \(3, 4, 4\), wanted \(height, width\), two integers",
        ),
        (
            lambda: affine.invert(torch.zeros(3, 3)),
            ValueError,
            r"theta: got shape \(3, 3\), wanted \(\.\.\., 2, 3\)",
        ),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
