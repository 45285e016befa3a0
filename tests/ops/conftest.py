"""Which of the op's tests are collected on this machine."""

from tests.ops.cases import ON_GPU

collect_ignore = [] if ON_GPU else ["test_cuda.py"]
