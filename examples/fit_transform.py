"""Recover a transform by gradient descent through ``compositor.blend``.

A balloon is pasted with parameters that the fit does not know. Starting from the middle of the
canvas, Adam adjusts the six parameters until the composite matches the picture, pixel by pixel:

    python examples/fit_transform.py --output fit.png    # a strip of the steps
    python examples/fit_transform.py --output fit.gif    # an animation
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from drawings import balloon, landscape
from pictures import check_output, to_bytes, to_image, write
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

import compositor

START = (0.0, 0.0, 0.7, 0.7, 0.0, 0.0)
STRIDE = (20.0, 0.2, 0.2, 0.2, 20.0, 20.0)
"""How far each parameter moves per unit that Adam moves: Adam's steps are alike in all."""


@dataclass
class Config:
    """Recover the parameters of a composite by gradient descent."""

    truth: tuple[float, float, float, float, float, float] = (-35.0, 0.2, 0.8, 0.6, 40.0, -20.0)
    """Parameters to recover: angle (degrees), shear, scale_x, scale_y, translate_x, translate_y
    (pixels). The fit starts from 0, 0, 0.7, 0.7, 0, 0."""
    steps: int = 200
    """Steps of gradient descent."""
    learning_rate: float = 0.1
    """Adam's initial learning rate, which falls to 0 along a cosine."""
    output: Path = Path("fit_transform.png")
    """The picture to write: a strip, or an animation if the name ends in .gif."""

    def check(self) -> None:
        """Raise if an option is out of range."""
        if not (self.truth[2] > 0 and self.truth[3] > 0):
            raise ValueError(f"--truth: got scales {self.truth[2:4]}, wanted them above 0")
        if self.steps < 1:
            raise ValueError(f"--steps: got {self.steps}, wanted 1 or more")
        if not self.learning_rate > 0:
            raise ValueError(f"--learning-rate: got {self.learning_rate}, wanted more than 0")
        check_output(self.output)


class Scene:
    """A balloon over hills, pasted by parameters (1, 6) in the order of ``affine.PARAMETERS``."""

    def __init__(self) -> None:
        self.foreground, self.mask = balloon(0, height=160)
        self.background = landscape(0, height=180, width=240)
        self.size, self.canvas = self.mask.shape[2:], self.background.shape[2:]

    def theta(self, parameters: Tensor) -> Tensor:
        return compositor.affine.from_parameters(parameters, self.size, self.canvas)

    def paste(self, parameters: Tensor) -> Tensor:
        theta = self.theta(parameters)
        return compositor.blend(self.foreground, self.mask, self.background, theta)

    def corners(self, parameters: Tensor) -> Tensor:
        """The corners of the foreground's frame on the canvas: (4, 2), x and y in pixels."""
        frame = torch.tensor([[-1.0, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]])
        placed = frame @ compositor.affine.invert(self.theta(parameters))[0].T
        return (placed + 1) / 2 * torch.tensor([self.canvas[1], self.canvas[0]])


def main(config: Config) -> None:
    """Fit, print the recovered parameters beside the truth, and write the picture."""
    config.check()
    picture, truth = Scene(), torch.tensor([config.truth])
    history = fit(picture, picture.paste(truth), config)

    found = history[-1]
    print(f"{'parameter':12}{'start':>10}{'truth':>10}{'found':>10}")
    columns = zip(START, config.truth, found[0].tolist(), strict=True)
    for name, row in zip(compositor.affine.PARAMETERS, columns, strict=True):
        print(f"{name:12}" + "".join(f"{value:10.3f}" for value in row))
    apart = (picture.corners(found) - picture.corners(truth)).norm(dim=1).max().item()
    print(f"the corners of the balloon's frame are within {apart:.3f} pixels of the truth")
    save(picture, truth, history, config.output)
    print(f"wrote {config.output}")
    if not apart < 1:
        raise ValueError("not recovered: wanted a --truth nearer to the start, or more --steps")


def fit(picture: Scene, target: Tensor, config: Config) -> list[Tensor]:
    """Match the target by its pixels alone; return the parameters at first and after each step."""
    start, stride = torch.tensor([START]), torch.tensor([STRIDE])
    moves = torch.zeros_like(start, requires_grad=True)
    optimizer = torch.optim.Adam([moves], lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.steps)
    history = [start]
    for _ in range(config.steps):
        composite = picture.paste(start + moves * stride)
        loss = (composite - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        history.append((start + moves * stride).detach())
    return history


def draw(picture: Scene, parameters: Tensor, truth: Tensor, label: str) -> Image.Image:
    """Draw a composite, its foreground's frame in white, the true frame in orange."""
    fine = 2  # drawn twice as large, then reduced: slanted lines are smooth
    image = to_image(to_bytes(picture.paste(parameters)[0]))
    image = image.resize((image.width * fine, image.height * fine), Image.Resampling.BICUBIC)
    brush = ImageDraw.Draw(image)
    for frame, colour, line in ((parameters, "white", 6), (truth, "#ff9f0a", 3)):
        points = [(x * fine, y * fine) for x, y in picture.corners(frame).tolist()]
        brush.line([*points, points[0]], fill=colour, width=line, joint="curve")
    font = ImageFont.load_default(size=13 * fine)
    brush.text((8 * fine, 5 * fine), label, "white", font, stroke_width=fine, stroke_fill="#333333")
    return image.resize((image.width // fine, image.height // fine), Image.Resampling.LANCZOS)


def save(picture: Scene, truth: Tensor, history: list[Tensor], path: Path) -> None:
    """Write the fit's progress: a strip, or an animation that pauses at its end."""
    last = len(history) - 1
    if path.suffix.lower() == ".gif":
        steps = sorted({*range(0, last, 2), last})
        frames = [draw(picture, history[step], truth, f"step {step}") for step in steps]
        durations = [60] * (len(frames) - 1) + [2000]
        write(frames[0], path, append_images=frames[1:], save_all=True, duration=durations, loop=0)
        return
    steps = sorted({round(last * part) for part in (0, 0.05, 0.1, 0.2, 1)})
    frames = [draw(picture, truth, truth, "target")]
    frames += [draw(picture, history[step], truth, f"step {step}") for step in steps]
    width, height = frames[0].size
    strip = Image.new("RGB", (len(frames) * (width + 4) - 4, height), "white")
    for index, frame in enumerate(frames):
        strip.paste(frame, (index * (width + 4), 0))
    write(strip, path)


if __name__ == "__main__":
    try:
        main(tyro.cli(Config, description=__doc__))
    except ValueError as error:
        sys.exit(f"error: {error}")
