"""A detector in an ONNX file, with torchvision's outputs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from compositor.selection.detector import DetectorError, reason

OUTPUTS = ("boxes", "labels", "scores")


class OnnxDetector:
    """An ONNX Runtime session of a detector.

    Its one input is an image (3, H, W), or a batch (1, 3, H, W) of it, float32 in [0, 1]; its
    outputs are named ``boxes`` (n, 4), ``labels`` (n,) and ``scores`` (n,), as torchvision's
    detectors are exported with such ``output_names``; a leading 1 of a batch may be there too.
    Names of the classes are JSON in the file's metadata under ``classes``, if there are any.

    Args:
        session: An ``onnxruntime.InferenceSession``.

    Raises:
        DetectorError: Inputs, outputs or names are others.
    """

    def __init__(self, session: Any) -> None:
        self.session = session
        inputs = [(one.name, one.type, one.shape) for one in session.get_inputs()]
        outputs = [one.name for one in session.get_outputs()]
        if len(inputs) != 1 or not _takes_an_image(*inputs[0][1:]):
            raise DetectorError(f"got inputs {inputs}, wanted one float image (3, H, W)")
        if not set(OUTPUTS) <= set(outputs):
            got = ", ".join(outputs)
            raise DetectorError(f"got outputs {got}, wanted some named {', '.join(OUTPUTS)}")
        self.input, _, self.shape = inputs[0]
        names = session.get_modelmeta().custom_metadata_map.get("classes")
        self.classes: Sequence[str] | None = None if names is None else json.loads(names)

    def predict(self, images: Tensor) -> list[dict[str, Tensor]]:
        """Detect objects; see :class:`compositor.selection.detector.Detector`.

        Raises:
            DetectorError: The file is for images of another size, or fails on them.
        """
        size = images.shape[1:]
        for wanted, got in zip(self.shape[-3:], size, strict=True):
            if isinstance(wanted, int) and wanted != got:
                raise DetectorError(
                    f"onnx: got images of shape {tuple(size)}, wanted {self.shape[-3:]} as the"
                    " file's input"
                )
        return [self._one(image) for image in images.detach().float().cpu()]

    def _one(self, image: Tensor) -> dict[str, Tensor]:
        batch = image[None] if len(self.shape) == 4 else image
        try:
            found = self.session.run(OUTPUTS, {self.input: batch.numpy()})
        except Exception as error:  # of its own kinds
            raise DetectorError(f"onnx: the file's model fails ({reason(error)})") from error
        boxes, labels, scores = map(torch.from_numpy, found)
        if boxes.dim() == 3 and len(boxes) == 1:
            boxes, labels, scores = boxes[0], labels[0], scores[0]
        return {"boxes": boxes, "labels": labels, "scores": scores}


def _takes_an_image(kind: str, shape: Sequence[int | str | None]) -> bool:
    """Whether an input is float32 (3, H, W) or (1, 3, H, W), as far as its sides are fixed."""
    leading = shape[:-2]
    return (
        kind == "tensor(float)"
        and len(shape) in (3, 4)
        and all(
            side == wanted or not isinstance(side, int)
            for side, wanted in zip(leading, (1, 3)[-len(leading) :], strict=True)
        )
    )


def load(path: str, device: torch.device) -> OnnxDetector:
    """Load a detector from a file.

    Raises:
        DetectorError: ``onnxruntime`` is missing, or the file holds no detector as wanted.
    """
    if not Path(path).is_file():
        raise DetectorError(f"onnx: got {path!r}, wanted a file")
    try:
        import onnxruntime
    except ImportError as error:
        raise DetectorError(
            f"onnx: needs onnxruntime: pip install onnxruntime ({error})"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    provider: Any = "CPUExecutionProvider"
    if device.type == "cuda":
        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            raise DetectorError(f"device: got {device}, for which onnx needs onnxruntime-gpu")
        provider = ("CUDAExecutionProvider", {"device_id": device.index or 0})
    try:
        return OnnxDetector(onnxruntime.InferenceSession(path, options, providers=[provider]))
    except Exception as error:  # given arbitrary bytes, it can raise anything
        raise DetectorError(f"onnx: {path}: {reason(error)}") from error
