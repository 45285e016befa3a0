"""What a data set is made of and how: the command line's options."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from compositor.data.cleanup import CleanUp
from compositor.scenes.law import Law
from compositor.scenes.poisson import available

Format = Literal["coco", "coco-polygons", "yolo", "yolo-seg", "voc"]
REPLACED = ("shards", *get_args(Format))
"""Folders in the output folder that a run may replace."""
LARGEST_SEED = 2**31 - 1


@dataclass(frozen=True)
class Config:
    """Generate a labelled data set: cut-outs pasted on backgrounds."""

    cutouts: tuple[Path, ...]
    """Sources of objects, each a folder of RGBA pictures (sub-folders are classes), of pictures
    with masks beside them, in BigBIRD's or Cut-Paste-Learn's layout, a COCO file or folder, YOLO's
    data.yaml or its folder (labels for segmentation), or a VOCdevkit."""
    backgrounds: tuple[Path, ...]
    """Sources of backgrounds: folders of pictures, or COCO, YOLO or VOC, whose annotated objects of
    the pasted classes join the labels, less what is hidden; those of other classes do not."""
    output: Path = Path("scenes")
    """Folder to write to; the same command resumes what it finds there."""
    distractors: tuple[Path, ...] = ()
    """Sources of objects that are pasted, hide others and get no label."""
    match: tuple[Path, ...] = ()
    """Annotated pictures that the generated ones are compared with, and whose sizes, aspects and
    numbers a matched law takes; none: the backgrounds."""
    count: int = 1000
    """Number of scenes. Each gives a picture, unless `keep` leaves it out."""
    seed: int = 0
    """With the sources and the law it determines every byte."""
    size: tuple[int, int] | Literal["native"] = (512, 512)
    """Height and width in pixels, or each background's own."""
    formats: tuple[Format, ...] = ("coco",)
    """What to write, each in a folder of its own: COCO with run lengths or with polygons, YOLO for
    detection or for segmentation, VOC. Their pictures are hard links to the shards': copy one
    before you change it."""
    val: float = 0.0
    """Share of pictures for validation, of cut-outs and backgrounds that no other picture uses."""
    workers: int = 1
    """Processes; each makes a shard of 50 pictures at a time."""
    shard: str = "0/1"
    """K/N: make every N-th shard from the K-th on, for N launches that share the output folder; the
    last to end writes the formats. auto: K and N as torchrun or a Slurm array tells them."""
    preview: int = 16
    """Pictures in preview.png."""
    detector: str | None = None
    """Judges each object: torchvision:NAME, hf:FOLDER, onnx:FILE or module:factory."""
    weights: str | None = None
    """The detector's weights."""
    device: str | None = None
    """Where the detector runs; None: on a GPU if there is one."""
    hard: float = 0.5
    """An object is hard if the detector's confidence in it is below this."""
    keep: Literal["hard", "all"] = "hard"
    """hard: keep a scene only if it is hard, so that cut-outs which are easy wherever they lie
    become rare; all: keep every scene, with its confidences."""
    share: float = 0.5
    """Share of a scene's objects that must be hard."""
    tries: int = 8
    """How many placements of a scene to try until one is hard; if none is, the scene is left out.
    Its cut-outs stay the same, so that each cut-out is tried in as many scenes, hard or easy."""
    clean_up: CleanUp = field(default_factory=lambda: CleanUp(min_side=16))
    """Which objects of photographs to leave out."""
    law: Law = field(default_factory=Law)
    """What scenes are drawn from."""

    def check(self) -> None:
        """Raise a ValueError about the first invalid option."""
        if not self.cutouts:
            raise ValueError("cutouts: got none, wanted at least one source")
        if not self.backgrounds:
            raise ValueError("backgrounds: got none, wanted at least one source")
        whole = {
            "count": (1, 10**9),
            "seed": (0, LARGEST_SEED),
            "workers": (1, 1024),
            "preview": (0, 400),
            "tries": (1, 1000),
        }
        shares = {"val": (0, 0.9), "hard": (0.001, 1), "share": (0.001, 1)}
        for name, (least, most) in {**whole, **shares}.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise ValueError(f"{name}: got {value}, wanted a number in [{least}, {most}]")
        if self.size != "native" and not all(16 <= side <= 8192 for side in self.size):
            raise ValueError(f"size: got {self.size}, wanted 16 to 8192 pixels a side, or native")
        output = self.output.resolve()
        replaced = {(output / name).resolve() for name in REPLACED}
        for path in (*self.cutouts, *self.backgrounds, *self.distractors, *self.match):
            if path.resolve() in (output, *output.parents):
                raise ValueError(f"output: got {self.output}, which lies in {path}, a source")
            if not replaced.isdisjoint((path.resolve(), *path.resolve().parents)):
                raise ValueError(f"output: got {self.output}, which would replace {path}, a source")
        if not self.formats:
            raise ValueError("formats: got none, wanted coco, coco-polygons, yolo, yolo-seg or voc")
        if "poisson" in self.law.look.blends and not available():
            raise ValueError(
                "law.look.blends: poisson needs OpenCV; pip install opencv-python-headless, or "
                "name other blends (--law.look.blends gaussian hard)"
            )
        if self.weights is not None and self.detector is None:
            raise ValueError(
                f"weights: got {self.weights} without a detector, wanted --detector too"
            )
        self.part()

    def part(self) -> tuple[int, int]:
        """K and N of ``shard``."""
        shard = _launched() if self.shard == "auto" else self.shard
        first, _, launches = shard.partition("/")
        if not (first.isdecimal() and launches.isdecimal() and int(first) < int(launches)):
            raise ValueError(
                f"shard: got {shard!r}, wanted K/N with 0 <= K < N, such as 0/4, or auto"
            )
        return int(first), int(launches)


def _launched() -> str:
    """K/N of this launch, from the environment."""
    if {"RANK", "WORLD_SIZE"} <= os.environ.keys():  # torchrun
        return "{RANK}/{WORLD_SIZE}".format_map(os.environ)
    array = [os.environ.get(f"SLURM_ARRAY_TASK_{name}", "") for name in ("ID", "MIN", "COUNT")]
    if not all(value.isdecimal() for value in array):
        raise ValueError(
            "shard: got auto, wanted RANK and WORLD_SIZE (torchrun), or SLURM_ARRAY_TASK_ID, _MIN "
            "and _COUNT (a Slurm array), in the environment"
        )
    number, least, count = map(int, array)
    if number - least >= count:
        raise ValueError(
            f"shard: got task {number} of a Slurm array of {count} from {least} on, wanted an "
            f"array without gaps, such as --array=0-{count - 1}"
        )
    return f"{number - least}/{count}"
