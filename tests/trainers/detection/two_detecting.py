"""Run by every process under torchrun: a detection run of both, in which they have to agree."""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from detection.test_loop import config, data
from trainers.detection.run import DetectionRun


def main() -> None:
    torch.set_num_threads(1)
    ours = config(Path(sys.argv[1]))
    ours = replace(ours, target=replace(ours.target, augmentation="ssd"))
    run = DetectionRun(ours, "synthesizer_discriminator", 0, data())
    first = run.run(1)
    mine = [vars(run._added())["theta"].double().flatten()]
    for player in (*run._players.values(), run.average):
        network = getattr(player, "network", player)
        mine += [value.double().flatten() for value in network.state_dict().values()]
    everything = run.accelerator.gather(torch.cat(mine)[None])
    assert run.accelerator.num_processes == 2
    assert torch.equal(everything[0], everything[1])
    # What one process found is not what the other did.
    theta = run._added().theta
    assert len(theta.unique(dim=0)) == len(theta) == first[1]["added"] == 5
    assert len(run.run(2)) == 3
    print(f"process {run.accelerator.process_index} agrees", flush=True)


if __name__ == "__main__":
    main()
