"""Memory and the report stay as they are, however many pictures there are."""

import gc
import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from compositor.data.labels import LabelledPicture
from compositor.generate import finish, gallery, generate, material
from compositor.generate.processes import Job, Workers
from compositor.generate.scenes import TOO_EASY, Maker, Tally
from compositor.generate.shards import SCENES, Shards
from tests.generate.tiny import config

SHARDS = 30
FIRST = 12
"""Shards until buffers, caches and the gallery, which shows 300 pictures, are full."""
KEPT = 400
"""Bytes: less than the labels of one picture take in memory, or anything else of it."""


def resident() -> int:
    """Bytes of this process that are in memory."""
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if "VmRSS" in x)
    return 1024 * int(line.split()[1])


def growth(sampled: list[int]) -> float:
    """Bytes a shard from FIRST on: of the slopes between any two, one that few are below.

    Allocators take and return memory in pieces, so one step up or down is neither here nor there.
    """
    late = list(enumerate(sampled[FIRST:]))
    slopes = [(after - before) / (j - i) for (i, before), (j, after) in combinations(late, 2)]
    return float(np.quantile(slopes, 0.4))


def test_memory_does_not_grow_with_the_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By the process's pages, which count what every library holds: of each pass over the shards,
    # the first that makes them, then one a format and one for what there is to look at.
    passes: list[list[int]] = []
    make, of = Shards.make, Shards.of

    def noted(shard: int) -> None:
        if shard == 0:
            passes.append([])
        passes[-1].append(resident())

    def make_noted(self: Shards, shard: int, maker: Maker) -> Tally:
        noted(shard)
        return make(self, shard, maker)

    def of_noted(self: Shards, shard: int) -> list[LabelledPicture]:
        noted(shard)
        return of(self, shard)

    monkeypatch.setattr(Shards, "make", make_noted)
    monkeypatch.setattr(Shards, "of", of_noted)
    formats = ("coco", "yolo", "voc")
    options = config(tmp_path, "out", count=SHARDS * SCENES, formats=formats, preview=0)
    generate(options)
    assert [len(sampled) for sampled in passes] == [SHARDS] * (1 + len(formats) + 1)
    assert max(map(growth, passes)) < KEPT * SCENES


def private() -> int:
    """Bytes of this process that it no longer shares with the one that it was forked from."""
    usage = Path("/proc/self/smaps_rollup").read_text().splitlines()
    (line,) = (line for line in usage if "Private_Dirty" in line)
    return 1024 * int(line.split()[1])


def copied(job: Job, number: int) -> int:
    """Bytes that this process copies as it collects garbage."""
    before = private()
    gc.collect()
    return private() - before


def test_workers_share_what_sources_list(tmp_path: Path) -> None:
    options = config(tmp_path, "out", workers=2)
    shards = Shards(options.output, options.count, "0-of-1")
    with Workers(Job(options, material.read(options), shards)) as workers:
        # The libraries' objects alone take some 100 MB.
        assert max(workers.map(copied, range(2))) < 10e6


def test_the_report_names_only_the_first(tmp_path: Path) -> None:
    options = config(tmp_path, "out")
    generate(options)
    for shard in (0, 1, 2):
        path = tmp_path / "out" / "shards" / f"{shard:05}" / "summary.json"
        summary = json.loads(path.read_text())
        # Each shard has scenes of its own, and meets the same files.
        summary["left_out"] = {
            TOO_EASY: [f"scene {n}" for n in range(50 * shard, 50 * shard + 50)],
            "broken": [f"{n}.jpg" for n in range(80 + 20 * shard)],
        }
        path.write_text(json.dumps(summary))
    generate(options)
    told = json.loads((tmp_path / "out" / "report.json").read_text())["left_out"]
    scenes, files = told[TOO_EASY], told["broken"]
    assert scenes == {"count": 150, "first": [f"scene {n}" for n in range(gallery.NAMED)]}
    assert files == {"count": 120, "first": [f"{n}.jpg" for n in range(gallery.NAMED)]}
    assert "broken: 120" in finish.line(tmp_path / "out")
    assert "and 20 more" in (tmp_path / "out" / "report.html").read_text()
