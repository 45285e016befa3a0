"""Run by every process under torchrun: detection runs of both, in which they have to agree."""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from detection.test_loop import TOGETHER, config, data
from detection.test_train_voc import line
from trainers import train
from trainers.detection.run import DetectionRun
from trainers.detection.tones import Tones
from trainers.detection.ways import Way


def play(folder: Path, way: Way) -> None:
    ours = config(folder, layers=2, tones=Tones(1.5, 0.1))
    # Where batches are drawn from both sets, a process's part may have no real picture for D.
    target = replace(ours.target, augmentation="ssd", mix="concatenate", iterations=8)
    ours = replace(ours, target=target)
    run = DetectionRun(ours, way, 0, data(2))
    first = run.run(1)
    added = run._added()
    mine = [added.theta.double().flatten(), added.tone.double().flatten(), added.scene.double()]
    for player in (*run._players.values(), run.average):
        if player is not None:
            network = getattr(player, "network", player)
            mine += [value.double().flatten() for value in network.state_dict().values()]
    everything = run.accelerator.gather(torch.cat(mine)[None])
    assert run.accelerator.num_processes == 2
    assert torch.equal(everything[0], everything[1])
    # What one process found is not what the other did.
    found = added.scene[:, None] if way == "renewed" else added.theta
    assert len(found.unique(dim=0)) == len(found) == first[1]["added"] == 5
    if way == "renewed":
        assert first[1]["renewal"]["visited"] > first[1]["renewal"]["renewed"] > 0
    assert len(run.run(2)) == 3
    print(f"process {run.accelerator.process_index} agrees on {way}", flush=True)


def main() -> None:
    torch.set_num_threads(1)
    for way in TOGETHER:
        play(Path(sys.argv[1]), way)
    train.main(line(Path(sys.argv[1]) / "own"))
    assert not torch.distributed.is_initialized(), "left before Python ends"


if __name__ == "__main__":
    main()
