"""The former name of ``scene.py``, for as long as the README gives it."""

import runpy
from pathlib import Path

runpy.run_path(str(Path(__file__).with_name("scene.py")), run_name="__main__")
