"""Tests of `compositor.scenes`."""
