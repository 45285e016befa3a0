"""``python -m trainers.predict``: predict with what a trainer left in ``model.pt``."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torch import Tensor
from torchvision.utils import draw_bounding_boxes

from compositor import files
from compositor.data.read import listing
from compositor.files import DataError, check_writable, there
from trainers import detectors, inputs, segmentation
from trainers.command import one_line
from trainers.config import ConfigError, check_limits
from trainers.detectors import TrainedDetector, model_file, onnx
from trainers.detectors.backbones import WeightsError
from trainers.inputs import Listed
from trainers.misses import Misses
from trainers.segmentation import masks, networks

DESCRIPTION = """Detect or segment with a model.pt that a trainer left.

--output gets detections.json (COCO's results: boxes as x, y, width, height) and pictures/ with the
boxes drawn. With --annotations in COCO's format their ids are the file's, the AP is printed, and so
is what is missed: recall by size, overlap and truncation, in misses.json too; misses.png shows some
of the missed objects. --against tells what another model misses, such as the one before.

With a segmentation network's model.pt, --output gets masks/, PNGs with the class of each pixel in
VOC's colours, classes.json with the classes' names by number, and pictures/ tinted by class."""


@dataclass(frozen=True)
class Config:
    """What to predict on, and what to write."""

    model: Path
    """The model.pt."""
    output: Path
    """Folder for what is found."""
    images: Path | None = None
    """A picture, or a folder of them."""
    annotations: Path | None = None
    """A file in COCO's format that lists pictures in --images, or in a folder in it, such as the
    test.json that trainers.train leaves."""
    against: Path | None = None
    """Another model.pt whose recall is told beside the model's; needs --annotations."""
    threshold: float = 0.5
    """Least score of a box that is drawn and of a detection that counts as finding an object;
    detections.json has them all."""
    pictures: int = 100
    """Most pictures to draw."""
    export: Literal["onnx"] | None = None
    """onnx: write model.onnx, too, checked against the model by ONNX Runtime."""
    device: str = "cuda" if torch.cuda.is_available() else "cpu"
    """Where to run, as PyTorch names it."""

    def __post_init__(self) -> None:
        check_limits(self, {"threshold": (0, 1), "pictures": (0, float("inf"))})


def run(config: Config) -> None:
    """Predict and export as the config says."""
    try:
        torch.empty(0, device=config.device)
    except (RuntimeError, AssertionError) as error:  # unknown to PyTorch, or not there
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device: got {config.device!r} ({reason})") from error
    if config.images is None and config.export is None:
        raise ConfigError("images: got none, wanted a picture or a folder, or --export onnx")
    if config.annotations is not None and config.images is None:
        raise ConfigError(f"annotations: got {config.annotations}, wanted it only with --images")
    if config.against is not None and config.annotations is None:
        raise ConfigError(
            f"against: got {config.against}, wanted it only with --images and --annotations"
        )
    if model_file.read(config.model).architecture in networks.NAMES:
        _segment(config)
        return
    detector = detectors.load(config.model, config.device)
    compared = {"model": detector}
    if config.against is not None:
        compared["against"] = detectors.load(config.against, config.device)
    check_writable(config.output)
    if config.images is not None:
        predict(config, config.images, compared)
    if config.export == "onnx":
        path = config.output / "model.onnx"
        difference = onnx.export(detector, path)
        print(f"{path}: boxes match the model's to within {difference:.2g} pixels")


def _segment(config: Config) -> None:
    """Tell the classes of pixels, for which there is neither AP nor export."""
    for name in ("export", "against", "annotations"):
        if (given := getattr(config, name)) is not None:
            raise ConfigError(
                f"{name}: got {given}, wanted none: {config.model} holds a segmentation network"
            )
    assert config.images is not None  # or there would be an export
    segmenter = segmentation.load(config.model, config.device)
    check_writable(config.output)
    masks.write(segmenter, inputs.listed(config.images), config.output, config.pictures)


def predict(config: Config, place: Path, compared: Mapping[str, TrainedDetector]) -> None:
    """Detect on the pictures of a place with the first; if annotated, tell what each misses."""
    truth = None if config.annotations is None else _annotated(config.annotations)
    listed = _listed(config, place, truth)
    classes = [each.classes for each in compared.values()]
    every_ids = [_category_ids(each, truth) for each in classes]
    missed = None if truth is None else Misses(truth, every_ids, config.threshold)
    results: list[dict[str, Any]] = []
    read: list[int | str] = []
    for one, pixels in inputs.read(listed, "detecting"):
        found = [detect(each, pixels) for each in compared.values()]
        results += _entries(one, found[0], every_ids[0])
        if missed is not None:
            missed.add(one.number, one.path, pixels.shape[:2], found)
        if len(read) < config.pictures:
            drawn = _drawn(pixels, found[0], classes[0], config.threshold)
            inputs.save_drawn(drawn, config.output, one)
        read.append(one.number)
    files.write(config.output / "detections.json", json.dumps(results) + "\n")
    sure = sum(entry["score"] >= config.threshold for entry in results)
    print(
        f"{config.output}: {sure} objects with a score of {config.threshold:g} or more in "
        f"{len(read)} pictures; detections.json has {len(results)} with any score"
    )
    if truth is not None:
        categories = list(every_ids[0].values())
        print(_average_precision(truth, config.output / "detections.json", categories, read))
    if missed is not None:
        print(missed.table(list(compared)))
        missed.write(config.output, list(compared))


def detect(detector: TrainedDetector, pixels: Any) -> dict[str, Tensor]:
    """The detections in a picture (H, W, 3) uint8, stretched as T's pictures were in training."""
    (found,) = detector.predict(inputs.stretched(pixels, detector.size))
    height, width = pixels.shape[:2]
    factors = torch.tensor([width / detector.size[1], height / detector.size[0]] * 2)
    on_cpu = {name: value.cpu() for name, value in found.items()}
    return {**on_cpu, "boxes": on_cpu["boxes"] * factors}


def _annotated(path: Path) -> COCO:
    try:
        with redirect_stdout(StringIO()):
            truth = COCO(str(path))
        if not truth.imgs or not truth.cats:
            raise KeyError("images and categories")
        _ = [each["file_name"] for each in truth.imgs.values()]
        _ = [each["name"] for each in truth.cats.values()]
        for each in truth.anns.values():
            _, _, width, height = each["bbox"]
            if each.get("area") is None:
                each["area"] = width * height
            each["iscrowd"] = each.get("iscrowd") or 0
    except (ValueError, LookupError, TypeError, AssertionError) as error:
        raise DataError(f"{path}: is not in COCO's format ({error})") from error
    return truth


def _listed(config: Config, place: Path, truth: COCO | None) -> list[Listed]:
    if truth is not None and config.annotations is not None:
        names = [image["file_name"] for image in truth.imgs.values()]
        inside = sorted(path for path in place.iterdir() if path.is_dir()) if place.is_dir() else []
        whole = [each for each in (place, *inside) if all(there(each / name) for name in names)]
        if place not in whole and len(whole) > 1:  # as splits whose pictures are numbered
            raise DataError(
                f"images: got {place}, but {names[0]} and all others are in both {whole[0]} and "
                f"{whole[1]}; wanted one of these"
            )
        folder = listing.place(config.annotations, names, [place, *inside])
        return [
            Listed(image["file_name"], folder / image["file_name"], number)
            for number, image in truth.imgs.items()
        ]
    return inputs.listed(place)


def _category_ids(classes: Sequence[str], truth: COCO | None) -> dict[int, int]:
    """The results' category by label; of annotations, those with the class's name."""
    if truth is None:
        return {label: label for label in range(1, len(classes))}
    known = {category["name"]: number for number, category in truth.cats.items()}
    ids = {label: known[name] for label, name in enumerate(classes) if label and name in known}
    if not ids:
        raise DataError(
            f"annotations: have {', '.join(known)}, none of the model's {', '.join(classes[1:])}"
        )
    return ids


def _entries(
    one: Listed, found: dict[str, Tensor], ids: dict[int, int]
) -> Iterator[dict[str, Any]]:
    columns = (found[name].tolist() for name in ("boxes", "labels", "scores"))
    for (x1, y1, x2, y2), label, score in zip(*columns, strict=True):
        if label in ids:
            yield {
                "image_id": one.number,
                "file_name": one.name,
                "category_id": ids[label],
                "bbox": [round(v, 2) for v in (x1, y1, x2 - x1, y2 - y1)],
                "score": round(score, 5),
            }


def _drawn(
    pixels: Any, found: dict[str, Tensor], classes: Sequence[str], threshold: float
) -> Image.Image:
    """A picture with the boxes of what was found in it."""
    kept = found["scores"] >= threshold
    scored = zip(found["labels"][kept].tolist(), found["scores"][kept].tolist(), strict=True)
    texts = [f"{classes[label]} {score:.2f}" for label, score in scored]
    drawn = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    if texts:
        width = max(2, min(pixels.shape[:2]) // 160)
        drawn = draw_bounding_boxes(
            drawn,
            found["boxes"][kept],
            texts,
            "lime",
            width=width,
            label_colors="black",
            label_background_colors="lime",
            fill_labels=True,
        )
    return Image.fromarray(drawn.permute(1, 2, 0).numpy())


def _average_precision(
    truth: COCO, path: Path, categories: list[int], numbers: list[int | str]
) -> str:
    """COCO's summary of the pictures of these numbers, by pycocotools."""
    if path.read_text().strip() == "[]":  # which pycocotools does not take
        return "AP 0: nothing was detected"
    summary = StringIO()
    with redirect_stdout(StringIO()):
        evaluation = COCOeval(truth, truth.loadRes(str(path)), "bbox")
        evaluation.params.catIds, evaluation.params.imgIds = categories, numbers
        evaluation.evaluate()
        evaluation.accumulate()
        with redirect_stdout(summary):
            evaluation.summarize()
    return summary.getvalue().rstrip()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it; an error that the user can fix is one line, not a traceback."""
    config = tyro.cli(
        Config, prog="python -m trainers.predict", description=DESCRIPTION, args=arguments
    )
    with one_line(detectors.TargetError, WeightsError, onnx.ExportError):
        run(config)


if __name__ == "__main__":
    main()
