"""Data sets in the layouts that users have on disk, prepared once to one canvas size."""
