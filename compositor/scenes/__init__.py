"""Scenes: where objects are placed, and how much of them shows."""
