"""Gradients of the images: adjoints of the two samples, gathered, so without atomics.

Each source pixel adds up the canvas pixels whose samples it contributes to. They lie in the
preimage of the square of side 2 around it, a parallelogram found through the inverse map: in each
of its canvas rows, one interval of columns (3 x 3 candidates at the identity), each weighted by the
forward's own coordinates. The order is the canvas's, so two runs agree to the bit. If the map is
singular, an axis falls back to the whole canvas, which is slow but right.
"""

from __future__ import annotations

import triton
import triton.language as tl

from compositor.triton.device import (
    by_rows,
    coordinates,
    coverage_corners,
    entry,
    lerp,
    load_map,
    pixels,
    rescale_slope,
)
from compositor.triton.forward import tile_of


@entry
def spread_kernel(
    d_alpha,  # (N, 1, H, W) contiguous
    mask,
    mask_strides,
    out,  # (N, 1, H + 2 RADIUS, W + 2 RADIUS) contiguous
    maps,
    constants,
    h,
    w,
    height,
    width,
    RADIUS: tl.constexpr,
    STRAIGHT: tl.constexpr,
    T: tl.constexpr,
    INDEX: tl.constexpr,
    MAP: tl.constexpr,
    TAPS: tl.constexpr,
    TILE_Y: tl.constexpr,
    TILE_X: tl.constexpr,
):
    """dL/dm: the blur's adjoint, beyond the canvas too, times ds/dm.

    Grid: (N x tiles of the canvas grown by RADIUS,).
    """
    grown_height, grown_width = height + 2 * RADIUS, width + 2 * RADIUS
    n, top, left = tile_of(grown_height, grown_width, TILE_Y, TILE_X, 0)
    i = (top + tl.arange(0, TILE_Y))[:, None]
    j = (left + tl.arange(0, TILE_X))[None, :]
    source = d_alpha + n * height * width
    total = tl.zeros((TILE_Y, TILE_X), T)
    for a in range(-RADIUS, RADIUS + 1):
        y = i - RADIUS + a
        across = tl.zeros((TILE_Y, TILE_X), T)
        for b in range(-RADIUS, RADIUS + 1):
            x = j - RADIUS + b
            on_canvas = (y >= 0) & (y < height) & (x >= 0) & (x < width)
            value = tl.load(source + (y.to(INDEX) * width + x), mask=on_canvas, other=0)
            across = tl.fma(value, tl.load(constants + TAPS + tl.abs(b)), across)
        total = tl.fma(across, tl.load(constants + TAPS + tl.abs(a)), total)
    if not STRAIGHT:
        map, finite = load_map(maps, n, MAP)
        u, v, x, y = coordinates(map, i - RADIUS, j - RADIUS, T)
        p00, p01, p10, p11, tx, ty = coverage_corners(
            mask, mask_strides, n, u, v, h, w, True, T, INDEX
        )
        m = lerp(lerp(p00, p01, tx), lerp(p10, p11, tx), ty)
        total *= rescale_slope(m, tl.load(constants), tl.load(constants + 1))
    at = out + n * grown_height * grown_width + (i.to(INDEX) * grown_width + j)
    tl.store(at, total, mask=(i < grown_height) & (j < grown_width))


@triton.jit
def nearer(centre, half, other_centre, other_half):
    """The shorter of two intervals that both contain every candidate."""
    shorter = other_half < half
    return tl.where(shorter, other_centre, centre), tl.where(shorter, other_half, half)


@triton.jit
def first_of(centre, half, below, beyond):
    """First integer of an interval, clamped to [below, beyond] before the cast."""
    first = tl.ceil(centre - half)
    first = tl.where(first > below, first, below)  # NaN too
    return tl.where(first < beyond, first, beyond).to(tl.int32)


@entry
def pull_kernel(
    field,  # (N, C, H + 2 GROW, W + 2 GROW) contiguous
    out,
    out_strides,
    maps,
    h,
    w,
    height,
    width,
    channels,
    RADIUS: tl.constexpr,
    CLAMPED: tl.constexpr,  # colours: a sample beyond the frame counts for its edge
    T: tl.constexpr,
    INDEX: tl.constexpr,
    MAP: tl.constexpr,
    CHANNELS: tl.constexpr,  # at once
    TILE_Y: tl.constexpr,
    TILE_X: tl.constexpr,
):
    """The adjoint of sampling an image (h, w) over the canvas, grown by RADIUS for the mask.

    Grid: (N x groups of CHANNELS x tiles of the image,).
    """
    GROW: tl.constexpr = 0 if CLAMPED else RADIUS
    group, top, left = tile_of(h, w, TILE_Y, TILE_X, 0)
    groups = tl.cdiv(channels, CHANNELS)
    n = group // groups
    c = ((group % groups) * CHANNELS + tl.arange(0, CHANNELS))[:, None, None]
    row = (top + tl.arange(0, TILE_Y))[:, None]
    column = (left + tl.arange(0, TILE_X))[None, :]
    map, finite = load_map(maps, n, MAP)
    au, bu, cu, av, bv, cv, centre_x, centre_y = map

    # The box around each pixel: 1 to each side, plus rounding; for colours at the frame's edge, as
    # far beyond it as the blur lets them show.
    half_x, half_y = centre_x + (GROW + 0.5), centre_y + (GROW + 0.5)
    span_u = tl.abs(au) * half_x + tl.abs(bu) * half_y
    span_v = tl.abs(av) * half_x + tl.abs(bv) * half_y
    u_high = 1.01 + 1e-6 * (span_u + tl.abs(cu) + w)
    v_high = 1.01 + 1e-6 * (span_v + tl.abs(cv) + h)
    u_low, v_low = -u_high, -v_high
    if CLAMPED:
        u_low -= tl.where(left == 0, RADIUS * (tl.abs(au) + tl.abs(bu)), 0)
        u_high += tl.where(left + TILE_X >= w, RADIUS * (tl.abs(au) + tl.abs(bu)), 0)
        v_low -= tl.where(top == 0, RADIUS * (tl.abs(av) + tl.abs(bv)), 0)
        v_high += tl.where(top + TILE_Y >= h, RADIUS * (tl.abs(av) + tl.abs(bv)), 0)
    meets = (left + u_low <= cu + span_u) & (left + TILE_X + u_high >= cu - span_u)
    meets &= (top + v_low <= cv + span_v) & (top + TILE_Y + v_high >= cv - span_v)
    near_u, near_v = (u_high - u_low) / 2, (v_high - v_low) / 2
    to_u = column + ((u_high + u_low) / 2 - cu)
    to_v = row + ((v_high + v_low) / 2 - cv)

    # Rows of the canvas, from the inverse map, or from one coordinate alone, or all of them; in
    # float64, since a nearly singular map cancels.
    D: tl.constexpr = tl.float64
    a, b, det = tl.abs(au.to(D)), tl.abs(av.to(D)), au.to(D) * bv.to(D) - bu.to(D) * av.to(D)
    inverse = 1 / det
    by_map = au * inverse * to_v.to(D) - av * inverse * to_u.to(D)
    middle, half = tl.zeros((TILE_Y, TILE_X), D), half_y.to(D)
    middle, half = nearer(middle, half, by_map, (b * near_u + a * near_v) * tl.abs(inverse))
    by_u = tl.broadcast_to(to_u.to(D) / bu, by_map.shape)
    middle, half = nearer(middle, half, by_u, (near_u + a * half_x) / tl.abs(bu.to(D)))
    by_v = tl.broadcast_to(to_v.to(D) / bv, by_map.shape)
    middle, half = nearer(middle, half, by_v, (near_v + b * half_x) / tl.abs(bv.to(D)))
    first_row = first_of(middle + centre_y, half, -GROW - 1, height + GROW)
    rows = tl.where(meets & finite, tl.floor(2 * half) + 1, 0).to(tl.int32)
    # Columns on a row, from u, or v, or all of them.
    reach_u, reach_v = near_u / tl.abs(au), near_v / tl.abs(av)
    reach = tl.minimum(half_x, tl.minimum(reach_u, reach_v))
    columns = (tl.floor(2 * reach) + 1).to(tl.int32)

    wide = width + 2 * GROW
    plane = (height + 2 * GROW).to(tl.int64) * wide
    source = field + (n * channels + c) * plane
    total = tl.zeros((CHANNELS, TILE_Y, TILE_X), T)
    for below in range(rows):
        i = first_row + below
        y = i.to(T) - centre_y
        x = tl.where(reach == reach_u, (to_u - bu * y) / au, tl.zeros((TILE_Y, TILE_X), T))
        x = tl.where(reach == reach_v, (to_v - bv * y) / av, x)
        first_column = first_of(x + centre_x, reach, -GROW - 1, width + GROW)
        on_canvas = (i >= -GROW) & (i < height + GROW)
        line = (i + GROW).to(INDEX) * wide + GROW
        for beyond in range(columns):
            j = first_column + beyond
            u, v, _x, _y = coordinates(map, i, j, T)
            if CLAMPED:
                u = tl.minimum(tl.maximum(tl.where(u == u, u, 0), 0), w - 1)
                v = tl.minimum(tl.maximum(tl.where(v == v, v, 0), 0), h - 1)
            weight_x, weight_y = 1 - tl.abs(u - column), 1 - tl.abs(v - row)
            shares = on_canvas & (j >= -GROW) & (j < width + GROW)
            shares &= (weight_x > 0) & (weight_y > 0)
            weight = tl.where(shares, weight_x * weight_y, 0)[None, :, :]
            shares = shares[None, :, :] & (c < channels)
            value = tl.load(source + by_rows(line, j)[None, :, :], mask=shares, other=0)
            total = tl.fma(weight, value, total)
    inside = ((row < h) & (column < w))[None, :, :] & (c < channels)
    at = out + n * out_strides[0] + c * out_strides[1]
    at += pixels(row.to(INDEX), column.to(INDEX), out_strides)[None, :, :]
    tl.store(at, tl.where(finite, total, float("nan")).to(out.dtype.element_ty), mask=inside)
