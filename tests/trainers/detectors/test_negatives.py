"""Pictures without objects, from which all but SSDs learn what is none."""

from pathlib import Path

import pytest
import torch

from tests.trainers.detectors.test_hugging_face import FAMILY, folder, target
from trainers.detectors import build
from trainers.detectors.base import training_loss
from trainers.detectors.light import LIGHT
from trainers.detectors.nanodet import NANODET

SIZE, CLASSES = (64, 96), ("__background__", "cup", "mug")
NAMES = (LIGHT, "fasterrcnn_mobilenet_v3_large_320_fpn", NANODET, *FAMILY)


@pytest.mark.parametrize("shown", [0, 1])
@pytest.mark.parametrize("name", NAMES)
def test_their_loss_is_finite(tmp_path: Path, name: str, shown: int) -> None:
    """In a batch of their own, and beside a picture with an object."""
    ours = folder(tmp_path, name) if name in FAMILY else name
    torch.manual_seed(0)
    detector = build(ours, CLASSES, "default" if name in FAMILY else "none", SIZE, "--w").train()
    targets = [target([10.0, 8, 60, 50])] * shown + [target()] * (3 - shown)
    loss = training_loss(detector, torch.rand(3, 3, *SIZE), targets)
    assert loss.isfinite() and loss.shape == ()
    loss.backward()
    gradients = [p.grad for p in detector.parameters() if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    teaches = any(gradient.abs().max() > 0 for gradient in gradients)
    # torchvision's SSDs take three negatives for each positive of the same picture.
    assert teaches == (name != LIGHT or shown > 0)
