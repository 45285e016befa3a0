"""Selection: which composites are hard for a detector."""
