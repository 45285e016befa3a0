"""Shared by the kernels on the device: an image's map, samples of its mask, the blur.

The computation follows the reference (``compositor.ops.reference``) in its order of operations:
coordinates about the two centres, nested lerps, pairs of taps from the inside out. ``T`` is the
computation type, ``INDEX`` the type of offsets within a plane (32 bits if they fit). Multiply-adds
are written out and the compiler may form no others, so that the interpreter computes what a GPU
does, and a kernel compiled for other strides or sizes gives the same bits.
"""

from __future__ import annotations

import functools

import triton
import triton.language as tl

# No size, not even 1, triggers a recompilation.
entry = functools.partial(
    triton.jit, do_not_specialize=["h", "w", "height", "width", "channels", "tiles"]
)

MAP = 12  # numbers a map takes in memory: au bu cu av bv cv, centre x and y, finite, 3 unused
TAPS = 2  # where the taps begin, after the threshold and 1 - threshold


@entry
def plan_kernel(
    theta,
    theta_strides,
    maps,
    constants,
    h,
    w,
    height,
    width,
    threshold: tl.float64,
    sigma: tl.float64,
    DIGITS: tl.constexpr,
    RADIUS: tl.constexpr,
    BLOCK: tl.constexpr,
    MAP: tl.constexpr,
    TAPS: tl.constexpr,
):
    """Maps, composed in float64 and rounded once, and the taps; on the device, so nothing waits.

    Grid: (N,). ``maps`` (N, MAP) and ``constants`` (TAPS + RADIUS + 1) are of the computation type.
    """
    n = tl.program_id(0).to(tl.int64)
    zero = tl.zeros((1,), tl.float64)  # adding it turns an untyped number into float64
    h, w, height, width = h + zero, w + zero, height + zero, width + zero
    row = theta + n * theta_strides[0]
    at = tl.arange(0, 1)
    t00 = tl.load(row + at).to(tl.float64)
    t01 = tl.load(row + theta_strides[2] + at).to(tl.float64)
    t02 = tl.load(row + 2 * theta_strides[2] + at).to(tl.float64)
    row += theta_strides[1]
    t10 = tl.load(row + at).to(tl.float64)
    t11 = tl.load(row + theta_strides[2] + at).to(tl.float64)
    t12 = tl.load(row + 2 * theta_strides[2] + at).to(tl.float64)
    out = maps + n * MAP + at
    tl.store(out, t00 * w / width)
    tl.store(out + 1, t01 * w / height)
    tl.store(out + 2, t02 * w / 2 + (w - 1) / 2)
    tl.store(out + 3, t10 * h / width)
    tl.store(out + 4, t11 * h / height)
    tl.store(out + 5, t12 * h / 2 + (h - 1) / 2)
    tl.store(out + 6, (width - 1) / 2)
    tl.store(out + 7, (height - 1) / 2)
    # x - x is 0 for the finite, NaN for the rest
    finite = (t00 - t00) + (t01 - t01) + (t02 - t02) + (t10 - t10) + (t11 - t11) + (t12 - t12)
    tl.store(out + 8, tl.where(finite == 0, 1.0, 0.0))
    if n == 0:
        # The outer taps are multiples of half an ulp of 1 and the centre takes the rest: partial
        # sums are exact, so alpha is exactly 1 well inside the object.
        rounded = (threshold + zero).to(constants.dtype.element_ty)
        tl.store(constants + at, rounded)
        tl.store(constants + 1 + at, 1 - rounded)
        k = tl.arange(0, BLOCK)
        z = k / tl.where(sigma + zero > 0, sigma + zero, 1)
        weight = tl.where(k == 0, 1.0, tl.where(sigma + zero > 0, tl.exp(-0.5 * z * z), 0.0))
        weight = tl.where(k <= RADIUS, weight, 0.0)
        total = 2 * tl.sum(weight) - 1
        grid = zero + 2.0**DIGITS
        outer = tl.where(k > 0, tl.floor(weight / total * grid + 0.5) / grid, 0.0)
        tap = tl.where(k == 0, 1 - 2 * tl.sum(outer), outer)
        tl.store(constants + TAPS + k, tap, mask=k <= RADIUS)


@triton.jit
def load_map(maps, n, MAP: tl.constexpr):
    """Image n's map, (au, bu, cu, av, bv, cv, centre x, centre y), and whether it is finite."""
    p = maps + n * MAP
    return (
        tl.load(p),
        tl.load(p + 1),
        tl.load(p + 2),
        tl.load(p + 3),
        tl.load(p + 4),
        tl.load(p + 5),
        tl.load(p + 6),
        tl.load(p + 7),
    ), tl.load(p + 8) != 0


@triton.jit
def misses_frame(map, x, y, half_x, half_y, h, w):
    """Whether no sample of a rectangle of canvas, given by centre and half size, touches the frame.

    Errs towards False, which it also returns if the map holds NaN or overflows.
    """
    au, bu, cu, av, bv, cv, _, _ = map
    u, reach_u = au * x + (bu * y + cu), tl.abs(au) * half_x + tl.abs(bu) * half_y
    v, reach_v = av * x + (bv * y + cv), tl.abs(av) * half_x + tl.abs(bv) * half_y
    # A coordinate's rounding is below 4 ulp of the largest of its terms.
    reach_u += 0.01 + 1e-6 * (tl.abs(au * x) + tl.abs(bu * y) + tl.abs(cu) + reach_u)
    reach_v += 0.01 + 1e-6 * (tl.abs(av * x) + tl.abs(bv * y) + tl.abs(cv) + reach_v)
    beside = (u + reach_u < -1) | (u - reach_u > w)
    return beside | (v + reach_v < -1) | (v - reach_v > h)


@triton.jit
def coordinates(map, i, j, T: tl.constexpr):
    """(u, v) and the centred (x, y) of canvas pixels: rows i (.., 1) and columns j (1, ..)."""
    au, bu, cu, av, bv, cv, centre_x, centre_y = map
    x = j.to(T) - centre_x
    y = i.to(T) - centre_y
    return tl.fma(x, au, tl.fma(y, bu, cu)), tl.fma(x, av, tl.fma(y, bv, cv)), x, y


@triton.jit
def lerp(p, q, t):
    """Interpolate linearly: a constant stays as it is, and a q of weight 0 does not count."""
    return tl.where(t == 0, p, tl.fma(q - p, t, p))


@triton.jit
def by_rows(down, across):
    """Offsets (rows, columns), as a sum, that are read and written along rows.

    Triton lays out an access along the axis in which it knows offsets to be contiguous. If it knows
    of none, version 3.6 takes columns, and a warp touches 32 rows; so this declares pairs to be
    contiguous. That need not be true: only if a multiple were declared too would Triton load both
    of a pair as one.
    """
    return tl.multiple_of(tl.max_contiguous(down + across, [1, 2]), [1, 1])


@triton.jit
def pixels(i, j, strides):
    """Offsets of canvas pixels in a plane: rows i (.., 1) and columns j (1, ..)."""
    down, across = i * strides[2], j * strides[3]
    if isinstance(strides[3], tl.tensor):
        return by_rows(down, across)
    else:  # a constant, 1, of which Triton knows enough
        return down + across


@triton.jit
def coverage_corners(
    mask, strides, n, u, v, h, w, MASKED: tl.constexpr, T: tl.constexpr, INDEX: tl.constexpr
):
    """Corners of the mask around (u, v), zero outside the frame, and the position between them."""
    # NaN takes the safe branch, before any cast to an integer.
    touches = (u >= -1) & (u < w) & (v >= -1) & (v < h)
    u = tl.where(touches, u, 0)
    v = tl.where(touches, v, 0)
    x0, y0 = tl.floor(u), tl.floor(v)
    tx, ty = u - x0, v - y0
    x, y = x0.to(tl.int32), y0.to(tl.int32)
    left, right = touches & (x >= 0), touches & (x + 1 < w)
    above, below = y >= 0, y + 1 < h
    if MASKED:
        at = by_rows(y.to(INDEX) * strides[2], x.to(INDEX) * strides[3])
        p = mask + n * strides[0] + at
        p00 = tl.load(p, mask=left & above, other=0).to(T)
        p01 = tl.load(p + strides[3], mask=right & above, other=0).to(T)
        p += strides[2]
        p10 = tl.load(p, mask=left & below, other=0).to(T)
        p11 = tl.load(p + strides[3], mask=right & below, other=0).to(T)
    else:
        p00, p01 = (left & above).to(T), (right & above).to(T)
        p10, p11 = (left & below).to(T), (right & below).to(T)
    return p00, p01, p10, p11, tx, ty


@triton.jit
def rescale(m, floor, scale):
    """The mask above the threshold, at most 1; NaN stays NaN."""
    # Multiplying by the reciprocal takes a fifth of a division's instructions but is inexact at 1,
    # where s must be exactly 1; a resized mask overshoots 1 by an ulp.
    s = tl.where(m >= 1, 1, (m - floor) * (1 / scale))
    return tl.where(m <= floor, 0, s)


@triton.jit
def rescale_slope(m, floor, scale):
    """The exact ds/dm."""
    return tl.where((m > floor) & (m <= 1), 1 / scale, 0)


@triton.jit
def coverage(
    mask, strides, n, u, v, h, w, floor, scale,
    MASKED: tl.constexpr, T: tl.constexpr, INDEX: tl.constexpr,
):  # fmt: skip
    """The rescaled mask s at (u, v)."""
    p00, p01, p10, p11, tx, ty = coverage_corners(mask, strides, n, u, v, h, w, MASKED, T, INDEX)
    return rescale(lerp(lerp(p00, p01, tx), lerp(p10, p11, tx), ty), floor, scale)


@triton.jit
def coverage_slopes(
    mask, strides, n, u, v, h, w, floor, scale,
    STRAIGHT: tl.constexpr, MASKED: tl.constexpr, T: tl.constexpr, INDEX: tl.constexpr,
):  # fmt: skip
    """s at (u, v) and its derivatives (ds/du, ds/dv)."""
    p00, p01, p10, p11, tx, ty = coverage_corners(mask, strides, n, u, v, h, w, MASKED, T, INDEX)
    m = lerp(lerp(p00, p01, tx), lerp(p10, p11, tx), ty)
    along_x = lerp(p01 - p00, p11 - p10, ty)
    along_y = lerp(p10 - p00, p11 - p01, tx)
    if not STRAIGHT:
        gain = rescale_slope(m, floor, scale)
        along_x *= gain
        along_y *= gain
    return rescale(m, floor, scale), along_x, along_y


@triton.jit
def frame_corners(u, v, h, w, strides, INDEX: tl.constexpr):
    """Offsets of the four colours around (u, v), clamped to the frame, and the position between."""
    u = tl.minimum(tl.maximum(tl.where(u == u, u, 0), 0), w - 1)
    v = tl.minimum(tl.maximum(tl.where(v == v, v, 0), 0), h - 1)
    x0, y0 = tl.floor(u), tl.floor(v)
    tx, ty = u - x0, v - y0
    x, y = x0.to(tl.int32), y0.to(tl.int32)
    left = x.to(INDEX) * strides[3]
    right = tl.minimum(x + 1, w - 1).to(INDEX) * strides[3]
    above = y.to(INDEX) * strides[2]
    below = tl.minimum(y + 1, h - 1).to(INDEX) * strides[2]
    p00, p01 = by_rows(above, left), by_rows(above, right)
    p10, p11 = by_rows(below, left), by_rows(below, right)
    return p00, p01, p10, p11, tx, ty


@triton.jit
def shifted(field, by, AXIS: tl.constexpr):
    """``field[.., i + by, ..]`` along an axis of a tile; values from beyond it are arbitrary."""
    size: tl.constexpr = field.shape[AXIS]
    line = tl.minimum(tl.maximum(tl.arange(0, size) + by, 0), size - 1)
    line = tl.expand_dims(line, 1 - AXIS)
    return tl.gather(field, tl.broadcast_to(line, field.shape), AXIS)


@triton.jit
def blur(field, taps, RADIUS: tl.constexpr, AXIS: tl.constexpr):
    """One pass of the blur over a tile, from the centre outwards."""
    total = field * tl.load(taps)
    for k in tl.range(1, RADIUS + 1):
        total = tl.fma(shifted(field, -k, AXIS) + shifted(field, k, AXIS), tl.load(taps + k), total)
    return total


@triton.jit
def blur_moment(field, taps, RADIUS: tl.constexpr, AXIS: tl.constexpr):
    """The blur along an axis, and the same with each tap multiplied by its offset."""
    even = field * tl.load(taps)
    odd = tl.zeros_like(field)
    for k in tl.range(1, RADIUS + 1):
        tap = tl.load(taps + k)
        before, after = shifted(field, -k, AXIS), shifted(field, k, AXIS)
        even = tl.fma(before + after, tap, even)
        odd = tl.fma(after - before, tap * k, odd)
    return even, odd


@triton.jit
def blur_tile(s, taps, RADIUS: tl.constexpr):
    """Blur rows, then columns. All ones or all zeros stay so to the bit and need no blur."""
    ones = tl.min((s == 1).to(tl.int32)) == 1
    zeros = tl.max((s != 0).to(tl.int32)) == 0
    if not (ones | zeros):
        s = blur(blur(s, taps, RADIUS, 1), taps, RADIUS, 0)
    return s


@triton.jit
def blur_slope(slope, taps, RADIUS: tl.constexpr):
    """A slope blurred with g(k), with k_x g(k) and with k_y g(k)."""
    even, odd = blur_moment(slope, taps, RADIUS, 1)
    total, along_y = blur_moment(even, taps, RADIUS, 0)
    return total, blur(odd, taps, RADIUS, 0), along_y
