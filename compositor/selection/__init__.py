"""Selection: which objects a detector does not find, and so which pictures are hard for it.

:func:`load` loads a detector, :func:`detect` runs it, :func:`confidences` matches its detections to
a picture's objects, and :func:`is_hard` judges by them.
"""

try:
    import torchvision as torchvision
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"compositor.selection needs {error.name}: pip install 'compositor[data]'", name=error.name
    ) from None

from compositor.selection.detector import Detector, DetectorError, detect, labels_by_name, load
from compositor.selection.judge import confidences, is_hard

__all__ = [
    "Detector",
    "DetectorError",
    "confidences",
    "detect",
    "is_hard",
    "labels_by_name",
    "load",
]
