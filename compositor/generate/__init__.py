"""Generates labelled data sets on disk: ``python -m compositor.generate --help``."""

from compositor.generate.config import Config
from compositor.generate.run import generate

__all__ = ["Config", "generate"]
