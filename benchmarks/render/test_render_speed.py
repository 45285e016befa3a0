"""The measurements of `render`, one benchmark each; `python -m benchmarks` runs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from typing import Any

import pytest

from benchmarks.cases import Case
from benchmarks.rehearsal import rehearse
from benchmarks.render.agreement import check
from benchmarks.render.cases import FORWARD, cases
from benchmarks.render.peers import prepare
from benchmarks.render.scenes import Layers, make_layers


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    todo = list(cases(*map(metafunc.config.getoption, ("--shape", "--dtype"))))
    names = [f"{sweep}-{case}" for sweep, case in todo]
    metafunc.parametrize(("sweep", "case"), todo, ids=names)


def _layers(case: Case) -> Layers:
    return make_layers(case.shape, case.dtype, case.objects)


@cache
def _prepared(case: Case) -> tuple[Callable[[], Any], int, int | None]:
    """Check the peer; return its call, the rounds per sweep and the peak memory in bytes."""
    if case.mode == FORWARD:
        check(case.peer, _layers(case))
    call = prepare(case.peer, _layers(case), case.mode)
    return call, *rehearse(call)


def test_render_speed(
    benchmark: Any, sweep: int, case: Case, request: pytest.FixtureRequest
) -> None:
    call, rounds, peak = _prepared(case)
    benchmark.pedantic(call, rounds=rounds)
    benchmark.extra_info |= asdict(case)
    benchmark.extra_info |= {
        "threads": request.config.getoption("--threads"),
        "covered": _layers(case).covered,
        "peak_bytes": peak,
    }
