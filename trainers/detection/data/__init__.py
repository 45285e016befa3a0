"""Reads data sets in the layouts users have on disk, and prepares them once at one canvas size."""
