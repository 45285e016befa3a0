"""A detector's confidence for each object of a scene, and whether the scene is hard for it."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torchvision.ops import box_iou

from compositor._arguments import number, refused


def confidences(
    detections: Mapping[str, Tensor], boxes: Tensor, labels: Tensor, iou: float = 0.5
) -> Tensor:
    """A detector's confidence for each object: the score of the detection that found it.

    Selection goes by this: a detection elsewhere in the picture does not make the object easy.
    From the best score down, each detection finds the object of its class that it overlaps most of
    those not yet found, as in the usual evaluation: where two objects overlap so much that one
    detection lies on both, it finds one and the other is missed. For a single object this is the
    best score on it.

    Args:
        detections: The detections in one image, as torchvision's detectors return them: ``boxes``
            (m, 4), ``scores`` (m,) and ``labels`` (m,). What the detector's own score threshold
            drops counts as 0.
        boxes: (n, 4), (x1, y1, x2, y2) in pixels, right and bottom exclusive: all objects of the
            scene, the background's too, or a detection of one of these could count for another.
        labels: (n,), their classes as the detector numbers them.
        iou: Least IoU of a detection that counts as on the object; above 0, at most 1.

    Returns:
        (n,) float32 in [0, 1], on the CPU; 0 for an object that no detection finds.

    Raises:
        ValueError: A shape is another, or ``iou`` out of range.
    """
    if boxes.dim() != 2 or boxes.shape[1] != 4:
        raise refused("boxes", boxes, "shape (n, 4)")
    if labels.shape != boxes.shape[:1]:
        raise refused("labels", labels, f"shape ({len(boxes)},), one for each box")
    _share("iou", iou)
    found_at = detections["boxes"].float()
    overlap = box_iou(found_at, boxes.to(found_at))
    same = detections["labels"][:, None] == labels.to(found_at.device)
    overlap = overlap.where(same & (overlap >= iou), -1).cpu()
    scores = detections["scores"].float().cpu()
    found = torch.zeros(len(boxes))
    order = scores.argsort(descending=True, stable=True)
    on_any = (overlap >= 0).any(1)  # few of the hundreds that some detectors give
    for row in order[on_any[order]].tolist():
        if overlap[row].max() >= 0:
            best = overlap[row].argmax()
            found[best] = scores[row]
            overlap[:, best] = -1  # found
    return found


def presence(detections: Mapping[str, Tensor], label: int) -> float:
    """T's p that the picture shows the class: the best score of a detection of it, anywhere.

    The paper's hardness, shown in figure 8, is 1 - p (section 4.2.1).

    Args:
        detections: The detections in one image, as for :func:`confidences`.
        label: The class.

    Returns:
        In [0, 1]; 0 if nothing of the class is detected. No less than :func:`confidences`.
    """
    scores = detections["scores"][detections["labels"] == label]
    return float(scores.max()) if len(scores) else 0.0


def is_hard(confidences: Tensor, below: float, share: float) -> bool:
    """Whether a scene is hard: at least ``share`` of its objects have a confidence < ``below``.

    Args:
        confidences: (n,), as :func:`confidences` gives them, of the objects that count. A scene
            without any is not hard.
        below: In (0, 1]; 0.5 in the paper.
        share: In (0, 1]; the least share of hard objects. 1 is all of them, and next to 0 any.

    Raises:
        ValueError: A number is out of range.
    """
    _share("below", below)
    _share("share", share)
    # Divided rather than multiplied: 0.7 * 10 is above 7, but 7 / 10 is 0.7.
    count = len(confidences)
    return count > 0 and int((confidences < below).sum()) / count >= share


def _share(name: str, value: float) -> None:
    wanted = "a number above 0, at most 1"
    if not 0 < number(name, value, wanted) <= 1:
        raise refused(name, value, wanted)
