"""The example on Ray: a cluster on this machine makes what the command makes."""

import os
import subprocess
import sys
from pathlib import Path

from compositor.generate import generate
from compositor.scenes.law import Law, Placement
from tests.generate.test_hard import DETECTOR
from tests.generate.tiny import config, content

ROOT = Path(__file__).parents[2]


def test_two_workers_with_a_detector_make_the_command_s_bytes(tmp_path: Path) -> None:
    (tmp_path / "middle.py").write_text(DETECTOR)
    # Large objects, which are often where it finds them.
    law = Law(Placement(objects=(1, 1), scale=(0.7, 0.9)))
    judged = {"law": law, "detector": f"{tmp_path}/middle.py:make", "tries": 2}
    options = config(tmp_path, "ray", **judged)
    generate(config(tmp_path, "command", **judged))
    words = [
        *("--cutouts", *options.cutouts, "--backgrounds", *options.backgrounds),
        *("--output", options.output, "--count", 120, "--size", 48, 64, "--seed", 3),
        *("--law.placement.objects", 1, 1, "--law.placement.scale", 0.7, 0.9),
        *("--detector", options.detector, "--tries", 2, "--workers", 2),
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment.pop("RAY_ADDRESS", None)  # a cluster of its own, on this machine
    run = subprocess.run(
        [sys.executable, ROOT / "examples" / "generate_on_ray.py", *map(str, words)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert run.returncode == 0, run.stderr
    assert f"wrote {options.output}: " in run.stdout
    assert " of 120 scenes gave no picture, being too easy" in run.stdout
    assert "usage stats" not in (run.stdout + run.stderr).lower()
    for below in ("shards", "coco"):
        assert content(options.output, below) == content(tmp_path / "command", below)
