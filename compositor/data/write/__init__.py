"""Writers of data sets, one a format; each takes the pictures one by one and keeps none.

A format's folder is built beside its place and then moved there, whole: nothing of an earlier data
set stays. Its pictures are hard links, or copies where the disk has no links.
"""
