"""Outlines of masks, along the edges of their pixels: filling one gives the mask back exactly."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from compositor.data.images import box_of

Points = NDArray[np.int64]
"""A closed outline: its corners (n, 2), (x, y) in pixels, the first not repeated at the end."""


def outlines(mask: NDArray[np.bool_]) -> list[Points]:
    """Outline a mask's parts, whose pixels are joined by their sides.

    A part's holes belong to its outline, each joined to it by a bridge of no width that runs there
    and back inside the part. Parts run clockwise and holes the other way, so that both ways to
    fill a polygon, even-odd and nonzero, leave the holes empty.

    Args:
        mask: (H, W).

    Returns:
        An outline a part, in the order of their first pixels by rows; none for an empty mask.
    """
    if not mask.any():
        return []
    x1, y1, x2, y2 = box_of(mask)
    mask = mask[y1:y2, x1:x2]  # objects are small in their pictures
    points, flat, steep = _corners(mask)
    following, parts, holes = _rings(mask, points, flat, steep)
    if holes:
        points, following = _bridged(mask, points, following, flat, steep, holes)
    return [_tidy(points[_walk(following, first)]) + (x1, y1) for first in parts]


def joined(parts: Sequence[Points]) -> Points:
    """Join outlines into one by bridges of no width, each from the nearest point of those before.

    Args:
        parts: At least one.
    """
    whole = parts[0]
    for part in parts[1:]:
        distances, nearest = KDTree(whole).query(part)
        there = int(distances.argmin())
        here, around = int(nearest[there]), np.roll(part, -there, 0)
        whole = np.concatenate((whole[: here + 1], around, around[:1], whole[here:]))
    return whole


def _corners(mask: NDArray[np.bool_]) -> tuple[Points, NDArray[np.int64], NDArray[np.int64]]:
    """Find the corners, sorted by rows, and their partners along their flat and steep edges.

    Where two pixels touch only by their corners, two corners share a place: the first has the edge
    to the left, the second that to the right.
    """
    padded = np.pad(mask, 1).astype(np.int8)
    upper_left, upper_right = padded[:-1, :-1], padded[:-1, 1:]
    lower_left, lower_right = padded[1:, :-1], padded[1:, 1:]
    count = upper_left + upper_right + lower_left + lower_right
    pinched = (count == 2) & (upper_left == lower_right)
    number = count % 2 + 2 * pinched
    rows, columns = np.nonzero(number)
    repeats = number[rows, columns]
    # The pixel at upper left has the edges to the left and up, that at lower left to the left and
    # down: so in its column, the first corner is the upper one or the lower one.
    swapped = pinched & (lower_left == 1)
    turned = np.repeat(swapped[rows, columns], repeats)
    y, x = np.repeat(rows, repeats), np.repeat(columns, repeats)
    place = np.arange(len(x))
    second = place - np.repeat(np.cumsum(repeats) - repeats, repeats)
    by_columns = np.lexsort((second ^ turned, y, x))
    steep = np.empty_like(place)
    steep[by_columns] = by_columns[place ^ 1]
    return np.stack((x, y), 1), place ^ 1, steep


def _rings(
    mask: NDArray[np.bool_], points: Points, flat: NDArray[np.int64], steep: NDArray[np.int64]
) -> tuple[list[int], list[int], list[int]]:
    """Every corner's follower, with the mask on the right, and each part's and hole's first one."""
    partners = flat.tolist(), steep.tolist()
    following = [-1] * len(points)
    parts: list[int] = []
    holes: list[int] = []
    for first, (x, y) in enumerate(points.tolist()):
        if following[first] >= 0:
            continue
        # From its first corner a part, which has a pixel there, runs right, and a hole down.
        solid = bool(mask[y, x])
        (parts if solid else holes).append(first)
        here, way = first, 0 if solid else 1
        while following[here] < 0:
            following[here] = partners[way][here]
            here, way = following[here], 1 - way
    return following, parts, holes


def _bridged(
    mask: NDArray[np.bool_],
    points: Points,
    following: Sequence[int],
    flat: NDArray[np.int64],
    steep: NDArray[np.int64],
    holes: Sequence[int],
) -> tuple[Points, list[int]]:
    """Join every hole to the edge at its left, which a part or another hole owns."""
    more, after = points.tolist(), list(following)
    tops = np.nonzero(points[:, 1] < points[steep, 1])[0]
    height = len(mask) + 1
    keys = points[tops] @ (height, 1)
    order = np.argsort(keys)
    bridges = []
    for hole in holes:
        # Of the leftmost corners the uppermost: there the hole has come by its flat edge.
        corner = min(_walk(following, hole), key=more.__getitem__)
        column, row = more[corner]
        empty = np.flatnonzero(~mask[row, :column])
        start = int(empty[-1]) + 1 if len(empty) else 0
        found = np.searchsorted(keys, start * height + row, "right", order) - 1
        bridges.append((int(tops[order[found]]), row, start, corner))
    tails: dict[int, int] = {}
    # Such edges run upwards, so the lowest bridge of an edge comes first.
    for top, row, start, corner in sorted(bridges, key=lambda bridge: -bridge[1]):
        here = tails.get(top, int(steep[top]))
        there, around, back = range(len(more), len(more) + 3)
        more += [[start, row], more[corner], [start, row]]
        after += [corner, back, after[here]]
        after[here], after[flat[corner]] = there, around
        tails[top] = back
    return np.array(more), after


def _walk(following: Sequence[int], first: int) -> list[int]:
    found = [first]
    while (here := following[found[-1]]) != first:
        found.append(here)
    return found


def _tidy(points: Points) -> Points:
    """Leave out corners that repeat the one before, and those in the middle of a straight line."""
    points = points[(points != np.roll(points, 1, 0)).any(1)]
    coming = np.sign(points - np.roll(points, 1, 0))
    turning = (coming != np.roll(coming, -1, 0)).any(1)
    return np.asarray(points[turning])
