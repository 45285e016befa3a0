"""Compares the op with its peers on a GPU: `python -m benchmarks.gpu`."""
