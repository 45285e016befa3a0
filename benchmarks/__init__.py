"""Compares the ops with their peers in speed and memory: `python -m benchmarks --help`."""
