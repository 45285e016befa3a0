r"""Paste cut-outs on backgrounds, draw their boxes, and write one picture with all composites.

Without files it flies balloons that it draws itself. This made the picture in the README:

    python examples/composite_images.py --seed 5 --output examples/composites.png

It takes any files that Pillow reads. A foreground's mask is its alpha channel or a file of its own:

    python examples/composite_images.py --foreground cat.png --background room.jpg street.jpg
    python examples/composite_images.py --foreground mug.jpg --mask mug.pbm --invert-mask \
        --background kitchen.jpg --box 320 400 480 600
"""

import math
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from pictures import check_output, from_image, read, to_image, write
from PIL import ImageDraw, ImageFont
from scenes import PALETTES, balloon, scene
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad
from torchvision.utils import make_grid

import compositor

BOX_COLOURS = ("#ff375f", "#30d158", "#ffd60a", "#64d2ff", "#bf5af2")

Cutout = tuple[Tensor, Tensor]  # colours (1, 3, h, w) and mask (1, 1, h, w)
Box = tuple[int, ...]  # x1, y1, x2, y2


@dataclass
class Config:
    """Paste cut-outs on backgrounds and draw boxes around the parts that show."""

    foreground: tuple[Path, ...] = ()
    """Pictures to cut objects from; none: draw balloons."""
    mask: tuple[Path, ...] = ()
    """One mask per foreground, white on the object; none: the foregrounds' alpha channels."""
    invert_mask: bool = False
    """The object is black in the mask files, as in BigBIRD."""
    background: tuple[Path, ...] = ()
    """Pictures to paste on; none: draw landscapes."""
    box: tuple[int, int, int, int] | None = None
    """Box for a single object: x1 y1 x2 y2 in pixels, right and bottom exclusive. None: random."""
    count: int = 3
    """Number of composites; backgrounds are used in turn."""
    objects: int = 3
    """Objects per composite, the last on top; foregrounds are used in turn. With --box: one."""
    seed: int = 0
    """Seed of the random placements."""
    sigma: float = 1.0
    """Blur of the cut-out's edge, in pixels."""
    output: Path = Path("composites.png")
    """The picture to write: the cut-outs, then the composites."""

    def check(self) -> None:
        """Raise if an option is out of range or two do not go together."""
        if self.mask and len(self.mask) != len(self.foreground):
            raise ValueError(f"--mask: got {len(self.mask)} for {len(self.foreground)} foregrounds")
        if self.invert_mask and not self.mask:
            raise ValueError("--invert-mask: got no --mask to invert")
        if self.box and not (self.box[0] < self.box[2] and self.box[1] < self.box[3]):
            raise ValueError(f"--box: got {self.box}, wanted x1 < x2 and y1 < y2")
        if self.count < 1 or self.objects < 1:
            raise ValueError(
                f"--count, --objects: got {self.count}, {self.objects}, wanted 1 or more"
            )
        if not 0 <= self.seed < 2**63:
            raise ValueError(f"--seed: got {self.seed}, wanted 0 to {2**63 - 1}")
        check_output(self.output)


def main(config: Config) -> None:
    """Make the composites, print a line for each object, and write the picture."""
    config.check()
    cutouts = load_cutouts(config)
    canvases = [read(path, "RGB") for path in config.background] or [scene(k) for k in range(3)]
    generator = torch.Generator().manual_seed(config.seed)
    panels = [on_checkerboard(cutouts, canvases[0].shape[2:])]
    for index in range(config.count):
        objects = 1 if config.box else config.objects
        chosen = [cutouts[(index * objects + k) % len(cutouts)] for k in range(objects)]
        canvas = canvases[index % len(canvases)]
        composite, boxes, inside = compose(chosen, canvas, config, generator)
        panels.append(draw_boxes(composite, boxes, inside))
        for box, fraction in zip(boxes, inside, strict=True):
            seen = "not visible" if box is None else "box {} {} {} {}".format(*box)
            print(f"composite {index + 1}: {seen}, {fraction:.0%} inside the canvas")
    write(to_image(sheet(panels)), config.output)
    print(f"wrote {config.output}")


def compose(
    cutouts: list[Cutout], canvas: Tensor, config: Config, generator: torch.Generator
) -> tuple[Tensor, list[Box | None], list[float]]:
    """Paste cut-outs in order; the boxes are of what later ones leave visible."""
    size = canvas.shape[2:]
    alphas: list[Tensor] = []
    inside = []
    for colours, mask in cutouts:
        if config.box:
            theta = compositor.affine.from_boxes(mask, torch.tensor([config.box]).float(), size)
        else:
            theta = random_theta(mask.shape[2:], size, generator)
        canvas, alpha = compositor.blend(
            colours, mask, canvas, theta, sigma=config.sigma, return_alpha=True
        )
        alphas = [below * (1 - alpha) for below in alphas] + [alpha]
        inside.append(compositor.visible_fraction(mask, theta, size).item())
    found, visible = compositor.boxes(torch.cat(alphas))
    boxes = zip(found.int().tolist(), visible.tolist(), strict=True)
    return canvas, [tuple(box) if seen else None for box, seen in boxes], inside


def random_theta(size: torch.Size, canvas: torch.Size, generator: torch.Generator) -> Tensor:
    """Draw a placement anywhere on the canvas, a quarter to two thirds its size, turned a bit."""
    (h, w), (height, width) = size, canvas
    u = torch.rand(6, generator=generator) * 2 - 1
    scale = (0.45 + 0.2 * u[2]) * min(height / h, width / w)
    stretch = 1 + 0.15 * u[3]
    parameters = (
        25 * u[0],
        0.25 * u[1],
        scale,
        scale * stretch,
        u[4] * width / 2,
        u[5] * height / 2,
    )
    return compositor.affine.from_parameters(torch.stack(parameters)[None], size, canvas)


def load_cutouts(config: Config) -> list[Cutout]:
    """Read the foregrounds and their masks, or draw balloons."""
    if not config.foreground:
        return [trim(*balloon(palette)) for palette in range(len(PALETTES))]
    cutouts = []
    for index, path in enumerate(config.foreground):
        if config.mask:
            colours, mask = read(path, "RGB"), read(config.mask[index], "L")
            mask = ((mask < 0.5) if config.invert_mask else (mask > 0.5)).float()
            if mask.shape[2:] != colours.shape[2:]:
                got, wanted = tuple(mask.shape[2:]), tuple(colours.shape[2:])
                raise ValueError(f"{config.mask[index]}: got size {got}, wanted {wanted} as {path}")
        else:
            picture = read(path, "RGBA")
            colours, mask = picture[:, :3], picture[:, 3:]
            if mask.min() == 1:
                raise ValueError(f"{path}: got no transparent pixel, wanted some or a --mask")
        if not compositor.boxes(mask)[1]:
            raise ValueError(f"{path}: got an empty mask, wanted an object (or --invert-mask)")
        cutouts.append(trim(colours, mask))
    return cutouts


def trim(colours: Tensor, mask: Tensor) -> Cutout:
    """Crop to the mask's box, and spread the object's colours beyond its edge.

    A blurred edge reaches beyond the object, where a cut-out is black or shows the scene it was cut
    from, which would appear as a fringe.
    """
    x1, y1, x2, y2 = compositor.boxes(mask, 0)[0][0].int().tolist()
    colours, mask = colours[..., y1:y2, x1:x2], mask[..., y1:y2, x1:x2]
    known = (mask > 0.99).float()
    for _ in range(16):
        near, weight = avg_pool2d(colours * known, 3, 1, 1), avg_pool2d(known, 3, 1, 1)
        spread = near / weight.clamp_min(1e-6)
        colours = torch.where((known == 0) & (weight > 0), spread, colours)
        known = (weight > 0).float()
    return colours, mask


def on_checkerboard(cutouts: list[Cutout], size: torch.Size) -> Tensor:
    """Lay out the cut-outs side by side on grey squares, each fitted into its part of the panel."""
    height, width = size
    squares = (torch.arange(height)[:, None] // 12 + torch.arange(width) // 12) % 2
    panel = (0.82 + 0.10 * squares).expand(1, 3, -1, -1)
    share = width / len(cutouts)
    for index, (colours, mask) in enumerate(cutouts):
        h, w = mask.shape[2:]
        fit = min(0.88 * height / h, 0.88 * share / w)
        x, y = share * (index + 0.5) - fit * w / 2, (height - fit * h) / 2
        box = torch.tensor([[x, y, x + fit * w, y + fit * h]])
        theta = compositor.affine.from_boxes(mask, box, size, threshold=0)
        panel = compositor.blend(colours, mask, panel, theta, threshold=0, sigma=0)
    return panel


def draw_boxes(composite: Tensor, boxes: list[Box | None], inside: list[float]) -> Tensor:
    """Draw the boxes, and how much of an object is inside if the frame cuts it."""
    picture = to_image(composite)
    brush = ImageDraw.Draw(picture)
    line = max(2, round(max(picture.size) / 250))
    font = ImageFont.load_default(size=6 * line)
    for index, (box, fraction) in enumerate(zip(boxes, inside, strict=True)):
        if box is None:
            continue
        x1, y1, x2, y2 = box
        colour = BOX_COLOURS[index % len(BOX_COLOURS)]
        brush.rectangle((x1, y1, x2 - 1, y2 - 1), outline=colour, width=line)
        if fraction < 0.995:
            tag = f"{fraction:.0%} inside"
            rightmost = picture.width - brush.textlength(tag, font) - 2 * line
            at = (min(x1 + 2 * line, rightmost), y1 + 2 * line)
            left, top, right, bottom = brush.textbbox(at, tag, font=font)
            brush.rectangle((left - line, top - line, right + line, bottom + line), fill=colour)
            brush.text(at, tag, "black", font)
    return from_image(picture)


def sheet(panels: list[Tensor]) -> Tensor:
    """Lay out panels in rows, as nearly square as their number allows."""
    height, width = (max(panel.shape[dim] for panel in panels) for dim in (2, 3))
    cells = [
        pad(panel, (0, width - panel.shape[3], 0, height - panel.shape[2]), value=1)
        for panel in panels
    ]
    columns = math.ceil(math.sqrt(len(cells)))
    rows: Tensor = make_grid(torch.cat(cells), nrow=columns, padding=4, pad_value=1)
    return rows.unsqueeze(0)


if __name__ == "__main__":
    try:
        main(tyro.cli(Config, description=__doc__))
    except ValueError as error:
        sys.exit(f"error: {error}")
