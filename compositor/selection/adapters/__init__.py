"""Detectors of others' libraries, each behind ``compositor.selection.detector.Detector``."""
