"""What of the op's tests is collected here."""

from tests.ops.cases import ON_GPU

collect_ignore = [] if ON_GPU else ["test_cuda.py"]
