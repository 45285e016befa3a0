"""Measures how much resident memory rises in a call: torch's, numpy's, OpenCV's and our own."""

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
    """Return how many bytes resident memory peaks above its level before ``call``.

    The call's result counts, its inputs do not. Run the call once beforehand, so that one-time
    costs (thread pools, compiled code) do not count. None if the system is not Linux.
    """
    try:
        # Freed memory that the allocator still holds would hide as much of what the call allocates.
        ctypes.CDLL(None).malloc_trim(0)
        CLEAR_REFS.write_text("5")  # resets the peak: see proc_pid_clear_refs(5)
        before = _resident("VmRSS")
        result = call()  # held until the peak is read
        peak = _resident("VmHWM")
        del result
    except (OSError, AttributeError):
        return None
    return max(0, peak - before)
