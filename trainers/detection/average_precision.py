"""Average precision of a detector, at several IoUs: COCO's 101 points or VOC 2007's 11."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor
from torchvision.ops import box_iou

IOUS = (0.5, 0.6, 0.7, 0.8)
"""Of the paper's table 4."""

Points = Literal[101, 11]
Boxes = Mapping[str, Tensor]
PerIoU = dict[float, float | None]


def average_precision(
    detections: Sequence[Boxes],
    targets: Sequence[Boxes],
    classes: Sequence[str],
    ious: Sequence[float] = IOUS,
    points: Points = 101,
) -> dict[str, Any]:
    """Compute the average precision of each class at each IoU, and their mean over the classes.

    101 points, by pycocotools: precision interpolated at recalls 0, 0.01, ..., 1; of an image's
    detections of a class the 100 best count; a detection takes the free object it overlaps most;
    an ignored object is COCO's crowd: any number of detections that lie in it to the share of their
    own area that the IoU asks for are left out.

    11 points, as VOC 2007's development kit: precision interpolated at recalls 0, 0.1, ..., 1; a
    detection goes to the object it overlaps most, and is false where that one is taken; an ignored
    object is VOC's difficult: detections that go to it are left out. Boxes are exclusive here, so
    areas are without the kit's + 1.

    Args:
        detections: Of each image ``boxes`` (n, 4), (x1, y1, x2, y2) in pixels, right and bottom
            exclusive, ``scores`` (n,) and ``labels`` (n,) int64.
        targets: Of each image ``boxes`` (m, 4), ``labels`` (m,) int64 and ``ignore`` (m,) bool.
        classes: Names; index 0 is the background, labels count from 1.
        ious: Least IoU of a detection with its object.
        points: Which of the two.

    Returns:
        ``{"per_class": {name: {iou: ap}}, "mean": {iou: ap}}``, in [0, 1]. None for a class without
        any object that counts, which the mean leaves out; a mean over no class is None.

    Raises:
        ValueError: The numbers of images differ, a label is not a class, a score or box is not
            finite, or ``points`` is neither 101 nor 11.
    """
    if len(detections) != len(targets):
        raise ValueError(f"detections: got {len(detections)} images, wanted {len(targets)}")
    detections = [_checked("detections", image, len(classes)) for image in detections]
    targets = [_checked("targets", image, len(classes)) for image in targets]
    if points == 101:
        table = _coco(detections, targets, len(classes), ious)
    elif points == 11:
        table = [
            _voc(_of_class(detections, label), _of_class(targets, label), ious)
            for label in range(1, len(classes))
        ]
    else:
        raise ValueError(f"points: got {points}, wanted 101 or 11")
    per_class = {
        name: dict(zip(ious, row, strict=True))
        for name, row in zip(classes[1:], table, strict=True)
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


def _of_class(images: Sequence[Boxes], label: int) -> list[Boxes]:
    """What of each image has the label."""
    kept = [image["labels"] == label for image in images]
    return [
        {name: value[k] for name, value in image.items()}
        for image, k in zip(images, kept, strict=True)
    ]


def _mean(per_class: Mapping[str, PerIoU], iou: float) -> float | None:
    known = [ap for row in per_class.values() if (ap := row[iou]) is not None]
    return sum(known) / len(known) if known else None


def _coco(
    detections: Sequence[Boxes], targets: Sequence[Boxes], classes: int, ious: Sequence[float]
) -> list[list[float | None]]:
    """AP of each class at each IoU, by pycocotools."""
    images = [{"id": number} for number in range(len(targets))]
    categories = [{"id": label} for label in range(1, classes)]
    # pycocotools tells of everything it does.
    with open(os.devnull, "w") as silence, contextlib.redirect_stdout(silence):
        judge = COCOeval(
            _index(images, categories, targets, "ignore"),
            _index(images, categories, detections, "scores"),
            "bbox",
        )
        judge.params.iouThrs = np.asarray(ious, dtype=np.float64)
        judge.params.areaRng, judge.params.areaRngLbl = [[0, 1e10]], ["all"]
        judge.params.maxDets = [100]
        judge.evaluate()
        judge.accumulate()
    # (IoUs, recalls, classes, areas, limits); -1 where a class has no object.
    precision = judge.eval["precision"][..., 0, 0]
    averages = precision.mean(1).T
    return [[float(ap) if ap >= 0 else None for ap in row] for row in averages]


def _index(
    images: list[dict[str, int]],
    categories: list[dict[str, int]],
    boxes: Sequence[Boxes],
    extra: Literal["ignore", "scores"],
) -> COCO:
    """What pycocotools takes for an annotation file, or a file of results."""
    annotations: list[dict[str, Any]] = []
    for number, image in enumerate(boxes):
        corners, sides = image["boxes"][:, :2], image["boxes"][:, 2:] - image["boxes"][:, :2]
        columns = [torch.cat((corners, sides), 1), image["labels"], image[extra], sides.prod(1)]
        for box, label, value, area in zip(*(c.tolist() for c in columns), strict=True):
            annotations.append(
                {
                    # pycocotools takes the number 0 for "no match".
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": label,
                    "bbox": box,
                    "area": area,
                    **({"iscrowd": int(value)} if extra == "ignore" else {"score": value}),
                }
            )
    index = COCO()
    index.dataset = {"images": images, "categories": categories, "annotations": annotations}
    index.createIndex()
    return index


def _voc(
    detections: Sequence[Boxes], targets: Sequence[Boxes], ious: Sequence[float]
) -> list[float | None]:
    """AP of one class at each IoU, by the rules of VOC 2007's development kit."""
    ignored = np.concatenate([t["ignore"].bool().numpy() for t in targets] or [np.zeros(0, bool)])
    objects = int((~ignored).sum())
    if objects == 0:
        return [None for _ in ious]
    scores, overlaps, matches = [], [], []
    before = 0  # objects of the images so far: matches number those of all images
    for found, target in zip(detections, targets, strict=True):
        overlap, match = np.zeros(len(found["boxes"])), np.zeros(len(found["boxes"]), np.int64)
        if len(target["boxes"]):
            # Two boxes without area have an IoU of 0/0.
            every = box_iou(found["boxes"], target["boxes"]).nan_to_num(0).numpy()
            overlap, match = every.max(1), every.argmax(1)
        scores.append(found["scores"].numpy())
        overlaps.append(overlap)
        matches.append(match + before)
        before += len(target["boxes"])
    order = np.argsort(-np.concatenate(scores), kind="stable")
    overlap, match = np.concatenate(overlaps)[order], np.concatenate(matches)[order]
    return [_eleven_points(overlap >= iou, match, ignored, objects) for iou in ious]


def _eleven_points(
    on: NDArray[np.bool_], match: NDArray[np.int64], ignored: NDArray[np.bool_], objects: int
) -> float:
    """AP of detections, best first: whether each is on an object, and on which."""
    counts = np.ones_like(on)
    counts[on] = ~ignored[match[on]]
    true = np.zeros_like(on)
    hits = np.flatnonzero(on & counts)
    true[hits[np.unique(match[hits], return_index=True)[1]]] = True
    right = np.cumsum(true[counts])
    precision = right / np.arange(1, len(right) + 1)
    # In whole numbers: as a float, a recall of 3/10 misses the third point.
    best = [precision[10 * right >= point * objects].max(initial=0.0) for point in range(11)]
    return float(np.mean(best))
