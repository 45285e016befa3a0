"""Detectors of every kind in a run: S trains against it, and what is left detects as it did."""

from pathlib import Path

import pytest
import torch
from detection.tiny_runs import arguments, people, watch_tests

from tests.trainers.detectors import own
from tests.trainers.detectors.test_hugging_face import folder
from trainers import detectors, voc_person


@pytest.mark.parametrize("kind", ["nanodet", "RTDetr", "own", "plain"])
def test_a_run_leaves_what_it_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The last derives from nothing of ours, and has its composites renewed."""
    own_names = {"own": f"{own.__name__}:detector", "plain": f"{own.__name__}:plain"}
    name = {"nanodet": "nanodet", **own_names}.get(kind)
    way = "renewed" if kind == "plain" else "synthesizer"
    weights = "none" if name else "default"
    name = name or folder(tmp_path / "hf", kind)
    people(tmp_path)
    seen = watch_tests(monkeypatch)
    line = ("--target.network", name, "--target.weights", weights, "--target.optimizer", "adamw")
    voc_person.main(arguments(tmp_path, tmp_path / "out", "--ways", way, *line))

    loaded = detectors.load(tmp_path / "out" / "models" / f"{way}-seed0" / "model.pt")
    assert loaded.classes == ("__background__", "person")
    photographs, wanted = seen[-1]
    found = loaded.predict(torch.stack([photographs.image(i) for i in range(2)]).float() / 255)
    assert kind == "nanodet" or sum(len(one["boxes"]) for one in wanted) > 0
    for one, other in zip(found, wanted, strict=True):
        assert all(torch.equal(one[key], value) for key, value in other.items())
