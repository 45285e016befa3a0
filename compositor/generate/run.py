"""Makes a data set: its shards in several processes, then the formats and what to look at."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from tqdm import tqdm

import compositor
from compositor.generate import finish
from compositor.generate.config import Config
from compositor.generate.material import Sources, read
from compositor.generate.processes import Job, Workers
from compositor.generate.scenes import Tally
from compositor.generate.shards import Shards, claimed, settle

SOURCES = ("cutouts", "backgrounds", "distractors", "match")
"""Options that count by what lies there, not by where that is."""
FREE = ("output", "count", "formats", "workers", "shard", "preview", "device")
"""Options that change no picture."""
JUDGED = ("weights", "hard", "keep", "share", "tries")
"""Options that change none unless there is a detector."""
VERSION = 3
"""Version of how scenes are drawn and rendered: folders of another are not resumed."""


def generate(config: Config, sources: Sources | None = None) -> Path:
    """Make a data set, or what is missing of it.

    Args:
        config: The options.
        sources: What :func:`compositor.generate.material.read` returned, to save reading it again.

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
    settle(config.output, settings(config, sources))
    launch = f"{first}-of-{launches}"
    shards = Shards(config.output, config.count, launch)
    before = finish.written(config.output)
    with Workers(Job(config, sources, shards)) as workers:
        with claimed(config.output, f"shard-{launch}"):
            make(workers, shards.missing(first, launches))
        if not shards.missing():
            with claimed(config.output, "formats", wait=True):
                # Two launches that end at once both see all shards; the first of them writes.
                if finish.written(config.output) == before:
                    finish.write(workers)
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


def make(workers: Workers, missing: list[int]) -> None:
    """Make the shards that are missing."""
    numbers = workers.job.shards.numbers
    total = sum(len(numbers(shard)) for shard in missing)
    with tqdm(total=total, unit="picture", disable=None) as bar:
        for shard, _ in zip(missing, workers.map(_shard, missing), strict=True):
            bar.update(len(numbers(shard)))


def _shard(job: Job, number: int) -> Tally:
    return job.shards.make(number, job.maker)
