"""A data set made by several launches: of torchrun, of a Slurm array."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from compositor.data import images
from compositor.generate import Config, finish, generate, material, run
from compositor.generate.__main__ import main
from compositor.generate.processes import Workers
from compositor.generate.scenes import Maker
from compositor.generate.shards import Shards
from compositor.scenes.law import PLAIN
from tests.data import tiny_data
from tests.generate.tiny import config, content

ROOT = Path(__file__).parents[2]
BY_SLURM = {"SLURM_ARRAY_TASK_ID": "5", "SLURM_ARRAY_TASK_MIN": "2", "SLURM_ARRAY_TASK_COUNT": "4"}
LAUNCHERS = ("RANK", "WORLD_SIZE", *BY_SLURM)


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LAUNCHERS:
        monkeypatch.delenv(name, raising=False)


def command(options: Config) -> list[str]:
    """The command line of a tiny set with the plain law."""
    height, width = map(str, options.size)
    return [
        *("-m", "compositor.generate", "--shard", "auto"),
        *("--cutouts", str(options.cutouts[0]), "--backgrounds", str(options.backgrounds[0])),
        *("--output", str(options.output), "--count", str(options.count)),
        *("--size", height, width, "--seed", str(options.seed)),
    ]


def launched(words: list[str], **variables: str) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if k not in LAUNCHERS}
    environment |= {"OMP_NUM_THREADS": "1", **variables}
    return subprocess.Popen(
        words, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process makes."""
    options = config(tmp_path_factory.mktemp("alone"), "out", law=PLAIN)
    return generate(options)


def test_two_processes_of_torchrun_make_what_one_does(alone: Path, tmp_path: Path) -> None:
    options = config(tmp_path, "out", law=PLAIN)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    process = launched([*torchrun, *command(options)])
    said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    for below in ("shards", "coco"):
        assert content(options.output, below) == content(alone, below)
    assert (options.output / "report.json").exists()


def test_two_tasks_of_a_slurm_array_make_what_one_process_does(alone: Path, tmp_path: Path) -> None:
    options = config(tmp_path, "out", law=PLAIN)
    tasks = [
        launched([sys.executable, *command(options)], **BY_SLURM | own)
        for own in (
            {"SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_COUNT": "2"},
            {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "2"},
        )
    ]
    said = [task.communicate(timeout=300) for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], said
    for below in ("shards", "coco"):
        assert content(options.output, below) == content(alone, below)
    assert any(out.startswith(f"wrote {options.output}: 120 pictures, ") for out, _ in said)


def test_only_the_launch_that_writes_the_report_reads_the_real_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each once, be it a background or not; and so the report has what of them cannot be used."""
    box = {"bbox": [5, 5, 30, 40], "category_id": 3}
    tiny_data.coco(tmp_path / "coco", {f"{n}.jpg": [box] for n in range(4)}, ("ball",))
    (tmp_path / "coco" / "images" / "3.jpg").write_bytes(b"broken")
    read, seen = images.read_annotated, []

    def noted(path: Path, *rest: object) -> object:
        seen.append(path.name)
        return read(path, *rest)

    monkeypatch.setattr(images, "read_annotated", noted)
    options = config(tmp_path, "out", match=(tmp_path / "coco",))
    Maker(options, material.read(options))  # as an actor of Ray's does
    generate(replace(options, shard="0/2"))
    assert not seen
    generate(replace(options, shard="1/2"))
    assert seen == [f"{n}.jpg" for n in range(4)]
    report = json.loads((options.output / "report.json").read_text())
    assert report["distances"]["number"] > 0
    assert report["left_out"] == {"broken .jpg file": {"count": 1, "first": ["3.jpg"]}}


def test_formats_are_written_once_by_launches_that_end_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    monkeypatch.setattr(finish, "formats", lambda *_: written.append("coco"))
    options = config(tmp_path, "out")
    make = run.make

    def with_another(workers: Workers, missing: list[int]) -> None:
        make(workers, missing)
        # The other launch sees all shards before this one does.
        if workers.job.config.shard == "0/2":
            generate(replace(options, shard="1/2"))

    monkeypatch.setattr(run, "make", with_another)
    generate(replace(options, shard="0/2"))
    assert written == ["coco"]
    generate(options)  # a later run writes them again: what it is asked for may have changed
    assert written == ["coco"] * 2


def test_a_launch_says_what_others_have_still_to_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = config(tmp_path, "out", law=PLAIN)
    process = launched([sys.executable, *command(options)], RANK="1", WORLD_SIZE="2")
    said = process.communicate(timeout=300)
    assert said[0] == f"wrote {options.output}; 2 shards of other launches are still missing\n", (
        said
    )
    assert Shards(options.output, 120).missing() == [0, 2]


def test_shards_may_be_made_by_others(alone: Path, tmp_path: Path) -> None:
    options, given = config(tmp_path, "out", law=PLAIN, workers=2), []

    def elsewhere(config: Config, missing: list[int]) -> None:
        given.append((config, missing))
        maker = Maker(config, material.read(config))
        for shard in missing:
            Shards(config.output, config.count, "elsewhere").make(shard, maker)

    generate(replace(options, shard="1/2"), make_shards=elsewhere)
    assert not (options.output / "report.json").exists()
    generate(options, make_shards=elsewhere)
    generate(options, make_shards=elsewhere)  # nothing is missing
    assert given == [(replace(options, shard="1/2"), [1]), (options, [0, 2])]
    for below in ("shards", "coco"):
        assert content(options.output, below) == content(alone, below)


def test_what_goes_wrong_elsewhere_is_one_line(tmp_path: Path) -> None:
    def elsewhere(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/shared")

    words = command(config(tmp_path, "out", law=PLAIN))[4:]
    with pytest.raises(SystemExit, match="^error: /shared: Permission denied$"):
        main(words, make_shards=elsewhere)


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({"RANK": "1", "WORLD_SIZE": "3"}, (1, 3)),
        (BY_SLURM, (3, 4)),
        # A process of torchrun in a Slurm array is one of torchrun's.
        ({"RANK": "0", "WORLD_SIZE": "2", **BY_SLURM}, (0, 2)),
    ],
)
def test_the_environment_tells_the_part(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], wanted: tuple[int, int]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Config((), (), shard="auto").part() == wanted
    assert Config((), ()).part() == (0, 1), "not unless asked for"


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, "shard: got auto, wanted RANK and WORLD_SIZE .* in the environment"),
        ({"RANK": "1"}, "shard: got auto, wanted RANK and WORLD_SIZE"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "shard: got '2/2', wanted K/N"),
        ({**BY_SLURM, "SLURM_ARRAY_TASK_COUNT": "3"}, "shard: got task 5 .* without gaps"),
    ],
)
def test_an_environment_that_does_not_tell_is_one_line(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], wanted: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=wanted):
        Config((Path("a"),), (Path("b"),), shard="auto").check()
