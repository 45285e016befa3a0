"""Tests of `compositor.selection`."""
