"""Copy-paste in a batch: hand-worked cases, and a plain NumPy composition of the same places."""

from itertools import count

import numpy as np
import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

import compositor
from compositor import _pasting, _targets
from compositor.transforms import CopyPaste

EXACT = {"scale": (1, 1), "sigma": (0, 0), "flip": 0, "truncation": 0}


def sample(size, *boxes, colour=0, label=1, masks=torch.uint8, image=torch.uint8, number=0):
    """A picture of one colour with opaque rectangles, 100 and more above it, and its target."""
    picture = torch.full((3, *size), colour, dtype=torch.uint8)
    cover = torch.zeros(len(boxes), *size, dtype=torch.uint8)
    for row, (x1, y1, x2, y2) in enumerate(boxes):
        cover[row, y1:y2, x1:x2] = 1
        picture[:, y1:y2, x1:x2] = colour + 100 + row
    corners = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return picture.to(image) if image == torch.uint8 else picture.to(image) / 255, {
        "boxes": corners,
        "masks": cover.to(masks),
        "labels": label + torch.arange(len(boxes)),
        "area": (corners[:, 2:] - corners[:, :2]).prod(1),
        "iscrowd": torch.zeros(len(boxes), dtype=torch.int64),
        "image_id": torch.tensor([number]),
    }


@pytest.fixture
def places(monkeypatch):
    """Put objects where the test says: left, top, left, top and so on."""

    def put(*corners):
        ends = iter(corners)
        monkeypatch.setattr(CopyPaste, "_corner", lambda *_: next(ends))

    return put


# By hand


def test_a_rectangle_over_half_of_another(places):
    """Of 40 x 20 at (10, 10) the right half is covered by 30 x 20 at (30, 10)."""
    canvas = sample((60, 80), (10, 10, 50, 30), number=7)
    bank = [sample((40, 40), (5, 5, 35, 25), colour=50, label=9)]
    places(30, 10)
    images, targets = CopyPaste(bank, objects=(1, 1), **EXACT)([canvas[0]], [canvas[1]])
    wanted = canvas[0].clone()
    wanted[:, 10:30, 30:60] = 150
    assert torch.equal(images[0], wanted)
    (target,) = targets
    assert target["boxes"].tolist() == [[10, 10, 30, 30], [30, 10, 60, 30]]
    assert target["area"].tolist() == [400, 600] and target["area"].dtype == torch.float32
    masks = torch.zeros(2, 60, 80, dtype=torch.uint8)
    masks[0, 10:30, 10:30] = masks[1, 10:30, 30:60] = 1
    assert torch.equal(target["masks"], masks) and target["masks"].dtype == torch.uint8
    assert target["labels"].tolist() == [1, 9] and target["iscrowd"].tolist() == [0, 0]
    assert target["image_id"] is canvas[1]["image_id"]


def test_a_box_loses_nothing_to_an_object_in_its_middle(places):
    canvas = sample((60, 80), (10, 10, 50, 50))
    bank = [sample((9, 9), (0, 0, 5, 5), colour=50)]
    places(20, 20)
    _, (target,) = CopyPaste(bank, objects=(1, 1), **EXACT)([canvas[0]], [canvas[1]])
    assert target["boxes"].tolist() == [[10, 10, 50, 50], [20, 20, 25, 25]]
    assert target["area"].tolist() == [1575, 25]


def test_boxes_of_what_is_not_hidden_stay_as_annotated(places):
    picture, target = sample((60, 80), (10, 10, 20, 20), (40, 30, 60, 50), (0, 0, 4, 4))
    target["boxes"] += 0.25
    target["area"] -= 0.5  # of a polygon
    places(8, 8)  # on the first, all of it
    bank = [sample((40, 40), (5, 5, 35, 25))]
    target["masks"][2] = 0  # not drawn by whoever annotated it
    _, (made,) = CopyPaste(bank, objects=(1, 1), **EXACT)([picture], [target])
    wanted = [[40.25, 30.25, 60.25, 50.25], [0.25, 0.25, 4.25, 4.25], [8, 8, 38, 28]]
    assert made["boxes"].tolist() == wanted
    assert made["area"].tolist() == [399.5, 15.5, 600] and made["labels"].tolist() == [2, 3, 1]


@pytest.mark.parametrize(("visible", "left"), [(0.25, 1), (0.2501, 0)])
def test_an_object_is_dropped_below_the_least_visible_share(places, visible, left):
    """A pasted one of which another leaves a quarter goes from the picture, too."""
    own = sample((50, 90), (0, 30, 40, 50))
    bank = [sample((30, 60), (10, 10, 50, 30), colour=50)]
    twice = CopyPaste(bank * 2, objects=(2, 2), visible=visible, **EXACT)
    places(0, 0, 10, 0)
    images, (target,) = twice([own[0]], [own[1]])
    pasted = [[0, 0, 10, 20]] * left + [[10, 0, 50, 20]]
    assert target["boxes"].tolist() == [[0, 30, 40, 50], *pasted]
    assert (images[0][:, :20, :10] == (150 if left else 0)).all()
    assert (images[0][:, :20, 10:50] == 150).all()
    places(10, 30)  # own keeps 10 x 20 of 40
    _, (target,) = CopyPaste(bank, objects=(1, 1), visible=visible, **EXACT)([own[0]], [own[1]])
    assert target["boxes"].tolist() == [[0, 30, 10, 50]] * left + [[10, 30, 50, 50]]


def test_objects_that_no_layer_meets_are_not_measured():
    pair = sample((40, 60), (5, 5, 15, 15), (40, 20, 50, 30), (15, 5, 25, 15))
    pictures = _targets.read(("images[{}]", "targets[{}]"), [pair], _targets.NEEDED)
    layer = _pasting.Layer(0, pictures[0].objects[1], (8, 8, 7.0, 10.0), False, 0.0)
    (scene,) = _pasting.seen(pictures, _pasting.paste(pictures, pictures, [layer]))
    # 7 x 7 pixels of the first are hidden; the last only touches.
    assert scene.areas == [(51, 100), None, None]
    assert [int(part.mask.sum()) for part in scene.parts] == [51, 100, 100]


def test_stripes_that_shrink_show_their_mean(places):
    """At an eighth bilinear samples would see the white columns alone, a quarter of all."""
    picture, target = sample((64, 64), (0, 0, 64, 64))
    picture[:] = 0
    picture[:, :, 3::8] = picture[:, :, 4::8] = 255
    places(4, 4)
    canvas = sample((32, 32), colour=9)
    options = EXACT | {"scale": (0.125, 0.125)}
    (image,), (made,) = CopyPaste([(picture, target)], objects=(1, 1), **options)(
        [canvas[0]], [canvas[1]]
    )
    assert (image[:, 4:12, 4:12] == 64).all() and made["area"].tolist() == [64]
    assert made["boxes"].tolist() == [[4, 4, 12, 12]]


# Against a composition in NumPy


def numpy_composition(image, target, layers, sources, visible):
    """Paste whole pixels one after the other; return the picture, masks and source rows."""
    image, masks = image.numpy().copy(), list(target["masks"].numpy() != 0)
    own, whole = len(masks), [mask.sum() for mask in masks]
    rows = [(None, row) for row in range(own)]
    for layer in layers:
        picture, labels = sources[layer.cutout.picture]
        mask = labels["masks"][layer.cutout.row].numpy() != 0
        ys, xs = np.nonzero(mask)
        box = slice(ys.min(), ys.max() + 1), slice(xs.min(), xs.max() + 1)
        colours, mask = picture.numpy()[:, *box], mask[box]
        if layer.flip:
            colours, mask = colours[..., ::-1], mask[:, ::-1]
        placed = np.zeros(image.shape[1:], bool)
        for y, x in zip(*np.nonzero(mask), strict=True):
            at = y + layer.place[1], x + layer.place[0]
            if 0 <= at[0] < placed.shape[0] and 0 <= at[1] < placed.shape[1]:
                placed[at] = True
                image[:, *at] = colours[:, y, x]
        masks = [mask & ~placed for mask in masks] + [placed]
        whole.append(placed.sum())
        rows.append((layer.cutout.picture, layer.cutout.row))
    kept = [
        n for n, mask in enumerate(masks)
        if mask.sum() == whole[n] or (mask.any() and mask.sum() / whole[n] >= visible)
    ]  # fmt: skip
    return image, [masks[n] for n in kept], [rows[n] for n in kept]


def blobs(size, number, generator, image=torch.uint8):
    """Noise with objects of noise in random shapes, some over others."""
    objects = 1 + number % 4
    masks = torch.zeros(objects, *size, dtype=torch.bool)
    for mask in masks:
        h, w = (int(torch.randint(6, 20, (), generator=generator)) for _ in range(2))
        y, x = (int(torch.randint(0, side - 20, (), generator=generator)) for side in size)
        mask[y : y + h, x : x + w] = torch.rand(h, w, generator=generator) < 0.7
    noise = torch.randint(256, (3, *size), generator=generator, dtype=torch.uint8)
    boxes = compositor.boxes(masks[:, None])[0]
    target = {
        "boxes": boxes,
        "masks": masks,
        "labels": torch.arange(objects) + 10 * number,
        "area": masks.sum((1, 2)),
        "names": [f"{number}-{row}" for row in range(objects)],
        "depth": torch.rand(objects, 2, generator=generator),
        "image_id": number,
    }
    return noise.to(image) if image == torch.uint8 else noise.to(image) / 255, target


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
@pytest.mark.parametrize("banked", [False, True])
def test_pictures_and_labels_are_numpys(dtype, banked, monkeypatch):
    generator = torch.Generator().manual_seed(3)
    sizes = [(40, 50), (64, 48), (40, 50), (40, 50)]
    batch = [blobs(size, n, generator, dtype) for n, size in enumerate(sizes)]
    bank = [blobs((30, 30), n, generator, dtype) for n in (4, 5)] if banked else None
    layers, calls = {}, count()
    paste, render = _pasting.paste, compositor.render

    def recorded(pictures, sources, given):
        scenes = paste(pictures, sources, given)
        layers.update({scene.number: scene.layers for scene in scenes})
        return scenes

    def counted(canvases, *rest, **options):
        next(calls)
        return render(canvases, *rest, **options)

    monkeypatch.setattr(_pasting, "paste", recorded)
    monkeypatch.setattr(compositor, "render", counted)
    options = EXACT | {"flip": 0.5, "truncation": 0.3}
    visible = 0.05  # nothing that is pasted is hidden, which would be left out
    copy_paste = CopyPaste(
        bank, objects=(1, 4), visible=visible, generator=torch.Generator().manual_seed(5), **options
    )
    images, targets = copy_paste.collate(batch)
    assert next(calls) == 2, "one call for each of two sizes"
    changed = 0
    for number, ((image, target), made_image, made) in enumerate(
        zip(batch, images, targets, strict=True)
    ):
        sources = bank or batch
        wanted, masks, rows = numpy_composition(image, target, layers[number], sources, visible)
        # Of floats a rounding: the weights of a bilinear sample add up to 1 within it.
        np.testing.assert_allclose(
            made_image, wanted, rtol=0, atol=0 if dtype == torch.uint8 else 1e-6
        )
        assert np.array_equal(made["masks"], np.stack(masks)) and made["masks"].dtype == torch.bool
        assert made["area"].tolist() == [mask.sum() for mask in masks]
        for box, mask in zip(made["boxes"].tolist(), masks, strict=True):
            ys, xs = np.nonzero(mask)
            assert box == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
        origins = [(target if n is None else sources[n][1], row) for n, row in rows]
        assert made["labels"].tolist() == [int(one["labels"][row]) for one, row in origins]
        assert made["names"] == [one["names"][row] for one, row in origins]
        assert torch.equal(made["depth"], torch.stack([one["depth"][row] for one, row in origins]))
        assert made["image_id"] == number
        assert all(n != number for n, _ in rows) or banked
        changed += len(rows) != len(target["labels"])
    assert changed >= 3


# Kinds of targets


@pytest.mark.parametrize("form", ["XYXY", "XYWH", "CXCYWH"])
@pytest.mark.parametrize("masks", [torch.bool, torch.uint8, torch.int64, torch.float32])
@pytest.mark.parametrize("image", [torch.uint8, torch.float32, torch.float16])
def test_types_and_dtypes_stay(places, form, masks, image):
    picture, target = sample((60, 80), (10, 10, 50, 30), masks=masks, image=image)
    wanted = [[10, 10, 30, 30], [30, 10, 60, 30]]
    boxes = tv_tensors.BoundingBoxes(target["boxes"].int(), format="XYXY", canvas_size=(60, 80))
    target["boxes"] = v2.functional.convert_bounding_box_format(boxes, new_format=form)
    target["masks"] = tv_tensors.Mask(target["masks"])
    bank = [sample((40, 40), (5, 5, 35, 25), image=image, label=9)]
    places(30, 10)
    pasted = v2.Compose([CopyPaste(bank, objects=(1, 1), **EXACT)])
    (made_image,), (made,) = pasted([tv_tensors.Image(picture)], [target])
    assert type(made_image) is tv_tensors.Image and made_image.dtype == image
    assert type(made["masks"]) is tv_tensors.Mask and made["masks"].dtype == masks
    assert made["masks"].sum((1, 2)).tolist() == [400, 600]
    boxes = made["boxes"]
    assert boxes.format.value == form and boxes.canvas_size == (60, 80)
    assert boxes.dtype == torch.int32
    corners = v2.functional.convert_bounding_box_format(boxes, new_format="XYXY")
    assert corners.tolist() == wanted
    assert type(made["labels"]) is torch.Tensor and made["labels"].dtype == torch.int64


def test_masks_of_255_come_back_as_ones(places):
    picture, target = sample((60, 80), (10, 10, 50, 30))
    target["masks"] *= 255
    places(30, 10)
    bank = [sample((40, 40), (5, 5, 35, 25), masks=torch.bool)]
    _, (made,) = CopyPaste(bank, objects=(1, 1), **EXACT)([picture], [target])
    assert made["masks"].unique().tolist() == [0, 1]
    assert made["masks"].sum((1, 2)).tolist() == [400, 600]


def test_empty_targets_are_pasted_on_and_not_from(places):
    empty, full = sample((60, 80)), sample((60, 80), (10, 10, 50, 30), label=5)
    places(0, 1)
    images, targets = CopyPaste(objects=(1, 1), **EXACT).collate([empty, full])
    assert targets[0]["boxes"].tolist() == [[0, 1, 40, 21]] and targets[0]["labels"].tolist() == [5]
    assert targets[0]["masks"].sum() == 800
    assert targets[1] is full[1] and images[1] is full[0]


@pytest.mark.parametrize("own", [True, False])
def test_what_an_empty_target_does_not_say_is_said_of_what_is_pasted(places, own):
    """Negatives say nothing of ``area`` and so on; a bank need not say ``area`` either."""
    empty, full = sample((60, 80)), sample((60, 80), (10, 10, 50, 30), label=5)
    full[1]["names"] = ["mug"]
    bare = {key: empty[1][key] for key in ("boxes", "masks", "labels")}
    source = {key: full[1][key] for key in full[1] if key != "area"}
    places(*(0, 1) * 2)
    paste = CopyPaste(None if own else [(full[0], source)], objects=(1, 1), **EXACT)
    _, (target, other) = paste.collate([(empty[0], bare), full])
    assert target["area"].tolist() == [800] and target["area"].dtype == torch.float32
    assert target["iscrowd"].tolist() == [0] and target["names"] == ["mug"]
    assert (other is full[1]) == own and "area" not in bare
    _, (untouched, _) = CopyPaste(objects=(0, 0)).collate([(empty[0], bare), full])
    assert untouched is bare


def test_areas_and_crowds_may_be_lists(places):
    """As torchvision's wrapped CocoDetection has them."""
    canvas = sample((60, 80), (10, 10, 50, 30), (0, 40, 9, 49))
    canvas[1].update(area=[799.5, 80.5], iscrowd=[0, 0])
    bank = sample((40, 60), (5, 5, 35, 25), (40, 0, 60, 20), colour=50)
    bank[1].update(iscrowd=[0, 1])
    del bank[1]["area"]
    places(30, 10)
    paste = CopyPaste([bank], objects=(2, 2), **EXACT)  # one is a crowd
    _, (target,) = paste([canvas[0]], [canvas[1]])
    assert target["area"] == [400, 80.5, 600] and target["iscrowd"] == [0, 0, 0]
    assert canvas[1]["area"] == [799.5, 80.5]


@pytest.mark.parametrize("objects", [(), ((10, 10, 50, 30),)])
def test_a_batch_without_anything_to_paste_comes_back(objects):
    picture, target = sample((60, 80), *objects)
    images, targets = CopyPaste()([picture], [target])
    assert images[0] is picture and targets[0] is target
    assert CopyPaste()([], []) == ([], [])
    blank = sample((60, 80))
    assert CopyPaste().collate([blank, blank])[1][0] is blank[1]


def test_a_chance_of_none_changes_nothing():
    batch = [sample((60, 80), (10, 10, 50, 30)), sample((60, 80), (0, 0, 9, 9))]
    images, targets = CopyPaste(p=0).collate(batch)
    assert images[0] is batch[0][0] and targets[1] is batch[1][1]
    assert CopyPaste(objects=(0, 0)).collate(batch)[1][1] is batch[1][1]


def test_crowds_and_empty_masks_are_not_pasted():
    crowd, canvas = sample((60, 80), (0, 0, 9, 9), (20, 20, 60, 50)), sample((60, 80))
    crowd[1]["iscrowd"][1] = 1
    crowd[1]["masks"][0] = 0
    assert CopyPaste().collate([canvas, crowd])[1][0] is canvas[1]
    with pytest.raises(
        ValueError, match="bank: got 1 pictures without an object to paste, wanted at"
    ):
        CopyPaste([crowd])


def test_what_is_given_is_not_changed():
    batch = [blobs((64, 64), n, torch.Generator().manual_seed(n)) for n in range(4)]
    before = [
        (image.clone(), target["masks"].clone(), target["boxes"].clone()) for image, target in batch
    ]
    CopyPaste(objects=(4, 4)).collate(batch)
    for (image, target), (was, masks, boxes) in zip(batch, before, strict=True):
        assert torch.equal(image, was) and torch.equal(target["masks"], masks)
        assert torch.equal(target["boxes"], boxes)
