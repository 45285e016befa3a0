"""Readers of data sets, one a layout; each checks and lists a data set without decoding it."""
