"""Makes a data set: its shards in several processes, then the formats and what to look at."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

import compositor
from compositor.files import DataError
from compositor.generate import finish
from compositor.generate.config import Config
from compositor.generate.judge import judge
from compositor.generate.material import Sources, read
from compositor.generate.scenes import Maker, Tally
from compositor.generate.shards import Shards, claimed, settle

SOURCES = ("cutouts", "backgrounds", "distractors", "match")
"""Options that count by what lies there, not by where that is."""
FREE = ("output", "count", "formats", "workers", "shard", "preview", "device")
"""Options that change no picture."""
JUDGED = ("weights", "hard", "keep", "share", "tries")
"""Options that change none unless there is a detector."""
VERSION = 2
"""Version of how scenes are drawn and rendered: folders of another are not resumed."""


def generate(config: Config, sources: Sources | None = None) -> Path:
    """Make a data set, or what is missing of it.

    Args:
        config: The options.
        sources: What :func:`compositor.generate.material.read` returned, to save reading it again.

    Returns:
        The output folder.

    Raises:
        ValueError: An option cannot be.
        DataError: A source or the output folder cannot be used, or the disk is full.
    """
    config.check()
    first, launches = config.part()
    sources = sources or read(config)
    settle(config.output, settings(config, sources))
    launch = f"{first}-of-{launches}"
    shards = Shards(config.output, config.count, launch)
    before = finish.written(config.output)
    with claimed(config.output, f"shard-{launch}"):
        make(config, sources, shards, shards.missing(first, launches))
    if not shards.missing():
        with claimed(config.output, "formats", wait=True):
            # Two launches that end at once both see all shards; the first of them writes.
            if finish.written(config.output) == before:
                finish.write(config, sources, shards)
    return config.output


def settings(config: Config, sources: Sources) -> dict[str, Any]:
    """Everything that the pictures depend on."""
    free = (*SOURCES, *FREE, *(() if config.detector else JUDGED))
    values = {
        field.name: getattr(config, field.name)
        for field in fields(config)
        if field.name not in free
    }
    plain = {name: repr(value) for name, value in values.items()}
    plain["version"] = f"{compositor.__version__}, {VERSION}"
    plain["content of the sources"] = sources.state
    for name in ("detector", "weights"):
        path = Path(str(getattr(config, name)).rpartition(":")[2])
        if path.is_file():
            plain[f"file of {name}"] = f"{path.stat().st_size} {path.stat().st_mtime_ns}"
    return plain


def make(config: Config, sources: Sources, shards: Shards, missing: list[int]) -> None:
    """Make the shards that are missing, in as many processes as the options say."""
    total = sum(len(shards.numbers(shard)) for shard in missing)
    workers = min(config.workers, len(missing))
    made = _here if workers <= 1 else _in_processes
    with tqdm(total=total, unit="picture", disable=None) as bar:
        for shard, _ in zip(missing, made(config, sources, shards, missing), strict=True):
            bar.update(len(shards.numbers(shard)))


def _here(config: Config, sources: Sources, shards: Shards, missing: list[int]) -> Iterator[Tally]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        maker = Maker(config, sources, judge(config, sources.classes))
        for shard in missing:
            yield shards.make(shard, maker)
    finally:
        torch.set_num_threads(threads)


def _in_processes(
    config: Config, sources: Sources, shards: Shards, missing: list[int]
) -> Iterator[Tally]:
    # Forked, so that all share the cut-outs that are held.
    context = multiprocessing.get_context("fork")
    inherited = (config, sources, shards, os.getpid())
    pool = ProcessPoolExecutor(min(config.workers, len(missing)), context, _start, inherited)
    try:
        yield from pool.map(_shard, missing)
    except BrokenProcessPool:
        raise DataError(
            f"{config.output}: a worker was killed; start again, complete shards are kept"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


_work: tuple[Config, Sources, Shards]


def _start(config: Config, sources: Sources, shards: Shards, parent: int) -> None:
    global _work
    _work = config, sources, shards
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    torch.set_num_threads(1)


def _shard(number: int) -> Tally:
    return _work[2].make(number, _maker())


@cache
def _maker() -> Maker:
    """This process's maker: made with its first shard, since a pool hides a start's errors."""
    config, sources, _ = _work
    return Maker(config, sources, judge(config, sources.classes))


def _end_with(parent: int) -> None:
    """End this process once the one that started it has been killed."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
