"""What the trainers' command lines have in common."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed

from compositor import _command
from compositor._interrupt import LINE, STOPPED
from trainers.checkpoint import OtherRunError
from trainers.config import ConfigError
from trainers.loop import NonFiniteError


@contextmanager
def one_line(*errors: type[Exception]) -> Iterator[None]:
    """Turn an error that the user can fix, or Ctrl-C, into one line, without a traceback.

    Args:
        errors: Such errors, in addition to those of every trainer.

    Raises:
        SystemExit: With the line.
    """
    try:
        with _command.one_line(ConfigError, NonFiniteError, OtherRunError, *errors):
            yield
    except KeyboardInterrupt:
        print(LINE, file=sys.stderr)
        raise SystemExit(STOPPED) from None


def leave_group() -> None:
    """Leave the other processes' group, if there is one: the last that a process does.

    Python cannot end while a thread of gloo drops a tensor: now and then such a process is aborted
    with "terminate called without an active exception", its work done.
    """
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
