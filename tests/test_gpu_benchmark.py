"""The GPU's benchmark without a GPU: the same work by all peers, and the tables and promises."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

import compositor
from benchmarks import machine
from benchmarks.gpu import __main__ as command
from benchmarks.gpu import layers, peers, report, scenes, timing
from benchmarks.gpu.timing import Time

SHAPE = (2, 3, 60, 80)


@pytest.fixture
def few_copies(monkeypatch):
    monkeypatch.setattr(scenes, "COLD_BYTES", 1)


@pytest.mark.parametrize("coverage", scenes.COVERAGES)
@pytest.mark.parametrize("shape", [SHAPE, (2, 1, 40, 40), (2, 3, 108, 192)])
def test_peers_make_the_same_composite(few_copies, shape, coverage):
    one, other = scenes.make_scenes(shape, coverage, "cpu")
    assert one.background.data_ptr() != other.background.data_ptr()
    pipelines = peers.pipelines("cpu")
    assert {"eager", "kornia"} <= set(pipelines)
    for name in ("eager", "kornia"):
        assert peers.disagreement(pipelines[name], one) <= command.OFF, name
        beyond = replace(one, mask=1.5 * one.mask)  # counts as 1
        assert peers.disagreement(pipelines[name], beyond) <= command.OFF, name
        composite = peers.prepare(pipelines[name], peers.FORWARD)(one)
        gradient = peers.prepare(pipelines[name], peers.BOTH)(one)
        assert composite.shape == shape and gradient.shape == (2, 2, 3)
    wrong = torch.zeros(shape)
    assert peers.disagreement(lambda *_: wrong, one) > command.OFF


def test_object_everywhere_is_everywhere(few_copies):
    for shape in (SHAPE, (2, 3, 108, 192)):
        scene = scenes.make_scenes(shape, scenes.EVERYWHERE, "cpu")[0]
        _, alpha = compositor.blend(
            scene.foreground, scene.mask, scene.background, scene.theta, return_alpha=True
        )
        # The corners of the canvas may come within the blur of the frame's.
        assert (alpha == 1).float().mean() > 0.99


def test_layers_by_render_and_by_a_chain_are_the_same(few_copies):
    made = scenes.make_scenes((2, 3, 60, 80), 0.1, "cpu")
    results = {}
    for peer, mode, call in layers.calls(made):
        results.setdefault(mode, {})[peer] = call(made[0])
    assert set(results) == {layers.LAYERS_FORWARD, layers.LAYERS_BACKWARD}
    assert len(results[layers.LAYERS_BACKWARD]["cuda"]) == 2 * layers.LAYERS
    for by_peer in results.values():
        scale = by_peer["chain"].abs().max().item()
        # float32 sums of some hundreds of pixels
        torch.testing.assert_close(by_peer["cuda"], by_peer["chain"], rtol=0, atol=1e-3 * scale)


def test_copies_exceed_the_cache():
    made = scenes.make_scenes((4, 1, 300, 300), 0.1, "cpu")
    assert len(made) * scenes.bytes_of(made[0]) >= scenes.COLD_BYTES


def test_promises_are_held_against_the_copy():
    shape, coverage = report.PROMISED[0], scenes.EVERYWHERE
    times = {
        (peers.FORWARD, "copy"): 0.8, (peers.FORWARD, "cuda"): 1.0, (peers.BACKWARD, "cuda"): 2.0,
        (peers.FORWARD, "triton"): 1.5, (peers.BOTH, "cuda"): 3.0, (peers.BOTH, "eager"): 40.0,
    }  # fmt: skip
    rows = [report.Row(shape, coverage, *key, Time(ms, ms, 9)) for key, ms in times.items()]
    verdicts = {floor.what.partition(", ")[2]: floor for floor in report.check(rows)}
    passed = {what: floor.passed for what, floor in verdicts.items()}
    assert passed == {
        "forward: share of the copy bandwidth": True,
        "backward: share of the copy bandwidth": False,
        "forward: Triton's share of the CUDA kernel's speed": True,
        "forward + backward: times faster than eager": True,
    }
    assert verdicts["forward + backward: times faster than eager"].measured == pytest.approx(40 / 3)
    about = {"gpu": {"name": "G"}, "commit": "abc", "date": "today"}
    told = json.loads(report.record(about, rows, list(verdicts.values())))
    assert told["results"][0]["time"]["ms"] == 0.8
    assert [floor["pass"] for floor in told["floors"]] == [True, True, False, True]
    text = report.table(about, rows, list(verdicts.values()))
    assert "| 64 x 3 x 300 x 300 | 100 % | forward + backward | 3 |" in text


def test_an_interrupted_run_keeps_its_rows_the_promised_ones_first(monkeypatch, tmp_path):
    info = compositor.build_info()
    info["backends"]["cuda"] = "available"
    monkeypatch.setattr(compositor, "build_info", lambda: info)
    gpu = SimpleNamespace(name="G", total_memory=0, major=9, minor=0, multi_processor_count=132)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: gpu)

    def measure(shape, coverage):
        yield report.Row(shape, coverage, peers.FORWARD, "cuda", Time(1, 1, 9))
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_measure", measure)
    with pytest.raises(KeyboardInterrupt):
        command.main(["--results", str(tmp_path)])
    (figures,) = tmp_path.glob("*.json")
    (row,) = json.loads(figures.read_text())["results"]
    assert tuple(row["shape"]) == report.PROMISED[0] and row["coverage"] == scenes.EVERYWHERE
    assert len(list(tmp_path.iterdir())) == 2


def test_it_needs_torch_alone():
    """A machine lent for ten minutes has no OpenCV, no kornia and no network to fetch them."""
    code = "import sys\nfor name in ('cv2', 'kornia', 'numpy', 'torchvision'):\n"
    code += "    sys.modules[name] = None\nimport benchmarks.gpu.__main__"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=machine.ROOT)


def test_without_a_gpu_it_says_why_there_are_no_figures():
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu"],
        cwd=machine.ROOT,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    assert "no figures: the kernel to measure is missing" in run.stderr


def test_a_call_is_queued_while_the_device_waits(monkeypatch):
    """Else the clock starts before the launch, and times the host."""
    queue = []

    class Event:
        def __init__(self, enable_timing):
            self.at = None

        def record(self):
            queue.append("event")

        def elapsed_time(self, end):
            return 100.0

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: queue.append("wait"))
    monkeypatch.setattr(torch.cuda, "_sleep", lambda cycles: queue.append("sleep"))
    time = timing.measure(lambda scene: queue.append("call"), [None, None])
    timed = [*["sleep", "event", "call", "event"] * timing.FEWEST, "wait"]
    assert queue == [*["call"] * 3, "wait", *timed, *timed]
    assert time.ms == 100 and time.calls == timing.FEWEST
