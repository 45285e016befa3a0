"""What detectors miss: recall by size, overlap and truncation, and pictures of missed objects."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from pycocotools.coco import COCO

from compositor import files
from compositor.data import images, sheets
from compositor.files import DataError
from compositor.scenes.observed import covered_share
from compositor.selection.judge import confidences
from trainers.detectors.base import Detections

IOU = 0.5
SMALL, MEDIUM = 32**2, 96**2
"""COCO's limits in pixels: an object whose annotated area is up to the first is small, up to the
second medium."""
KINDS: Mapping[str, Sequence[str]] = {
    "size": ("small", "medium", "large"),
    "overlap": ("none", "up to a third", "more"),
    "truncation": ("inside", "at the edge"),
}
"""What objects are told apart by. Overlap: the largest share of the box that another object's
covers. Truncation: whether the box comes within a pixel of the picture's edge."""
SHOWN, COLUMNS, SIDE = 24, 6, 192
"""Missed objects in misses.png, and its tiles' columns and side in pixels."""
CONTEXT, LEAST = 2.5, 64
"""A tile's side over the object's longer one, and its least side in the picture's pixels."""
MISSED, FOUND = (255, 64, 129), (0, 220, 0)


@dataclass(frozen=True)
class Object:
    """An annotated object that detectors were to find.

    Attributes:
        entry: Its annotation.
        path: Its picture.
        box: (x1, y1, x2, y2) in pixels.
        kinds: What it is, by ``KINDS``.
        confidences: Each detector's.
        found: The boxes, as ``box``, of what the first detector found in the picture.
    """

    entry: dict[str, Any]
    path: Path
    box: tuple[float, ...]
    kinds: dict[str, str]
    confidences: tuple[float, ...]
    found: list[list[float]]


class Misses:
    """Objects of annotated pictures, and whether detectors find them.

    Args:
        truth: The annotations.
        ids: Of each detector the category by label. Objects of categories that all have count.
        threshold: Least score of a detection that finds an object.

    Raises:
        DataError: There is no such category.
    """

    def __init__(self, truth: COCO, ids: Sequence[Mapping[int, int]], threshold: float) -> None:
        self._truth, self._threshold = truth, threshold
        self._categories = set.intersection(*(set(each.values()) for each in ids))
        if not self._categories:
            raise DataError("annotations: have no class that both detectors know")
        self._labels = [{number: label for label, number in each.items()} for each in ids]
        self._objects: list[Object] = []
        self._detections = [0 for _ in ids]

    def add(
        self, number: int | str, path: Path, size: tuple[int, int], found: Sequence[Detections]
    ) -> None:
        """Judge a picture.

        Args:
            number: Its id.
            path: Its file.
            size: (H, W) in pixels.
            found: What each detector finds in it, on the CPU.
        """
        entries = [each for each in self._truth.imgToAnns[number] if not each["iscrowd"]]
        boxes = np.array([each["bbox"] for each in entries], np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        kinds = _kinds([each["area"] for each in entries], boxes, size)
        wanted = [n for n, each in enumerate(entries) if each["category_id"] in self._categories]
        judged = [
            confidences(
                one,
                torch.from_numpy(boxes[wanted]),
                torch.tensor(
                    [labels[entries[n]["category_id"]] for n in wanted], dtype=torch.int64
                ),
                IOU,
            ).tolist()
            for one, labels in zip(found, self._labels, strict=True)
        ]
        sure = [self._sure(*each) for each in zip(found, self._labels, strict=True)]
        self._detections = [n + len(each) for n, each in zip(self._detections, sure, strict=True)]
        self._objects += [
            Object(entries[n], path, tuple(boxes[n].tolist()), kinds[n], scores, sure[0])
            for n, scores in zip(wanted, zip(*judged, strict=True), strict=True)
        ]

    def _sure(self, found: Detections, labels: Mapping[int, int]) -> list[list[float]]:
        """The boxes of a detector's sure detections of what counts."""
        counting = torch.tensor([labels[category] for category in self._categories])
        kept = (found["scores"] >= self._threshold) & torch.isin(found["labels"], counting)
        boxes: list[list[float]] = found["boxes"][kept].tolist()
        return boxes

    def recalls(self) -> dict[str, dict[str, tuple[int, list[int]]]]:
        """How many objects there are, and how many of them each detector finds, by their kinds."""
        found = {"all": {"": self._counted(self._objects)}}
        for kind, names in KINDS.items():
            alike = ([one for one in self._objects if one.kinds[kind] == name] for name in names)
            found[kind] = dict(zip(names, map(self._counted, alike), strict=True))
        return found

    def _counted(self, objects: Sequence[Object]) -> tuple[int, list[int]]:
        detectors = range(len(self._labels))
        return len(objects), [
            sum(one.confidences[n] >= self._threshold for one in objects) for n in detectors
        ]

    def table(self, names: Sequence[str]) -> str:
        """The recalls in lines, under the detectors' names; of two also what the first gains.

        And the detections: who makes more finds more, be they right or wrong.
        """
        head = [*names, "change"] if len(names) == 2 else names
        lines = [
            f"Recall at IoU {IOU:g} of a score of {self._threshold:g} or more",
            f"{'':26}{'objects':>9}" + "".join(f"{name:>9}" for name in head),
        ]
        for kind, rows in self.recalls().items():
            for name, (count, found) in rows.items():
                shares = [each / count for each in found] if count else []
                told = [f"{share:.3f}" for share in shares]
                told += [f"{shares[0] - shares[1]:+.3f}"] if len(shares) == 2 else []
                cells = "".join(f"{cell:>9}" for cell in told or ["-"] * len(head))
                lines.append(f"{f'{kind} {name}':26}{count:>9}{cells}")
        told = [f"{number}" for number in self._detections]
        told += [f"{int(told[0]) - int(told[1]):+}"] if len(told) == 2 else []
        lines.append(f"{'detections':35}" + "".join(f"{cell:>9}" for cell in told))
        return "\n".join(lines)

    def write(self, folder: Path, names: Sequence[str]) -> None:
        """Write misses.json and misses.png, of the objects that the first detector misses."""
        missed = [one for one in self._objects if one.confidences[0] < self._threshold]
        recalls = {
            kind: {
                name or "all": {"objects": count, "found": dict(zip(names, found, strict=True))}
                for name, (count, found) in rows.items()
            }
            for kind, rows in self.recalls().items()
        }
        entries = [
            {
                "image_id": one.entry["image_id"],
                "annotation_id": one.entry["id"],
                "category": self._name(one),
                "bbox": one.entry["bbox"],
                **one.kinds,
                "confidence": dict(zip(names, one.confidences, strict=True)),
            }
            for one in missed
        ]
        report = {
            "iou": IOU,
            "threshold": self._threshold,
            "detections": dict(zip(names, self._detections, strict=True)),
            "objects": recalls,
            "missed": entries,
        }
        files.write(folder / "misses.json", json.dumps(report, indent=1) + "\n")
        tiles = [self._tile(missed[n]) for n in sheets.spread(len(missed), SHOWN)]
        sheets.save(tiles, folder / "misses.png", COLUMNS)

    def _tile(self, one: Object) -> Image.Image:
        """The object and what is around it; what was found there is green."""
        pixels = images.read(one.path, one.path.name)
        x1, y1, x2, y2 = one.box
        half = max(CONTEXT * max(x2 - x1, y2 - y1), LEAST) / 2
        left, top = round((x1 + x2) / 2 - half), round((y1 + y2) / 2 - half)
        span, shift = round(2 * half), np.array([left, top] * 2)
        scale = min(1.0, SIDE / span)
        boxes = [((scale * (box - shift)).tolist(), FOUND) for box in one.found]
        boxes.append(((scale * (one.box - shift)).tolist(), MISSED))
        around = Image.new("RGB", (round(scale * span),) * 2)  # black beyond the picture
        height, width = pixels.shape[:2]
        seen = (max(left, 0), max(top, 0), min(left + span, width), min(top + span, height))
        if seen[0] < seen[2] and seen[1] < seen[3]:
            shape = [max(1, round(scale * (seen[n + 2] - seen[n]))) for n in (0, 1)]
            part = Image.fromarray(pixels).resize(shape, Image.Resampling.BILINEAR, seen, 2)
            around.paste(part, (round(scale * (seen[0] - left)), round(scale * (seen[1] - top))))
        tile = sheets.tile(np.asarray(around), boxes, SIDE)
        told = f"{self._name(one)} {one.confidences[0]:.2f}"
        ImageDraw.Draw(tile).text((3, 1), told, "white", stroke_fill="black", stroke_width=2)
        return tile

    def _name(self, one: Object) -> str:
        return str(self._truth.cats[one.entry["category_id"]]["name"])


def _kinds(
    areas: Sequence[float], boxes: np.ndarray, size: tuple[int, int]
) -> list[dict[str, str]]:
    """What each object (n, 4) of a picture of ``size`` (H, W) is, by ``KINDS``."""
    shares = covered_share(boxes[:, None], boxes[None])
    np.fill_diagonal(shares, 0)
    height, width = size
    inside = (boxes >= (1, 1, 0, 0)) & (boxes <= (width, height, width - 1, height - 1))
    found = []
    for area, share, sides in zip(areas, shares.max(1, initial=0), inside, strict=True):
        ranks = {
            "size": int(area > SMALL) + int(area > MEDIUM),
            "overlap": int(share > 0) + int(share > 1 / 3),
            "truncation": int(not sides.all()),
        }
        found.append({kind: KINDS[kind][rank] for kind, rank in ranks.items()})
    return found
