"""Tests of `compositor.generate`."""
