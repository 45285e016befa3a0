"""Scenes: cut-outs pasted on backgrounds as a law has it, labelled by what can be seen of each.

One scene, from a folder of RGBA pictures, whose sub-folders are classes, and one of photographs::

    from pathlib import Path

    import numpy as np
    from PIL import Image

    from compositor.data import cutouts, photographs
    from compositor.scenes import PRESETS, Backgrounds, Bank, banked, scene

    objects = cutouts(Path("objects"))
    bank = Bank([banked(each) for record in objects.records for each in record.loaded()[0]])
    backgrounds = Backgrounds(photographs(Path("photographs")).records, size=(480, 640))
    drawn = scene(PRESETS["plain"], bank, backgrounds, np.random.default_rng(0))
    Image.fromarray(drawn.scene.image).save("scene.png")
    for found in drawn.scene.instances:
        print(objects.classes[found.label], found.box, found.visibility)
"""

from compositor.scenes.backgrounds import Backgrounds
from compositor.scenes.bank import Bank, BankedCutout, banked
from compositor.scenes.canvas import Canvas
from compositor.scenes.compose import Scene
from compositor.scenes.draw import generator
from compositor.scenes.drawn import Drawn, scene
from compositor.scenes.law import PRESETS, Law, Look, Placement
from compositor.scenes.observed import Observed, observe

__all__ = [
    "PRESETS",
    "Backgrounds",
    "Bank",
    "BankedCutout",
    "Canvas",
    "Drawn",
    "Law",
    "Look",
    "Observed",
    "Placement",
    "Scene",
    "banked",
    "generator",
    "observe",
    "scene",
]
