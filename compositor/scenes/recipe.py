"""A scene as numbers: what it is made of, and how that is placed and coloured."""

from dataclasses import dataclass
from math import sqrt

from compositor.scenes.law import Blend


@dataclass(frozen=True)
class Layer:
    """A pasted cut-out.

    Attributes:
        cutout: Its index in the bank.
        angle: Degrees, counter-clockwise as seen.
        scale: Along x and along y, canvas pixels per pixel of the cut-out; x negative: mirrored.
        centre: (x, y) of the object's box before turning, in canvas pixels.
        gain: Factor of each colour.
        bias: Added to each colour, as a share of the full range.
        blend: How it is blended.
        sigma: Blur of its edge in pixels.
    """

    cutout: int
    angle: float
    scale: tuple[float, float]
    centre: tuple[float, float]
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    bias: tuple[float, float, float] = (0.0, 0.0, 0.0)
    blend: Blend = "gaussian"
    sigma: float = 1.0

    @property
    def size(self) -> float:
        """By what the cut-out's sides grow, on average."""
        return sqrt(abs(self.scale[0]) * self.scale[1])


@dataclass(frozen=True)
class Choice:
    """What a scene is made of, the same at every attempt.

    Attributes:
        background: Its index.
        cutouts: The objects, then the distractors, by their indices in the bank.
        other: Another background, for an artefact; None: there is none.
        alike: The observed objects that the first cut-outs take after, if the law has layouts.
    """

    background: int
    cutouts: tuple[int, ...]
    other: int | None
    alike: tuple[int, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """A scene as numbers.

    Attributes:
        size: (H, W) of the canvas in pixels.
        layers: What is pasted, the last on top.
        artefact: The shape in which the other background shows, beneath all; None: there is none.
        noise: Standard deviation, as a share of the full range.
        blur: Sigma of the whole picture, in pixels.
        quality: The JPEG's.
        motion: Length in pixels and angle of the whole picture's motion blur; None: there is none.
    """

    size: tuple[int, int]
    layers: tuple[Layer, ...]
    artefact: Layer | None
    noise: float
    blur: float
    quality: int
    motion: tuple[int, float] | None = None
