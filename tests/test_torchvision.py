"""torchvision's types of tensors; apart from the op's tests, which a bare GPU machine runs."""

import torch
from torchvision import tv_tensors

import compositor
from tests.ops.cases import each_backend, inputs


@each_backend
def test_torchvisions_types_meet_in_one_call(backend):
    given = inputs((2, 3, 12, 11, 14, 13))
    options = {"threshold": 0.3, "return_alpha": True, "backend": backend}
    wanted = compositor.blend(*given, **options)
    image = tv_tensors.Image(given.foreground, requires_grad=True)
    typed = image, tv_tensors.Mask(given.mask), tv_tensors.Image(given.background), given.theta
    got = compositor.blend(*typed, **options)
    for g, w in zip(got, wanted, strict=True):
        assert type(g) is torch.Tensor and torch.equal(g, w)
    (grad,) = torch.autograd.grad(got[0].sum(), image)
    assert grad.abs().sum() > 0


@each_backend
def test_torchvisions_types_are_layers(backend):
    given = inputs((2, 3, 12, 11, 14, 13))
    options = {"threshold": 0.3, "return_labels": True, "backend": backend}
    wanted, labels = compositor.render(
        given.background, given.foreground, given.mask, given.theta, **options
    )
    image = tv_tensors.Image(given.foreground, requires_grad=True)
    masks = [tv_tensors.Mask(mask) for mask in given.mask]
    for foregrounds, covers in ((image, tv_tensors.Mask(given.mask)), (list(image), masks)):
        foregrounds = [tv_tensors.wrap(one, like=image) for one in foregrounds]
        foregrounds = foregrounds if isinstance(covers, list) else image
        got, seen = compositor.render(
            tv_tensors.Image(given.background), foregrounds, covers, given.theta, **options
        )
        for g, w in zip((got, *seen), (wanted, *labels), strict=True):
            assert type(g) is torch.Tensor and torch.equal(g, w)
    (grad,) = torch.autograd.grad(got.sum(), image)
    assert grad.abs().sum() > 0


def test_images_of_bytes_as_they_are_read():
    """What torchvision's readers give goes in as it is."""
    given = inputs((2, 3, 12, 11, 14, 13))
    foreground, background = (
        (image * 255).byte() for image in (given.foreground, given.background)
    )
    mask = given.mask > 0.5
    wanted = compositor.blend(foreground, mask, background, given.theta)
    got = compositor.blend(
        tv_tensors.Image(foreground), tv_tensors.Mask(mask), tv_tensors.Image(background),
        given.theta,
    )  # fmt: skip
    assert type(got) is torch.Tensor and torch.equal(got, wanted)
    layers = compositor.render(
        tv_tensors.Image(background), tv_tensors.Image(foreground), tv_tensors.Mask(mask),
        given.theta,
    )  # fmt: skip
    assert type(layers) is torch.Tensor and torch.equal(layers, wanted)
