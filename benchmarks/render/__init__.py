"""`compositor.render` and its peers: scenes of many objects, of bytes with labels or of floats."""
