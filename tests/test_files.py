import errno
import multiprocessing
import shutil
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from compositor.files import DataError, locked, replacing, replacing_folder


def test_a_file_takes_its_place_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    with replacing(path) as partial:
        partial.write_text("1")
        assert not path.exists()
        assert partial.suffix == ".json"
    assert path.read_text() == "1"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as partial:
        partial.write_text("ne")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("error", "free", "full"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 0, True),
        (OSError(errno.ENOSPC, "No space left on device"), 2**30, True),  # but no inodes
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 2**30, True),
        (RuntimeError("unexpected pos 704 vs 598"), 0, True),
        (RuntimeError("unexpected pos 704 vs 598"), 2**30, False),
        (OSError(errno.EIO, "Input/output error"), 2**30, False),
    ],
)
def test_a_full_disk_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, free: int, full: bool
) -> None:
    """Whatever writing raised, torch.save's puzzle included; on a disk with room it stays."""
    path = tmp_path / "a.pt"
    path.write_text("old")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    with pytest.raises(DataError if full else type(error)) as raised, replacing(path):
        raise error
    if full:
        assert str(raised.value).startswith(f"{tmp_path}: the disk is full ({error}); make room")
    else:
        assert raised.value is error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_lock_is_one_process_s_until_that_ends(tmp_path: Path) -> None:
    path, killed = tmp_path / "lock", []
    context = multiprocessing.get_context("fork")
    held = context.Event()

    def hold() -> None:
        with locked(path):
            held.set()
            time.sleep(60)

    def kill() -> None:
        killed.append(True)
        other.kill()

    other = context.Process(target=hold)
    other.start()
    assert held.wait(60)
    with pytest.raises(DataError, match=f"{tmp_path}: another process is writing"), locked(path):
        pass
    threading.Timer(0.1, kill).start()
    with locked(path, wait=True):
        assert killed
    other.join()


def test_of_a_link_the_folder_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "disk" / "coco").mkdir(parents=True)
    (tmp_path / "coco").symlink_to(tmp_path / "disk" / "coco")
    for name in ("first", "second"):
        with replacing_folder(tmp_path / "coco") as place:
            (place / name).touch()
        left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
        assert left == ["coco", "disk", "disk/coco", f"disk/coco/{name}"]
        assert (tmp_path / "coco").is_symlink()
