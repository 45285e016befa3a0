"""Files that are written whole or not at all, and checks of what others wrote."""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = 2**20
"""A disk with fewer free bytes than this counts as full."""
FAR = 1e9
"""Pixels; no picture has a longer side."""


class DataError(RuntimeError):
    """A file or folder is missing, partial or not what it should be, or its disk is full."""


def there(path: Path) -> bool:
    """Whether a path is a file; False for names that no file system accepts."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def text(path: Path) -> str:
    """A text file's content, less a byte order mark.

    Raises:
        DataError: It is not text, or cannot be read.
    """
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error})") from error


def lines(path: Path) -> list[str]:
    """The lines of a text file that are not blank.

    Raises:
        DataError: It is not text, or cannot be read.
    """
    return [line for line in text(path).splitlines() if line.strip()]


def number(value: object) -> float | None:
    """A number, perhaps written as a string, of at most :data:`FAR` pixels; otherwise None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if abs(found) <= FAR else None


def check_writable(folder: Path) -> None:
    """Make a folder if it is missing, and check that files can be written there.

    Raises:
        DataError: It cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{folder}: is not a folder that can be written to ({reason})") from error


@contextmanager
def locked(path: Path, wait: bool = False) -> Iterator[None]:
    """Hold the lock that a file is, made if it is missing; a killed process gives it back.

    Args:
        path: The file.
        wait: Wait while another process holds the lock.

    Raises:
        DataError: Another process holds it, and ``wait`` is False.
    """
    with path.open("a") as file:
        try:
            # Unlike flock's, this lock belongs to the process, not to the open file, so a killed
            # run's data loaders do not keep it.
            fcntl.lockf(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except (BlockingIOError, PermissionError):
            raise DataError(
                f"{path.parent}: another process is writing there; wait for it to end, or write to "
                "another folder (--output)"
            ) from None
        yield


def held(path: Path) -> bool:
    """Whether another process holds the lock that a file is.

    Asking takes the lock for a moment, so one that this process holds itself is lost.
    """
    try:
        with locked(path):
            return False
    except DataError:
        return True


@contextmanager
def roomy(folder: Path) -> Iterator[None]:
    """Explain the error if writing to ``folder`` fails because its disk is full.

    Raises:
        DataError: The disk, or what the user may take of it, is full.
    """
    try:
        yield
    except DataError:
        raise
    except (OSError, RuntimeError) as error:
        told = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        # torch.save says "unexpected pos", without a word about the disk.
        if not told and shutil.disk_usage(folder).free >= FULL:
            raise
        raise DataError(
            f"{folder}: the disk is full ({error}); make room and run the same command again: "
            "complete files are kept"
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` to write to; on success it replaces ``path``.

    Whenever a run is killed, readers see the old file or the new one, never a part.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last because writers such as matplotlib choose the format by it.
    handle, name = tempfile.mkstemp(
        prefix=f".{path.stem}-", suffix=f".partial{path.suffix}", dir=path.parent
    )
    os.close(handle)
    partial = Path(name)
    try:
        with roomy(path.parent):
            yield partial
            with partial.open("rb+") as file:
                # Without this, a power cut can leave an empty file under the new name.
                os.fsync(file.fileno())
        # mkstemp makes files private; give them the usual permissions.
        umask = os.umask(0)
        os.umask(umask)
        partial.chmod(0o666 & ~umask)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(text)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``folder`` to fill; on success it takes the place of ``folder``.

    Killed at any moment, the old folder or the new one is there, never a part; between two renames
    the old one has another name, which the next call takes back. One process at a time. Of a link
    the folder that it leads to is replaced.
    """
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial, old = (folder.parent / f".{folder.name}.{kind}" for kind in ("partial", "old"))
    if old.exists() and not folder.exists():
        old.rename(folder)
    for left in filter(Path.exists, (partial, old)):
        shutil.rmtree(left)
    partial.mkdir()
    try:
        with roomy(folder.parent):
            yield partial
            if folder.exists():
                folder.rename(old)
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def link(file: Path, folder: Path) -> None:
    """Give a file a second place, in ``folder``: a hard link, or a copy where none can be made.

    Raises:
        DataError: The file is missing, or another of its name is there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / file.name
    if not there(file):
        raise DataError(f"{file}: is missing")
    try:
        os.link(file.resolve() if file.is_symlink() else file, place)
    except FileExistsError:
        raise DataError(f"{file}: another file of this name is in {folder} already") from None
    except OSError:  # another disk, or one without links
        shutil.copyfile(file, place)
