"""The measurements of `generate`, one benchmark each; `python -m benchmarks` runs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from typing import Any

import pytest

from benchmarks.cases import Case
from benchmarks.generate.agreement import check
from benchmarks.generate.cases import cases
from benchmarks.generate.material import DataSet, make_data_set
from benchmarks.generate.peers import prepare
from benchmarks.rehearsal import rehearse


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    todo = list(cases(*map(metafunc.config.getoption, ("--shape", "--dtype"))))
    names = [f"{sweep}-{case}" for sweep, case in todo]
    metafunc.parametrize(("sweep", "case"), todo, ids=names)


def _data(case: Case) -> DataSet:
    return make_data_set(case.shape[0], case.shape[2:], case.objects)


@cache
def _prepared(case: Case, workers: int) -> tuple[Callable[[], Any], int, int | None]:
    """Check the peer; return its call, the rounds per sweep and the peak memory in bytes."""
    check(case.peer, _data(case))
    call = prepare(case.peer, _data(case), workers)
    return call, *rehearse(call)


def test_generate_speed(
    benchmark: Any, sweep: int, case: Case, request: pytest.FixtureRequest
) -> None:
    workers = request.config.getoption("--threads")
    call, rounds, peak = _prepared(case, workers)
    benchmark.pedantic(call, rounds=rounds)
    benchmark.extra_info |= asdict(case)
    benchmark.extra_info |= {
        "threads": workers,
        "covered": _data(case).covered,
        "peak_bytes": peak,
    }
