"""Compares `compositor.blend` with its peers in speed and memory: `python -m benchmarks --help`."""
