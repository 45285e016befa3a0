"""The README's code runs, and its plain PyTorch is what the op computes."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import compositor
from tests.ops.cases import disc, each_backend

README = Path(__file__).parent.parent / "README.md"
PAPER = 1 - 1e-7


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """What the README's Python blocks define, run one after the other."""
    names: dict[str, Any] = {}
    torch.manual_seed(0)
    for block in re.findall(r"^```python\n(.*?)^```", README.read_text(), re.M | re.S):
        exec(block, names)
    return names


def scene(dtype: torch.dtype) -> list[torch.Tensor]:
    """Discs on a canvas that is not square, each map its own; one object is cut by the canvas."""
    n, size, height, width = 4, 100, 120, 90
    theta = torch.eye(2, 3, dtype=dtype) + 0.2 * torch.randn(n, 2, 3, dtype=dtype)
    theta[0, :, 2] = 0.9
    foreground = torch.rand(n, 3, size, size, dtype=dtype)
    background = torch.rand(n, 3, height, width, dtype=dtype)
    return [foreground, disc(n, size, dtype), background, theta]


def test_the_example_labels_what_it_places_and_reaches_its_leaves(page):
    places, (height, width) = page["places"].detach(), page["background"].shape[2:]
    wanted = places.clamp(max=torch.tensor([width, height, width, height]))
    assert torch.equal(page["boxes"], wanted) and page["visible"].all()
    for leaf in (page["foreground"], page["places"]):
        assert leaf.grad.abs().sum() > 0


@each_backend
@pytest.mark.parametrize(
    ("dtype", "threshold", "tolerance"),
    [
        # Rounding, 1e-15, divided by 1 - threshold, and summed over an image for theta.
        (torch.float64, PAPER, 1e-8),
        (torch.float64, 0.0, 1e-12),
        # A coordinate of some 100 pixels rounds by 8e-6; slopes of up to 2 a pixel, in u and in v.
        (torch.float32, 0.5, 1e-4),
    ],
)
def test_plain_pytorch_computes_the_same(page, backend, dtype, threshold, tolerance):
    given = [tensor.requires_grad_() for tensor in scene(dtype)]
    got = compositor.blend(*given, threshold=threshold, backend=backend)
    wanted = page["blend"](*given, threshold=threshold)
    torch.testing.assert_close(got, wanted, rtol=0, atol=tolerance)
    grad = torch.randn_like(wanted)
    for ours, plain in zip(
        torch.autograd.grad(got, given, grad), torch.autograd.grad(wanted, given, grad), strict=True
    ):
        scale = plain.abs().max().item()
        torch.testing.assert_close(ours, plain, rtol=0, atol=tolerance * scale)


@each_backend
def test_at_the_papers_threshold_float32_is_right_in_the_op_and_off_in_plain_pytorch(page, backend):
    given = scene(torch.float32)
    exact, alpha = compositor.blend(*(tensor.double() for tensor in given), return_alpha=True)
    off = [
        ((composite - exact).abs().amax(1, keepdim=True) > 0.01)[alpha > 0].double().mean().item()
        for composite in (compositor.blend(*given, backend=backend), page["blend"](*given))
    ]
    assert off[0] < 1e-3  # a sample that lies on a mask pixel's edge may fall to either side
    assert off[1] == pytest.approx(0.1, abs=0.03)  # "a tenth", says the README


@pytest.mark.parametrize("page", [README, README.parent / "examples" / "RESULTS.md"])
def test_what_a_page_points_to_is_there(page):
    text = page.read_text()
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (page.parent / target).exists(), target
    for script in re.findall(r"examples/\w+\.py", text):
        assert (README.parent / script).exists(), script
    headings = {
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("#")
    }
    for anchor in re.findall(r"\]\(#([^)]+)\)", text):
        assert anchor in headings, anchor
    makefile = (README.parent / "Makefile").read_text()
    for name in re.findall(r"(?:^|`)make ([a-z]+)", text, re.M):
        assert re.search(rf"^{name}:", makefile, re.M), name
