"""Training with compositor: the shared three-player loop, and a package for each experiment."""
