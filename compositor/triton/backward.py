"""Gradients, in one kernel that reads each input once and writes only the gradients requested.

theta moves alpha(p) through every sample within reach. Instead of spreading dL/dalpha to the
samples, which would need the images over a halo too, or a buffer, the samples' slopes are blurred
as s is: with q = p + k, x_q = x_p + k_x and g the taps,

    dL/dtheta = sum_p dL/dalpha(p) sum_k g(k) ds/d(u, v)(q) (x_q, y_q, 1)

so each slope is blurred three times, with g(k), k_x g(k) and k_y g(k): one pass over rows, two over
columns, with 2 RADIUS gathers each. Nothing the size of an image is allocated (except for blurs
wider than a halo, ``rows.py``). A program writes six sums; ``theta_kernel`` adds them up in order,
in float64. Where the mask is flat, as inside a binary one, slopes are 0 and are not blurred.

By the machine code for sm_90, a tile of 32 x 64, a radius of 3 and C = 3: 555 instructions a
sample, 754 a pixel of canvas, 484 of them where the mask is level. At an H100's issue rate that is
147 or 94 us for (64, 3, 300, 300), beside 77 us for 40 bytes a pixel. No GPU has run this yet.

The images' gradients are adjoints of samples: this kernel stores alpha G and dL/dalpha in buffers,
and ``adjoint.py`` gathers from them.
"""

from __future__ import annotations

import triton
import triton.language as tl

from compositor.triton.device import (
    blur_slope,
    blur_tile,
    coordinates,
    coverage,
    coverage_slopes,
    entry,
    frame_corners,
    lerp,
    load_map,
    misses_frame,
    pixels,
)
from compositor.triton.forward import tile_of


@triton.jit
def column_pass(rows, width, taps, inside, RADIUS: tl.constexpr):
    """Blur the columns of a row-blurred field in memory; ``rows`` points at the middle."""
    total = tl.load(rows, mask=inside, other=0) * tl.load(taps)
    moment = tl.zeros_like(total)
    for k in range(1, RADIUS + 1):
        tap = tl.load(taps + k)
        before = tl.load(rows - k * width, mask=inside, other=0)
        after = tl.load(rows + k * width, mask=inside, other=0)
        total = tl.fma(before + after, tap, total)
        moment = tl.fma(after - before, tap * k, moment)
    return total, moment


@triton.jit
def store_moments(at, direct, grad_alpha, slopes, x, y, inside):
    """Sums of d/du (or d/dv) against (x, y, 1)."""
    slope, slope_x, slope_y = slopes
    both = tl.where(inside, tl.fma(grad_alpha, slope, direct), 0)
    along_x = tl.where(inside, grad_alpha * slope_x, 0)
    along_y = tl.where(inside, grad_alpha * slope_y, 0)
    tl.store(at, tl.sum(tl.fma(both, x, along_x)))
    tl.store(at + 1, tl.sum(tl.fma(both, y, along_y)))
    tl.store(at + 2, tl.sum(both))


@entry
def backward_kernel(
    grad_composite,
    grad_composite_strides,
    grad_alpha,  # or None
    grad_alpha_strides,
    foreground,
    foreground_strides,
    mask,
    mask_strides,
    background,
    background_strides,
    d_background,  # None if not requested, like the outputs below
    d_background_strides,
    colour_weight,  # alpha G, (N, C, H, W) contiguous
    d_alpha,  # dL/dalpha, (N, 1, H, W) contiguous
    partial,  # (programs, 6)
    maps,
    constants,
    blurred_rows,  # (N, 5, H + 2 RADIUS, W) from rows.py, or None: blur inside the tile
    h,
    w,
    height,
    width,
    channels,
    RADIUS: tl.constexpr,
    STRAIGHT: tl.constexpr,
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
    grad_composite += n * grad_composite_strides[0]
    g_at = pixels(ii, jj, grad_composite_strides)
    pixel = ii * width + jj
    plane = height.to(tl.int64) * width
    if d_background is not None:
        d_background += n * d_background_strides[0]
        out_at = pixels(ii, jj, d_background_strides)
    if colour_weight is not None:
        colour_weight += n * channels * plane
    if d_alpha is not None:
        d_alpha += n * plane
    if partial is not None:
        sums = partial + tl.program_id(0).to(tl.int64) * 6

    map, finite = load_map(maps, n, MAP)
    reach: tl.constexpr = RADIUS - HALO
    x = left + 0.5 * (TILE_X - 1) - map[6]
    y = top + 0.5 * (TILE_Y - 1) - map[7]
    half_x, half_y = 0.5 * (TILE_X - 1) + reach, 0.5 * (TILE_Y - 1) + reach
    if finite & misses_frame(map, x, y, half_x, half_y, h, w):
        zero = tl.zeros((TILE_Y, TILE_X), T)
        for _ in range(channels):
            if d_background is not None:
                g = tl.load(grad_composite + g_at, mask=inside)
                tl.store(d_background + out_at, g, mask=inside)
                d_background += d_background_strides[1]
                grad_composite += grad_composite_strides[1]
            if colour_weight is not None:
                tl.store(colour_weight + pixel, zero, mask=inside)
                colour_weight += plane
        if d_alpha is not None:
            tl.store(d_alpha + pixel, zero, mask=inside)
        if partial is not None:
            tl.store(sums + tl.arange(0, 8), tl.zeros((8,), T), mask=tl.arange(0, 8) < 6)
        return

    u, v, x, y = coordinates(map, i, j, T)
    taps = constants + TAPS
    floor, scale = tl.load(constants), tl.load(constants + 1)
    if blurred_rows is None:
        if partial is not None:
            s, slope_u, slope_v = coverage_slopes(
                mask, mask_strides, n, u, v, h, w, floor, scale, STRAIGHT, MASKED, T, INDEX
            )
        else:
            s = coverage(mask, mask_strides, n, u, v, h, w, floor, scale, MASKED, T, INDEX)
        alpha = blur_tile(s, taps, RADIUS)
    else:
        field = (height + 2 * RADIUS).to(tl.int64) * width
        middle = blurred_rows + n * (1 if partial is None else 5) * field
        middle += (ii + RADIUS) * width + jj
        alpha, moment = column_pass(middle, width, taps, inside, RADIUS)

    # colour: f, the gradient of its sample, and dL/dalpha
    COLOUR: tl.constexpr = (partial is not None) or (d_alpha is not None)
    visible = alpha != 0
    to_alpha = tl.zeros((TILE_Y, TILE_X), T)
    if grad_alpha is not None:
        grad_alpha += n * grad_alpha_strides[0]
        at = pixels(ii, jj, grad_alpha_strides)
        to_alpha += tl.load(grad_alpha + at, mask=inside, other=0).to(T)
    to_u, to_v = tl.zeros_like(to_alpha), tl.zeros_like(to_alpha)
    p00, p01, p10, p11, tx, ty = frame_corners(u, v, h, w, foreground_strides, INDEX)
    foreground += n * foreground_strides[0]
    background += n * background_strides[0]
    b_at = pixels(ii, jj, background_strides)
    for _ in range(channels):
        g = tl.load(grad_composite + g_at, mask=inside, other=0).to(T)
        grad_composite += grad_composite_strides[1]
        if d_background is not None:
            to_background = tl.where(finite, (1 - alpha) * g, float("nan"))
            to_background = to_background.to(d_background.dtype.element_ty)
            tl.store(d_background + out_at, to_background, mask=inside)
            d_background += d_background_strides[1]
        shown = tl.where(visible, alpha * g, 0)
        if colour_weight is not None:
            tl.store(colour_weight + pixel, shown, mask=inside)
            colour_weight += plane
        if COLOUR:
            f00 = tl.load(foreground + p00, mask=inside, other=0).to(T)
            f01 = tl.load(foreground + p01, mask=inside, other=0).to(T)
            f10 = tl.load(foreground + p10, mask=inside, other=0).to(T)
            f11 = tl.load(foreground + p11, mask=inside, other=0).to(T)
            b = tl.load(background + b_at, mask=inside, other=0).to(T)
            f = lerp(lerp(f00, f01, tx), lerp(f10, f11, tx), ty)
            # Where alpha is 0 the colour may be anything; 0 * inf must not reach theta.
            known = visible | (tl.abs(f) < float("inf"))
            to_alpha = tl.fma(g, tl.where(known, f - b, 0), to_alpha)
            if partial is not None:
                along_x = lerp(f01 - f00, f11 - f10, ty)
                along_y = lerp(f10 - f00, f11 - f01, tx)
                to_u += tl.where(visible, shown * along_x, 0)
                to_v += tl.where(visible, shown * along_y, 0)
            foreground += foreground_strides[1]
            background += background_strides[1]
    if d_alpha is not None:
        tl.store(d_alpha + pixel, to_alpha, mask=inside)
    if partial is not None:
        # Beyond the frame the colour is the edge's and does not move.
        to_u = tl.where((u >= 0) & (u <= w - 1), to_u, 0)
        to_v = tl.where((v >= 0) & (v <= h - 1), to_v, 0)
        along_u = (tl.zeros_like(to_u), tl.zeros_like(to_u), tl.zeros_like(to_u))
        along_v = along_u
        if blurred_rows is None:
            # Where the mask is flat, as inside a binary one, nothing moves.
            if tl.max(((slope_u != 0) | (slope_v != 0)).to(tl.int32)) != 0:
                along_u = blur_slope(slope_u, taps, RADIUS)
                along_v = blur_slope(slope_v, taps, RADIUS)
        else:
            slope, slope_y = column_pass(middle + field, width, taps, inside, RADIUS)
            slope_x, moment = column_pass(middle + 2 * field, width, taps, inside, RADIUS)
            along_u = (slope, slope_x, slope_y)
            slope, slope_y = column_pass(middle + 3 * field, width, taps, inside, RADIUS)
            slope_x, moment = column_pass(middle + 4 * field, width, taps, inside, RADIUS)
            along_v = (slope, slope_x, slope_y)
        store_moments(sums, to_u, to_alpha, along_u, x, y, inside)
        store_moments(sums + 3, to_v, to_alpha, along_v, x, y, inside)


@entry
def theta_kernel(
    partial,
    d_theta,
    d_theta_strides,
    maps,
    h,
    w,
    height,
    width,
    tiles,
    MAP: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """An image's sums over its tiles, in order, times d(u, v)/dtheta. Grid: (N,)."""
    n = tl.program_id(0).to(tl.int64)
    part = tl.arange(0, 8)
    total = tl.zeros((8,), tl.float64)
    for first in range(0, tiles, BLOCK):
        tile = first + tl.arange(0, BLOCK)
        at = partial + (n * tiles + tile[:, None]) * 6 + part[None, :]
        some = tl.load(at, mask=(tile[:, None] < tiles) & (part[None, :] < 6), other=0)
        total += tl.sum(some.to(tl.float64), 0)
    row, column = part // 3, part % 3
    extent = tl.where(column == 0, width, tl.where(column == 1, height, 2)).to(tl.float64)
    total *= tl.where(row == 0, w, h).to(tl.float64) / extent
    total = tl.where(tl.load(maps + n * MAP + 8) != 0, total, float("nan"))
    out = d_theta + n * d_theta_strides[0] + row * d_theta_strides[1] + column * d_theta_strides[2]
    tl.store(out, total.to(d_theta.dtype.element_ty), mask=part < 6)
