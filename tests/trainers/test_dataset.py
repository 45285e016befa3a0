"""affNIST's recipe, against float64 NumPy and SciPy written from its description."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.ndimage
import tiny_affnist
import torch

from compositor import affine
from compositor.files import DataError
from trainers.affnist import dataset
from trainers.affnist.config import DataConfig
from trainers.affnist.placement import Digits, pad, place, uniform


@pytest.fixture(scope="module")
def digits() -> Digits:
    images, labels = tiny_affnist.digits(tiny_affnist.TRAIN, 0)
    images[0] = 0
    images[0, 27, 27] = 1  # the faintest ink in the last corner
    images[1] = 255  # ink everywhere
    return pad(torch.from_numpy(images), torch.from_numpy(labels).long())


def forward(position: np.ndarray) -> np.ndarray:
    """The forward map without the move, on (x, y) pixels: scale, then shear, then turn."""
    angle, shear = np.deg2rad(20 * position[0]), 0.2 * position[1]
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return turn @ np.array([[1, shear], [0, 1]]) @ np.diag(1 + 0.2 * position[2:4])


def test_padding_and_outline(digits: Digits) -> None:
    assert digits.images.shape == (tiny_affnist.TRAIN, 1, 40, 40)
    assert not digits.images[:, :, :6].any()
    assert not digits.images[:, :, :, -6:].any()
    assert set(map(tuple, digits.outline[0].tolist())) == {(27, 27)}  # half pixels from the centre
    assert digits.outline[1].amin() == -27
    assert digits.outline[1].amax() == 27


def test_a_digit_without_ink_is_refused() -> None:
    with pytest.raises(ValueError, match="1 have no ink"):
        pad(torch.zeros(1, 28, 28, dtype=torch.uint8), torch.zeros(1))


def test_parameters_are_in_affnists_ranges_and_fill_them(digits: Digits) -> None:
    index = torch.arange(4000) % len(digits)
    position = uniform(4000, torch.Generator().manual_seed(0))
    theta = place(position, digits.outline[index])
    found = affine.to_parameters(theta, (40, 40), (40, 40))
    limits = torch.tensor([20, 0.2, 1.2, 1.2])
    middle = torch.tensor([0, 0, 1, 1])
    torch.testing.assert_close(
        found[:, :4], middle + (limits - middle) * position[:, :4], rtol=0, atol=2e-5
    )
    # 4000 uniform draws leave a gap above 0.5 % at an end once in 2e4.
    assert (found[:, :4].amax(0) > middle + 0.995 * (limits - middle)).all()
    assert (found[:, :4].amin(0) < middle - 0.995 * (limits - middle)).all()


def test_ink_stays_in_the_frame_and_reaches_its_edges(digits: Digits) -> None:
    random = np.random.default_rng(0)
    for number in (0, *range(2, 30)):
        position = random.uniform(-1, 1, 6)
        position[4:] = random.choice([-1.0, 1.0], 2)
        theta = place(torch.tensor(position)[None].float(), digits.outline[[number]])
        move = affine.to_parameters(theta, (40, 40), (40, 40))[0, 4:].double().numpy()
        y, x = np.nonzero(digits.images[number, 0].numpy())
        matrix = forward(position)
        half = np.abs(matrix).sum(1) / 2  # of a pixel's footprint
        ink = (np.stack((x, y), 1) - 19.5) @ matrix.T + move
        low, high = (ink.min(0) - half), (ink.max(0) + half)
        # A position of +-1 puts the ink's outer edge on the canvas's: 20 pixels from its centre.
        reached = np.where(position[4:] > 0, high, -low)
        np.testing.assert_allclose(reached, 20, atol=1e-4)
        assert (low > -20 - 1e-4).all()
        assert (high < 20 + 1e-4).all()


def test_composites_are_those_of_scipy(digits: Digits) -> None:
    random = np.random.default_rng(1)
    for number in range(2, 12):
        position = random.uniform(-1, 1, 6)
        theta = place(torch.tensor(position)[None].float(), digits.outline[[number]])
        found = dataset.composite(digits[torch.tensor([number])], theta)[0, 0]
        move = affine.to_parameters(theta, (40, 40), (40, 40))[0, 4:].double().numpy()
        # SciPy's matrix maps output to input on (row, column) pixels.
        inverse = np.linalg.inv(forward(position))
        offset = 19.5 - inverse @ (move + 19.5)
        source = digits.images[number, 0].numpy() / 255
        truth = scipy.ndimage.affine_transform(source, inverse[::-1, ::-1], offset[::-1], order=1)
        # float32 coordinates of up to 40 pixels: 40 * 2^-23 times a slope of 1, a few times over.
        np.testing.assert_allclose(found.numpy(), truth, atol=5e-5)


def test_ink_too_large_for_the_frame_stays_centred() -> None:
    outline = torch.tensor([[[-39.0, -39], [-39, 39], [39, -39], [39, 39]]])
    position = torch.tensor([[0.5, 0, 1, 1, 1, -1]])
    found = affine.to_parameters(place(position, outline), (40, 40), (40, 40))
    # float32 in and out of theta.
    torch.testing.assert_close(found[0, 4:], torch.zeros(2), rtol=0, atol=1e-4)


def test_regenerated_sets_repeat_by_bits_and_differ_by_seed_and_version(digits: Digits) -> None:
    first = dataset.regenerate(digits, 2, seed=3)
    assert first.images.shape == (2 * len(digits), 1, 40, 40)
    assert torch.equal(first.labels, digits.labels.repeat(2))
    assert torch.equal(first.images, dataset.regenerate(digits, 2, seed=3).images)
    assert not torch.equal(first.images, dataset.regenerate(digits, 2, seed=4).images)
    assert not torch.equal(*first.images.chunk(2))


def test_prepare_keeps_the_made_set_and_holds_digits_out(tiny_mnist: Path, tmp_path: Path) -> None:
    config = DataConfig(tiny_mnist, downloads=tmp_path / "d", versions=2, validation_digits=50)
    first = dataset.prepare(config)
    assert (len(first.train), len(first.test)) == (150, 120)
    assert first.validation is not None
    assert len(first.validation) == 50
    assert first.sources["affnist"] == "regenerated affNIST (60 digits x 2)"
    (kept,) = (tmp_path / "d").iterdir()
    written = kept.stat().st_mtime_ns
    assert torch.equal(dataset.prepare(config).test.images, first.test.images)
    assert kept.stat().st_mtime_ns == written


def official(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"image": images.reshape(len(images), -1).T, "label_int": labels[None]}
    scipy.io.savemat(path, {"affNISTdata": content})


def made(count: int, batches: int) -> tuple[np.ndarray, np.ndarray]:
    """Regenerated digits as affNIST's files hold them: (batches, count, 40, 40) and labels."""
    images, labels = tiny_affnist.digits(count, 1)
    digits = pad(torch.from_numpy(images), torch.from_numpy(labels).long())
    found = dataset.regenerate(digits, batches, seed=5)
    shape = (batches, count)
    return found.images.reshape(*shape, 40, 40).numpy(), found.labels.reshape(shape).numpy()


@pytest.mark.parametrize("where", ["test_batches", "32x/transformed/test_batches"])
def test_official_batches_are_read_in_the_order_of_their_numbers(
    tmp_path: Path, tiny_mnist: Path, where: str
) -> None:
    images, labels = made(4, 3)
    for name, batch in {"1": 0, "2": 1, "10": 2}.items():
        official(tmp_path / where / f"{name}.mat", images[batch], labels[batch])
    read = dataset.read_official(tmp_path)
    assert np.array_equal(read.images[:, 0].numpy(), images.reshape(-1, 40, 40))
    assert read.labels.tolist() == labels.flatten().tolist()
    data = dataset.prepare(DataConfig(tiny_mnist, tmp_path, tmp_path / "d", versions=2))
    assert len(data.test) == 8
    assert data.sources["affnist"].startswith("official affNIST")


def test_official_test_file(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 40, 40), np.uint8)
    official(tmp_path / "test.mat", images, np.arange(5))
    assert np.array_equal(dataset.read_official(tmp_path).images[:, 0].numpy(), images)


def test_transposed_digits_are_refused(tmp_path: Path, tiny_mnist: Path) -> None:
    """Labels, sizes and inks are right; only the class means tell."""
    (images,), (labels,) = made(50, 1)
    config = DataConfig(tiny_mnist, tmp_path, tmp_path / "d")
    official(tmp_path / "test.mat", images, labels)
    assert np.array_equal(dataset.prepare(config).test.images[:, 0].numpy(), images)
    # Two classes are enough.
    official(tmp_path / "test.mat", images[:2], labels[:2])
    assert len(dataset.prepare(config).test) == 2
    for some in (images, images[:2]):
        official(tmp_path / "test.mat", some.transpose(0, 2, 1), labels[: len(some)])
        with pytest.raises(DataError, match=f"{tmp_path}: its digits are transposed"):
            dataset.prepare(config)


def test_regenerated_sets_of_another_law_are_made_anew(
    tiny_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = DataConfig(tiny_mnist, downloads=tmp_path / "d")
    dataset.prepare(config)
    for number, (name, other) in enumerate({"LAW": 2, "ANGLE": 10.0, "SEED": 1}.items(), 2):
        with monkeypatch.context() as changed:
            changed.setattr(dataset, name, other)
            dataset.prepare(config)
        assert len(list((tmp_path / "d").iterdir())) == number


def test_damaged_or_missing_official_files_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has neither test.mat nor"):
        dataset.read_official(tmp_path)
    path = tmp_path / "test.mat"
    official(path, np.zeros((5, 40, 40), np.uint8), np.arange(5))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="test.mat: is not an affNIST file, or is corrupt"):
        dataset.read_official(tmp_path)
    official(path, np.zeros((5, 40, 40), np.uint8), np.arange(4))
    with pytest.raises(DataError, match="has 5 images but 4 labels"):
        dataset.read_official(tmp_path)
