"""``blend`` of bytes: exact roundings, the truth in float64, and what is refused."""

import pytest
import torch

import compositor
from tests.ops import truth
from tests.ops.cases import each_backend


def images(seed=0):
    random = torch.Generator().manual_seed(seed)

    def levels(*shape):
        made = torch.randint(256, shape, generator=random, dtype=torch.uint8, device="cpu")
        return made.to(torch.get_default_device())

    moved = torch.randn(3, 2, 3, generator=random, device="cpu").to(torch.get_default_device())
    theta = torch.eye(2, 3).repeat(3, 1, 1) * 1.3 + 0.2 * moved
    return levels(3, 3, 20, 30), levels(3, 1, 20, 30), levels(3, 3, 40, 50), theta


@each_backend
def test_values_worked_out_by_hand(backend):
    background = torch.tensor([[[[0, 10, 20, 30]]]], dtype=torch.uint8)
    foreground = torch.tensor([[[[50, 61, 70, 80]]]], dtype=torch.uint8)
    mask = torch.tensor([[[[0, 102, 255, 51]]]], dtype=torch.uint8)
    theta = torch.eye(2, 3)[None]
    got = compositor.blend(
        foreground, mask, background, theta, threshold=0, sigma=0, backend=backend
    )
    # 0; 0.4 * 61 + 0.6 * 10 = 30.4; 70; 0.2 * 80 + 0.8 * 30.
    assert got.flatten().tolist() == [0, 30, 70, 40]
    assert got.dtype == torch.uint8


@each_backend
@pytest.mark.parametrize(("threshold", "sigma"), [(0.0, 0.0), (0.3, 1.0), (1 - 1e-7, 2.0)])
def test_bytes_are_the_truth_rounded(backend, threshold, sigma):
    foreground, mask, background, theta = images()
    if threshold > 0.9:
        mask = torch.where(mask > 100, 255, 0).to(torch.uint8)
    got = compositor.blend(
        foreground, mask, background, theta, threshold=threshold, sigma=sigma, backend=backend
    )
    wanted, _ = truth.blend(
        foreground.double() / 255, mask.double() / 255, background.double() / 255, theta.double(),
        threshold, sigma,
    )  # fmt: skip
    # Half a level, and float32 under maps of some 40 pixels, where masks jump by 1 a pixel.
    assert (got.double() - 255 * wanted).abs().max() <= 0.5 + 5e-2


@each_backend
def test_a_bool_mask_is_0_and_255(backend):
    foreground, mask, background, theta = images()
    solid = mask > 128
    whole = torch.where(solid, 255, 0).to(torch.uint8)
    first, second = (
        compositor.blend(foreground, given, background, theta, backend=backend)
        for given in (solid, whole)
    )
    assert torch.equal(first, second)
    everything = compositor.blend(foreground, None, background, theta, backend=backend)
    opaque = torch.full_like(whole, 255)
    assert torch.equal(
        everything, compositor.blend(foreground, opaque, background, theta, backend=backend)
    )


@each_backend
def test_a_map_that_is_not_finite_leaves_the_background(backend):
    foreground, mask, background, theta = images()
    theta[1, 0, 0] = torch.nan
    got = compositor.blend(foreground, None, background, theta, backend=backend)
    assert torch.equal(got[1], background[1])
    assert not torch.equal(got[0], background[0])


def test_what_bytes_cannot_do_is_named():
    foreground, mask, background, theta = images()
    for given, error, message in [
        ((foreground, mask.float(), background, theta), TypeError,
         "mask: got torch.float32, wanted uint8 from 0 to 255, or bool"),
        ((foreground, mask, background.float(), theta), TypeError,
         "foreground: got torch.uint8, .*/ 255"),
        ((foreground.float(), None, background, theta), TypeError,
         "background: got torch.uint8, .*/ 255"),
        ((foreground, mask[:, :, :5], background, theta), ValueError, "mask: got shape"),
        ((foreground, mask, background, theta[:2]), ValueError, "theta: got shape"),
        ((foreground, mask, background, theta.requires_grad_()), ValueError,
         "theta: got a tensor that requires a gradient, wanted none for uint8"),
    ]:  # fmt: skip
        with pytest.raises(error, match=message):
            compositor.blend(*given)
    with pytest.raises(ValueError, match="return_alpha: got True, wanted False for uint8"):
        compositor.blend(foreground, mask, background, theta.detach(), return_alpha=True)
