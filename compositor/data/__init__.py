"""Data sets: read in the layouts that users have, decoded once, written whole or not at all.

:func:`cutouts` and :func:`photographs` read any layout; :mod:`compositor.data.write` has a writer
for each format.
"""

try:
    import PIL as PIL
    import pycocotools as pycocotools
    import scipy as scipy
    import tqdm as tqdm
    import yaml as yaml
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"compositor.data needs {error.name}: pip install 'compositor[data]'", name=error.name
    ) from None

from compositor.data.cleanup import CleanUp
from compositor.data.labels import Instance, LabelledPicture, decode, encode
from compositor.data.read.source import cutouts, photographs
from compositor.data.records import Annotation, Cutout, Photograph, Record, Records, Skip

__all__ = [
    "Annotation",
    "CleanUp",
    "Cutout",
    "Instance",
    "LabelledPicture",
    "Photograph",
    "Record",
    "Records",
    "Skip",
    "cutouts",
    "decode",
    "encode",
    "photographs",
]
