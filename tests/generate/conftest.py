"""What several modules compare with."""

from pathlib import Path

import pytest

from compositor.generate import generate
from tests.generate.tiny import config


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 scenes, made by one process in one go."""
    return generate(config(tmp_path_factory.mktemp("made"), "out"))
