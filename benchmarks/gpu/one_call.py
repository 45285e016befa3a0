"""One call each way, for a profiler: `ncu python -m benchmarks.gpu.one_call`."""

from __future__ import annotations

import torch

from benchmarks.gpu import peers
from benchmarks.gpu.report import PROMISED
from benchmarks.gpu.scenes import EVERYWHERE, make_scenes


def main() -> None:
    scene = make_scenes(PROMISED[0], EVERYWHERE)[0]
    peers.prepare(peers.pipelines()["cuda"], peers.FORWARD)(scene)
    peers.prepare_backward("cuda")(scene)
    torch.cuda.synchronize()


if __name__ == "__main__":
    main()
