"""Blurs too wide for a tile's halo: samples and blurs the rows at once, into a buffer.

This takes 2 RADIUS + 1 samples per pixel, some 40 instructions each, and writes and reads back 8
bytes per pixel and field. The kernels of forward.py and backward.py then blur the columns.
"""

from __future__ import annotations

import triton.language as tl

from compositor.triton.device import coordinates, coverage, coverage_slopes, entry, load_map
from compositor.triton.forward import tile_of


@entry
def rows_kernel(
    mask,
    mask_strides,
    out,  # (N, 5 if SLOPES else 1, H + 2 RADIUS, W) contiguous
    maps,
    constants,
    h,
    w,
    height,
    width,
    RADIUS: tl.constexpr,
    SLOPES: tl.constexpr,
    STRAIGHT: tl.constexpr,
    MASKED: tl.constexpr,
    T: tl.constexpr,
    INDEX: tl.constexpr,
    MAP: tl.constexpr,
    TAPS: tl.constexpr,
    TILE_Y: tl.constexpr,
    TILE_X: tl.constexpr,
):
    """Row sums of s and, for SLOPES, of ds/du and ds/dv, those also with each tap times its offset.

    Grid: (N x tiles of the canvas grown by RADIUS above and below,).
    """
    grown = height + 2 * RADIUS
    n, top, left = tile_of(grown, width, TILE_Y, TILE_X, 0)
    i = (top + tl.arange(0, TILE_Y))[:, None]
    j = (left + tl.arange(0, TILE_X))[None, :]
    map, finite = load_map(maps, n, MAP)
    floor, scale = tl.load(constants), tl.load(constants + 1)
    total = tl.zeros((TILE_Y, TILE_X), T)
    if SLOPES:
        even_u, odd_u = tl.zeros_like(total), tl.zeros_like(total)
        even_v, odd_v = tl.zeros_like(total), tl.zeros_like(total)
    for k in range(-RADIUS, RADIUS + 1):
        tap = tl.load(constants + TAPS + tl.abs(k))
        u, v, x, y = coordinates(map, i - RADIUS, j + k, T)
        if SLOPES:
            s, du, dv = coverage_slopes(
                mask, mask_strides, n, u, v, h, w, floor, scale, STRAIGHT, MASKED, T, INDEX
            )
            even_u = tl.fma(du, tap, even_u)
            odd_u = tl.fma(du, tap * k, odd_u)
            even_v = tl.fma(dv, tap, even_v)
            odd_v = tl.fma(dv, tap * k, odd_v)
        else:
            s = coverage(mask, mask_strides, n, u, v, h, w, floor, scale, MASKED, T, INDEX)
        total = tl.fma(s, tap, total)
    inside = (i < grown) & (j < width)
    field = grown.to(tl.int64) * width
    at = out + n * (5 if SLOPES else 1) * field + (i.to(INDEX) * width + j)
    tl.store(at, total, mask=inside)
    if SLOPES:
        tl.store(at + field, even_u, mask=inside)
        tl.store(at + 2 * field, odd_u, mask=inside)
        tl.store(at + 3 * field, even_v, mask=inside)
        tl.store(at + 4 * field, odd_v, mask=inside)
