"""Blending artefacts against numbers worked by hand and against the composites they imitate."""

import pytest
import torch

from compositor import affine, blend, blending_artefacts


def batch(n=2, dtype=torch.float32, seed=0):
    """Backgrounds (12 x 16), other backgrounds in the masks' frame (8 x 10), block masks."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(n, 3, 12, 16, dtype=dtype, generator=generator)
    others = torch.rand(n, 3, 8, 10, dtype=dtype, generator=generator)
    masks = torch.zeros(n, 1, 8, 10, dtype=dtype)
    masks[..., 2:6, 3:9] = 1
    return images, others, masks


def moved(n, x, y, dtype=torch.float64):
    parameters = torch.tensor([0, 0, 1, 1, x, y], dtype=dtype).expand(n, 6)
    return affine.from_parameters(parameters, (8, 10), (12, 16))


def test_cut_out_is_the_other_background_where_the_mask_lands():
    images, others, masks = batch()
    wanted = images.clone()
    # The 8 x 10 frame in the middle of 12 x 16 starts at row 2, column 3; moved by (-2, 1).
    wanted[:, :, 5:9, 4:10] = others[:, :, 2:6, 3:9]
    assert torch.equal(blending_artefacts(images, others, masks, moved(2, -2, 1), sigma=0), wanted)


def test_edge_is_the_edge_of_a_composite():
    images, others, masks = batch()
    foregrounds = torch.zeros_like(others)
    theta, options = moved(2, 1.5, -0.25), {"threshold": 0.3, "sigma": 1.2, "return_alpha": True}
    artefacts, alpha = blending_artefacts(images, others, masks, theta, **options)
    composites, wanted = blend(foregrounds, masks, images, theta, **options)
    assert torch.equal(alpha, wanted) and 0 < ((alpha > 0) & (alpha < 1)).float().mean() < 1
    # Black foregrounds leave (1 - alpha) images; what the artefacts add is alpha others, in [0, 1].
    added = artefacts - composites
    assert (added >= -1e-6).all() and (added <= alpha + 1e-6).all()  # float32 rounding
    assert torch.equal(
        artefacts[(alpha == 0).expand_as(images)], images[(alpha == 0).expand_as(images)]
    )


def test_cut_by_the_frame_outside_it_and_empty_batch():
    images, others, masks = batch()
    cut = blending_artefacts(images, others, masks, moved(2, 7, 0), sigma=0)
    wanted = images.clone()
    wanted[:, :, 4:8, 13:16] = others[:, :, 2:6, 3:6]
    assert torch.equal(cut, wanted)
    assert torch.equal(blending_artefacts(images, others, masks, moved(2, 90, 0)), images)
    none = blending_artefacts(images[:0], others[:0], masks[:0], moved(0, 0, 0))
    assert none.shape == (0, 3, 12, 16)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_bool_masks_count_as_zero_and_one(dtype):
    images, others, masks = batch(dtype=dtype)
    wanted = blending_artefacts(images, others, masks, moved(2, 0.3, -0.4))
    assert torch.equal(blending_artefacts(images, others, masks > 0, moved(2, 0.3, -0.4)), wanted)


def test_gradients_flow_as_through_blend():
    images, others, masks = (x[..., ::2, ::2] for x in batch(1, torch.float64))
    theta = moved(1, 0.3, -0.4).requires_grad_()
    inputs = (images.requires_grad_(), others.requires_grad_(), theta)
    assert torch.autograd.gradcheck(
        lambda i, o, t: blending_artefacts(i, o, masks, t, threshold=0, mask_grad="exact"), inputs
    )


def test_compile_changes_nothing():
    images, others, masks = batch()
    theta = moved(2, 0.3, -0.4)
    # Capturing the graph is what can break; generating code for it takes half a minute.
    compiled = torch.compile(blending_artefacts, fullgraph=True, backend="aot_eager")
    eager = blending_artefacts(images, others, masks, theta)
    assert torch.equal(compiled(images, others, masks, theta), eager)


@pytest.mark.parametrize(
    ("replace", "error", "message"),
    [
        ({"masks": None}, TypeError, "masks: got NoneType, wanted a tensor"),
        (
            {"masks": torch.zeros(2, 3, 8, 10)},
            ValueError,
            r"masks: got shape \(2, 3, 8, 10\), wanted \(N, 1, height, width\)",
        ),
        (
            {"others": torch.zeros(2, 3, 12, 16)},
            ValueError,
            r"others: got shape \(2, 3, 12, 16\), wanted the masks' frame, \(N, C, 8, 10\)",
        ),
        ({"sigma": -1}, ValueError, "sigma: got -1"),
        (
            {"others": torch.zeros(2, 3, 8, 10).byte()},
            TypeError,
            r"others: got .*others.float\(\) / 255",
        ),
        (
            {"images": torch.zeros(2, 3, 12, 16).byte()},
            TypeError,
            "images: got torch.uint8, wanted",
        ),
        ({"images": None}, TypeError, "images: got NoneType, wanted a tensor"),
        ({"images": torch.zeros(2, 1, 12, 16)}, ValueError, "images: .*wanted others' batch and"),
        (
            {"images": torch.zeros(2, 3, 12, 16, device="meta")},
            ValueError,
            "images: got device meta, wanted others' cpu",
        ),
        ({"masks": torch.zeros(2, 1, 8, 10).double()}, TypeError, "masks: .*masks.to.others.dtype"),
        (
            {"masks": torch.zeros(2, 1, 8, 10).long()},
            TypeError,
            "masks: got torch.int64.*masks != 0",
        ),
        (
            {"theta": torch.zeros(2, 3)},
            ValueError,
            r"theta: got shape \(2, 3\), wanted \(2, 2, 3\)",
        ),
    ],
)
def test_errors_name_the_argument(replace, error, message):
    images, others, masks = batch()
    arguments = {"images": images, "others": others, "masks": masks, "theta": moved(2, 0, 0)}
    with pytest.raises(error, match=message) as caught:
        blending_artefacts(**(arguments | replace))
    assert "\n" not in str(caught.value)
