import re

import numpy as np
import pytest
from PIL import Image

from tests.examples.commands import as_user


def test_transform_is_recovered(tmp_path):
    process = as_user("fit_transform.py", folder=tmp_path)
    assert process.returncode == 0, process.stderr
    rows = re.findall(r"^(\w+)" + r" +(-?\d+\.\d+)" * 3 + "$", process.stdout, re.MULTILINE)
    names = ["angle", "shear", "scale_x", "scale_y", "translate_x", "translate_y"]
    assert [row[0] for row in rows] == names
    start, truth, found = np.array([row[1:] for row in rows], float).T
    assert truth.tolist() == [-35, 0.2, 0.8, 0.6, 40, -20] and (np.abs(start - truth) > 0.05).all()
    # A hundredth of a pixel at the object's rim, in degrees, slope, scale and pixels.
    np.testing.assert_allclose(found, truth, rtol=0, atol=0.05)
    assert (np.abs(found - truth)[1:4] < 0.002).all()
    strip = Image.open(tmp_path / "fit_transform.png")
    assert strip.size == (6 * 244 - 4, 180)
    panels = [np.asarray(strip.crop((x, 0, x + 240, 180)), float) for x in range(0, 1464, 244)]
    centre = [panel[30:150, 20:220] for panel in panels]  # beside the labels
    assert np.abs(centre[-1] - centre[0]).mean() < 3 < np.abs(centre[1] - centre[0]).mean()


def test_animation(tmp_path, succeed):
    near = ("--truth", -10, 0.05, 0.75, 0.65, 8, -5)  # found to 0.03 pixels in these few steps
    succeed("fit_transform.py", "--output", "fit.gif", "--steps", 100, *near)
    with Image.open(tmp_path / "fit.gif") as animation:
        assert animation.n_frames == 51 and animation.size == (240, 180)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--steps", 0), "--steps: got 0, wanted 1 or more"),
        (("--learning-rate", 0), "--learning-rate: got 0.0, wanted more than 0"),
        (("--truth", 0, 0, 0, 1, 0, 0), r"--truth: got scales \(0.0, 1.0\), wanted them above 0"),
        (("--truth", 0, 0, 1, "nan", 0, 0), r"--truth: got scales \(1.0, nan\), wanted them"),
        (("--output", "fit.txt"), "--output: got fit.txt"),
        (("--steps", 2), "not recovered: wanted"),
    ],
)
def test_fit_transform_refuses(refuse, arguments, complaint):
    assert re.search(complaint, refuse("fit_transform.py", *arguments))
