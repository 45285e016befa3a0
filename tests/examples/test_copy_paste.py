"""`examples/copy_paste.py`: once in its own process, then in this one, which is quicker."""

import numpy as np
from PIL import Image

from tests.examples.commands import as_user


def test_balloons_are_pasted_across_a_batch(tmp_path, succeed):
    """Beside each of eight pictures the same with its labels, by seed."""
    process = as_user("copy_paste.py", folder=tmp_path)
    assert process.returncode == 0, process.stderr
    first = np.asarray(Image.open(tmp_path / "copy_paste.png"), int)
    assert first.shape == (4 * 272 + 2, 4 * 362 + 2, 3)
    for top in range(2, 4 * 272, 272):
        for left in (2, 2 + 2 * 362):
            plain, labelled = (first[top : top + 270, x : x + 360] for x in (left, left + 362))
            # Three to five balloons of 40 to 200 pixels' height are tinted, and not the ground.
            assert 0.02 < (plain != labelled).any(2).mean() < 0.6
    succeed("copy_paste.py", "--output", "again.png")
    assert (np.asarray(Image.open(tmp_path / "again.png")) == first).all()
    succeed("copy_paste.py", "--seed", 1, "--output", "other.png")
    assert (np.asarray(Image.open(tmp_path / "other.png")) != first).any()


def test_copy_paste_refuses(refuse):
    assert "--output: got here.txt" in refuse("copy_paste.py", "--output", "here.txt")
