"""T's confidence for one object, and for a picture."""

from collections.abc import Mapping

from torch import Tensor
from torchvision.ops import box_iou


def confidence(
    detections: Mapping[str, Tensor], box: Tensor, label: int, iou: float = 0.5
) -> float:
    """T's confidence for one object: the best score of a detection of its class on it.

    Selection goes by this: a detection elsewhere in the picture does not make the object easy.

    Args:
        detections: The detections in one image, as torchvision's detectors return them: ``boxes``
            (n, 4), ``scores`` (n,) and ``labels`` (n,). What the detector's own score threshold
            drops counts as 0.
        box: (4,), (x1, y1, x2, y2) in pixels, right and bottom exclusive.
        label: The object's class.
        iou: Least IoU of a detection that counts as on the object.

    Returns:
        In [0, 1]; 0 if no detection is on the object.
    """
    on = box_iou(box[None].float(), detections["boxes"].float())[0] >= iou
    scores = detections["scores"][on & (detections["labels"] == label)]
    return float(scores.max()) if len(scores) else 0.0


def presence(detections: Mapping[str, Tensor], label: int) -> float:
    """T's p that the picture shows the class: the best score of a detection of it, anywhere.

    The paper's hardness, shown in figure 8, is 1 - p (section 4.2.1).

    Args:
        detections: The detections in one image, as for :func:`confidence`.
        label: The class.

    Returns:
        In [0, 1]; 0 if nothing of the class is detected. No less than :func:`confidence`.
    """
    scores = detections["scores"][detections["labels"] == label]
    return float(scores.max()) if len(scores) else 0.0
