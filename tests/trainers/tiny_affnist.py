"""AffNIST's trainer on a tiny made-up MNIST; a script too, so that other processes run the same."""

import gzip
import hashlib
import struct
import sys
from pathlib import Path

import numpy as np

from trainers.affnist import __main__ as command
from trainers.affnist import mnist

TRAIN, TEST = 200, 60
PER_CLASS = 3
"""Images of each class that a cache has room for."""


def idx(values: np.ndarray) -> bytes:
    """The bytes of an idx file of unsigned bytes."""
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


def digits(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Bars whose number of rows and columns tells the class: learnable in a few steps."""
    random = np.random.default_rng(seed)
    labels = (np.arange(count) % 10).astype(np.uint8)
    images = np.zeros((count, 28, 28), np.uint8)
    for image, label in zip(images, labels, strict=True):
        top, left = random.integers(5, 8, 2)
        image[top : top + 2 + label, left : left + 12 - label] = random.integers(100, 256)
    return images, labels


FILES = dict(
    zip(
        mnist.CHECKSUMS,
        (idx(array) for pair in (digits(TRAIN, 0), digits(TEST, 1)) for array in pair),
        strict=True,
    )
)
CHECKSUMS = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}


def write(folder: Path, zipped: bool = True) -> Path:
    """Put the four files into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in FILES.items():
        if zipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return folder


def arguments(mnist: Path, output: Path, *more: str) -> list[str]:
    """A command line of a run that takes a second."""
    line = f"--preset tiny --data {mnist} --output {output} --data.downloads {output / 'data'}"
    line += (
        " --images-per-cycle 10 --synthesizer.max-steps 2 --max-passes 100 --side-by-side 1 --cpu"
    )
    return [*line.split(), *more]


if __name__ != "tiny_affnist":
    # Run as a script, or imported again by a worker process of one.
    mnist.CHECKSUMS = CHECKSUMS

if __name__ == "__main__":
    command.main(sys.argv[1:])
