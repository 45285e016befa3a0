"""The report, in a headless browser."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from compositor.data.labels import LabelledPicture
from compositor.files import DataError
from compositor.generate import gallery
from tests.data import labelled
from tests.generate.browser import visit

EVIL = "<script>document.title = 'owned'</script>\"'><img src=x onerror=\"document.title='owned'\">"
LEFT_OUT = {
    "too small": gallery.Lost(1002, ["a.png", EVIL]),
    f"broken {EVIL}": gallery.Lost(1, ["b.png"]),
}
SHOWN = "[...document.querySelectorAll('#pictures > li')].map(each => !each.hidden)"
MASKS = (
    "[...document.querySelectorAll('li .mask')].filter(each => each.getClientRects().length).length"
)
TOLD = "document.getElementById('shown').value"


def choose(name: str, value: str) -> dict[str, str]:
    """Set a filter as a person does: the value, and the event."""
    return {
        "js": f"(each => {{ each.value = {json.dumps(value)};"
        " each.dispatchEvent(new Event('input', {bubbles: true})); })"
        f"(document.getElementById('filters').elements.{name}) ?? null"
    }


def pictures(folder: Path) -> list[LabelledPicture]:
    """Six objects of three classes, one 75 % visible; none; one at 12.5 %; two never judged."""
    first, *others = labelled.pictures(folder)
    evil = dataclasses.replace(first.instances[0], cutout=EVIL)
    first = dataclasses.replace(first, background=EVIL, instances=(evil, *first.instances[1:]))
    return [first, *others]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    classes = [*labelled.CLASSES[:3], EVIL]
    gallery.write(pictures(tmp_path / "shard"), classes, LEFT_OUT, tmp_path / "report.html")
    return tmp_path / "report.html"


def test_it_asks_for_nothing_and_runs_no_name(page: Path) -> None:
    found = visit(page, [{"js": "document.title"}, {"js": "document.body.innerText"}])
    title, text = found["results"]
    assert title == "Data set"
    assert EVIL in text
    assert found["console"] == []
    assert all(url.startswith(("file:", "data:")) for url in found["requests"])
    assert len([url for url in found["requests"] if url.startswith("file:")]) == 1


def test_filters_show_the_pictures_that_have_such_an_object(page: Path) -> None:
    steps = [
        {"js": SHOWN},
        choose("label", "3"),
        {"js": SHOWN},
        {"js": MASKS},
        choose("label", ""),
        choose("visibility", "95"),
        {"js": SHOWN},
        {"js": TOLD},
        choose("visibility", "100"),
        choose("confidence", "20"),
        {"js": SHOWN},
        choose("confidence", "10"),
        {"js": SHOWN},
        {"js": "document.querySelector('#filters [type=reset]').click() ?? null"},
        {"js": SHOWN},
    ]
    found = visit(page, steps)
    results = [result for result in found["results"] if result is not None]
    everything, of_class, masks, hidden, told, judged, none, again = results
    assert everything == again == [True, True, True, True]
    assert of_class == [True, False, False, False]
    assert masks == 2  # of six: the others' labels are off
    assert hidden == [True, False, False, False]
    assert told == "1 of 4 pictures"
    assert judged == [False, False, True, False]
    assert none == [False, False, False, False]
    assert found["console"] == []


def test_labels_are_switched_by_keyboard_and_pictures_enlarged(page: Path) -> None:
    steps = [
        {"js": MASKS},
        {"key": "Tab"},
        {"js": "document.activeElement.name"},
        {"key": "Space"},
        {"js": MASKS},
        {"js": "getComputedStyle(document.querySelector('li .box')).display"},
        {"key": "Tab"},
        {"key": "Space"},
        {"js": "getComputedStyle(document.querySelector('li .box')).display"},
        {"js": "document.querySelector('li .frame').focus() ?? null"},
        {"key": "Enter"},
        {
            "js": "[document.querySelector('dialog').open,"
            " document.querySelectorAll('dialog .box').length]"
        },
        {"key": "Escape"},
        {"js": "document.querySelector('dialog').open"},
    ]
    found = visit(page, steps)
    results = [result for result in found["results"] if result is not None]
    assert results == [9, "masks", 0, "inline", "none", [True, 6], False]


def test_masks_and_boxes_are_where_they_should_be(page: Path, tmp_path: Path) -> None:
    """Hit tests at pixels' centres: a mask's shape holds those that the mask has."""
    steps = [
        {
            "js": "[...document.querySelectorAll('li:first-child .mask')].map(path => {"
            " const inside = []; const svg = path.ownerSVGElement;"
            f" for (let y = 0; y < {labelled.SIZE[0]}; y++)"
            f" for (let x = 0; x < {labelled.SIZE[1]}; x++)"
            " if (path.isPointInFill(new DOMPoint(x + 0.5, y + 0.5)))"
            " inside.push([y, x]); return inside; })"
        }
    ]
    (found,) = visit(page, steps)["results"]
    for points, mask in zip(found, labelled.masks().values(), strict=True):
        assert points == [[int(v) for v in point] for point in zip(*mask.nonzero(), strict=True)]


@pytest.mark.parametrize("dark", [False, True])
def test_text_stands_out_in_light_and_dark(page: Path, dark: bool) -> None:
    where = ("p", "figcaption", "summary", "th", "#shown", "h2")
    backs = "(e => { while (getComputedStyle(e).backgroundColor === 'rgba(0, 0, 0, 0)')"
    backs += " e = e.parentElement; return getComputedStyle(e).backgroundColor; })"
    steps = [
        {
            "js": f"[getComputedStyle(document.querySelector('{each}')).color, {backs}"
            f"(document.querySelector('{each}'))]"
        }
        for each in where
    ]
    for colours in visit(page, steps, dark)["results"]:
        fore, back = (luminance(each) for each in colours)
        assert (fore > back) == dark
        assert (max(fore, back) + 0.05) / (min(fore, back) + 0.05) >= 7  # WCAG's AAA


def luminance(colour: str) -> float:
    """WCAG's relative luminance of ``rgb(r, g, b)``."""
    shares = [int(value) / 255 for value in re.findall(r"\d+", colour)[:3]]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_what_is_not_shown_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    four = labelled.pictures(tmp_path / "shard")
    told = gallery.write(four, labelled.CLASSES, {}, tmp_path / "report.html", count=1)
    assert (told.pictures, told.objects) == (4, 10)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert page.count("data:image/jpeg") == 1
    assert "3 more pictures are counted below and not shown" in page
    assert "<p>Nothing.</p>" in page
    monkeypatch.setattr(gallery, "MOST_BYTES", 1)
    gallery.write(four, labelled.CLASSES, {}, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text("utf-8").count("data:image/jpeg") == 1


def test_a_picture_that_is_missing(tmp_path: Path) -> None:
    four = labelled.pictures(tmp_path / "shard")
    four[0].file.unlink()
    with pytest.raises(DataError, match="000004.jpg: missing .jpg file"):
        gallery.write(four, labelled.CLASSES, {}, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()
