"""One scene drawn in Python: the package's example, and what one generator or two determine."""

import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

import compositor.data
import compositor.scenes
import compositor.selection
from compositor.data import cutouts, photographs
from compositor.scenes import PRESETS, Backgrounds, Bank, Drawn, banked, scene
from tests.generate.tiny import sources


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the example's folders are."""
    objects, grounds = sources(tmp_path)
    for path in objects.rglob("*.png"):
        Image.open(path).resize((300, 240)).save(path)  # as large as photographed objects are
    objects.rename(tmp_path / "objects")
    grounds.rename(tmp_path / "photographs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_example_runs(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"::\n\n((?:    .*\n|\n)+)", compositor.scenes.__doc__ or "")
    names: dict[str, object] = {}
    exec(re.sub(r"^    ", "", code, flags=re.M), names)
    drawn = names["drawn"]
    assert isinstance(drawn, Drawn) and drawn.scene.instances
    picture = np.asarray(Image.open("scene.png"))
    assert picture.shape == (480, 640, 3) and (picture == drawn.scene.image).all()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(drawn.scene.instances)
    assert all(re.fullmatch(r"(ball|box) \([\d., ]+\) [\d.]+", line) for line in lines), lines


def test_two_generators_keep_the_cut_outs_and_place_them_anew(folders: Path) -> None:
    objects = cutouts(Path("objects"))
    bank = Bank([banked(each) for record in objects.records for each in record.loaded()[0]])
    grounds = Backgrounds(photographs(Path("photographs")).records, (48, 64))

    def made(seed: int, attempt: int | None) -> Drawn:
        again = None if attempt is None else np.random.default_rng((seed, attempt))
        random = np.random.default_rng(seed)
        return scene(PRESETS["plain"], bank, grounds, random, attempt=again)

    for seed in range(5):
        first, again, other = made(seed, 0), made(seed, 0), made(seed, 1)
        assert first.recipe == again.recipe
        assert (first.scene.image == again.scene.image).all()
        assert first.choice == other.choice
        assert (first.canvas.image == other.canvas.image).all()
        assert first.recipe != other.recipe
    assert len({made(seed, None).recipe for seed in range(5)}) == 5


@pytest.mark.parametrize("room", [compositor.data, compositor.scenes, compositor.selection])
def test_a_room_has_what_it_lists(room: ModuleType) -> None:
    assert all(getattr(room, name).__doc__ for name in room.__all__)
