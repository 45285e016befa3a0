"""Run by every process under torchrun: do they agree, and do they train as one would?"""

import sys
from dataclasses import replace

import tiny_affnist
import torch
from torch import nn

from trainers.affnist import __main__ as command
from trainers.affnist import dataset, mnist
from trainers.affnist.config import Config
from trainers.affnist.run import AffNISTRun
from trainers.player import Player


def run_without_dropout(config: Config, name: str) -> AffNISTRun:
    """Train T on MNIST alone with nothing random but the order, and then add images for a cycle."""
    config = replace(config, output=config.output / "undropped")
    run = AffNISTRun(config, name, 0, dataset.prepare(config.data))
    for module in run.target.network.modules():
        if isinstance(module, nn.Dropout2d):
            module.p = 0
    run.run(1)
    return run


def agree(config: Config, name: str) -> None:
    run = run_without_dropout(config, name)
    mine = [run.cache["images"].double().flatten(), run.cache["labels"].double()]
    for part in run.parts.values():
        network = part.network if isinstance(part, Player) else part
        if isinstance(network, nn.Module):
            mine += [value.double().flatten() for value in network.state_dict().values()]
    everything = run.accelerator.gather(torch.cat(mine)[None])
    assert run.accelerator.num_processes == 2
    assert len(run.cache) > 0
    assert torch.equal(everything[0], everything[1])
    assert name == "synthesizer" or run.history[1]["renewed"] > 0
    print(f"process {run.accelerator.process_index} agrees", flush=True)


def main() -> None:
    mnist.CHECKSUMS = tiny_affnist.CHECKSUMS
    config = command.parse(sys.argv[1:])
    for name in ("synthesizer", "renewed", "renewed_synthesizer", "renewed_fitted"):
        agree(config, name)
    command.main()
    assert not torch.distributed.is_initialized(), "left before Python ends"


if __name__ == "__main__":
    main()
