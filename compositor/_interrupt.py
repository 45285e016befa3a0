"""Ctrl-C stops the command with a line, while it still imports too: to be imported first."""

import os
import sys
from pathlib import Path
from types import TracebackType

MODULE, SCRIPT = "compositor.generate", "compositor-generate"
STOPPED = 130
"""What a shell gives to a command that Ctrl-C has stopped."""
LINE = "stopped; run the same command again to resume"
"""What such a command says."""


def _told(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    print(LINE, file=sys.stderr, flush=True)
    os._exit(STOPPED)


def _is_command() -> bool:
    """Whether this process is the command, and not another that imports the library."""
    # What -m imports on the way to a module, its packages, sees -m in the script's place.
    if sys.argv[:1] == ["-m"]:
        return any(word.endswith(MODULE) for word in sys.orig_argv)
    return Path(sys.argv[0] if sys.argv else "").name == SCRIPT


if _is_command():
    sys.excepthook = _told
