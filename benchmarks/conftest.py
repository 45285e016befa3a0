"""Options of a benchmark session, which `python -m benchmarks` sets."""

from __future__ import annotations

import cv2
import pytest
import torch

from benchmarks.scenes import DTYPES, SHAPE_OF_FLOORS


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--threads", type=int, default=1, help="threads of torch and of OpenCV")
    parser.addoption("--shape", default="x".join(map(str, SHAPE_OF_FLOORS)), help="N x C x H x W")
    parser.addoption("--dtype", default="float32", choices=tuple(DTYPES), help="of the images")


def pytest_configure(config: pytest.Config) -> None:
    threads = config.getoption("--threads")
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
