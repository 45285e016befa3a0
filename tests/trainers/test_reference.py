"""A T that knows better, by which only what can be learnt counts as hard."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from checkpoints import state
from tiny_affnist import arguments
from torch import Tensor, nn

from trainers.affnist import __main__ as command
from trainers.affnist import renewal, sampling
from trainers.affnist.config import TINY, RenewalConfig
from trainers.affnist.placement import Digits
from trainers.affnist.reference import Reference
from trainers.cache import HardExampleCache


class Answers(nn.Module):
    """A network that gives the class read off an image's first pixel, or another, so likely."""

    def __init__(self, chance: Tensor) -> None:
        super().__init__()
        self.chance, self.asked = chance, 0

    def forward(self, images: Tensor) -> Tensor:
        self.asked += len(images)
        labels = (images[:, 0, 0, 0] * 255).round().long()
        return logits(self.chance[labels], labels)


def logits(chance: Tensor, labels: Tensor) -> Tensor:
    """Answers (n, 10) with these probabilities of the true class, and all else on the next."""
    p = torch.zeros(len(labels), 10)
    p[torch.arange(len(labels)), labels] = chance
    p[torch.arange(len(labels)), (labels + 1) % 10] = 1 - chance
    return p.log()


@pytest.fixture
def marked(digits: Digits, monkeypatch: pytest.MonkeyPatch) -> Digits:
    """Digits whose composites show their class in the first pixel."""

    def shown(digits: Digits, theta: Tensor) -> Tensor:
        images = torch.zeros(len(digits), 1, 40, 40)
        images[:, 0, 0, 0] = digits.labels / 255
        return images

    monkeypatch.setattr(sampling, "composite", shown)
    monkeypatch.setattr(renewal, "composite", shown)
    return digits


# T is right about the classes from 6 on; the reference does better than it on 0 to 2, and 6 to 9.
T = torch.tensor([0.1, 0.2, 0.3, 0.1, 0.2, 0.3, 0.8, 0.8, 0.8, 0.8])
BETTER = torch.tensor([0.9, 0.3, 0.4, 0.1, 0.1, 0.2, 0.9, 0.9, 0.9, 0.9])


def test_what_can_be_learnt_by_hand() -> None:
    images = torch.zeros(4, 1, 40, 40)
    images[:, 0, 0, 0] = torch.tensor([0, 1, 2, 3]) / 255
    reference = Reference(Answers(torch.tensor([0.5, 0.1, 0.6, 0.2])), "")
    labels = torch.arange(4)
    asked = images, logits(torch.tensor([0.25, 0.2, 0.5, 0.2]), labels), labels
    # The losses are -log of these; equal ones are not reducible.
    assert reference.learnable(*asked).tolist() == [True, False, True, False]


@pytest.mark.parametrize("tries", [1, 3])
def test_a_search_keeps_what_is_hard_and_can_be_learnt(
    marked: Digits, cache: HardExampleCache, tries: int
) -> None:
    target, better = Answers(T), Answers(BETTER)
    config = replace(TINY, max_passes=1000)
    way = sampling.RandomAffine(Accelerator(cpu=True), config, marked, tries)
    way.reference = Reference(better, "")
    tally = way.fill(cache, target)
    assert cache["labels"].bincount().tolist() == [3, 3, 3]
    assert tally.passes == target.asked >= 1000
    # It is asked only of what is hard: of 6 classes in 10, until three of them are full.
    assert 0 < tally.reference == better.asked < tally.passes
    assert (tally.taken, tally.shortfall) == (9, 21)


def test_renewal_replaces_what_cannot_be_learnt(marked: Digits, cache: HardExampleCache) -> None:
    config = replace(TINY, renewal=RenewalConfig(blocks=(1,)))
    way = renewal.Renewal(Accelerator(cpu=True), config, marked, 0, "known")
    better = Answers(BETTER)
    way.reference = Reference(better, "")
    way.cycle = 1
    tally = way.fill(cache, nn.Identity())
    before = cache["position"].clone()
    index = torch.tensor([*range(30), -5])  # and one of MNIST's
    labels = torch.cat((cache["labels"], torch.tensor([0])))
    way.after_update(cache, index, logits(T[labels], labels), labels)
    moved = (cache["position"] != before).any(1)
    assert cache["labels"][~moved].unique().tolist() == [0, 1, 2]
    assert int(moved.sum()) == 21
    assert tally.reference == better.asked == 18  # three of each of the 6 hard classes
    assert tally.passes == 0


def test_a_finished_run_is_the_reference_of_others(
    tiny_mnist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ways = ("renewed", "synthesizer", "random", "image_hard")
    # Hardly trained, T is sure of nothing; at this margin renewal asks all the same.
    settings = ("--renewal.margins", "-0.9", "--ways", *ways)
    command.main(arguments(tiny_mnist, tmp_path / "a", *settings))
    path = tmp_path / "a" / "checkpoints" / "seed0" / "random.pt"
    line = arguments(tiny_mnist, tmp_path / "b", *settings, "--reference", str(path))
    command.main([*line, "--cycles", "1"])
    made = {way: state(tmp_path / "b" / "checkpoints" / "seed0" / f"{way}.pt") for way in ways}
    records: dict[str, Any] = {way: each["header"]["history"][1] for way, each in made.items()}
    assert records["random"]["reference"] == 0
    for way in ("synthesizer", "image_hard", "renewed"):
        assert records[way]["reference"] > 0, way
    assert "ref, the reference's" in capsys.readouterr().out
    # It took no draw: all start from the T from which the runs without it start.
    starts = [torch.load(tmp_path / run / "checkpoints/seed0/mnist.pt") for run in "ab"]
    for values, others in zip(*(each["parts"]["target"].values() for each in starts), strict=True):
        assert torch.equal(values, others)
    # Another T of that name is another reference.
    content = torch.load(path)
    content["parts"]["average"]["module.0.bias"] += 1
    torch.save(content, path)
    with pytest.raises(SystemExit, match=r"the data has changed since .*: reference was \w+, is"):
        command.main(line)


def test_what_is_not_a_reference_is_told(tiny_mnist: Path, tmp_path: Path) -> None:
    line = arguments(tiny_mnist, tmp_path / "a", "--ways", "random")
    with pytest.raises(SystemExit, match=r"reference: there is no file .*x\.pt"):
        command.main([*line, "--reference", str(tmp_path / "x.pt")])
    command.main(line)
    start = str(tmp_path / "a" / "checkpoints" / "seed0" / "mnist.pt")
    other = ("--output", str(tmp_path / "b"), "--reference", start)
    with pytest.raises(SystemExit, match=r"mnist\.pt is not the checkpoint of an AffNIST run"):
        command.main([*line, *other])
