"""What ``render`` computes: against float64, a chain of ``blend``s, and cases worked by hand."""

import pytest
import torch

import compositor
from tests.ops import truth
from tests.ops.cases import each_backend
from tests.ops.layers import SIZES, scene

# A coordinate of some 60 pixels rounds by 4e-6, the steepest slope is 1 / (1 - 0.3) a pixel, u and
# v add up and gains are up to 1.5; half types round once more when stored, bytes to half a level.
TOLERANCE = {
    torch.float64: 1e-12,
    torch.float32: 3e-5,
    torch.bfloat16: 8e-3,
    torch.float16: 1e-3,
    torch.uint8: 0.5 / 255 + 3e-5,
}


def render(given, backend=None, **options):
    return compositor.render(
        given.background,
        given.foreground,
        given.mask,
        given.theta,
        return_labels=True,
        backend=backend,
        **given.options(),
        **options,
    )


@each_backend
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("masked", "toned", "threshold"), [(True, True, 0.3), (False, False, 0.0)])
def test_composite_and_labels_are_those_of_float64(backend, size, dtype, masked, toned, threshold):
    for seed in range(3):
        given = scene(size, seed, masked, toned).to(dtype)
        wide = given.in_float64()
        composite, labels = render(given, backend, threshold=threshold)
        wanted, owner, covered = truth.render(
            wide.background, wide.foreground, wide.mask, wide.theta, wide.image, wide.source,
            wide.gain, wide.bias, wide.sigma, threshold,
        )  # fmt: skip
        unit = 255 if dtype == torch.uint8 else 1
        wanted = wanted.clamp(0, 1) if unit == 255 else wanted
        scale = max(1.0, wanted.abs().max().item()) if wanted.numel() else 1.0
        torch.testing.assert_close(
            composite.double() / unit, wanted, rtol=0, atol=TOLERANCE[dtype] * scale
        )
        # Where alpha lies within rounding of 0.5 a pixel may fall to either side; these have none.
        assert torch.equal(labels.owner, owner)
        assert torch.equal(labels.covered, covered)
        for layer, canvas in enumerate(given.image.tolist()):
            y, x = (owner[canvas] == layer).nonzero(as_tuple=True)
            box = [x.min(), y.min(), x.max() + 1, y.max() + 1] if len(x) else [0, 0, 0, 0]
            assert labels.boxes[layer].tolist() == [int(edge) for edge in box]
            assert labels.area[layer] == len(x)


@each_backend
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_one_layer_a_canvas_is_blend_bit_for_bit(backend, dtype):
    torch.manual_seed(0)
    foreground, background = torch.rand(4, 3, 20, 31).to(dtype), torch.rand(4, 3, 90, 47).to(dtype)
    mask = (torch.rand(4, 1, 20, 31) > 0.3).to(dtype)
    theta = 2 * torch.eye(2, 3) + 0.5 * torch.randn(4, 2, 3)
    got = compositor.render(background, foreground, mask, theta, threshold=0.2, backend=backend)
    wanted = compositor.blend(foreground, mask, background, theta, threshold=0.2, backend=backend)
    assert torch.equal(got, wanted)


@each_backend
def test_soft_edges_of_two_layers_meet_where_worked_by_hand(backend):
    # One row, masks of 1 as they are: threshold 0, no blur. A shift by a quarter of a pixel gives a
    # column of alpha 0.75 before and 0.25 behind.
    background = torch.zeros(1, 1, 1, 8, dtype=torch.float64)
    foreground = torch.stack([torch.full((1, 1, 2), 1.0), torch.full((1, 1, 2), 3.0)]).double()
    theta = torch.zeros(2, 2, 3, dtype=torch.float64)
    theta[:, 0, 0] = 8 / 2  # a pixel of the cut-out is one of the canvas
    theta[:, 1, 1] = 1
    # Pixel j samples u = j - first: the first cut-out lies on columns 1.25 to 3.25, the second on
    # 3.0 to 5.0 less a quarter.
    for layer, first in enumerate((1.25, 2.75)):
        theta[layer, 0, 2] = (3.5 - first - 0.5) * 2 / 2  # u at the canvas's centre, normalised
    composite, labels = compositor.render(
        background, foreground, None, theta, image=torch.zeros(2, dtype=torch.int64),
        threshold=0, sigma=0, return_labels=True, backend=backend,
    )  # fmt: skip
    first = torch.tensor([0, 0.75, 1, 0.25, 0, 0, 0, 0], dtype=torch.float64)
    second = torch.tensor([0, 0, 0.25, 1, 0.75, 0, 0, 0], dtype=torch.float64)
    wanted = second * 3 + (1 - second) * first
    torch.testing.assert_close(composite[0, 0, 0], wanted, rtol=0, atol=1e-12)
    # Column 2: the second covers a quarter of the first, which keeps it.
    assert labels.owner[0, 0].tolist() == [-1, 0, 0, 1, 1, -1, -1, -1]
    assert labels.boxes.tolist() == [[1, 0, 3, 1], [3, 0, 5, 1]]
    assert labels.area.tolist() == [2, 2] and labels.covered.tolist() == [2, 2]


@each_backend
def test_bytes_are_rounded_once_half_to_even_and_saturated(backend):
    eye = torch.eye(2, 3)[None]
    background = torch.tensor([0, 1, 2, 3, 254, 255], dtype=torch.uint8).reshape(1, 1, 1, 6)
    foreground = torch.full((1, 1, 1, 6), 2, dtype=torch.uint8)
    half = torch.full((1, 1, 1, 6), 255, dtype=torch.uint8)

    def levels(**options):
        given = {"threshold": 0, "sigma": 0, "backend": backend} | options
        return compositor.render(background, foreground, half, eye, **given)[0, 0, 0].tolist()

    assert levels() == [2] * 6
    # gain 1.25 of 2: 2.5, to even 2; gain 1.75: 3.5, to even 4
    assert levels(gain=torch.tensor([[1.25]])) == [2] * 6
    assert levels(gain=torch.tensor([[1.75]])) == [4] * 6
    assert levels(gain=torch.tensor([[1000.0]])) == [255] * 6
    assert levels(gain=torch.tensor([[1e20]])) == [255] * 6
    assert levels(bias=torch.tensor([[-1.0]])) == [0] * 6
    assert levels(bias=torch.tensor([[0.1]])) == [28] * 6  # 2 + 25.5 = 27.5, to even


@each_backend
def test_bytes_through_two_layers_are_not_rounded_between(backend):
    # Two layers of alpha 0.5 by a blur over an edge: 101 -> 50.5 -> 25.25, where rounding between
    # would give 50 -> 25 or 51 -> 25.5.
    background = torch.full((1, 1, 1, 2), 101, dtype=torch.uint8)
    black = torch.zeros(2, 1, 1, 1, dtype=torch.uint8)
    theta = torch.zeros(2, 2, 3, dtype=torch.float64)
    theta[:, 0, 0], theta[:, 1, 1] = 2, 1
    theta[:, 0, 2] = 0  # between the two columns: a half on each
    one = torch.zeros(2, dtype=torch.int64)
    composite = compositor.render(
        background, black, None, theta, image=one, threshold=0, sigma=0, backend=backend
    )
    assert composite.flatten().tolist() == [25, 25]


@each_backend
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.uint8])
def test_canvas_without_a_layer_and_pixels_without_alpha_keep_their_bits(backend, dtype):
    given = scene((4, 3, 2, 2, 20, 31)).to(dtype)
    composite, labels = render(given, backend)
    hidden = (labels.owner == -1)[:, None].expand_as(composite)
    empty = [n for n in range(4) if n not in given.image.tolist()]
    assert empty and torch.equal(composite[empty], given.background[empty])
    assert hidden.any()


@each_backend
def test_map_that_is_not_finite_spoils_its_canvas_and_no_other(backend):
    given = scene((3, 3, 4, 9, 61, 77))
    given.theta[2, 0, 1] = torch.nan
    lost = int(given.image[2])
    wanted, _ = render(scene((3, 3, 4, 9, 61, 77)), backend)
    composite, labels = render(given, backend)
    assert composite[lost].isnan().all()
    others = [n for n in range(3) if n != lost]
    assert torch.equal(composite[others], wanted[others])
    assert labels.covered[2] == 0 and not (labels.owner == 2).any()
    # Bytes have no NaN: the layer is left out.
    levels, _ = render(given.to(torch.uint8), backend)
    kept = [layer for layer in range(9) if layer != 2]
    rest = given.to(torch.uint8)
    without = compositor.render(
        rest.background, rest.foreground, rest.mask, rest.theta[kept], image=rest.image[kept],
        source=rest.source[kept], gain=rest.gain[kept], bias=rest.bias[kept],
        sigma=rest.sigma[kept], backend=backend,
    )  # fmt: skip
    assert torch.equal(levels, without)


@each_backend
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_any_layout(backend, dtype):
    given = scene((3, 3, 4, 9, 61, 77)).to(dtype)
    wanted, owner = render(given, backend)

    def channels_last(image):
        return image.contiguous(memory_format=torch.channels_last)

    background = channels_last(given.background)
    foreground = [channels_last(f[None])[0] for f in given.foreground]
    mask = [m.repeat_interleave(2, -1)[..., ::2] for m in given.mask]
    composite = compositor.render(
        background, foreground, mask, given.theta, backend=backend, **given.options()
    )
    assert composite.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(composite, wanted, rtol=0, atol=0 if dtype == torch.uint8 else 1e-6)


@each_backend
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_strongly_shrunk_cutout_and_one_magnified(backend, dtype):
    random = torch.Generator().manual_seed(1)
    foreground = [
        torch.rand(3, *size, generator=random, device="cpu").to(torch.get_default_device())
        for size in ((400, 500), (2, 2))
    ]
    given = scene((1, 3, 2, 2, 50, 60), toned=False)
    theta = torch.tensor([[[9.0, 0.4, 1], [0.3, 8, -1]], [[0.9, 0, 0], [0.1, 0.8, 0]]])
    given = type(given)(
        given.background, foreground, None, theta, torch.zeros(2, dtype=torch.int64),
        torch.arange(2), None, None, given.sigma,
    ).to(dtype)  # fmt: skip
    wide = given.in_float64()
    composite, labels = render(given, backend, threshold=0.0)
    wanted, owner, _ = truth.render(
        wide.background, wide.foreground, None, wide.theta, wide.image, wide.source, None, None,
        wide.sigma, 0.0,
    )  # fmt: skip
    unit = 255 if dtype == torch.uint8 else 1
    # A pixel of the shrunk one is nine of the cut-out's: coordinates of 500 round by 6e-5.
    torch.testing.assert_close(composite.double() / unit, wanted, rtol=0, atol=0.5 / 255 + 3e-4)
    assert torch.equal(labels.owner, owner)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.uint8])
def test_threads_and_batches_change_no_bit(dtype):
    given = scene((1, 3, 4, 9, 300, 200)).to(dtype)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        wanted, labels = render(given)
        torch.set_num_threads(3)
        composite, again = render(given)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(composite, wanted)
    for one, two in zip(labels, again, strict=True):
        assert torch.equal(one, two)
