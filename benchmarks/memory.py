"""The rise of resident memory during a call: it sees torch, numpy, OpenCV and our scratch alike."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def _resident(field: str) -> int:
    match = re.search(rf"^{field}:\s+(\d+) kB", STATUS.read_text(), re.MULTILINE)
    assert match is not None, f"no {field} in {STATUS}"
    return int(match[1]) * 1024


def peak_rise(call: Callable[[], Any]) -> int | None:
    """Return the bytes by which resident memory peaks over its level before ``call``.

    The result of the call counts, its inputs do not. Call it once before, so that what is set up
    once (thread pools, compiled code) does not count. None where the system is not Linux.
    """
    try:
        # Freed memory that the allocator still holds would hide as much of what is asked for.
        ctypes.CDLL(None).malloc_trim(0)
        CLEAR_REFS.write_text("5")  # the peak starts again from here: see proc_pid_clear_refs(5)
        before = _resident("VmRSS")
        result = call()  # held until the peak is read
        peak = _resident("VmHWM")
        del result
    except (OSError, AttributeError):
        return None
    return max(0, peak - before)
