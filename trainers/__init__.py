"""Training networks with compositor: the shared three-player loop, and a package per experiment."""
