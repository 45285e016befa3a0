"""Makes a data set: its shards in several processes, then the formats and what to look at."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

import compositor
from compositor.files import locked
from compositor.generate import finish
from compositor.generate.config import Config
from compositor.generate.material import Sources, read
from compositor.generate.processes import Job, Workers
from compositor.generate.scenes import Tally
from compositor.generate.shards import DIGESTS, Shards, settled

MakeShards = Callable[[Config, list[int]], object]
SOURCES = ("cutouts", "backgrounds", "distractors", "match")
"""Options that count by what lies there, not by where that is."""
FREE = ("output", "count", "formats", "workers", "shard", "preview", "device")
"""Options that change no picture."""
JUDGED = ("weights", "hard", "keep", "share", "tries")
"""Options that change none unless there is a detector."""
VERSION = 6
"""Version of how scenes are drawn and rendered, and of the settings: folders of another are not
resumed."""


def generate(
    config: Config, sources: Sources | None = None, make_shards: MakeShards | None = None
) -> Path:
    """Make a data set, or what is missing of it.

    Args:
        config: The options.
        sources: What :func:`compositor.generate.material.read` returned, to save reading it again.
        make_shards: Makes the shards of these numbers, on other machines for one, each by
            :meth:`compositor.generate.shards.Shards.make`; the formats are then written by this
            process alone. None: ``workers`` processes do both here.

    Returns:
        The output folder.

    Raises:
        ValueError: An option is invalid, or a format cannot hold the classes.
        DataError: A source or the output folder cannot be used, or the disk is full.
    """
    config.check()
    first, launches = config.part()
    sources = sources or read(config)
    finish.check(config, sources)
    launch = f"{first}-of-{launches}"
    shards = Shards(config.output, config.count, launch)
    here = replace(config, workers=1) if make_shards else config
    with Workers(Job(here, sources, shards)) as workers:
        with settled(config.output, settings(config, sources), launch):
            before = finish.written(config.output)
            missing = shards.missing(first, launches)
            if make_shards is None:
                make(workers, missing)
            elif missing:
                make_shards(config, missing)
        if not shards.missing():
            with locked(config.output / ".formats.lock", wait=True):
                # Two launches that end at once both see all shards; the first of them writes.
                if finish.written(config.output) == before:
                    finish.write(workers)
    return config.output


def settings(config: Config, sources: Sources) -> dict[str, str]:
    """Everything that the pictures depend on."""
    free = (*SOURCES, *FREE, *(() if config.detector else JUDGED))
    content, *of_files = DIGESTS
    plain = {"version": f"{compositor.__version__}, {VERSION}"}
    for field in fields(config):
        if field.name not in free:
            plain |= _plain(field.name, getattr(config, field.name))
    plain[content] = sources.state
    for name, value in zip(of_files, (config.detector, config.weights), strict=True):
        path = Path(str(value).rpartition(":")[2])
        plain[name] = f"{path.stat().st_size} {path.stat().st_mtime_ns}" if path.is_file() else ""
    return plain


def _plain(name: str, value: Any) -> dict[str, str]:
    """An option, or each of a group's."""
    if not is_dataclass(value):
        return {name: repr(value)}
    parts = [_plain(f"{name}.{each.name}", getattr(value, each.name)) for each in fields(value)]
    return {key: text for part in parts for key, text in part.items()}


def make(workers: Workers, missing: list[int]) -> None:
    """Make the shards that are missing."""
    numbers = workers.job.shards.numbers
    total = sum(len(numbers(shard)) for shard in missing)
    with tqdm(total=total, unit="scene", disable=None) as bar:
        for shard, _ in zip(missing, workers.map(_shard, missing), strict=True):
            bar.update(len(numbers(shard)))


def _shard(job: Job, number: int) -> Tally:
    return job.shards.make(number, job.maker)
