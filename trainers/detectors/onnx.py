"""Exports a trained detector to ONNX, and checks the file against it."""

import json
import math
import warnings
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor, nn

from compositor.files import replacing
from compositor.selection.adapters.onnx_file import OUTPUTS
from compositor.selection.adapters.onnx_file import load as load_onnx
from trainers.detectors.trained import TrainedDetector

TOLERANCE = 0.1
"""Pixels by which the best boxes may differ; rounding alone gives a thousandth."""
BEST = 10
"""Boxes that are compared: many of the others have nearly the same score."""


class ExportError(ValueError):
    """A detector that cannot be exported, or whose export gives other boxes."""


class _OneImage(nn.Module):
    """A detector as a function from an image (3, H, W) to boxes, labels and scores."""

    def __init__(self, detector: TrainedDetector) -> None:
        super().__init__()
        self.network = detector.network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        (found,) = self.network.predict([image])
        return tuple(found[name] for name in OUTPUTS)


def export(detector: TrainedDetector, path: Path) -> float:
    """Write an ONNX file, which ``--detector onnx:FILE`` takes; return how far its boxes are off.

    Its input ``image`` is one picture (3, H, W) float32 in [0, 1], stretched to the detector's
    size; its outputs are ``boxes`` (n, 4) in pixels, ``labels`` (n,) and ``scores`` (n,). The
    classes' names are in its metadata.

    Raises:
        ExportError: The exporter is missing or fails, or ONNX Runtime finds other boxes.
    """
    try:
        import onnx

        import_module("onnxruntime")  # now, not after the export
    except ImportError as error:
        raise ExportError(
            f"export: needs two packages: pip install onnx onnxruntime ({error})"
        ) from error
    torch.manual_seed(0)
    image = torch.rand(3, *detector.size)
    network = _OneImage(detector).eval().cpu()
    with replacing(path) as partial, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing, about what the check below is for
        try:
            torch.onnx.export(
                network,
                (image,),
                partial,
                input_names=["image"],
                output_names=list(OUTPUTS),
                dynamo=False,
            )
        except Exception as error:  # given any network, it can raise anything
            raise ExportError(f"export: {type(detector.network).__name__}: {error}") from error
        model = onnx.load(partial)
        onnx.helper.set_model_props(model, {"classes": json.dumps(detector.classes)})
        onnx.save(model, partial)
        return _difference(detector, partial, image)


def _difference(detector: TrainedDetector, path: Path, image: Tensor) -> float:
    """Largest difference in pixels of the best boxes from those of ONNX Runtime."""
    # Another picture than was traced: what the trace took for constant would show.
    image = (image + 0.3 * torch.rand(3, 1, 1)).clamp(0, 1).flip(2)
    (wanted,) = detector.predict(image[None])
    (found,) = load_onnx(str(path), torch.device("cpu")).predict(image[None])
    boxes = wanted["boxes"][:BEST]
    if not len(boxes):
        return 0.0
    # To the nearest, since rounding may exchange boxes with nearly the same score.
    away = (boxes[:, None] - found["boxes"]).abs().amax(2)
    difference = float(away.amin(1).max()) if away.numel() else math.inf
    if difference > TOLERANCE:
        raise ExportError(
            f"export: a box of the model's best {len(boxes)} is {difference:.3g} pixels off in the "
            "file's, run by ONNX Runtime"
        )
    return difference
