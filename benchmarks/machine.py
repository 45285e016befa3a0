"""The machine, time and versions that figures were measured with."""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import compositor

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PACKAGES = (
    "torch",
    "kornia",
    "opencv-python-headless",
    "numpy",
    "vision-synthesis",
    "segpaste",
)


def cores() -> int:
    """Count the cores that this process may use: "all threads" in the table."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu() -> str:
    """Name the CPU."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"^model name\s*: (.+)$", info.read_text(), re.M) if info.exists() else []
    return names[0].strip() if names else platform.processor() or platform.machine()


def _git(*arguments: str) -> str | None:
    try:
        run = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    except FileNotFoundError:
        return None
    return run.stdout.strip() if run.returncode == 0 else None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def describe(arguments: Sequence[str]) -> dict[str, Any]:
    """Return machine, commit, versions, command and date."""
    # Results are not source: writing one run's leaves the tree clean for the next.
    changes = _git("status", "--porcelain", "--", ".", f":!{RESULTS.relative_to(ROOT)}")
    told = os.environ.get("COMPOSITOR_COMMIT", "")[:12]  # set when sources come without git
    build = compositor.build_info()
    return {
        "machine": {
            "cpu": cpu(),
            "cores": cores(),
            "system": f"{platform.system()} {platform.machine()}",
            "load": round(os.getloadavg()[0], 2),  # above a few tenths, other processes were busy
        },
        "commit": _git("rev-parse", "--short=12", "HEAD") or told or "unknown",
        "dirty": bool(changes) or (changes is None and not told),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "benchmarks", *arguments]),
        "versions": {
            "python": platform.python_version(),
            "compositor": compositor.__version__,
            **{name: _version(name) for name in PACKAGES},
        },
        "build": {key: value for key, value in build.items() if key not in ("backends", "torch")},
    }


def stem(about: dict[str, Any], quick: bool) -> str:
    """Name the result files: one stem per machine and commit."""
    machine = about["machine"]
    slug = re.sub(r"[^a-z0-9]+", "-", f"{machine['cpu']} {machine['cores']} cores".lower())
    words = [slug.strip("-"), about["commit"]]
    words += ["dirty"] * about["dirty"] + ["quick"] * quick
    return "-".join(words)
