"""Copy-paste's arguments: what is drawn within them, and what is refused."""

import copy
import pickle
import subprocess
import sys

import pytest
import torch
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors

import compositor
from compositor.transforms import CopyPaste
from tests.test_transforms import blobs, sample

SIZE = (60, 80)


def test_objects_are_as_many_as_large_and_where_it_is_said():
    bank = [sample((30, 40), (5, 5, 25, 15))]
    canvases = [sample((100, 120), number=n) for n in range(60)]
    torch.manual_seed(0)
    options = {"objects": (0, 3), "scale": (0.5, 2), "sigma": (0, 0), "truncation": 0.5}
    _, targets = CopyPaste(bank * 3, visible=0, p=0.5, **options).collate(canvases)
    numbers = [len(target["boxes"]) for target in targets]
    assert set(numbers) == {0, 1, 2, 3}
    single = torch.cat([target["boxes"] for target in targets if len(target["boxes"]) == 1])
    inner = single[(single[:, :2] > 0).all(1) & (single[:, 2:] < torch.tensor([120, 100])).all(1)]
    width, height = (inner[:, 2:] - inner[:, :2]).unbind(1)
    assert width.min() >= 9 and width.max() <= 41 and (width - 2 * height).abs().max() <= 2
    assert len(inner) < len(single), "some cross the edge"
    large = CopyPaste([sample((300, 400), (0, 0, 400, 300))], objects=(1, 1), sigma=(0, 0))
    _, (target,) = large([canvases[0][0]], [canvases[0][1]])
    x1, y1, x2, y2 = target["boxes"][0].tolist()
    assert 0 <= x1 < x2 <= 120 and 0 <= y1 < y2 <= 100


# Draws


class Blobs(Dataset):
    def __len__(self):
        return 16

    def __getitem__(self, index):
        image, target = blobs((48, 48), 3, torch.Generator().manual_seed(1))  # all alike
        return image, target | {"worker": torch.utils.data.get_worker_info().id}


def epoch(generator, seed):
    """Pictures of 4 batches by 2 workers, whose samples are all alike."""
    copy_paste = CopyPaste(generator=generator and torch.Generator().manual_seed(generator))
    torch.manual_seed(seed)
    loader = DataLoader(
        Blobs(), batch_size=4, collate_fn=copy_paste.collate, num_workers=2,
    )  # fmt: skip
    batches = list(loader)
    assert {target["worker"] for _, targets in batches for target in targets} == {0, 1}
    for _, targets in batches:
        for target in targets:
            rows = {key: len(target[key]) for key in ("boxes", "masks", "labels", "area", "names")}
            assert len(set(rows.values())) == 1, rows
            assert torch.equal(target["masks"].sum((1, 2)), target["area"])
            assert torch.equal(compositor.boxes(target["masks"][:, None])[0], target["boxes"])
    return torch.stack([image for images, _ in batches for image in images])


@pytest.mark.parametrize("generator", [None, 4])
def test_workers_draw_by_seed_and_no_two_alike(generator):
    first = epoch(generator, 0)
    assert torch.equal(first, epoch(generator, 0))
    assert len({picture.numpy().tobytes() for picture in first}) == len(first)
    others = [epoch(generator, 1)] + ([epoch(5, 0)] if generator else [])
    for other in others:
        assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_copies_draw_alike_and_carry_no_generator():
    """A spawned worker gets a pickle, in which a torch.Generator is broken."""
    batch = [blobs((48, 48), n, torch.Generator().manual_seed(n)) for n in range(4)]
    own = CopyPaste(generator=torch.Generator().manual_seed(3))
    own.collate(batch)
    assert b"Generator" not in pickle.dumps(own)
    for copied in (pickle.loads(pickle.dumps(own)), copy.deepcopy(own)):
        state = own._generator.get_state()
        for mine, theirs in zip(own.collate(batch)[0], copied.collate(batch)[0], strict=True):
            assert torch.equal(mine, theirs)
        own._generator.set_state(state)


# Refused


def test_torchvision_is_needed_for_transforms_alone_which_say_so_in_a_line():
    code = (
        "import sys, compositor\nassert not any(m.startswith('torchvision') for m in sys.modules)"
    )
    code += "\nsys.modules['torchvision'] = None\nimport compositor.transforms"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    wanted = "compositor.transforms needs torchvision: pip install 'compositor[data]'"
    assert run.stderr.strip().splitlines()[-1] == f"ModuleNotFoundError: {wanted}"
    assert "During handling" not in run.stderr


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"objects": (2, 1)}, r"objects: got (2, 1), wanted (least, largest), two integers"),
        ({"objects": 3}, "objects: got 3, wanted (least, largest), two integers of at least 0"),
        ({"objects": (0.5, 1)}, "objects: got (0.5, 1), wanted"),
        ({"objects": (-1, 1)}, "objects: got (-1, 1), wanted"),
        ({"scale": (0, 1)}, "scale: got (0, 1), wanted (least, largest), two numbers above 0"),
        ({"scale": (1, 11)}, "scale: got (1, 11), wanted"),
        ({"scale": (float("nan"), 1)}, "scale: got (nan, 1), wanted"),
        ({"sigma": (-1, 1)}, "sigma: got (-1, 1), wanted (least, largest), two numbers of pixels"),
        ({"sigma": (0, 1e9)}, "sigma: got"),
        ({"flip": 1.5}, "flip: got 1.5, wanted a number in [0, 1]"),
        ({"p": -0.1}, "p: got -0.1, wanted a number in [0, 1]"),
        ({"p": True}, "p: got True, wanted a number in [0, 1]"),
        ({"visible": "most"}, "visible: got 'most', wanted a number in [0, 1]"),
        ({"truncation": 2}, "truncation: got 2, wanted a number in [0, 1]"),
        ({"per_image": "image_id"}, "per_image: got 'image_id', wanted a collection of names"),
        ({"generator": 3}, "generator: got 3, wanted a torch.Generator on the CPU or None"),
        (
            {"bank": []},
            "bank: got 0 pictures without an object to paste, wanted at least one object",
        ),
    ],
)
def test_bad_options(options, complaint):
    with pytest.raises((TypeError, ValueError)) as caught:
        CopyPaste(**options)
    assert complaint in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (
            lambda i, t: (i, {k: t[k] for k in t if k != "masks"}),
            "targets[1]: got no 'masks', wanted",
        ),
        (
            lambda i, t: (i, {k: t[k] for k in t if k != "boxes"}),
            "targets[1]: got no 'boxes', wanted",
        ),
        (
            lambda i, t: (i, {k: t[k] for k in t if k != "area"}),
            "targets[1]: got no 'area', wanted",
        ),
        (
            lambda i, t: (i, t | {"area": t["area"].tolist()}),
            "targets[1]['area']: got a list, wanted a tensor, as in other targets",
        ),
        (lambda i, t: (i, None), "targets[1]: got NoneType, wanted a dict"),
        (lambda i, t: (i.numpy(), t), "images[1]: got ndarray, wanted a tensor"),
        (lambda i, t: (i.long(), t), "images[1]: got torch.int64, wanted"),
        (lambda i, t: (i / 255, t), "images[1]: got torch.float32, wanted images[0]'s torch.uint8"),
        (lambda i, t: (i[:1], t), "images[1]: got 1 channels, wanted images[0]'s 3"),
        (lambda i, t: (i[0], t), "images[1]: got shape (60, 80), wanted (C, height, width)"),
        (
            lambda i, t: (i, t | {"masks": t["masks"][..., 1:]}),
            "targets[1]['masks']: got shape (2, 60, 79), wanted (n, 60, 80), as large as",
        ),
        (
            lambda i, t: (i, t | {"labels": t["labels"][:1]}),
            "targets[1]['labels']: got shape (1,), wanted (2,), a row for each mask",
        ),
        (
            lambda i, t: (i, t | {"boxes": t["boxes"][:, :3]}),
            "targets[1]['boxes']: got shape (2, 3), wanted (2, 4), a row for each mask",
        ),
        (lambda i, t: (i, t | {"masks": [1, 2]}), "targets[1]['masks']: got list, wanted a tensor"),
        (
            lambda i, t: (
                i,
                t
                | {
                    "masks": t["masks"]
                    .float()
                    .index_put([torch.tensor(n) for n in (1, 25, 25)], torch.tensor(float("nan")))
                },
            ),
            "targets[1]['masks']: got NaN, wanted numbers",
        ),
        (
            lambda i, t: (i, t | {"keypoints": torch.zeros(2, 5, 3)}),
            "targets[1]: got 'keypoints' (Tensor), wanted no geometry of objects but",
        ),
        (
            lambda i, t: (
                i,
                t
                | {
                    "boxes": tv_tensors.BoundingBoxes(t["boxes"], format="XYXY", canvas_size=(9, 9))
                },
            ),
            "targets[1]['boxes']: got boxes on a canvas of (9, 9), wanted (60, 80)",
        ),
        (
            lambda i, t: (
                i,
                t
                | {
                    "boxes": tv_tensors.BoundingBoxes(
                        torch.zeros(2, 5), format="CXCYWHR", canvas_size=SIZE
                    )
                },
            ),
            "targets[1]['boxes']: got format CXCYWHR, wanted XYXY, XYWH or CXCYWH",
        ),
    ],
)
def test_bad_batches(spoil, complaint):
    good = sample(SIZE, (10, 10, 50, 30))
    bad = spoil(*sample(SIZE, (0, 0, 9, 9), (20, 20, 40, 40)))
    with pytest.raises((TypeError, ValueError)) as caught:
        CopyPaste().collate([good, bad])
    assert complaint in str(caught.value) and "\n" not in str(caught.value)


def test_bad_lists_and_banks():
    picture, target = sample(SIZE, (10, 10, 50, 30))
    for images, targets, complaint in (
        (picture, [target], "images: got Tensor, wanted a list"),
        ([picture], target, "targets: got dict, wanted a list"),
        ([picture], [target] * 2, "targets: got 2, wanted 1, one for each image"),
    ):
        with pytest.raises((TypeError, ValueError)) as caught:
            CopyPaste()(images, targets)
        assert str(caught.value) == complaint
    with pytest.raises(
        TypeError, match=r"^bank: got torch.uint8, wanted images\[0\]'s torch.float32"
    ):
        CopyPaste([(picture, target)])([picture / 255], [target])
    del target["iscrowd"]
    with pytest.raises(ValueError, match=r"^bank\[0\]\[1\]: got no 'iscrowd', wanted one for each"):
        CopyPaste([(picture, target)]).collate([sample(SIZE, (0, 0, 9, 9), (9, 9, 20, 20))])
    del target["masks"]
    with pytest.raises(ValueError, match=r"^bank\[0\]\[1\]: got no 'masks', wanted one for each"):
        CopyPaste([(picture, target)])


def test_torch_s_default_device_changes_nothing():
    """On "meta" there are no values to read."""
    batch = [sample((60, 80), (10, 10, 50, 30)), sample((60, 80), (0, 0, 9, 9))]
    made = []
    for place in ("cpu", "meta"):
        generator = torch.Generator().manual_seed(5)
        with torch.device(place):
            made.append(CopyPaste(generator=generator).collate(batch))
    for one, other in zip(made[0][0], made[1][0], strict=True):
        assert torch.equal(one, other)
    for one, other in zip(made[0][1], made[1][1], strict=True):
        assert all(torch.equal(one[key], other[key]) for key in one)
