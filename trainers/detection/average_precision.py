"""Average precision of a detector, at several IoUs, by VOC's rules or by COCO's."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import box_area, box_iou

from compositor.data.records import Ignored

IOUS = (0.5, 0.6, 0.7, 0.8)
"""The IoUs of the paper's table 4."""
LIMIT = 100
"""By COCO's rules, only the best so many detections per image and class count."""
WRONG, RIGHT, LEFT_OUT = 0, 1, 2
"""Verdicts on a detection."""

Points = Literal[11, 101]
"""How many recalls to read precision at: VOC 2007's 0, 0.1, ..., 1 or COCO's 0, 0.01, ..., 1."""
Boxes = Mapping[str, Tensor]
PerIoU = dict[float, float | None]


def average_precision(
    detections: Sequence[Boxes],
    targets: Sequence[Boxes],
    classes: Sequence[str],
    ious: Sequence[float] = IOUS,
    *,
    points: Points,
    ignored: Ignored,
) -> dict[str, Any]:
    """Compute the average precision of each class at each IoU, and their mean over the classes.

    Precision is interpolated: at each of the ``points`` recalls it is the best at that recall or
    above. A recall exactly on a point reaches it (pycocotools, which compares floats, misses 0.35
    and a few more).

    ``ignored`` says which objects are neither right nor wrong to find, and so whose rules match
    detections, best first, with objects:

    - ``"difficult"``: the rules of VOC's development kit. A detection goes to the object it
      overlaps most. It is left out if that object is difficult, and wrong if it is already taken.
      Boxes are exclusive here, so their sides lack the kit's + 1.
    - ``"crowd"``: COCO's rules. A detection takes the free object it overlaps most. If there is
      none, it is left out if a crowd covers enough of its area; a crowd excuses any number.

    Args:
        detections: For each image, ``boxes`` (n, 4), (x1, y1, x2, y2) in pixels, right and bottom
            exclusive, ``scores`` (n,) and ``labels`` (n,) int64.
        targets: For each image, ``boxes`` (m, 4), ``labels`` (m,) int64 and ``ignore`` (m,) bool.
        classes: Names by label; index 0 is the background, labels count from 1.
        ious: The least IoUs of a detection with its object.
        points: The number of recalls.
        ignored: The kind of objects that ``ignore`` marks.

    Returns:
        ``{"per_class": {name: {iou: ap}}, "mean": {iou: ap}}``, in [0, 1]. A class without objects
        that count has None and is left out of the mean; a mean over no class is None.

    Raises:
        ValueError: The numbers of images differ, a label is not a class, a score or box is not
            finite, or ``points`` or ``ignored`` has another value than those above.
    """
    if len(detections) != len(targets):
        raise ValueError(f"detections: got {len(detections)} images, wanted {len(targets)}")
    if points not in (11, 101):
        raise ValueError(f"points: got {points}, wanted 11 or 101")
    if ignored not in ("difficult", "crowd"):
        raise ValueError(f"ignored: got {ignored!r}, wanted 'difficult' or 'crowd'")
    limits = np.asarray(ious, np.float64)
    tallies = [_Tally(len(limits)) for _ in classes]
    for found, target in zip(detections, targets, strict=True):
        found = _checked("detections", found, len(classes))
        target = _checked("targets", target, len(classes))
        for label in torch.cat((found["labels"], target["labels"])).unique().tolist():
            tallies[label].add(_of_class(found, label), _of_class(target, label), limits, ignored)
    per_class: dict[str, PerIoU] = {
        name: dict(zip(ious, tally.average(points), strict=True))
        for name, tally in zip(classes[1:], tallies[1:], strict=True)
    }
    return {"per_class": per_class, "mean": {iou: _mean(per_class, iou) for iou in ious}}


def _checked(argument: str, image: Boxes, classes: int) -> Boxes:
    """One image's tensors on the CPU, boxes and scores in float64."""
    checked = {name: value.detach().cpu() for name, value in image.items()}
    checked["boxes"] = checked["boxes"].double().reshape(-1, 4)
    if "scores" in checked:
        checked["scores"] = checked["scores"].double()
    for name in {"boxes", "scores"} & checked.keys():
        if not checked[name].isfinite().all():
            raise ValueError(f"{argument}: got {name} that are not finite, wanted finite ones")
    labels = checked["labels"]
    if len(labels) and not 1 <= int(labels.min()) <= int(labels.max()) < classes:
        got = f"{int(labels.min())} to {int(labels.max())}"
        raise ValueError(f"{argument}: got labels {got}, wanted 1 to {classes - 1}")
    return checked


def _of_class(image: Boxes, label: int) -> Boxes:
    """The part of an image's boxes with this label."""
    kept = image["labels"] == label
    return {name: value[kept] for name, value in image.items()}


def _mean(per_class: Mapping[str, PerIoU], iou: float) -> float | None:
    known = [ap for row in per_class.values() if (ap := row[iou]) is not None]
    return sum(known) / len(known) if known else None


class _Tally:
    """The verdicts on a class's detections in all images."""

    def __init__(self, ious: int) -> None:
        self.objects = 0
        self.scores: list[NDArray[np.float64]] = [np.zeros(0)]
        self.verdicts: list[NDArray[np.int8]] = [np.zeros((ious, 0), np.int8)]

    def add(self, found: Boxes, target: Boxes, ious: NDArray[np.float64], ignored: Ignored) -> None:
        """Judge an image's detections."""
        scores, ignore = found["scores"].numpy(), target["ignore"].bool()
        order = np.argsort(-scores, kind="stable")[: LIMIT if ignored == "crowd" else None]
        verdicts = np.full((len(ious), len(order)), WRONG, np.int8)
        if len(order) and len(ignore):
            boxes = found["boxes"][order]
            overlaps = _overlaps(boxes, target["boxes"], ignore, ignored).numpy()
            verdicts = _verdicts(overlaps, ignore.numpy(), ious, ignored)
        self.objects += int((~ignore).sum())
        self.scores.append(scores[order])
        self.verdicts.append(verdicts)

    def average(self, points: int) -> list[float | None]:
        """AP at each IoU."""
        if not self.objects:
            return [None for _ in self.verdicts[0]]
        order = np.argsort(-np.concatenate(self.scores), kind="stable")
        verdicts = np.concatenate(self.verdicts, 1)[:, order]
        return [
            _interpolated(row[row != LEFT_OUT] == RIGHT, self.objects, points) for row in verdicts
        ]


def _overlaps(boxes: Tensor, objects: Tensor, ignore: Tensor, ignored: Ignored) -> Tensor:
    """IoU of each detection with each object, (D, G); for a crowd, the detection's share in it."""
    overlaps = box_iou(boxes, objects)
    if ignored == "crowd" and ignore.any():
        crowds = objects[ignore]
        low = torch.maximum(boxes[:, None, :2], crowds[:, :2])
        high = torch.minimum(boxes[:, None, 2:], crowds[:, 2:])
        overlaps[:, ignore] = (high - low).clamp_min(0).prod(2) / box_area(boxes)[:, None]
    # Boxes without area: 0/0.
    return overlaps.nan_to_num(0)


def _verdicts(
    overlaps: NDArray[np.float64],
    ignore: NDArray[np.bool_],
    ious: NDArray[np.float64],
    ignored: Ignored,
) -> NDArray[np.int8]:
    """The verdict on each detection at each IoU, (I, D), from overlaps (D, G), best first."""
    verdicts = np.full((len(ious), len(overlaps)), WRONG, np.int8)
    rows, last = np.arange(len(ious)), len(ignore) - 1
    free = np.tile(~ignore, (len(ious), 1))
    for number, overlap in enumerate(overlaps):
        near = overlap >= ious[:, None]
        if ignored == "difficult":
            near &= np.arange(len(ignore)) == overlap.argmax()
        able = near & free
        # The last of equals, as in COCO's code.
        taken = last - np.where(able, overlap, -1)[:, ::-1].argmax(1)
        hit = able.any(1)
        free[rows[hit], taken[hit]] = False
        left_out = ~hit & (near & ignore).any(1)
        verdicts[hit, number], verdicts[left_out, number] = RIGHT, LEFT_OUT
    return verdicts


def _interpolated(right: NDArray[np.bool_], objects: int, points: int) -> float:
    """AP of detections (n,), best first, given whether each is right."""
    hits = np.cumsum(right)
    precision = hits / np.arange(1, len(hits) + 1)
    best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    # In integers: as a float, a recall of 3/10 would miss the third point of ten.
    reached = np.searchsorted((points - 1) * hits, objects * np.arange(points))
    return float(best[reached].mean())
