"""The harness: same work by all peers, honest memory, no table where something is wrong."""

import json
import re
import sys
from dataclasses import asdict, replace

import cv2
import numpy as np
import pytest
import torch

import compositor
from benchmarks import __main__ as command
from benchmarks import agreement, figures, floors, machine, memory, peers, report
from benchmarks.cases import BLEND, COPY, GENERATE, RENDER, Case, cases, sessions
from benchmarks.generate import cases as generate_cases
from benchmarks.generate import floors as generate_floors
from benchmarks.generate.peers import RENDERING
from benchmarks.render import cases as render_cases
from benchmarks.render import floors as render_floors
from benchmarks.scenes import COVERAGES, OBJECTS, SHAPE_OF_FLOORS, SHAPES, forward_bytes, make_scene
from benchmarks.test_blend_speed import _rehearse

SHAPE = (6, 3, 60, 80)  # not square: x and y must not be mixed up
PASSING = (sys.executable, "-c", "")
FAILING = (sys.executable, "-c", "raise SystemExit(1)")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    yield
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])


CASES = {BLEND: cases, RENDER: render_cases.cases, GENERATE: generate_cases.cases}


def all_cases(measured):
    return (one for op, *session in measured for one in CASES[op](*session))


def outputs(case):
    """Bytes of the composite, and of a label for each pixel."""
    n, channels, height, width = case.shape
    return n * height * width * (channels + 4 if case.dtype == "uint8" else 4 * channels)


def raw(threads, measured=None, ours=1e-3, small=0.5, half=1.0):
    """Make what pytest-benchmark would write: peers at 20 times our time, one sweep disturbed."""
    runs = []
    for sweep, case in all_cases(measured or command.sessions(quick=False)):
        whole = case.shrunk or case.coverage in (None, max(COVERAGES))
        seconds = ours * (1 if whole else small) / (threads if case.op != BLEND else 1)
        seconds *= half if case.dtype == "bfloat16" else 1
        own = case.peer in ("compositor", "CopyPaste")
        seconds = 4e-4 if case.peer == COPY else seconds * (1 if own else 20)
        seconds /= 100 if case.peer == RENDERING else 1
        seconds *= 3 if sweep == 0 else 1
        info = asdict(case) | {
            "shape": list(case.shape),
            "threads": threads,
            "covered": (case.coverage or 0.3) + 0.001,
            "peak_bytes": outputs(case),
        }
        stats = {"min": seconds / 2, "median": seconds, "rounds": 4}
        runs.append({"extra_info": info, "stats": stats})
    return {"benchmarks": runs}


# What is timed


@pytest.mark.parametrize(("coverage", "shrunk"), OBJECTS)
@pytest.mark.parametrize("shape", [(64, 1, 40, 40), SHAPE])
def test_objects_cover_what_is_said(shape, coverage, shrunk):
    scene = make_scene(shape, "float32", coverage, shrunk)
    # Exact in area; what remains is the ellipse drawn in whole pixels, 8 of them at the least.
    assert scene.coverage == pytest.approx(coverage, rel=0.03)
    matrices = scene.pixel_matrix(scene.theta.double()).numpy()
    height, width = scene.canvas
    warped = [
        cv2.warpAffine(mask[0], matrix, (width, height))
        for mask, matrix in zip(scene.mask.numpy(), matrices, strict=True)
    ]
    assert np.mean(warped) == pytest.approx(scene.coverage, rel=1e-3)
    border = np.ones((height, width), bool)
    border[1:-1, 1:-1] = False
    assert not np.any(np.stack(warped)[:, border]), "an object is cut by the canvas"


def test_pixel_matrix_of_a_shift_and_a_half_turn():
    scene = make_scene(SHAPE, "float32", 0.5)
    height, width = scene.canvas
    # The canvas at x looks 3 pixels to the left and 2 down: the object moves 3 right and 2 up.
    shift = torch.tensor([[1, 0, -3 * 2 / width], [0, 1, 2 * 2 / height]], dtype=torch.float64)
    turn = torch.tensor([[-1, 0, 0], [0, -1, 0]], dtype=torch.float64)
    matrices = scene.pixel_matrix(torch.stack([shift, turn]))
    wanted = [[[1, 0, 3], [0, 1, -2]], [[-1, 0, width - 1], [0, -1, height - 1]]]
    torch.testing.assert_close(matrices, torch.tensor(wanted, dtype=torch.float64))


def test_floor_is_forty_bytes_a_pixel_for_three_float32_channels():
    assert forward_bytes((2, 3, 5, 7), "float32") == 40 * 2 * 5 * 7
    assert forward_bytes((2, 1, 5, 7), "bfloat16") == 8 * 2 * 5 * 7
    copied = peers.prepare_copy((2, 3, 5, 8), "float32")()
    assert 2 * copied.nbytes == 40 * 2 * 5 * 8  # read and written


# Same work


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("peer", peers.PEERS)
def test_peers_make_our_composite(peer, dtype, monkeypatch):
    if peer == "OpenCV" and dtype == "bfloat16":
        with pytest.raises(TypeError):  # numpy has no such type: not measured, see cases
            peers.prepare(peer, make_scene(SHAPE, dtype, 0.5), "forward")
        return
    if peer == "compiled":  # the compiler has its own tests, and takes long
        monkeypatch.setattr(peers, "_compile", lambda shape, dtype: peers.plain)
    for coverage, shrunk in OBJECTS:
        agreement.check(peer, make_scene(SHAPE, dtype, coverage, shrunk))


@pytest.mark.parametrize("peer", ["eager", "kornia"])
def test_peers_take_a_mask_beyond_1_for_1(peer):
    scene = make_scene(SHAPE, "float32", 0.5)
    beyond = replace(scene, mask=1.5 * scene.mask)  # without the clamp alpha would be 2
    off = agreement.differences(peer, beyond, agreement.WELL_CONDITIONED) > 1e-3
    assert off.float().mean() <= 1e-3  # as agreement.check has it


def without_blur(scene, theta, threshold):
    return compositor.blend(
        scene.foreground, scene.mask, scene.background, theta, threshold=threshold, sigma=0
    )


def moved_by_a_pixel(scene, theta, threshold):
    return peers.eager(
        scene, theta + torch.tensor([[0, 0, 2 / scene.canvas[1]], [0, 0, 0]]), threshold
    )


def nothing_pasted(scene, theta, threshold):
    return scene.background


@pytest.mark.parametrize(("coverage", "shrunk"), OBJECTS)
@pytest.mark.parametrize("wrong", [without_blur, moved_by_a_pixel, nothing_pasted])
def test_other_work_is_refused(wrong, coverage, shrunk, monkeypatch):
    monkeypatch.setitem(peers.PIPELINES, "eager", wrong)
    with pytest.raises(AssertionError, match="eager"):
        agreement.check("eager", make_scene(SHAPE, "float32", coverage, shrunk))


@pytest.mark.parametrize("peer", ["eager", "kornia"])
def test_peers_differentiate_the_same_thing(peer):
    # At threshold 0 the ramp is the mask itself: no straight-through rule and no jump.
    scene = make_scene(SHAPE, "float32", 0.5)
    ours = peers.prepare("compositor", scene, "forward + backward", threshold=0.0)()
    if peer == "kornia":  # its parameter is the pixel matrix: chain it to theta
        theta = scene.theta.double().requires_grad_()
        composite = peers.kornia(scene, scene.pixel_matrix(theta).float(), 0.0)
        (theirs,) = torch.autograd.grad(composite, theta, scene.upstream)
    else:
        theirs = peers.prepare(peer, scene, "forward + backward", threshold=0.0)()
    # float32 sums over some 5000 pixels, and a few samples on a pixel border whose one-sided
    # derivative differs: 2e-3 of the largest entry.
    torch.testing.assert_close(theirs.float(), ours, rtol=0, atol=2e-3 * ours.abs().max().item())


# What is measured


@pytest.mark.skipif(not memory.CLEAR_REFS.exists(), reason="Linux alone tells peak memory")
@pytest.mark.parametrize("allocate", [np.ones, torch.ones], ids=["numpy", "torch"])
def test_peak_memory_sees_what_is_freed_before_the_end(allocate):
    quarter = 2**21  # 16 MiB of float64 or 8 of float32

    def call():
        kept = allocate(quarter)
        allocate(3 * quarter)
        return kept

    for _ in range(2):  # glibc maps the first of a size, and keeps what it frees of the next
        call()
    wanted = 4 * quarter * allocate(1).itemsize
    # A huge page of 2 MiB may reach beyond either end of both arrays.
    assert memory.peak_rise(call) == pytest.approx(wanted, abs=4 * 2**21)


def test_every_sweep_times_every_peer():
    todo = list(all_cases((BLEND, *session) for session in sessions(quick=False)))
    assert {case.shape for _, case in todo} == set(SHAPES)
    for shape in SHAPES:
        sweeps = [
            {str(case) for sweep, case in todo if sweep == number and case.shape == shape}
            for number in {sweep for sweep, case in todo if case.shape == shape}
        ]
        assert len(sweeps) >= 3
        assert all(sweep == sweeps[0] for sweep in sweeps)
    float32 = [case for _, case in todo if case.dtype == "float32"]
    # 4 peers in 2 passes, OpenCV and the copy forward only; one shape has a third object
    assert len(set(float32)) == (len(SHAPES) * len(COVERAGES) + 1) * (4 * 2 + 2)
    assert {case.shape for case in float32 if case.shrunk} == {SHAPE_OF_FLOORS}


def test_a_case_is_rehearsed():
    rounds, peak = _rehearse(
        Case(BLEND, (2, 1, 24, 24), "float32", 1, 0.5, False, "forward + backward", "eager")
    )
    assert rounds >= 1
    assert peak is None or peak >= 0


# What is printed and written


def test_lines_take_the_median_and_the_floor_doubles_with_the_backward():
    blend = [(BLEND, *session) for session in sessions(quick=False)]
    lines = figures.summarise([raw(1, blend), raw(2, blend)])
    # threads, dtypes, passes, and the objects of each shape
    assert len(lines) == 2 * 2 * 2 * (len(COVERAGES) * len(SHAPES) + 1)
    first = [(line.dtype, line.threads, line.mode, line.coverage) for line in lines[:5]]
    modes = [(mode, share) for mode in peers.MODES for share in COVERAGES]
    assert first == [*(("float32", 1, *mode) for mode in modes), ("float32", 2, *modes[0])]
    for line in lines:
        own = line.figures["compositor"]
        assert own.ms == pytest.approx(1.0 if line.coverage == 0.5 or line.shrunk else 0.5)
        assert own.fastest_ms == pytest.approx(own.ms / 2)
        assert own.rounds in (3 * 4, 5 * 4)
        assert line.floor_ms == pytest.approx(0.4 if line.mode == "forward" else 0.8)
        for peer in set(line.figures) - {"compositor"}:
            assert line.ratio(peer) == pytest.approx(20)


def test_table_and_json_are_well_formed_and_small():
    about = machine.describe(["--check"])
    lines = figures.summarise([raw(1), raw(2)])
    verdicts = floors.check(lines, threads=2)
    verdicts += render_floors.check(lines) + generate_floors.check(lines)

    text = report.table(about, lines, verdicts)
    tables = [part.splitlines() for part in text.split("\n\n") if part.startswith("|")]
    assert sum(map(len, tables)) == len(lines) + 3 * 2  # a head each
    for rows in tables:
        assert len({(len(row), row.count("|")) for row in rows}) == 1, "columns do not line up"
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for rows in tables for row in rows]
    found = ["16 x 3 x 300 x 300", "float32", "2", "50.1 %", "forward"]
    (row,) = (row for row in cells if row[:5] == found)
    assert row[5:] == ["1.00 ms, 16.5 MiB", "0.400 ms (2.50x)", *["20.0 ms (20.0x), 16.5 MiB"] * 4]
    found = ["8 x 3 x 512 x 512", "uint8", "1", "20: 30.1 %", "forward"]
    (row,) = (row for row in cells if row[:5] == found)
    own, *others = row[5:]
    assert own == "1.00 ms, 14.0 MiB"
    assert others == [*["20.0 ms (20.0x), 14.0 MiB"] * 3, "1.00 ms (1.00x), 14.0 MiB", "-", "-"]

    assert f"\n0 of {len(verdicts)} floors are missed.\n" in text
    missed = replace(verdicts[0], measured=0)
    assert f"\n1 of {len(verdicts)} floors" in report.table(about, lines, [missed, *verdicts[1:]])

    written = report.record(about, lines, verdicts)
    assert len(written) < 40_000
    result = json.loads(written)
    assert result["command"] == "python -m benchmarks --check"
    assert {"machine", "commit", "dirty", "date", "versions", "floors"} <= set(result)
    assert len(result["results"]) == len(lines)
    assert len(result["results"][0]["compositor"]) == len(result["columns"])


def test_floors_are_held_at_their_shape_on_all_threads():
    held = floors.check(figures.summarise([raw(1), raw(2)]), threads=2)
    assert all(floor.passed for floor in held)
    # bfloat16 at three shapes, two passes, one thread and two; copies on one thread and two
    assert sum("bfloat16" in floor.what for floor in held) == 12
    assert sum("copy floors" in floor.what for floor in held) == 2
    assert sum("256 x 1 x 40 x 40" in floor.what for floor in held) == 3 + 4
    slow_on_one = floors.check(figures.summarise([raw(1, ours=1), raw(2)]), threads=2)
    (missed,) = (str(floor) for floor in slow_on_one if not floor.passed)
    assert "1 thread(s), our time in copy floors" in missed and "at most 4.5, aim 3.5" in missed
    late = floors.check(figures.summarise([raw(1, half=1.1), raw(2, half=1.1)]), threads=2)
    assert sum(not f.passed for f in late) == sum("bfloat16" in f.what for f in late) == 12
    slow = [f for f in floors.check(figures.summarise([raw(2, small=0.6)]), 2) if not f.passed]
    assert len(slow) == 2
    assert all("tenth" in str(floor) and str(floor).startswith("MISS") for floor in slow)


@pytest.fixture
def harness(monkeypatch, tmp_path):
    """Give ``main`` with measurements made up; it writes into a folder of the test."""
    available = {"backends": {"reference": "available", "cpu": "available"}}
    monkeypatch.setattr(compositor, "build_info", lambda: available)

    def run(*arguments, op_tests=PASSING, measured=True, **made_up):
        def measure(threads, *session):
            return raw(threads, [session], **made_up) if measured else None

        monkeypatch.setattr(command, "measure", measure)
        folder = tmp_path / "results"
        code = command.main(["--results", str(folder), *arguments], op_tests)
        return code, sorted(folder.glob("*"))

    return run


def test_one_table_and_one_json_are_written(harness, capsys):
    code, files = harness("--quick")
    assert code == 0
    table, record = sorted(files, key=lambda path: path.suffix, reverse=True)
    assert (table.suffix, record.suffix) == (".md", ".json")
    assert table.stem == record.stem
    assert record.stem.endswith("quick")
    assert table.read_text() in capsys.readouterr().out
    assert json.loads(record.read_text())["floors"]


def test_no_table_where_the_op_tests_fail(harness, capsys):
    code, files = harness(op_tests=FAILING)
    assert code == 1
    assert files == []
    said = capsys.readouterr()
    assert "tests failed" in said.err
    assert said.out == ""


def test_nothing_is_measured_for_a_folder_that_cannot_be_written_to(harness, tmp_path, capsys):
    (tmp_path / "results").write_text("a file")
    code, _ = harness(op_tests=FAILING)
    assert code == 1
    assert re.fullmatch(
        r"no figures: .*results: is not a folder that can be written to \(File exists\)\n",
        capsys.readouterr().err,
    )


def test_no_table_where_a_measurement_fails(harness, monkeypatch, capsys):
    measure = command.measure
    # The op's tests pass, pytest-benchmark's session does not.
    monkeypatch.setattr(command, "_run", lambda words, _: int(command.SUITES[BLEND] in words))
    assert measure(1, BLEND, SHAPE_OF_FLOORS, "float32") is None
    code, files = harness(measured=False)
    assert code == 1
    assert files == []
    said = capsys.readouterr()
    assert "a measurement failed" in said.err
    assert said.out == ""


def test_no_table_without_the_kernel(monkeypatch, capsys, tmp_path):
    missing = {"backends": {"reference": "available", "cpu": "not built"}}
    monkeypatch.setattr(compositor, "build_info", lambda: missing)
    assert command.main(["--results", str(tmp_path)], PASSING) == 1
    assert "not built" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("small", "code"), [(0.5, 0), (0.6, 1)])
def test_a_missed_floor_is_an_error_only_when_asked(harness, small, code):
    assert harness("--quick", "--check", small=small)[0] == code
    assert harness("--quick", small=small)[0] == 0
