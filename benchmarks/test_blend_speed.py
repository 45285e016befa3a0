"""The measurements of `blend`, one benchmark each; `python -m benchmarks` runs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from typing import Any

import pytest

from benchmarks.agreement import check
from benchmarks.cases import COPY, Case, cases
from benchmarks.peers import prepare, prepare_copy
from benchmarks.rehearsal import rehearse
from benchmarks.scenes import Scene, make_scene


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    todo = list(cases(*map(metafunc.config.getoption, ("--shape", "--dtype"))))
    names = [f"{sweep}-{case}" for sweep, case in todo]
    metafunc.parametrize(("sweep", "case"), todo, ids=names)


def _scene(case: Case) -> Scene:
    assert case.coverage is not None
    return make_scene(case.shape, case.dtype, case.coverage, case.shrunk)


def _call(case: Case) -> Callable[[], Any]:
    if case.peer == COPY:
        return prepare_copy(case.shape, case.dtype)
    return prepare(case.peer, _scene(case), case.mode)


@cache
def _rehearse(case: Case) -> tuple[int, int | None]:
    """Check the peer, then rehearse the case."""
    if case.mode == "forward" and case.peer != COPY:
        check(case.peer, _scene(case))
    return rehearse(_call(case))


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
