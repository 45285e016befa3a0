"""Writers of data sets, one a format; each takes the pictures a few at a time and keeps none.

A format's folder is built beside its place and then moved there, whole: nothing of an earlier data
set stays. Its pictures are hard links, or copies where the disk has no links.
"""
