"""affNIST: MNIST digits under random affine transformations, official or regenerated."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import scipy.io
import torch
from torch import Tensor

import compositor
from compositor.files import DataError
from trainers import checkpoint
from trainers.affnist import mnist
from trainers.affnist.config import DataConfig
from trainers.affnist.placement import ANGLE, SCALE, SHEAR, SIZE, Digits, pad, place, uniform
from trainers.config import ConfigError

SEED = 20190618
"""Seed of the regenerated sets, fixed so that every run is tested on the same images."""
CHUNK = 2000
LAW = 1
"""Version of the regeneration law: changing it regenerates affNIST."""
VERSIONS = 32
"""How many transformed versions affNIST has of each digit."""


@dataclass(frozen=True)
class Labelled:
    """Images (N, 1, 40, 40) uint8 and labels (N,) int64."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Data:
    """Everything an AffNIST run reads.

    Attributes:
        train: MNIST's training digits, padded; T trains on them, and they are what is placed.
        validation: affNIST made from the held-out digits, or None.
        test: affNIST's test images.
        sources: Descriptions of where MNIST and affNIST came from.
    """

    train: Digits
    validation: Labelled | None
    test: Labelled
    sources: dict[str, str]

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """Fingerprints of the three sets, which differ if the data does."""
        sets = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: _fingerprint(s.images, s.labels) for name, s in sets.items() if s is not None}


def prepare(config: DataConfig) -> Data:
    """Get MNIST, and read affNIST if the user has it, or regenerate it."""
    digits = mnist.load(config.mnist, config.downloads)
    train = pad(*digits.train)
    kept = len(train) - config.validation_digits
    if kept < 1:
        raise ConfigError(
            f"data.validation_digits: got {config.validation_digits}, wanted fewer than "
            f"{len(train)}, all there are"
        )
    validation = None
    if config.validation_digits:
        validation = regenerate(train[kept:], 1, SEED + 1)
    if config.affnist is None:
        name = f"affnist-test-{_key(*digits.test, config.versions)}.pt"
        test = _cached(config.downloads / name, pad(*digits.test), config.versions)
        origin = f"regenerated affNIST ({len(digits.test[1])} digits x {config.versions})"
    else:
        test = read_official(config.affnist, config.versions)
        _check_upright(config.affnist, test, pad(*digits.test)[:CHUNK])
        origin = f"official affNIST ({config.affnist}, {len(test)} images)"
    return Data(train[:kept], validation, test, {"mnist": digits.source, "affnist": origin})


def regenerate(digits: Digits, versions: int, seed: int) -> Labelled:
    """Make affNIST by its law: ``versions`` random affine versions of each digit.

    All digits appear in their first version, then all in their second, as in the official batches.
    """
    generator = torch.Generator().manual_seed(seed)
    images = torch.empty(versions, len(digits), 1, SIZE, SIZE, dtype=torch.uint8)
    for version in range(versions):
        for start in range(0, len(digits), CHUNK):
            part = digits[start : start + CHUNK]
            theta = place(uniform(len(part), generator), part.outline)
            images[version, start : start + len(part)] = to_bytes(composite(part, theta))
    return Labelled(images.flatten(0, 1), digits.labels.repeat(versions))


def composite(digits: Digits, theta: Tensor) -> Tensor:
    """Paste digits on black by ``theta``: (N, 1, 40, 40) float32, a plain spatial transformer."""
    foreground = digits.foregrounds()
    return compositor.blend(
        foreground, None, torch.zeros_like(foreground), theta, threshold=0, sigma=0
    )


def to_bytes(images: Tensor) -> Tensor:
    """Convert images in [0, 1] to uint8, as MNIST and affNIST store them."""
    return (images.detach() * 255).round().to(torch.uint8)


def read_official(folder: Path, versions: int = VERSIONS) -> Labelled:
    """Read affNIST's official test set: ``test.mat``, or the unpacked batches.

    Args:
        folder: Holds ``test.mat``, or ``test_batches/*.mat`` directly or under ``32x/transformed``.
        versions: How many of the 32 batches to read.

    Raises:
        DataError: There is no such file, or one is partial or corrupt.
    """
    batches = next(
        (
            found
            for place in ("test.mat", "test_batches/*.mat", "32x/transformed/test_batches/*.mat")
            if (found := sorted(folder.glob(place), key=lambda p: (len(p.name), p.name)))
        ),
        None,
    )
    if batches is None:
        raise DataError(f"{folder}: has neither test.mat nor test_batches/*.mat of affNIST")
    parts = [_read_mat(path) for path in batches[:versions]]
    return Labelled(torch.cat([p.images for p in parts]), torch.cat([p.labels for p in parts]))


def _read_mat(path: Path) -> Labelled:
    try:
        content = scipy.io.loadmat(path)["affNISTdata"][0, 0]
        images = np.ascontiguousarray(content["image"].T).reshape(-1, 1, SIZE, SIZE)
        labels = content["label_int"].reshape(-1)
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise DataError(f"{path}: is not an affNIST file, or is corrupt ({error})") from error
    if len(images) != len(labels):
        raise DataError(f"{path}: has {len(images)} images but {len(labels)} labels")
    return Labelled(
        torch.from_numpy(images.astype(np.uint8)), torch.from_numpy(labels.astype(np.int64))
    )


def _check_upright(folder: Path, read: Labelled, digits: Digits) -> None:
    """Compare official digits with regenerated ones: transposed images would pass unnoticed.

    Raises:
        DataError: The class means agree better with rows and columns exchanged.
    """
    known = _class_means(regenerate(digits, 1, SEED))
    found = _class_means(read)
    upright, transposed = ((known - means).square().nansum() for means in (found, found.mT))
    if transposed < upright:
        raise DataError(
            f"{folder}: its digits are transposed, judging by the class means; wanted each image "
            "row by row, from the top"
        )


def _class_means(images: Labelled) -> Tensor:
    """Mean image of each class (10, 40, 40); NaN for a class without images."""
    pixels = images.images[:, 0].double() / 255
    return torch.stack([pixels[images.labels == digit].mean(0) for digit in range(10)])


def _cached(path: Path, digits: Digits, versions: int) -> Labelled:
    if path.exists():
        return Labelled(**checkpoint.load(path))
    made = regenerate(digits, versions, SEED)
    checkpoint.write(path, {"images": made.images, "labels": made.labels})
    return made


def _fingerprint(images: Tensor, labels: Tensor) -> str:
    digest = hashlib.sha256(images.numpy().data)
    digest.update(labels.numpy().data)
    return f"{len(labels)} digits ({digest.hexdigest()[:12]})"


def _key(images: Tensor, labels: Tensor, versions: int) -> str:
    """A digest of everything the regenerated set depends on, so that no other set has its name."""
    law = (LAW, ANGLE, SHEAR, SCALE, SIZE)
    text = f"{law} {SEED} {versions} {_fingerprint(images, labels)}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]
