"""Options of the benchmark session; `python -m benchmarks` sets them."""

from __future__ import annotations

import cv2
import pytest
import torch


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--threads", type=int, default=1, help="threads of torch and of OpenCV")
    parser.addoption("--quick", action="store_true", help="the shape of the floors, float32")


def pytest_configure(config: pytest.Config) -> None:
    threads = config.getoption("--threads")
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
