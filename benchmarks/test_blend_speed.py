"""The measurements, one benchmark each; `python -m benchmarks` runs and summarises them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from typing import Any

import pytest

from benchmarks.agreement import check
from benchmarks.cases import COPY, Case, cases
from benchmarks.memory import peak_rise
from benchmarks.peers import prepare, prepare_copy
from benchmarks.scenes import Scene, make_scene

SECONDS = 0.25  # of rounds per case in a sweep, but at least one round
MOST_ROUNDS = 50
REHEARSALS = 3


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    n, channels, height, width = map(int, metafunc.config.getoption("--shape").split("x"))
    todo = list(cases((n, channels, height, width), metafunc.config.getoption("--dtype")))
    names = [f"{sweep}-{case}" for sweep, case in todo]
    metafunc.parametrize(("sweep", "case"), todo, ids=names)


def _scene(case: Case) -> Scene:
    return make_scene(case.shape, case.dtype, case.coverage, case.shrunk)


def _call(case: Case) -> Callable[[], Any]:
    if case.peer == COPY:
        return prepare_copy(case.shape, case.dtype)
    return prepare(case.peer, _scene(case), case.mode)


@cache
def _rehearse(case: Case) -> tuple[int, int | None]:
    """Check the peer and warm up; return the rounds per sweep and the peak memory in bytes."""
    if case.mode == "forward" and case.peer != COPY:
        check(case.peer, _scene(case))
    call = _call(case)
    call()  # compiles, starts threads
    start = time.perf_counter()
    rises = [peak_rise(call) for _ in range(REHEARSALS)]
    seconds = (time.perf_counter() - start) / REHEARSALS
    # The least of them: anything else the process touches meanwhile can only add.
    peak = min((rise for rise in rises if rise is not None), default=None)
    return max(1, min(MOST_ROUNDS, int(SECONDS / seconds))), peak


def test_blend_speed(
    benchmark: Any, sweep: int, case: Case, request: pytest.FixtureRequest
) -> None:
    rounds, peak = _rehearse(case)
    benchmark.pedantic(_call(case), rounds=rounds)
    benchmark.extra_info |= asdict(case)
    benchmark.extra_info |= {
        "threads": request.config.getoption("--threads"),
        "covered": _scene(case).coverage,
        "peak_bytes": peak,
    }
