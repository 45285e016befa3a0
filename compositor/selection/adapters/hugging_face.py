"""Hugging Face's detectors, from a local folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from compositor.selection.detector import DetectorError, reason

LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
"""Nothing is downloaded, and no code of a folder is run."""


class HuggingFaceDetector:
    """A model for object detection of ``transformers``, with its image processor.

    All the model proposes counts, however low its score.

    Args:
        model: An ``AutoModelForObjectDetection``.
        processor: Its ``AutoImageProcessor``, which is given bytes.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        self.model, self.processor = model.eval(), processor
        names = {int(label): name for label, name in model.config.id2label.items()}
        self.classes: Sequence[str] = [
            names.get(label, "N/A") for label in range(max(names, default=-1) + 1)
        ]

    @torch.no_grad()
    def predict(self, images: Tensor) -> list[dict[str, Tensor]]:
        """Detect objects; see :class:`compositor.selection.detector.Detector`."""
        # As pictures come from files: the processor's own settings say how levels are scaled.
        levels = (images * 255).round().clamp(0, 255).to(torch.uint8).cpu()
        inputs = self.processor(images=list(levels), return_tensors="pt").to(self.model.device)
        sizes = [tuple(images.shape[-2:])] * len(images)
        found: list[dict[str, Tensor]] = self.processor.post_process_object_detection(
            self.model(**inputs), threshold=0.0, target_sizes=sizes
        )
        return found


def pretrained(folder: str) -> Any:
    """A folder's model for object detection, as float32.

    Raises:
        ValueError: It lacks weights, which ``transformers`` would make up.
    """
    from transformers import AutoModelForObjectDetection

    model, loaded = AutoModelForObjectDetection.from_pretrained(
        folder, output_loading_info=True, **LOCAL
    )
    left = sorted(map(str, [*loaded["missing_keys"], *loaded["mismatched_keys"]]))
    if left:
        raise ValueError(f"lacks {len(left)} of its weights, {left[0]} first")
    return model.float()


def load(folder: str, device: torch.device) -> HuggingFaceDetector:
    """Load a detector from a folder, without the network and without running code from it.

    Raises:
        DetectorError: ``transformers`` is missing, or the folder holds no whole detector.
    """
    if not Path(folder).is_dir():  # it could be a model's name, which would be downloaded
        raise DetectorError(f"hf: got {folder!r}, wanted a local folder")
    try:
        from transformers import AutoImageProcessor
    except ImportError as error:
        raise DetectorError(
            f"hf: needs transformers: pip install transformers ({error})"
        ) from error
    try:
        processor = AutoImageProcessor.from_pretrained(folder, **LOCAL)
        detector = HuggingFaceDetector(pretrained(folder).to(device), processor)
    except Exception as error:  # given arbitrary files, it can raise anything
        raise DetectorError(f"hf: {folder}: cannot be loaded ({reason(error)})") from error
    if not hasattr(processor, "post_process_object_detection"):
        raise DetectorError(
            f"hf: {folder}: its {type(processor).__name__} gives no boxes, wanted one for detection"
        )
    return detector
