"""Killed, damaged, out of disk, or two at once: nothing is lost, and the bytes stay the same."""

import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from compositor.files import DataError, locked
from compositor.generate import Config, generate, run
from tests.generate.tiny import config, content


@pytest.mark.parametrize(
    "damage",
    [
        lambda shard: (shard / "000060.jpg").unlink(),
        lambda shard: (shard / "000060.jpg").write_bytes(b""),
        lambda shard: (shard / "summary.json").write_text('{"scenes": 50'),
        lambda shard: (shard / "summary.json").write_text("[]"),
        lambda shard: (shard / "summary.json").write_text('{"scenes": 50}'),
        lambda shard: (shard / "pictures.json").write_text("[]"),
        shutil.rmtree,
    ],
)
def test_a_damaged_shard_is_made_again(
    made: Path, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    shutil.copytree(made, tmp_path / "made")
    damage(tmp_path / "made" / "shards" / "00001")
    generate(config(tmp_path, "made"))
    assert content(tmp_path / "made") == content(made)
    assert content(tmp_path / "made", "coco") == content(made, "coco")


MOMENTS = {
    "a picture of a shard is opened": ("open", "/000060.jpg"),
    "a format is half written": ("os.link", "/.coco.partial"),
    "a format is written": ("os.rename", "/.coco.partial"),
    "all but the report is written": ("os.rename", "/report.json"),
    # By now there is one to take the place of.
    "a format's folder is being replaced": ("os.rename", "/.coco.partial"),
}
"""What a process is about to do when it is killed: its audit event, and a part of the path."""


def test_killed_at_any_moment_it_resumes(made: Path, tmp_path: Path) -> None:
    options, context = config(tmp_path, "out", workers=2), multiprocessing.get_context("fork")
    for what, (event, part) in MOMENTS.items():
        process = context.Process(target=generate_until, args=(options, event, part))
        process.start()
        process.join(120)
        assert process.exitcode == -signal.SIGKILL, what
        deadline = time.monotonic() + 20
        while _group_lives(process.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _group_lives(process.pid), f"workers outlive a run that was killed as {what}"
        whole = (tmp_path / "out" / "shards").glob("[0-9]*")
        assert all((shard / "summary.json").exists() for shard in whole)
        assert not (tmp_path / "out" / "report.json").exists()
        assert (tmp_path / "out" / "coco").exists() == (what == "all but the report is written")
    generate(options)
    for below in ("shards", "coco"):
        assert content(tmp_path / "out", below) == content(made, below)
    assert report(tmp_path / "out") == report(made)
    # The report that was about to be renamed stays under its hidden name.
    left = {path.name for path in (tmp_path / "out").iterdir() if ".report-" not in path.name}
    assert left == {path.name for path in made.iterdir()}


def generate_until(options: Config, event: str, part: str) -> None:
    """Generate, and be killed when this process or a worker comes to do that."""
    os.setpgrp()
    main = os.getpid()

    def kill(told: str, arguments: tuple[object, ...]) -> None:
        mine = main in (os.getpid(), os.getppid())
        if mine and told == event and any(part in str(each) for each in arguments):
            os.kill(main, signal.SIGKILL)

    sys.addaudithook(kill)
    generate(options)


def report(folder: Path) -> dict[str, object]:
    """What the report says of the pictures, wherever they are."""
    found: dict[str, object] = json.loads((folder / "report.json").read_text())
    del found["settings"]
    return found


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_worker_that_is_killed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_shard", killed)
    with pytest.raises(DataError, match="a worker was killed; run the same command again"):
        generate(config(tmp_path, "out", workers=2))


def killed(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_two_runs_in_one_folder_are_refused(tmp_path: Path) -> None:
    options = config(tmp_path, "out", count=3)
    generate(options)
    with (
        held_by_another(options.output / ".shard-0-of-1.lock"),
        pytest.raises(DataError, match="another process is writing there"),
    ):
        generate(options)


def test_what_killed_runs_have_half_made_goes_once_nobody_is_at_work(tmp_path: Path) -> None:
    options = config(tmp_path, "out", count=3)
    killed = replace(options, shard="0/2")
    context = multiprocessing.get_context("fork")
    process = context.Process(target=generate_until, args=(killed, "open", "/000002.jpg"))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    half_made = options.output / "shards" / ".00000.0-of-2"
    assert (half_made / "000001.jpg").exists()
    other = replace(options, seed=5)
    with (
        held_by_another(options.output / ".shard-1-of-2.lock"),
        pytest.raises(DataError, match="holds pictures with seed 3, not 5"),
    ):
        generate(other)
    assert half_made.exists()
    generate(other)
    assert [path.name for path in half_made.parent.iterdir()] == ["00000"]


def test_no_run_takes_a_folder_where_another_has_not_made_a_picture_yet(tmp_path: Path) -> None:
    options = config(tmp_path, "out", count=3)
    generate(options)
    shutil.rmtree(options.output / "shards")
    with (
        held_by_another(options.output / ".shard-0-of-2.lock"),
        pytest.raises(DataError, match="holds pictures with seed 3, not 5"),
    ):
        generate(replace(options, seed=5))


@contextmanager
def held_by_another(lock: Path) -> Iterator[None]:
    """Have another process hold a lock."""
    context = multiprocessing.get_context("fork")
    held, leave = context.Event(), context.Event()

    def hold() -> None:
        with locked(lock):
            held.set()
            leave.wait(60)

    other = context.Process(target=hold)
    other.start()
    try:
        assert held.wait(60)
        yield
    finally:
        leave.set()
        other.join()


def test_a_full_disk_is_one_line_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Path
) -> None:
    options = config(tmp_path, "out")
    save, saved = Image.Image.save, []

    def full(self: Image.Image, file: Path, **rest: object) -> None:
        if len(saved) == 75:
            raise OSError(28, "No space left on device")
        saved.append(file)
        save(self, file, **rest)

    monkeypatch.setattr(Image.Image, "save", full)
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 0}))
    with pytest.raises(DataError, match="out: the disk is full"):
        generate(options)
    assert [p.name for p in sorted((tmp_path / "out" / "shards").glob("[0-9]*"))] == ["00000"]
    monkeypatch.undo()
    generate(options)
    assert content(tmp_path / "out") == content(made)
