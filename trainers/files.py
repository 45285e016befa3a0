"""Files that are either whole or not there."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = 2**20
"""A disk with fewer free bytes than this is taken for full."""
FAR = 1e9
"""Pixels: no picture's side is longer."""


class DataError(RuntimeError):
    """A file or folder is missing, partial, not what it should be, or on a disk that is full."""


def there(path: Path) -> bool:
    """Whether a path is a file's; no name is too long or too strange to ask for."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def lines(path: Path) -> list[str]:
    """A text file's lines that are not blank.

    Raises:
        DataError: It is no text, or cannot be read.
    """
    try:
        return [line for line in path.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as text ({error})") from error


def number(value: object) -> float | None:
    """A number of a size that pixels come in, which some tools write as a string; else None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if abs(found) <= FAR else None


@contextmanager
def roomy(folder: Path) -> Iterator[None]:
    """Say so where writing to ``folder`` fails because its disk is full.

    Raises:
        DataError: It did.
    """
    try:
        yield
    except DataError:
        raise
    except (OSError, RuntimeError) as error:
        # torch.save says "unexpected pos", without a word about the disk.
        if shutil.disk_usage(folder).free >= FULL:
            raise
        raise DataError(
            f"{folder}: the disk is full ({error}); make room and start again, what was whole is "
            "kept"
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to; on success it takes ``path``'s place.

    A reader, or a run killed at any moment, sees the old file or the new one, never a part.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: writers such as matplotlib choose the format by it.
    handle, name = tempfile.mkstemp(
        prefix=f".{path.stem}-", suffix=f".partial{path.suffix}", dir=path.parent
    )
    os.close(handle)
    partial = Path(name)
    try:
        with roomy(path.parent):
            yield partial
            with partial.open("rb+") as file:
                # Without this a power cut can leave the new name on an empty file.
                os.fsync(file.fileno())
        # mkstemp makes files private; give them the usual rights.
        umask = os.umask(0)
        os.umask(umask)
        partial.chmod(0o666 & ~umask)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write(path: Path, text: str) -> None:
    """Write a whole text file or none."""
    with replacing(path) as partial:
        partial.write_text(text)
