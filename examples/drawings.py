"""Pictures for examples that are given none: balloons to paste, and landscapes to fly over.

All tensors are float32 in [0, 1] with a leading batch of 1: pictures (1, 3, H, W), masks
(1, 1, H, W). The same seed gives the same picture.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

Colour = tuple[float, float, float]

PALETTES: tuple[tuple[Colour, Colour], ...] = (
    ((0.86, 0.20, 0.16), (0.99, 0.82, 0.36)),
    ((0.10, 0.42, 0.62), (0.95, 0.94, 0.90)),
    ((0.44, 0.22, 0.52), (0.98, 0.60, 0.36)),
)


def balloon(palette: int, height: int = 240) -> tuple[Tensor, Tensor]:
    """Draw a hot-air balloon: colours (1, 3, h, w), and its mask (1, 1, h, w) with a soft edge."""
    fine = 4  # drawn this many times larger, then averaged down
    y, x = _grid(height * fine, height * fine * 3 // 4)
    y, x = y * 2 - 1, (x * 2 - 1) * 0.75  # the frame is [-0.75, 0.75] x [-1, 1]
    first, second = (_paint(colour) for colour in PALETTES[palette % len(PALETTES)])

    # The envelope: a sphere that narrows to a mouth below.
    down = ((y + 0.95) / 1.45).clamp(0, 1)
    radius = 0.68 * (1 - (1 - down / 0.46).clamp(0, 1) ** 2).sqrt()
    radius = torch.where(down > 0.46, 0.13 + 0.55 * torch.cos((down - 0.46) / 0.54 * 1.5), radius)
    across = (x / radius.clamp_min(1e-6)).clamp(-1, 1)
    envelope = (x.abs() < radius) & (y > -0.95) & (y < 0.5)
    gore = torch.asin(across) / math.pi * 12  # stripes along the meridians
    colours = torch.where((gore.floor() % 2 == 0), first, second)
    band = (down > 0.50) & (down < 0.60)
    colours = torch.where(band, torch.where(gore.floor() % 2 == 0, second, first), colours)
    seam = 1 - 0.18 * torch.exp(-(((gore - gore.round()) / 0.06) ** 2))
    light = 0.62 + 0.5 * (1 - ((across + 0.35) ** 2 + (down - 0.28) ** 2 * 1.6)).clamp(0, 1)
    colours = colours * light * seam

    basket = (x.abs() < 0.15 - 0.12 * (y - 0.72)) & (y > 0.70) & (y < 0.93)
    weave = 0.75 + 0.25 * torch.sin(x * 160) * torch.sin(y * 160)
    rim = torch.where(y < 0.74, 0.6, 1.0)
    wicker = _paint((0.62, 0.42, 0.22)) * weave * rim * (1.05 - 1.6 * (x + 0.05).clamp_min(0))
    ropes = (y >= 0.5) & (y <= 0.70) & ((x.abs() - 0.135 - 0.02 * (0.6 - y)).abs() < 0.017)
    ropes |= (y >= 0.5) & (y <= 0.70) & (x.abs() < 0.017)
    colours = torch.where(basket, wicker, torch.where(ropes, _paint((0.25, 0.2, 0.18)), colours))
    mask = (envelope | basket | ropes).float()
    return avg_pool2d(colours.clamp(0, 1), fine), avg_pool2d(mask, fine)


def landscape(kind: int, height: int = 270, width: int = 360, seed: int = 0) -> Tensor:
    """Paint a landscape (1, 3, height, width): hills by day, sea at dusk, mountains at dawn."""
    generator = torch.Generator().manual_seed(1000 * seed + kind)
    return (_hills, _sea, _mountains)[kind % 3](height, width, generator).clamp(0, 1)


def _hills(height: int, width: int, generator: torch.Generator) -> Tensor:
    y, _ = _grid(height, width)
    picture = _gradient(y, (0.27, 0.56, 0.86), (0.80, 0.91, 0.97))
    clouds = _noise(height, width, 3, generator, stretch=2.2)
    cover = ((clouds - 0.52) * 4).clamp(0, 1) * (1.1 - y * 1.3).clamp(0, 1)
    picture = torch.lerp(picture, _paint((1.0, 1.0, 1.0)) * (1.12 - 0.25 * clouds), cover * 0.9)
    greens = ((0.55, 0.70, 0.62), (0.42, 0.62, 0.38), (0.30, 0.52, 0.24), (0.20, 0.42, 0.16))
    for row, green in enumerate(greens):
        ridge = 0.60 + 0.10 * row + 0.16 * (_ridge(width, 2 + row, 0.25, generator) - 0.5)
        ground = _paint(green) * (1.15 - 0.9 * (y - ridge).clamp(0, 0.35))
        picture = torch.lerp(picture, ground, ((y - ridge) * height + 0.5).clamp(0, 1))
    return picture


def _sea(height: int, width: int, generator: torch.Generator) -> Tensor:
    y, x = _grid(height, width)
    horizon, sun_x, sun_y = 0.66, 0.66, 0.55
    picture = _gradient(y / horizon, (0.22, 0.22, 0.46), (0.99, 0.62, 0.38))
    clouds = ((_noise(height, width, 3, generator, stretch=6) - 0.50) * 4).clamp(0, 1)
    picture = torch.lerp(picture, _paint((0.86, 0.42, 0.42)), clouds * (0.75 - y).clamp(0, 1))
    distance = ((x - sun_x) * width / height) ** 2 + (y - sun_y) ** 2
    picture = picture + _paint((1.0, 0.72, 0.36)) * 0.5 * torch.exp(-distance / 0.03)
    disc = ((0.075 - distance.sqrt()) * height).clamp(0, 1)
    picture = torch.lerp(picture, _paint((1.0, 0.95, 0.74)), disc)
    depth = ((y - horizon) / (1 - horizon)).clamp(0, 1)
    water = _gradient(depth, (0.72, 0.42, 0.42), (0.10, 0.14, 0.30))
    ripple = _noise(height, width, 24, generator, stretch=7)
    path = torch.exp(-(((x - sun_x) / (0.05 + 0.16 * depth)) ** 2))
    water = water * (0.8 + 0.4 * ripple)
    water = torch.lerp(water, _paint((1.0, 0.82, 0.52)), path * ((ripple - 0.42) * 6).clamp(0, 1))
    return torch.where(y > horizon, water, picture)


def _mountains(height: int, width: int, generator: torch.Generator) -> Tensor:
    y, _ = _grid(height, width)
    picture = _gradient(y * 2, (0.30, 0.52, 0.82), (1.0, 0.86, 0.72))
    near, far = _paint((0.11, 0.17, 0.27)), _paint((0.72, 0.68, 0.76))
    for row in range(5):
        ridge = 0.42 + 0.12 * row + 0.26 * (_ridge(width, 3, 0.52, generator) - 0.5)
        rock = torch.lerp(far, near, row / 4)
        haze = torch.lerp(rock, _paint((0.95, 0.84, 0.78)), (y - ridge).clamp(0, 0.3) * 1.6)
        picture = torch.lerp(picture, haze, ((y - ridge) * height + 0.5).clamp(0, 1))
    return picture


def _grid(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Pixel centres in (0, 1): y as a column and x as a row."""
    y = (torch.arange(height) + 0.5) / height
    return y.reshape(1, 1, -1, 1), ((torch.arange(width) + 0.5) / width).reshape(1, 1, 1, -1)


def _paint(colour: Colour) -> Tensor:
    return torch.tensor(colour).reshape(1, 3, 1, 1)


def _gradient(position: Tensor, top: Colour, bottom: Colour) -> Tensor:
    return torch.lerp(_paint(top), _paint(bottom), position.clamp(0, 1))


def _noise(
    height: int, width: int, cells: int, generator: torch.Generator, stretch: float
) -> Tensor:
    """Sum octaves of smooth noise, (1, 1, height, width), about 0 to 1, stretched sideways."""
    total, weight = torch.zeros(1, 1, height, width), 0.0
    for octave in range(4):
        rows = cells * 2**octave
        columns = max(2, round(rows * width / height / stretch))
        grid = torch.rand(1, 1, rows, columns, generator=generator)
        total += interpolate(grid, (height, width), mode="bicubic") * 0.5**octave
        weight += 0.5**octave
    return total / weight


def _ridge(width: int, cells: int, roughness: float, generator: torch.Generator) -> Tensor:
    """A skyline (1, 1, 1, width), about 0 to 1; roughness is the weight of each finer octave."""
    total, weight = torch.zeros(1, 1, width), 0.0
    for octave in range(6):
        points = torch.rand(1, 1, cells * 2**octave + 1, generator=generator)
        line = interpolate(points, width, mode="linear", align_corners=True)
        total += line * roughness**octave
        weight += roughness**octave
    return (total / weight).reshape(1, 1, 1, -1)
