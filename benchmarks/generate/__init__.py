"""`compositor.generate` and its peers: a data set of pictures and labels written to disk."""
