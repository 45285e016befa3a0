"""Augmentation of T's pictures keeps their labels true."""

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2

from trainers.detection.augmentation import FILL, distort_and_crop, mirror
from trainers.detection.scenes import Target

SIZE = (60, 80)
OBJECTS = {1: (1.0, [10, 5, 30, 45], False), 2: (0.8, [50, 20, 75, 55], True)}
"""By label: brightness on black, box, and whether it is to ignore; the other one was pasted."""


def picture() -> tuple[Tensor, Target]:
    image = torch.zeros(3, *SIZE)
    for light, (x1, y1, x2, y2), _ in OBJECTS.values():
        image[:, y1:y2, x1:x2] = light
    _, boxes, ignore = zip(*OBJECTS.values(), strict=True)
    return image, {
        "boxes": torch.tensor(boxes).float(),
        "labels": torch.tensor(list(OBJECTS)),
        "ignore": torch.tensor(ignore),
        "pasted": ~torch.tensor(ignore),
    }


def varied(count: int, first: int = 0) -> tuple[list[Tensor], list[Target]]:
    image, target = picture()
    seeds = range(first, first + count)
    return distort_and_crop(image.expand(count, -1, -1, -1), [target] * count, seeds)


def test_mirrored_pictures_take_their_boxes_along() -> None:
    images = torch.arange(24.0).view(2, 1, 3, 4)
    targets = [
        {"boxes": torch.tensor([[0.0, 1, 1, 3]]), "labels": torch.tensor([n])} for n in (1, 2)
    ]
    turned, found = mirror(images, targets, torch.tensor([False, True]))
    assert torch.equal(turned[0], images[0])
    assert turned[1, 0, 0].tolist() == [15, 14, 13, 12]
    assert found[0]["boxes"].tolist() == [[0, 1, 1, 3]]
    assert found[1]["boxes"].tolist() == [[3, 1, 4, 3]]
    assert found[1]["labels"].tolist() == [2]
    assert targets[1]["boxes"].tolist() == [[0, 1, 1, 3]]


def test_boxes_labels_and_what_is_ignored_stay_with_their_objects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the colours left as they are, the pixels tell where each object is."""
    monkeypatch.setattr(v2, "RandomPhotometricDistort", v2.Identity)
    images, targets = varied(100)
    kept = []
    for image, target in zip(images, targets, strict=True):
        assert target.keys() == {"boxes", "labels", "ignore", "pasted"}
        assert all(type(value) is Tensor for value in (image, *target.values()))
        columns = (column.tolist() for column in target.values())
        for box, label, ignore, pasted in zip(*columns, strict=True):
            light, _, wanted = OBJECTS[label]
            assert ignore == wanted != pasted
            rows, columns_ = (image[0] == light).nonzero().T
            ends = [columns_.min(), rows.min(), columns_.max() + 1, rows.max() + 1]
            assert box == [float(end) for end in ends]
        kept.append(len(target["labels"]))
    # Seen in 100 of them: cropped, zoomed out on ImageNet's mean, left alone, an object cut off.
    heights = {image.shape[1] for image in images}
    assert min(heights) < SIZE[0] in heights and max(heights) > 2 * SIZE[0]
    assert set(kept) == {1, 2}
    fill = torch.tensor(FILL)
    assert any(torch.equal(image[:, 0, 0], fill) for image in images)


def test_colours_are_distorted_within_their_range() -> None:
    _, target = picture()
    images, _ = distort_and_crop(torch.full((40, 3, *SIZE), 0.5), [target] * 40, range(40))
    assert all(float(image.min()) >= 0 and float(image.max()) <= 1 for image in images)
    # Of an even grey only the brightness can change, and does in half of them.
    # The others round on their way there and back.
    same = sum(bool(((image - 0.5).abs() < 1e-3).any()) for image in images)
    assert 8 <= same <= 32


def test_a_picture_depends_on_its_seed_alone() -> None:
    images, targets = varied(6)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    again, others = varied(3, first=3)
    assert torch.equal(torch.get_rng_state(), state)
    for number in range(3):
        assert torch.equal(images[3 + number], again[number])
        assert torch.equal(targets[3 + number]["boxes"], others[number]["boxes"])
    assert len({image.shape for image in images}) > 1


def test_pictures_without_objects_pass() -> None:
    image, target = picture()
    nothing = {name: value[:0] for name, value in target.items()}
    images, targets = distort_and_crop(image.expand(5, -1, -1, -1), [nothing] * 5, range(5))
    assert all(len(target["boxes"]) == 0 for target in targets)
    assert all(image.shape[1] >= SIZE[0] for image in images)
