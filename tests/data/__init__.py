"""Tests of `compositor.data`, on tiny data made in the exact layouts."""
