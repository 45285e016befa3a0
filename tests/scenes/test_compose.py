"""Rendered scenes and their labels, against cases worked out by hand."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import compositor
from compositor.data.labels import Instance, decode, encode
from compositor.data.records import Annotation, Cutout, Photograph
from compositor.scenes.bank import Bank, banked
from compositor.scenes.canvas import Canvas, covering, cut
from compositor.scenes.compose import Scene, compose, on_canvas, thetas
from compositor.scenes.recipe import Layer, Recipe

H, W = 60, 80
RNG = np.random.default_rng(0)
PATTERN = RNG.integers(0, 256, (20, 30, 3), np.uint8)
BANK = Bank(
    [
        banked(Cutout("pattern", PATTERN, np.ones((20, 30), bool), 2)),
        banked(Cutout("distractor", np.full((20, 30, 3), 7, np.uint8), np.ones((20, 30), bool), 0)),
    ]
)
GROUND = RNG.integers(0, 256, (3, H, W), np.uint8)


def layer(left: int, top: int, cutout: int = 0, **options: object) -> Layer:
    """At its own size, its upper left corner there, with a hard edge."""
    settings = {"angle": 0.0, "scale": (1.0, 1.0), "sigma": 0.0} | options
    return Layer(cutout, centre=(left + 15, top + 10), **settings)


def composed(
    *layers: Layer, visible: float = 0.01, objects: tuple[Instance, ...] = (), **options: object
) -> Scene:
    settings = {"artefact": None, "noise": 0.0, "blur": 0.0, "quality": 95} | options
    recipe = Recipe((H, W), layers, **settings)
    canvas = Canvas("ground", torch.from_numpy(GROUND), objects)
    other = torch.full((3, H, W), 200, dtype=torch.uint8)
    return compose(recipe, BANK, canvas, visible, other, np.random.default_rng(0))


def pasted(*places: tuple[int, int, np.ndarray]) -> np.ndarray:
    """By slices."""
    picture = GROUND.transpose(1, 2, 0).copy()
    for left, top, pixels in places:
        h, w = pixels.shape[:2]
        x1, y1, x2, y2 = max(left, 0), max(top, 0), min(left + w, W), min(top + h, H)
        picture[y1:y2, x1:x2] = pixels[y1 - top : y2 - top, x1 - left : x2 - left]
    return picture


def test_a_cutout_lands_where_it_should_pixel_by_pixel() -> None:
    scene = composed(layer(12, 25))
    assert (scene.image == pasted((12, 25, PATTERN))).all()
    (found,) = scene.instances
    assert found.mask is not None
    assert found.box == (12, 25, 42, 45)
    assert (found.label, found.area, found.visibility, found.truncation) == (2, 600, 1, 0)
    assert found.cutout == "pattern"
    expected = np.zeros((H, W), bool)
    expected[25:45, 12:42] = True
    assert (decode(found.mask) == expected).all()


@pytest.mark.parametrize(
    ("angle", "scale", "turned"),
    [
        (90.0, (1.0, 1.0), np.rot90(PATTERN)),  # counter-clockwise as seen
        (0.0, (-1.0, 1.0), PATTERN[:, ::-1]),
        (180.0, (-1.0, 1.0), PATTERN[::-1]),
    ],
)
def test_turns_and_mirrors(angle: float, scale: tuple[float, float], turned: np.ndarray) -> None:
    h, w = turned.shape[:2]
    where = Layer(0, angle, scale, (20 + w / 2, 15 + h / 2), sigma=0.0)
    assert (composed(where).image == pasted((20, 15, turned))).all()


def test_a_later_layer_hides_an_earlier_one() -> None:
    scene = composed(layer(10, 20), layer(25, 20))
    assert (scene.image == pasted((10, 20, PATTERN), (25, 20, PATTERN))).all()
    below, above = scene.instances
    assert below.box == (10, 20, 25, 40)
    assert (below.area, below.visibility) == (300, 0.5)
    assert (above.area, above.visibility) == (600, 1)


def test_the_canvas_cuts_an_object_off() -> None:
    (found,) = composed(layer(-10, 45)).instances
    assert found.box == (0, 45, 20, 60)
    assert found.area == 300
    assert found.truncation == pytest.approx(0.5)
    assert found.visibility == 1


def test_what_is_on_the_canvas_is_what_visible_fraction_finds() -> None:
    rows, columns = np.mgrid[:90, :140]
    mask = (rows - 44.5) ** 2 / 45**2 + (columns - 69.5) ** 2 / 70**2 < 1
    mask[:30, 70:] = False
    bank = Bank([banked(Cutout("piece", np.zeros((90, 140, 3), np.uint8), mask, 1))])
    random, cut_off = np.random.default_rng(0), 0
    for _ in range(50):
        centre = (random.uniform(-20, W + 20), random.uniform(-20, H + 20))
        along_y, stretch = random.uniform(0.1, 0.6), random.uniform(0.8, 1.25)
        scale = (random.choice([-1, 1]) * along_y * stretch, along_y)
        placed = Layer(0, random.uniform(-180, 180), scale, centre)
        exact = compositor.visible_fraction(
            torch.from_numpy(mask)[None, None], thetas([placed], whole(bank), (H, W)), (H, W)
        )
        # Both take a turned pixel's bounding box for it, of pixels of two sizes.
        assert on_canvas(placed, bank[0], (H, W)) == pytest.approx(exact.item(), abs=2e-3)
        cut_off += 0.05 < exact.item() < 0.95
    assert cut_off > 10


def whole(bank: Bank) -> Bank:
    """The same, its frame the object's own: the mask above is not padded."""
    return Bank([replace(bank[0], frame=bank[0].size)])


def test_one_that_shows_too_little_is_taken_away_and_what_it_hid_shows_again() -> None:
    # The second hides 2/3 of the first, the third all but a sixth of the second.
    layers = (layer(10, 20), layer(20, 20), layer(25, 20))
    assert len(composed(*layers, visible=0.15).instances) == 3
    scene = composed(*layers, visible=0.3)
    assert [found.box for found in scene.instances] == [(10, 20, 25, 40), (25, 20, 55, 40)]
    assert (scene.image == pasted((10, 20, PATTERN), (25, 20, PATTERN))).all()
    # Beyond the canvas counts as hidden, too.
    assert not composed(layer(-20, 20), visible=0.4).instances
    assert not composed(layer(-100, 20), visible=0.01).instances


def test_a_distractor_hides_and_has_no_label() -> None:
    scene = composed(layer(10, 20), layer(10, 30, cutout=1))
    (found,) = scene.instances
    assert (found.box, found.visibility) == ((10, 20, 40, 30), 0.5)
    assert (scene.image[30:50, 10:40] == 7).all()
    assert len(composed(layer(10, 20, 1), layer(10, 21, 1), visible=0.9).layers) == 2


def test_colours_are_toned() -> None:
    toned = layer(10, 10, gain=(0.5, 1.0, 1.0), bias=(0.0, 0.1, 0.0))
    scene = composed(toned)
    expected = PATTERN * np.array([0.5, 1, 1]) + np.array([0, 25.5, 0])
    expected = np.rint(expected.clip(0, 255))  # half to even
    assert np.abs(scene.image[10:30, 10:40] - expected).max() <= 1  # 25.5 + n is a tie


def test_the_background_keeps_its_objects_less_what_is_hidden() -> None:
    mask = np.zeros((H, W), bool)
    mask[20:40, 5:25] = True
    known = Instance(1, (5, 20, 25, 40), encode(mask), 400)
    boxed = Instance(1, (20, 20, 60, 40), None, 800)
    crowd = Instance(1, (12, 22, 40, 38), None, 448, ignore=True)
    scene = composed(layer(10, 20), objects=(known, boxed, crowd), visible=0.3)
    # Of the first a quarter is left, which is too little to be found and too much to be nothing,
    # of the second, whose pixels nobody knows, half of its box, and nothing of the crowd.
    assert [(found.box, found.visibility, found.ignore) for found in scene.instances[:-1]] == [
        ((5, 20, 10, 40), 0.25, True),
        ((20, 20, 60, 40), 0.5, False),
    ]
    left = composed(layer(10, 20), objects=(known,), visible=0.2).instances[0]
    assert (left.box, left.area, left.visibility) == ((5, 20, 10, 40), 100, 0.25)
    assert left.mask is not None
    mask[:, 10:] = False
    assert (decode(left.mask) == mask).all()


def test_an_artefact_is_another_background_seen_through_a_shape() -> None:
    scene = composed(artefact=layer(12, 25))
    assert (scene.image == pasted((12, 25, np.full((20, 30, 3), 200, np.uint8)))).all()
    assert scene.instances == ()


def test_noise_and_blur_are_those_of_the_recipe() -> None:
    plain = composed().image
    assert (plain == pasted()).all()
    noisy = composed(noise=0.02).image.astype(float)
    inside = (plain > 30) & (plain < 225)  # the others are cut at 0 and 255
    spread = (noisy - plain)[inside].std()
    assert spread == pytest.approx(5.1, rel=0.05)  # 6,000 numbers, and rounding adds 0.03
    assert composed(blur=2.0).image.std() < plain.std() / 2


def test_a_canvas_is_cut_out_of_a_photograph_with_its_objects() -> None:
    image = np.zeros((100, 300, 3), np.uint8)
    image[30:60, 40:90] = 255
    mask = image[..., 0] > 0
    annotation = Annotation.of([((40, 30, 90, 60), 3, False), ((0, 0, 4, 4), 1, False)])
    covered = covering(Photograph("p", image, annotation, (mask, None)), (50, 50))
    assert covered.image.shape == (50, 150, 3)
    seen, cuts = 0, set()
    for seed in range(40):
        canvas = cut(covered, (50, 50), np.random.default_rng(seed))
        assert canvas.size == (50, 50)
        for found in canvas.objects:
            if found.label != 3:
                continue
            x1, y1, x2, y2 = map(int, found.box)
            bright = canvas.image[0].numpy() > 127
            assert found.mask is not None
            assert (decode(found.mask) == bright).all()
            rows, columns = np.nonzero(bright)
            assert (x1, y1) == (columns.min(), rows.min())
            assert (x2, y2) == (columns.max() + 1, rows.max() + 1)
            assert found.truncation == pytest.approx(1 - (x2 - x1) / 25)
            assert found.ignore == (found.truncation > 0.75)
            seen, cuts = seen + 1, cuts | {found.truncation > 0}
    assert seen > 5
    assert cuts == {True, False}


def test_boxes_without_masks_are_cut_at_the_canvas() -> None:
    annotation = Annotation.of([((10, 10, 50, 30), 1, True)])
    photograph = Photograph("p", np.zeros((60, 80, 3), np.uint8), annotation)
    (found,) = cut(photograph, None, np.random.default_rng(0)).objects
    assert (found.box, found.mask, found.ignore, found.area) == ((10, 10, 50, 30), None, True, 800)
    for seed in range(20):
        for found in cut(photograph, (60, 40), np.random.default_rng(seed)).objects:
            width = found.box[2] - found.box[0]
            assert found.truncation == pytest.approx(1 - width / 40)
            assert 0 <= found.box[0] < found.box[2] <= 40


def test_a_box_thinner_than_a_number_can_say_once_shrunk_is_no_object() -> None:
    thin = (300.0002, 50, 300.0002 + 3.05e-5, 90)
    annotation = Annotation.of([(thin, 1, False), ((10, 10, 50, 30), 1, False)])
    (box,) = annotation.boxes[:1]
    assert box[0] < box[2] and box[0] * np.float32(154 / 640) == box[2] * np.float32(154 / 640)
    ground = covering(Photograph("p", np.zeros((400, 640, 3), np.uint8), annotation), (96, 154))
    (found,) = cut(ground, None, np.random.default_rng(0)).objects
    assert found.box == pytest.approx((2.4, 2.4, 12.0, 7.2), abs=0.05)


def test_masks_are_shrunk_as_pillow_does_without_a_copy_of_the_whole() -> None:
    random = np.random.default_rng(0)
    for h, w, *size in [*random.integers(1, 60, (50, 4)), (1000, 1500, 20, 30)]:
        mask = np.asfortranarray(random.random((h, w)) < 0.5)  # as decoders give them
        annotation = Annotation.of([((0, 0, 1, 1), 1, False)])
        photograph = Photograph("p", np.zeros((h, w, 3), np.uint8), annotation, (mask,))
        tracemalloc.start()
        try:
            ground = covering(photograph, (size[0], size[1]))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        height, width = ground.image.shape[:2]
        truth = Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST)
        assert (ground.masks[0] == np.asarray(truth)).all()
    assert peak < mask.size / 8  # less than one bit of each of its pixels
