"""Pictures without objects, from which every detector learns what is none."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.models.detection.ssd import SSD

from tests.trainers.detectors.test_hugging_face import FAMILY, folder, target
from trainers.detectors import build
from trainers.detectors.base import training_loss
from trainers.detectors.light import LIGHT
from trainers.detectors.nanodet import NANODET
from trainers.detectors.torchvision_models import SSDTarget

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
    assert any(gradient.abs().max() > 0 for gradient in gradients)


@pytest.mark.parametrize("shown", [0, 1])
def test_an_ssd_takes_three_of_each_picture(shown: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision's own loss takes none of these; here they are worked out one by one."""
    torch.manual_seed(0)
    detector = build(LIGHT, CLASSES, "none", SIZE, "--w").train()
    assert isinstance(detector, SSDTarget)
    told, compute_loss = [], SSD.compute_loss

    def watched(self: SSD, targets: Any, outputs: Any, anchors: Any, matched: Any) -> Any:
        told.append((outputs["cls_logits"], sum(int((one >= 0).sum()) for one in matched)))
        return compute_loss(self, targets, outputs, anchors, matched)

    monkeypatch.setattr(SSD, "compute_loss", watched)

    targets = [target([10.0, 8, 60, 50])] * shown + [target()] * 2
    images = torch.rand(len(targets), 3, *SIZE)
    # Norms see the same batches in both calls.
    state = {name: value.clone() for name, value in detector.state_dict().items()}
    theirs = sum(detector.network(list(images), targets).values())
    detector.load_state_dict(state)
    loss = training_loss(detector, images, targets)
    logits, positives = told[0]
    added = 0.0
    for picture in logits[shown:].tolist():
        each = sorted(math.log(sum(map(math.exp, row))) - row[0] for row in picture)
        added += sum(each[-3:])
    torch.testing.assert_close(
        float((loss - theirs).detach()), added / max(positives, 1), rtol=1e-4, atol=1e-5
    )
