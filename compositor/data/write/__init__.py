"""Writers of data sets, one a format; each takes the pictures one by one and keeps none."""
