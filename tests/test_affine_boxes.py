"""What shows of an object lands on the given box: by hand-worked numbers, and rendered."""

from itertools import product

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.functional import grid_sample
from torchvision import tv_tensors
from torchvision.transforms.v2.functional import convert_bounding_box_format

from compositor import affine, blend, boxes

FOREGROUND, CANVAS = (24, 36), (60, 50)  # neither square nor alike
PAPER = 1 - 1e-7


def block(width, height, frame=FOREGROUND, at=(5, 3), dtype=torch.float64):
    """A solid block of ones in its frame, off the centre."""
    mask = torch.zeros(1, 1, *frame, dtype=dtype)
    mask[..., at[1] : at[1] + height, at[0] : at[0] + width] = 1
    return mask


def placed_mask():
    """Columns 5 to 13, rows 3 to 9."""
    return block(8, 6)


def shown(mask, theta, threshold, sigma, canvas=CANVAS):
    ground = torch.zeros(len(mask), 1, *canvas, dtype=mask.dtype)
    options = {"threshold": threshold, "sigma": sigma, "return_alpha": True}
    found, visible = boxes(blend(mask, mask, ground, theta, **options)[1])
    assert visible.all()
    return found


def test_a_four_pixel_object_fills_its_box():
    mask, box = torch.ones(1, 1, 4, 4), torch.tensor([[20.0, 20.0, 180.0, 180.0]])
    theta = affine.from_boxes(mask, box, (200, 200))
    assert torch.equal(shown(mask, theta, PAPER, 1.0, (200, 200)), box)
    # A spatial transformer, on the other hand, shows half a pixel more on each side.
    theta = affine.from_boxes(mask, box, (200, 200), threshold=0)
    assert torch.equal(shown(mask, theta, 0.0, 1.0, (200, 200)), box)


@pytest.mark.parametrize("sigma", [0.0, 1.0])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.9, 0.998, 0.9999, PAPER])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_shows_is_the_box(dtype, threshold, sigma):
    """Sizes from two pixels on; of one pixel, the corners of what shows are round."""
    places = [(10, 20, 34, 38), (0, 0, 50, 60), (20, 20, 28, 23), (1, 40, 49, 47), (45, 9, 5, 60)]
    for width, height in ((2, 2), (2, 9), (3, 2), (8, 6), (30, 20), (36, 24)):
        mask = block(width, height, at=(0, 0) if width == 36 else (5, 3), dtype=dtype)
        mask = mask.expand(len(places), -1, -1, -1)
        wanted = torch.tensor(places, dtype=torch.float32)
        theta = affine.from_boxes(mask, wanted, CANVAS, threshold)
        left, right = wanted[:, [0, 2]].aminmax(dim=1)
        wanted[:, 0], wanted[:, 2] = left, right  # a mirrored object shows there too
        assert torch.equal(shown(mask, theta, threshold, sigma), wanted), (width, height)


@pytest.mark.parametrize(
    ("width", "height", "threshold"),
    [
        *product((1, 2, 31), (1, 6, 21), (0.0, 0.3, 0.5, 0.9, 0.998)),
        *product((2, 31), (2, 6, 21), (PAPER,)),  # of one pixel nothing shows
    ],
)
def test_alpha_is_a_half_on_the_middle_of_each_side(width, height, threshold):
    """By PyTorch's own sampler, at four points of the box's outline, without a pixel grid."""
    mask, (x1, y1, x2, y2) = block(width, height), (10.25, 20.5, 33.0, 38.75)
    theta = affine.from_boxes(
        mask, torch.tensor([[x1, y1, x2, y2]], dtype=torch.float64), CANVAS, threshold
    )
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    points = torch.tensor([[x1, y, 1], [x2, y, 1], [x, y1, 1], [x, y2, 1]], dtype=torch.float64)
    points[:, :2] = points[:, :2] / torch.tensor([50, 60]) * 2 - 1
    grid = (points @ theta[0].T).reshape(1, 4, 1, 2)
    sample = grid_sample(mask, grid, align_corners=False).flatten()
    # Rounding of coordinates below 100, 1e-14, over the ramp's width, 1 - threshold.
    wanted = torch.full((4,), 0.5, dtype=torch.float64)
    torch.testing.assert_close(
        (sample - threshold) / (1 - threshold), wanted, rtol=0, atol=1e-13 / (1 - threshold)
    )


@pytest.mark.parametrize("threshold", [0.0, 0.5, PAPER])
def test_hand_worked_theta(threshold):
    """The edge lies half the threshold inside columns 5 to 13 and rows 3 to 9."""
    theta = affine.from_boxes(
        placed_mask(),
        torch.tensor([[10.0, 20.0, 26.0, 38.0]], dtype=torch.float64),
        CANVAS,
        threshold,
    )
    inset = threshold / 2
    left, right, top, bottom = 5 + inset, 13 - inset, 3 + inset, 9 - inset
    x, y = (right - left) / 16, (bottom - top) / 18  # foreground pixels a canvas pixel
    x_offset = (left + right) / 2 - 18 - (18 - 25) * x  # between the two centres
    y_offset = (top + bottom) / 2 - 12 - (29 - 30) * y
    wanted = [[x * 50 / 36, 0, x_offset * 2 / 36], [0, y * 60 / 24, y_offset * 2 / 24]]
    torch.testing.assert_close(theta, torch.tensor([wanted], dtype=torch.float64))


@pytest.mark.parametrize(
    ("row", "threshold", "edges"),
    [
        # From 0 at 3.5 to 0.6 at 4.5, then 1 at 5.5: halfway from the threshold to 1 is passed at
        ([0.6, 1, 1, 0.8], 0.0, (3.5 + 0.5 / 0.6, 7.5 + 0.3 / 0.8)),
        ([0.6, 1, 1, 0.8], 0.5, (4.5 + 0.15 / 0.4, 7.5 + 0.05 / 0.8)),
        ([0.6, 1, 1, 0.8], PAPER, (5.5, 6.5)),
        ([0.2, 0.9, 0.9, 0.3], 0.0, (4.5 + 0.3 / 0.7, 6.5 + 0.4 / 0.6)),
    ],
)
def test_a_soft_mask_counts_where_it_shows(row, threshold, edges):
    mask = torch.zeros(1, 1, *FOREGROUND, dtype=torch.float64)
    mask[0, 0, 3:9, 4:8] = torch.tensor(row, dtype=torch.float64)
    box = torch.tensor([[10.0, 20.0, 18.0, 26.0]], dtype=torch.float64)
    theta = affine.from_boxes(mask, box, CANVAS, threshold)
    at_box = (theta[0, 0, 0] * (box[0, 0::2] / 25 - 1) + theta[0, 0, 2] + 1) * 18
    wanted = torch.tensor(edges, dtype=torch.float64)
    # At the paper's threshold half of 1e-7 of a pixel to the outside of the centres.
    torch.testing.assert_close(at_box, wanted, rtol=0, atol=1e-6)


def test_tips_one_pixel_wide_do_not_count_where_they_do_not_show():
    """A disc with a single pixel at each of its four ends, as its formula draws it."""
    y, x = torch.meshgrid(torch.arange(11) - 5, torch.arange(11) - 5, indexing="ij")
    mask = (x**2 + y**2 <= 25)[None, None].float()
    assert mask[0, 0, 0].sum() == 1
    box = torch.tensor([[20.0, 20.0, 180.0, 180.0]])
    for threshold in (0.5, PAPER):
        theta = affine.from_boxes(mask, box, (200, 200), threshold)
        assert torch.equal(shown(mask, theta, threshold, 0.0, (200, 200)), box)


@pytest.mark.parametrize("dtype", [torch.bool, torch.bfloat16, torch.float16, torch.float64])
def test_every_dtype_of_a_mask_says_the_same(dtype):
    box = torch.tensor([[10.0, 20.0, 34.0, 38.0]])
    wanted = affine.from_boxes(placed_mask().float(), box, CANVAS)
    assert torch.equal(affine.from_boxes(placed_mask().to(dtype), box, CANVAS), wanted)


def test_box_beyond_the_canvas_is_cut():
    theta = affine.from_boxes(placed_mask(), torch.tensor([[-6.0, 50.0, 10.0, 68.0]]), CANVAS)
    assert shown(placed_mask(), theta, PAPER, 1.0).tolist() == [[0, 50, 10, 60]]


def test_box_of_no_turn_equals_parameters():
    box = torch.tensor([[11.0, 27.0, 27.0, 33.0]])
    theta = affine.from_boxes(placed_mask(), box, CANVAS, threshold=0)
    # The block's centre (9, 6) lies (-9, -6) from its frame's; it is to lie at (19, 30), that is
    # (-6, 0) from the canvas's; twice as wide, it stays 18 columns and 6 rows off: moved (12, 6).
    wanted = torch.tensor([[0.0, 0.0, 2.0, 1.0, 12.0, 6.0]])
    torch.testing.assert_close(affine.to_parameters(theta, FOREGROUND, CANVAS), wanted)


def test_reversed_box_mirrors():
    box = torch.tensor([[18.0, 20.0, 10.0, 26.0]], dtype=torch.float64)
    parameters = affine.to_parameters(
        affine.from_boxes(placed_mask(), box, CANVAS), FOREGROUND, CANVAS
    )
    # A mirror in x is a half turn and a mirror in y.
    assert parameters[0, 0].abs() == 180 and parameters[0, 3] < 0 < parameters[0, 2]


@pytest.mark.parametrize(
    ("mask", "threshold", "wanted"),
    [
        (torch.zeros(24, 36), PAPER, "2 x 2 pixels of 1"),
        (block(1, 9)[0, 0], PAPER, "2 x 2 pixels of 1"),
        (block(9, 1)[0, 0], 0.9999, "2 x 2 pixels of 1"),
        (block(9, 9)[0, 0] * 254 / 255, PAPER, "2 x 2 pixels of 1"),
        (block(9, 9)[0, 0] * 0.7, 0.5, "a pixel of 0.75"),
        (torch.full((24, 36), torch.nan), 0.0, "a pixel of 0.5"),
    ],
)
def test_a_mask_of_which_nothing_shows_is_refused(mask, threshold, wanted):
    masks = torch.stack((placed_mask()[0], mask[None].double()))
    box = torch.tensor([[10.0, 20.0, 18.0, 26.0]], dtype=torch.float64).expand(2, 4)
    message = (
        rf"mask: got nothing that shows at threshold {threshold} in item 1,"
        rf" wanted at least {wanted}"
    )
    with pytest.raises(ValueError, match=message) as caught:
        affine.from_boxes(masks, box, CANVAS, threshold)
    assert "\n" not in str(caught.value)

    # What compiles cannot look at values: that item is NaN, and the other as it was.
    compiled = torch.compile(affine.from_boxes, fullgraph=True, backend="eager")
    theta = compiled(masks, box, CANVAS, threshold)
    composite = blend(masks, masks, torch.zeros(2, 1, *CANVAS, dtype=torch.float64), theta)
    assert composite[0].isfinite().all() and composite[1].isnan().all()
    assert torch.equal(theta[:1], affine.from_boxes(masks[:1], box[:1], CANVAS, threshold))


def test_graphs_and_transforms_are_asked_for_no_values():
    def place(mask, box):
        return affine.from_boxes(mask, box, CANVAS)

    mask, box = placed_mask(), torch.tensor([[10.0, 20.0, 34.0, 38.0]])
    wanted = place(mask, box)
    assert torch.equal(make_fx(place, tracing_mode="fake")(mask, box)(mask, box), wanted)
    mapped = torch.func.vmap(lambda b: place(mask, b))(box[None])
    assert torch.equal(mapped[0], wanted)
    assert place(mask.to("meta"), box.to("meta")).shape == (1, 2, 3)
    sizes = torch.compile(
        lambda m, b, c: affine.from_boxes(m, b, c.shape[2:]),
        fullgraph=True,
        backend="eager",
        dynamic=True,
    )
    assert torch.equal(sizes(mask, box, torch.zeros(1, 1, *CANVAS)), wanted)


def test_gradient_dtype_and_empty_batch():
    box = torch.tensor([[10.0, 20.0, 19.0, 31.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda b: affine.from_boxes(placed_mask(), b, CANVAS), box)
    assert affine.from_boxes(placed_mask(), box.float(), CANVAS).dtype == torch.float32
    assert affine.from_boxes(placed_mask()[:0], box[:0], CANVAS).shape == (0, 2, 3)


@pytest.mark.parametrize("form", ["XYXY", "XYWH", "CXCYWH"])
def test_torchvision_boxes_of_any_format_are_the_same_place(form):
    corners = tv_tensors.BoundingBoxes(
        torch.tensor([[10.0, 20.0, 34.0, 38.0]]), format="XYXY", canvas_size=CANVAS
    )
    wanted = affine.from_boxes(placed_mask(), torch.tensor([[10.0, 20.0, 34.0, 38.0]]), CANVAS)
    given = convert_bounding_box_format(corners, new_format=form).requires_grad_()
    theta = affine.from_boxes(tv_tensors.Mask(placed_mask() > 0), given, CANVAS)
    assert type(theta) is torch.Tensor and torch.equal(theta, wanted)
    theta.sum().backward()
    assert given.grad is not None and given.grad.abs().sum() > 0


BOX = torch.tensor([[10.0, 20.0, 34.0, 38.0]])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"mask": None}, TypeError, "mask: got NoneType, wanted a tensor"),
        (
            {"mask": placed_mask().byte()},
            TypeError,
            r"mask: got torch.uint8, wanted bool, .*mask != 0 .*, mask.float\(\) / 255 for levels",
        ),
        ({"mask": placed_mask().long()}, TypeError, "mask: got torch.int64.*mask == label"),
        ({"mask": placed_mask()[0]}, ValueError, r"mask: got shape \(1, 24, 36\), wanted \(N, 1"),
        ({"boxes": BOX.repeat(3, 1)}, ValueError, r"boxes: got shape \(3, 4\), wanted \(1, 4\)"),
        ({"boxes": BOX.long()}, TypeError, "boxes: got torch.int64, wanted float32 or float64"),
        (
            {"boxes": tv_tensors.BoundingBoxes(BOX, format="XYXY", canvas_size=(50, 60))},
            ValueError,
            r"boxes: got boxes on a canvas of \(50, 60\), wanted \(60, 50\)",
        ),
        (
            {"boxes": tv_tensors.BoundingBoxes(BOX[:, [0, 1, 2, 3, 0]], format="XYWHR",
             canvas_size=CANVAS)},
            ValueError,
            "boxes: got format XYWHR, wanted XYXY, XYWH or CXCYWH",
        ),
        ({"canvas_size": 50}, ValueError, r"canvas_size: got 50, wanted \(height, width\), two"),
        ({"threshold": 1}, ValueError, r"threshold: got 1, wanted a number in \[0, 1\)"),
    ],
)  # fmt: skip
def test_errors_name_the_argument(change, error, message):
    arguments = {"mask": placed_mask(), "boxes": BOX, "canvas_size": CANVAS, **change}
    with pytest.raises(error, match=message) as caught:
        affine.from_boxes(**arguments)
    assert "\n" not in str(caught.value)
