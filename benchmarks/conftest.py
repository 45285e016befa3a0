"""Options of a benchmark session, which `python -m benchmarks` sets."""

from __future__ import annotations

import cv2
import pytest
import torch

from benchmarks.scenes import SHAPE_OF_FLOORS, Shape


def _shape(text: str) -> Shape:
    n, channels, height, width = map(int, text.split("x"))
    return n, channels, height, width


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--threads", type=int, default=1, help="threads of torch and of OpenCV")
    parser.addoption("--shape", type=_shape, default=SHAPE_OF_FLOORS, help="NxCxHxW")
    parser.addoption("--dtype", default="float32", help="of the images")


def pytest_configure(config: pytest.Config) -> None:
    threads = config.getoption("--threads")
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
