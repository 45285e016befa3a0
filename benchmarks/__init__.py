"""Speed and memory of `compositor.blend` beside its peers: `python -m benchmarks --help`."""
