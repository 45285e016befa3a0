"""What the command lines of the generator and of the trainers have in common."""

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

import tyro

from compositor.files import DataError

ConfigType = TypeVar("ConfigType")


def parse(
    program: str,
    description: str,
    option: str,
    presets: Mapping[str, ConfigType],
    arguments: Sequence[str] | None = None,
) -> ConfigType:
    """Turn a command line into a config: a preset, then the options that override it.

    Args:
        program: The module's name.
        description: What the help begins with.
        option: Names a preset, such as ``--preset``; it comes first.
        presets: The configs by their names, the default first.
        arguments: The command line; None: this process's.
    """
    chooser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    chooser.add_argument(option, dest="preset", choices=presets, default=next(iter(presets)))
    chosen, rest = chooser.parse_known_args(arguments)
    default = presets[chosen.preset]
    try:
        return tyro.cli(
            type(default),
            prog=f"python -m {program}",
            description=description,
            default=default,
            args=rest,
        )
    except BrokenPipeError:  # head, or a pager that was left, has read enough of the help
        # Python flushes what is left when it ends, which would fail too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise SystemExit(0) from None


@contextmanager
def one_line(*errors: type[Exception]) -> Iterator[None]:
    """Turn an error that the user can fix into one line, without a traceback.

    Args:
        errors: Such errors, beside a :class:`DataError` and what is wrong with a path.

    Raises:
        SystemExit: With the line.
    """
    known: tuple[type[Exception], ...] = DataError, *errors
    try:
        yield
    except known as error:
        raise SystemExit(f"error: {error}") from error
    except OSError as error:
        if error.filename is None:  # not about a path that the user named
            raise
        raise SystemExit(f"error: {error.filename}: {error.strerror}") from error
