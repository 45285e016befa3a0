"""Hugging Face's detectors of the DETR family as T, from a local folder."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torchvision.ops import box_convert, clip_boxes_to_image

from compositor.selection.adapters.hugging_face import LOCAL, pretrained
from compositor.selection.detector import reason
from trainers.detectors.backbones import DEFAULT, NONE, Heads, chosen, load, read
from trainers.detectors.base import Detections, Target, TargetError, TrainableDetector
from trainers.detectors.stretching import stretched

PREFIX = "hf:"
BACKBONE = "model.backbone."
"""Where the family's models have theirs."""
STRIDE = 32
"""Of the coarsest map, which RT-DETR wants to divide a picture's sides."""


class HuggingFaceTarget(TrainableDetector):
    """A model for object detection of ``transformers``.

    Its processor says how levels are normalised and what its outputs mean; pictures keep the size
    of the run, rather than the processor's.

    Args:
        network: An ``AutoModelForObjectDetection``.
        processor: Its ``AutoImageProcessor``.
        options: Its configuration and its processor's, plain values.
        size: (H, W) in pixels; pictures are stretched to its next multiples of :data:`STRIDE`.
    """

    loss_in_eval = True

    def __init__(
        self, network: Any, processor: Any, options: Mapping[str, Any], size: tuple[int, int]
    ) -> None:
        super().__init__()
        self.network, self.options = network, options
        self._size = (-(-size[0] // STRIDE) * STRIDE, -(-size[1] // STRIDE) * STRIDE)
        self._processor = processor

    def loss(self, images: Sequence[Tensor], targets: Sequence[Target]) -> Tensor:
        wanted = []
        for image, target in zip(images, targets, strict=True):
            sides = image.new_tensor([image.shape[-1], image.shape[-2]] * 2)
            boxes = box_convert(target["boxes"] / sides, "xyxy", "cxcywh")
            wanted.append({"class_labels": target["labels"] - 1, "boxes": boxes})
        with _quality_is_no_goal():
            loss: Tensor = self.network(self._levels(images), labels=wanted).loss
        return loss

    def predict(self, images: Sequence[Tensor] | Tensor) -> list[Detections]:
        sizes = [(image.shape[-2], image.shape[-1]) for image in images]
        # All it proposes, however low its score.
        found = self._processor.post_process_object_detection(
            self.network(self._levels(images)), threshold=0.0, target_sizes=sizes
        )
        return [
            {
                "boxes": clip_boxes_to_image(one["boxes"], size),
                "labels": one["labels"] + 1,
                "scores": one["scores"],
            }
            for one, size in zip(found, sizes, strict=True)
        ]

    def weights(self) -> tuple[dict[str, Tensor], bool]:
        return self.network.state_dict(), False

    def _levels(self, images: Sequence[Tensor] | Tensor) -> Tensor:
        levels, how = stretched(images, self._size), self._processor
        if how.do_rescale:
            levels = levels * (255 * how.rescale_factor)
        if how.do_normalize:
            mean, std = (
                levels.new_tensor(v)[:, None, None] for v in (how.image_mean, how.image_std)
            )
            levels = (levels - mean) / std
        return levels


@contextmanager
def _quality_is_no_goal() -> Iterator[None]:
    """RT-DETR weighs scores by overlap, whose gradient in the targets' boxes it cannot take."""
    from transformers.loss import loss_rt_detr

    def without_gradient(found: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        pair: tuple[Tensor, Tensor] = box_iou(found, boxes.detach())
        return pair

    box_iou = loss_rt_detr.box_iou
    with patch.object(loss_rt_detr, "box_iou", without_gradient):
        yield


def build(
    name: str,
    classes: Sequence[str],
    weights: str,
    size: tuple[int, int],
    option: str,
    heads: Heads,
) -> HuggingFaceTarget:
    """Build ``hf:FOLDER``; see :func:`trainers.detectors.build`.

    Weights "default" are the folder's. A ``model.pt`` needs no folder. None of its code is run.

    Raises:
        TargetError: ``transformers`` is missing, or the folder holds no detector of the family.
    """
    try:
        import transformers
    except ImportError as error:
        raise TargetError(
            f"target.network: {name} needs transformers: pip install transformers ({error})"
        ) from error
    found = None if weights in (DEFAULT, NONE) else read(weights, option, name)
    folder = name.removeprefix(PREFIX)
    with _one_line(name):
        options = dict(found.options) if found and found.options else _described(folder)
        network = _model(options["config"], classes[1:])
        kind = options["processor"]["image_processor_type"]
        processor = getattr(transformers, kind).from_dict(options["processor"])
        with torch.device("meta"):
            other = _model(options["config"], classes).state_dict()
        state = found.state if found else {}
        if weights == DEFAULT:
            state = pretrained(folder).state_dict()
    if not hasattr(processor, "post_process_object_detection"):
        raise TargetError(f"target.network: {name}: its {kind} gives no boxes, wanted a detector's")
    own = network.state_dict()
    if heads == "random" and not any(key.startswith(BACKBONE) for key in own):
        raise TargetError(
            f"target.heads: got 'random', wanted 'kept', as nothing of {type(network).__name__} is"
            f" named {BACKBONE}"
        )
    if state:
        resized = {key for key, value in own.items() if other[key].shape != value.shape}
        load(network, chosen(network, state, heads, BACKBONE), option, weights, resized)
    options["config"] = json.loads(network.config.to_json_string())
    return HuggingFaceTarget(network, processor, options, size)


def _described(folder: str) -> dict[str, Any]:
    """A folder's configuration, and its processor's, as plain values."""
    from transformers import AutoConfig, AutoImageProcessor

    if not Path(folder).is_dir():  # it could be a model's name, which would be downloaded
        raise ValueError("wanted a local folder")
    config = AutoConfig.from_pretrained(folder, **LOCAL)
    processor = AutoImageProcessor.from_pretrained(folder, **LOCAL)
    return {
        "config": json.loads(config.to_json_string()),
        "processor": json.loads(processor.to_json_string()),
    }


def _model(plain: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The model that a configuration describes, for other classes, at random."""
    from transformers import AutoConfig, AutoModelForObjectDetection

    values = {k: v for k, v in plain.items() if k not in ("dtype", "id2label", "label2id")}
    config = AutoConfig.for_model(values.pop("model_type"), **values)
    config.id2label = dict(enumerate(names))
    config.label2id = {name: label for label, name in enumerate(names)}
    return AutoModelForObjectDetection.from_config(config)


@contextmanager
def _one_line(name: str) -> Iterator[None]:
    """Say in a line what is wrong with a folder: given arbitrary files, anything can be raised."""
    try:
        yield
    except Exception as error:
        raise TargetError(f"target.network: {name}: cannot be loaded ({reason(error)})") from error
