"""A block's threads as threads with real barriers, under ThreadSanitizer: no two meet in memory.

Two blocks run at once, so that what blocks write must not overlap either.
"""

import os
import subprocess

import pytest

from tests.ops import emulation


@pytest.fixture(scope="module")
def fuzz(tmp_path_factory):
    """Return a function that runs the CUDA kernels' programs on threads."""
    program = tmp_path_factory.mktemp("threads") / "fuzz"
    flags = ("-O0", "-g1", "-pthread", "-fsanitize=thread", "-DCOMPOSITOR_THREADS")
    emulation.compile_program(["tests/ops/fuzz_cuda.cpp"], program, *flags)

    def run(*arguments, timeout=600):
        return subprocess.run(
            [program, *arguments], capture_output=True, text=True, timeout=timeout,
            env={**os.environ, "TSAN_OPTIONS": "halt_on_error=1"},
        )  # fmt: skip

    return run


def test_threads_of_blocks_do_not_race(fuzz):
    run = fuzz("0", "3")
    assert run.returncode == 0, run.stderr[:3000]
    assert "every access inside memory" in run.stdout


# Of blend: the first of a kernel, one within the blur, one after both blurs of the backward. Of
# render: the first, where a layer is taken, and within the walk.
@pytest.mark.parametrize(
    ("phase", "program"),
    [(0, "blend"), (1, "blend"), (6, "blend"), (0, "render"), (3, "render"), (5, "render")],
)
def test_a_missing_barrier_is_found(fuzz, phase, program):
    ends = []
    for first in range(0, 15, 3):  # whether threads meet in one run is chance
        try:
            run = fuzz(str(first), "3", str(phase), program, timeout=150)
        except subprocess.TimeoutExpired:  # a race for what ends a loop
            ends.append("no end")
            continue
        # A race, or where one led before it was seen: to a wrong address. It may also lead to a
        # failed assertion, which does not say what made it fail.
        if any(f"ThreadSanitizer: {kind}" in run.stderr for kind in ("data race", "SEGV")):
            return
        ends.append(f"{run.returncode}: {run.stderr[:1000]}")
    pytest.fail(f"nothing found: {ends}")
