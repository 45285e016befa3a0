"""The law that scenes are drawn from: what is pasted, how large, where, how it is blended."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from compositor.scenes.placement import ANGLE, ATTEMPTS, OVERLAP, SCALE, SMALLEST, TRUNCATION

Span = tuple[float, float]
"""Least and largest of a number that is drawn uniformly."""
Blend = Literal["gaussian", "hard", "box", "poisson"]


@dataclass(frozen=True)
class Placement:
    """Which objects a scene has, and where."""

    objects: tuple[int, int] = (1, 6)
    """Least and most objects of a scene."""
    distractors: tuple[int, int] = (1, 3)
    """Least and most distractors, which hide objects and get no label, if there are any."""
    classes: Literal["balanced", "given"] = "balanced"
    """balanced: all classes are equally frequent; given: all cut-outs are."""
    scale: Span = (0.15, 0.45)
    """Longer side of an object over the canvas's shorter one; drawn geometrically, so that half a
    size is as frequent as twice that size."""
    own: bool = False
    """The scale is relative to the cut-out's own pixels instead."""
    matched: bool = False
    """Sizes, aspects and numbers are those of annotated pictures instead, and how much of another
    object each may cover, up to `overlap`; `objects` and `scale` then do not count, and `aspect`
    limits the stretch."""
    layout: bool = False
    """What is matched is whole pictures: a scene's objects have the classes, places, sizes and
    aspects of those of one annotated picture, mirrored with the share `flip`, each moved by up to a
    tenth of its sides."""
    angle: float = 15.0
    """Largest turn either way, in degrees."""
    flip: float = 0.5
    """Share of objects that are mirrored."""
    aspect: float = 1.1
    """Largest stretch of width over height either way, 1 or more."""
    truncation: float = TRUNCATION
    """Largest part of an object's box that may leave the canvas along x and along y."""
    overlap: float = 0.5
    """Largest part of another object's box that an object's box may cover."""
    visible: float = 0.25
    """Least share of an object that must show in the end: one that shows less is taken away."""
    enlarged: float = 2.0
    """Most that an object may be enlarged over its own pixels: beyond that it is a blur."""
    side: float = SMALLEST
    """Least width and height of an object on the canvas, in pixels."""
    order: Literal["drawn", "size", "lower", "random"] = "drawn"
    """What lies on top. drawn: the distractors; size: the smallest; lower: what reaches down
    furthest, as what is near does; random: any over any, so that
    objects hide distractors too."""
    attempts: int = ATTEMPTS
    """How often to draw an object's size, and then its place, before leaving it out."""


@dataclass(frozen=True)
class Look:
    """How objects are blended, and what happens to the colours."""

    blends: tuple[Blend, ...] = ("gaussian",)
    """Each object is blended in one of these ways: with an edge blurred by `sigma`, with a hard
    edge, with a mask averaged over 3 x 3 pixels (box), or by Poisson's equation (needs
    opencv-python-headless)."""
    sigma: Span = (0.5, 1.5)
    """Blur of an object's edge, in pixels."""
    brightness: float = 0.15
    """Largest shift of an object's brightness either way, as a share of the full range."""
    contrast: float = 0.15
    """Largest change of an object's contrast either way, as a share."""
    colour: float = 0.05
    """Largest change of each of an object's colours either way, as a share."""
    noise: Span = (0.0, 0.0)
    """Standard deviation of the picture's noise, as a share of the full range."""
    blur: Span = (0.0, 0.0)
    """Sigma of the whole picture's blur, in pixels."""
    motion: float = 0.0
    """Share of pictures that are blurred along a line of 3 to 9 pixels, as if the camera moved;
    their objects have hard edges before."""
    quality: tuple[int, int] = (95, 95)
    """Least and best JPEG quality."""
    artefacts: float = 0.0
    """Share of pictures with a blending artefact: the shape of an object cut out of another
    background (the paper's section 3.1)."""


@dataclass(frozen=True)
class Law:
    """What scenes are drawn from."""

    placement: Placement = field(default_factory=Placement)
    look: Look = field(default_factory=Look)
    empty: float = 0.0
    """Share of scenes without an object."""

    def __post_init__(self) -> None:
        placement, look = self.placement, self.look
        for name, least, most in (("objects", 0, 200), ("distractors", 0, 200)):
            _ordered(f"law.placement.{name}", getattr(placement, name), least, most)
        _ordered("law.placement.scale", placement.scale, 1e-3, 100)
        _ordered("law.look.sigma", look.sigma, 0, 20)
        _ordered("law.look.noise", look.noise, 0, 1)
        _ordered("law.look.blur", look.blur, 0, 20)
        _ordered("law.look.quality", look.quality, 1, 100)
        limits: tuple[tuple[object, str, float, float], ...] = (
            (placement, "angle", 0, 180),
            (placement, "flip", 0, 1),
            (placement, "aspect", 1, 10),
            (placement, "truncation", 0, 0.95),
            (placement, "overlap", 0, 1),
            (placement, "visible", 0.01, 1),
            (placement, "enlarged", 0.01, 100),
            (placement, "side", 1, 1e4),
            (placement, "attempts", 1, 1000),
            (look, "brightness", 0, 1),
            (look, "contrast", 0, 1),
            (look, "colour", 0, 1),
            (look, "motion", 0, 1),
            (look, "artefacts", 0, 1),
            (self, "empty", 0, 1),
        )
        for part, name, low, high in limits:
            value = getattr(part, name)
            if not low <= value <= high:
                title = name if part is self else f"{type(part).__name__.lower()}.{name}"
                wanted = f"a number in [{low:g}, {high:g}]"
                raise ValueError(f"law.{title}: got {value}, wanted {wanted}")
        if placement.layout and not placement.matched:
            raise ValueError("law.placement.layout: got True, wanted it with law.placement.matched")
        if not look.blends:
            raise ValueError("law.look.blends: got none, wanted at least one")


def _ordered(name: str, span: Sequence[float], least: float, most: float) -> None:
    low, high = span
    if not least <= low <= high <= most:
        raise ValueError(
            f"{name}: got ({low:g}, {high:g}), wanted {least:g} <= least <= most <= {most:g}"
        )


PLAIN = Law()
MATCHED = Law(Placement(matched=True, angle=0.0, aspect=1.5, truncation=0.15, overlap=1.0))
"""Sizes, aspects and numbers of annotated pictures, upright, placed uniformly, overlapping no more
than the annotated objects do."""
LAYOUT = replace(MATCHED, placement=replace(MATCHED.placement, layout=True, order="lower"))
"""The same, placed as the objects of one annotated picture are."""
CUT_PASTE_LEARN = Law(
    Placement(
        objects=(1, 4),
        distractors=(2, 4),
        classes="given",
        scale=SCALE,
        angle=ANGLE,
        flip=0.0,
        aspect=1.0,
        overlap=OVERLAP,
    ),
    Look(
        blends=("gaussian", "hard", "box", "poisson"),
        motion=0.2,
        sigma=(2.0, 2.0),
        brightness=0.0,
        contrast=0.0,
        colour=0.0,
    ),
)
"""The rules of Dwibedi et al., ICCV 2017, with the five blends of their code, which make detectors
robust to edges: drawn for each object here, and motion for a whole picture. Their code draws the
scale uniformly, and of the cut-out's own pixels; here it is geometric, and of the canvas."""
PAPER = Law(
    Placement(objects=(1, 1), classes="given", scale=SCALE, angle=ANGLE, flip=0.0, aspect=1.0),
    Look(sigma=(1.0, 1.0), brightness=0.0, contrast=0.0, colour=0.0, artefacts=0.2),
)
"""One object a picture and blending artefacts, as in Tripathi et al."""
PRESETS = {
    "plain": PLAIN,
    "matched": MATCHED,
    "layout": LAYOUT,
    "cut_paste_learn": CUT_PASTE_LEARN,
    "paper": PAPER,
}
