"""The composite, in one kernel that reads each input once.

A program makes one tile of the canvas. It samples the mask over the tile and a halo of ``RADIUS``,
blurs that along rows and columns within the tile (``tl.gather``, which compiles to shuffles), and
blends. For C = 3 in float32 that moves 40 bytes per pixel, 28 where alpha is 1 and the background
is not read, 24 where alpha is 0 and the foreground is not read. A tile whose samples all miss the
frame is a copy, and one whose mask is all ones or all zeros is not blurred.

By the machine code for sm_90, a tile of 32 x 64 and a radius of 3: 279 instructions a sample, 49
of them the blur; 379 a pixel of canvas, 313 where nothing is to blur. An H100 issues 132 x 128
a cycle at 1.75 GHz: 74 or 61 us for (64, 3, 300, 300), beside 77 us for 40 bytes at 3 TB/s. No GPU
has run this yet. Registers decide how many programs are in flight, hence what is tuned.

Blurs that were considered: products with banded matrices take 156 multiply-adds per pixel in
float32 (tensor cores round to 10 bits, so alpha 1 would not be exact), and a NaN in the mask would
fill its tile; (2 RADIUS + 1)^2 samples per pixel take 49 times 100 instructions; s in a buffer
costs 8 to 16 more bytes per pixel, and the buffer.

A halo takes up part of a tile, so beyond ``tuning.LARGEST_HALO`` a separate kernel samples and
blurs the rows (``rows.py``), and this one blurs the columns of its result.
"""

from __future__ import annotations

import triton
import triton.language as tl

from compositor.triton.device import (
    blur_tile,
    coordinates,
    coverage,
    entry,
    frame_corners,
    lerp,
    load_map,
    misses_frame,
    pixels,
)


@triton.jit
def tile_of(height, width, TILE_Y: tl.constexpr, TILE_X: tl.constexpr, HALO: tl.constexpr):
    """Image, first row and first column (halo included) of this program's tile."""
    across = tl.cdiv(width, TILE_X - 2 * HALO)
    down = tl.cdiv(height, TILE_Y - 2 * HALO)
    tile = tl.program_id(0)
    n = tile // (across * down)
    tile -= n * (across * down)
    row, column = tile // across, tile % across
    return n.to(tl.int64), row * (TILE_Y - 2 * HALO) - HALO, column * (TILE_X - 2 * HALO) - HALO


@entry
def forward_kernel(
    foreground,
    foreground_strides,
    mask,
    mask_strides,
    background,
    background_strides,
    composite,
    composite_strides,
    alpha_out,  # (N, 1, H, W) contiguous, or None
    maps,
    constants,
    blurred_rows,  # (N, 1, H + 2 RADIUS, W) from rows.py, or None: blur inside the tile
    h,
    w,
    height,
    width,
    channels,
    RADIUS: tl.constexpr,
    MASKED: tl.constexpr,
    T: tl.constexpr,
    INDEX: tl.constexpr,
    MAP: tl.constexpr,
    TAPS: tl.constexpr,
    TILE_Y: tl.constexpr,
    TILE_X: tl.constexpr,
):
    """Grid: (N x tiles of TILE - 2 HALO pixels,)."""
    HALO: tl.constexpr = RADIUS if blurred_rows is None else 0
    n, top, left = tile_of(height, width, TILE_Y, TILE_X, HALO)
    i = (top + tl.arange(0, TILE_Y))[:, None]
    j = (left + tl.arange(0, TILE_X))[None, :]
    inside = (i >= tl.maximum(top + HALO, 0)) & (i < tl.minimum(top + TILE_Y - HALO, height))
    inside &= (j >= tl.maximum(left + HALO, 0)) & (j < tl.minimum(left + TILE_X - HALO, width))
    ii, jj = i.to(INDEX), j.to(INDEX)
    # Scalar bases and 32-bit offsets: a tile of pointers would take twice the registers.
    background += n * background_strides[0]
    b_at = pixels(ii, jj, background_strides)
    composite += n * composite_strides[0]
    out_at = pixels(ii, jj, composite_strides)
    if alpha_out is not None:
        alpha_out += n * height * width

    map, finite = load_map(maps, n, MAP)
    reach: tl.constexpr = RADIUS - HALO  # what a tile needs beyond its own samples
    x = left + 0.5 * (TILE_X - 1) - map[6]
    y = top + 0.5 * (TILE_Y - 1) - map[7]
    half_x, half_y = 0.5 * (TILE_X - 1) + reach, 0.5 * (TILE_Y - 1) + reach
    if finite & misses_frame(map, x, y, half_x, half_y, h, w):
        for _ in range(channels):
            b = tl.load(background + b_at, mask=inside)
            tl.store(composite + out_at, b, mask=inside)
            background += background_strides[1]
            composite += composite_strides[1]
        if alpha_out is not None:
            tl.store(alpha_out + (ii * width + jj), tl.zeros((TILE_Y, TILE_X), T), mask=inside)
        return

    u, v, x, y = coordinates(map, i, j, T)
    taps = constants + TAPS
    if blurred_rows is None:
        s = coverage(
            mask, mask_strides, n, u, v, h, w, tl.load(constants), tl.load(constants + 1),
            MASKED, T, INDEX,
        )  # fmt: skip
        alpha = blur_tile(s, taps, RADIUS)
    else:
        middle = blurred_rows + n * (height + 2 * RADIUS) * width + ((ii + RADIUS) * width + jj)
        alpha = tl.load(middle, mask=inside, other=0) * tl.load(taps)
        for k in range(1, RADIUS + 1):
            before = tl.load(middle - k * width, mask=inside, other=0)
            after = tl.load(middle + k * width, mask=inside, other=0)
            alpha = tl.fma(before + after, tl.load(taps + k), alpha)
    alpha = tl.where(finite, alpha, float("nan"))  # and so the composite
    if alpha_out is not None:
        tl.store(alpha_out + (ii * width + jj), alpha, mask=inside)

    p00, p01, p10, p11, tx, ty = frame_corners(u, v, h, w, foreground_strides, INDEX)
    foreground += n * foreground_strides[0]
    shown, through = inside & (alpha != 0), inside & (alpha != 1)
    for _ in range(channels):
        f00 = tl.load(foreground + p00, mask=shown, other=0).to(T)
        f01 = tl.load(foreground + p01, mask=shown, other=0).to(T)
        f10 = tl.load(foreground + p10, mask=shown, other=0).to(T)
        f11 = tl.load(foreground + p11, mask=shown, other=0).to(T)
        b = tl.load(background + b_at, mask=through, other=0)
        f = lerp(lerp(f00, f01, tx), lerp(f10, f11, tx), ty)
        blend = tl.fma(alpha, f, (1 - alpha) * b.to(T)).to(b.dtype)
        blend = tl.where(alpha == 0, b, blend)  # the stored bits, a NaN's included
        tl.store(composite + out_at, blend, mask=inside)
        foreground += foreground_strides[1]
        background += background_strides[1]
        composite += composite_strides[1]
