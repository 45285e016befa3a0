"""A data set made by many machines: the command's options, and Ray Data's actors.

Each row is the number of a shard, which an actor makes whole; all machines share the output folder.
The pictures and labels are those that `python -m compositor.generate` makes, byte for byte.

    python examples/generate_on_ray.py --cutouts objects/ --backgrounds photographs/ --workers 2

It joins the cluster that RAY_ADDRESS names, or starts one on this machine.
"""

import os
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # read when Ray is imported

import ray
from torch import cuda, set_num_threads

from compositor.generate import Config
from compositor.generate.__main__ import main
from compositor.generate.judge import judge
from compositor.generate.material import read
from compositor.generate.scenes import Maker
from compositor.generate.shards import Shards

Rows = dict[str, Any]


class Worker:
    """Holds the cut-outs and the detector, and makes one shard after another."""

    def __init__(self, config: Config) -> None:
        set_num_threads(1)
        sources = read(config)
        self.maker = Maker(config, sources, judge(config, sources.classes))
        self.shards = Shards(config.output, config.count, "ray")

    def __call__(self, rows: Rows) -> Rows:
        """Make the shards; return how many pictures each has."""
        return {"pictures": [self.shards.make(int(n), self.maker).scenes for n in rows["item"]]}


def make_shards(config: Config, missing: list[int]) -> None:
    """Make these shards on the cluster."""
    ray.init(include_dashboard=False)
    try:
        rows = ray.data.from_items(missing, override_num_blocks=len(missing))
        rows.map_batches(
            Worker,
            fn_constructor_args=(config,),
            batch_size=1,
            concurrency=min(config.workers, len(missing)),
            num_gpus=1 if config.detector and cuda.is_available() else 0,
        ).take_all()
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main(make_shards=make_shards)
