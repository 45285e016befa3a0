"""Figure 5: artefacts where there is room for them, and nothing else changed."""

from pathlib import Path

import numpy as np
from PIL import Image

from detection.tiny_scenes import SIZE, Objects, Pictures, scenes
from trainers.detection.gallery import artefacts
from trainers.detection.scenes import Scenes


def tiles(path: Path) -> np.ndarray:
    """The grid's 2 x 8 pictures, without its lines of 2 pixels."""
    grid = np.asarray(Image.open(path))
    height, width = SIZE
    return np.stack(
        [
            grid[y : y + height, x : x + width]
            for y in range(2, grid.shape[0], height + 2)
            for x in range(2, grid.shape[1], width + 2)
        ]
    )


def test_backgrounds_above_and_real_pictures_below(tmp_path: Path) -> None:
    made = scenes()
    artefacts(tmp_path / "a.png", made)
    found = tiles(tmp_path / "a.png")
    assert len(found) == 16
    assert (found < 255).any((1, 2, 3)).sum() > 8
    for row, source in ((found[:8], made.backgrounds), (found[8:], made.real)):
        known = np.stack([source.image(i).permute(1, 2, 0).numpy() for i in range(len(source))])
        for picture in row:
            if (picture == 255).all():  # no room was found in as many pictures as it takes
                continue
            # Noise: only its own picture has pixels in common with one.
            alike = (known == picture).all(-1).mean((1, 2))
            assert 0.3 < alike.max() < 1


def test_without_room_the_places_stay_white(tmp_path: Path) -> None:
    full = [[0.0, 0, SIZE[1], SIZE[0]]]
    crowded = Scenes(Pictures([full] * 3), Pictures([full] * 2, seed=1), Objects(), 0.5)
    artefacts(tmp_path / "a.png", crowded)
    assert (tiles(tmp_path / "a.png") == 255).all()
