"""``report.html``: pictures with their labels, filters, statistics, and what was left out.

One file that asks for nothing else: thumbnails, styles and script are in it, and its content
security policy forbids the network.
"""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from compositor.data.labels import Instance, LabelledPicture, decode
from compositor.data.outlines import outlines
from compositor.files import replacing
from compositor.generate import likeness
from compositor.generate.drawing import colour, pixels
from compositor.generate.likeness import Measured
from compositor.generate.statistics import Statistics

MOST_BYTES = 16 * 2**20
"""Of thumbnails and their labels."""
NAMED = 100
"""Names listed for each reason that something was left out."""
SIDE = 448
"""A thumbnail's longer side, in pixels."""
FINE = 1024
"""Pixels of a picture's longer side beyond which masks are drawn from every second pixel, and so
on."""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


@dataclass
class Lost:
    """What was left out for one reason: how many, and the names of the first."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return self.count

    def add(self, names: Sequence[str]) -> None:
        """Count names that have not been counted."""
        self.count += len(names)
        self.first += names[: NAMED - len(self.first)]


def write(
    pictures: Iterable[LabelledPicture],
    classes: Sequence[str],
    left_out: Mapping[str, Lost],
    path: Path,
    count: int = 300,
    judged: str | None = None,
    real: Measured | None = None,
) -> Statistics:
    """Write the report of a data set; return what it counts.

    Args:
        pictures: All of them, taken one by one: the first are shown, all are counted.
        classes: Names by label; index 0 is ``__background__``.
        left_out: What could not be used, by reason.
        path: The HTML file.
        count: Most pictures to show; fewer if 16 MiB are full before.
        judged: What a detector cost and kept, in a line; None: there was none.
        real: Real pictures' objects to compare the generated ones with, if there are any.

    Raises:
        DataError: A picture is missing or broken, or the disk is full.
    """
    statistics, size = Statistics(classes), 0
    items: list[str] = []
    for picture in pictures:
        statistics.add(picture)
        if len(items) < count and size < MOST_BYTES:
            items.append(_item(picture, classes))
            size += len(items[-1])
    page = "".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n',
            '<meta name="viewport" content="width=device-width">\n<title>Data set</title>\n',
            f"<style>\n{_own('report.css')}</style>\n</head>\n<body>\n<main>\n<h1>Data set</h1>\n",
            f"<p>{escape(statistics.summary())}.</p>\n",
            f"<p>{escape(judged)}.</p>\n" if judged else "",
            f"<section>\n<h2>Pictures</h2>\n{_controls(statistics)}",
            f'<ul id="pictures">\n{"".join(items)}</ul>\n',
            f"{_rest(statistics.pictures - len(items))}</section>\n",
            _charts(statistics, real),
            _left_out(left_out),
            '</main>\n<dialog aria-label="Enlarged picture"><form method="dialog">'
            "<button>Close</button></form><div></div><p></p></dialog>\n",
            f"<script>\n{_own('report.js')}</script>\n</body>\n</html>\n",
        )
    )
    with replacing(path) as partial:
        partial.write_text(page, encoding="utf-8")
    return statistics


def _own(name: str) -> str:
    return files("compositor.generate").joinpath(name).read_text(encoding="utf-8")


def _controls(statistics: Statistics) -> str:
    options = "".join(
        f'<option value="{label}">{escape(statistics.classes[label])} ({number:,})</option>'
        for label, number in statistics.labels.most_common()
    )
    switches = "".join(
        f'<label><input type="checkbox" name="{name}" checked> {name}</label>'
        for name in ("masks", "boxes", "names")
    )
    sliders = {"visibility": "Visible share"}
    if statistics.confidence:
        sliders["confidence"] = "Detector's confidence"
    ranges = "".join(
        f'<label>{text} <input type="range" name="{name}" min="0" max="100" value="100"> '
        f'<output id="{name}-told"></output></label>'
        for name, text in sliders.items()
    )
    return (
        f'<form id="filters">{switches}<label>Class <select name="label">'
        f'<option value="">all</option>{options}</select></label>{ranges}'
        '<button type="reset">Reset</button><output id="shown" aria-live="polite"></output>'
        "</form>\n"
    )


def _item(picture: LabelledPicture, classes: Sequence[str]) -> str:
    height, width = picture.size
    name, number = escape(picture.file.name), len(picture.instances)
    objects = f"{number} object{'s' * (number != 1)}"
    drawn = "".join(
        _drawn(instance, classes[instance.label], colour(position, instance.ignore), picture.size)
        for position, instance in enumerate(picture.instances)
    )
    rows = "".join(_row(instance, classes) for instance in picture.instances)
    table = (
        "<details><summary>Labels</summary><table><thead><tr><th>Class<th>Visible<th>Cut off"
        f"<th>Confidence<th>Cut-out</tr></thead><tbody>{rows}</tbody></table></details>"
    )
    return (
        f'<li><figure><button type="button" class="frame" aria-label="{name}, {objects}">'
        f'<img alt="" width="{width}" height="{height}" src="{_thumbnail(pixels(picture))}">'
        f'<svg viewBox="0 0 {width} {height}" aria-hidden="true">{drawn}</svg></button>'
        f"<figcaption>{name}, {objects}, {escape(picture.split)}, on {escape(picture.background)}"
        f"{table if rows else ''}</figcaption></figure></li>\n"
    )


def _thumbnail(image: NDArray[np.uint8]) -> str:
    small = Image.fromarray(image)
    small.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _drawn(instance: Instance, name: str, hue: tuple[int, int, int], size: tuple[int, int]) -> str:
    x1, y1, x2, y2 = instance.box
    judged = "" if instance.confidence is None else f' data-confidence="{instance.confidence:.4g}"'
    mask = ""
    if instance.mask is not None:
        shape = _path(decode(instance.mask))
        mask = f'<path class="mask" fill-rule="evenodd" d="{shape}"/>'
    letters = max(size) / 28
    return (
        f'<g data-label="{instance.label}" data-visibility="{instance.visibility:.4g}"{judged} '
        f'style="--hue:rgb{hue}">{mask}<rect class="box" x="{x1:g}" y="{y1:g}" width="{x2 - x1:g}" '
        f'height="{y2 - y1:g}"/><text class="name" x="{x1:g}" y="{max(y1, letters):g}" '
        f'font-size="{letters:g}">{escape(name)}</text></g>'
    )


def _path(mask: NDArray[np.bool_]) -> str:
    """A mask's outlines as an SVG path."""
    step = -(-max(mask.shape) // FINE)
    coarse = mask[step // 2 :: step, step // 2 :: step]
    if not coarse.any():  # it is finer than the step
        step, coarse = 1, mask
    parts = []
    for points in outlines(coarse):
        (x, y), *moves = (step * points[:1]).tolist() + (step * np.diff(points, axis=0)).tolist()
        steps = "".join(f"v{dy}" if not dx else f"h{dx}" for dx, dy in moves)
        parts.append(f"M{x} {y}{steps}z")
    return "".join(parts)


def _row(instance: Instance, classes: Sequence[str]) -> str:
    confidence = "" if instance.confidence is None else f"{instance.confidence:.2f}"
    name = escape(classes[instance.label]) + " (ignored)" * instance.ignore
    cutout = "of the background" if instance.cutout is None else escape(instance.cutout)
    return (
        f"<tr><td>{name}<td>{instance.visibility:.0%}<td>{instance.truncation:.0%}"
        f"<td>{confidence}<td>{cutout}</tr>"
    )


def _rest(number: int) -> str:
    return f"<p>{number:,} more pictures are counted below and not shown.</p>\n" if number else ""


def _charts(statistics: Statistics, real: Measured | None) -> str:
    charts = "".join(_bars(title, counts) for title, counts in statistics.figures().items())
    if apart := likeness.distances(statistics.measured, real):
        told = {likeness.TITLES[name]: round(value, 2) for name, value in apart.items()}
        charts += _bars("Distance from the real pictures (0: alike, 1: wholly apart)", told)
    places = statistics.places / max(statistics.places.max(), 1e-9)
    squares = "".join(
        f'<rect x="{x}" y="{y}" width="1" height="1" fill-opacity="{share:.2f}"/>'
        for y, row in enumerate(places.tolist())
        for x, share in enumerate(row)
    )
    side = len(places)
    return (
        f'<h2>Statistics</h2>\n<div class="statistics">\n{charts}<figure><figcaption>Places: how '
        "many boxes cover each part of the picture</figcaption>"
        f'<svg class="places" viewBox="0 0 {side} {side}" role="img" aria-label="Map of places">'
        f"{squares}</svg></figure>\n</div>\n"
    )


def _bars(title: str, counts: Mapping[str, float]) -> str:
    most = max(counts.values(), default=0) or 1
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td><span class="bar" '
        f'style="--share:{number / most:.4f}"></span>{number:,}</td></tr>'
        for name, number in counts.items()
    )
    return f"<figure><figcaption>{escape(title)}</figcaption><table>{rows}</table></figure>\n"


def _left_out(left_out: Mapping[str, Lost]) -> str:
    reasons = []
    for reason, lost in left_out.items():
        listed = "".join(f"<li>{escape(name)}</li>" for name in lost.first)
        more = lost.count - len(lost.first)
        listed += f"<li>and {more:,} more</li>" if more else ""
        summary = f"<summary>{lost.count:,}: {escape(reason)}</summary>"
        reasons.append(f"<details>{summary}<ul>{listed}</ul></details>\n")
    return f"<h2>Left out</h2>\n{''.join(reasons) or '<p>Nothing.</p>'}\n"
