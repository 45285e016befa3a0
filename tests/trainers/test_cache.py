import pytest
import torch

from trainers.cache import HardExampleCache


def test_quotas_are_filled_in_order_class_by_class() -> None:
    cache = HardExampleCache(3)
    labels = torch.tensor([0, 0, 1, 0, 1])
    assert not cache.add(labels, value=torch.arange(5)).any()  # no quota is open yet
    cache.open(2)
    assert cache.add(labels, value=torch.arange(5)).tolist() == [True, True, True, False, True]
    assert cache["value"].tolist() == [0, 1, 2, 4]
    assert cache["labels"].tolist() == [0, 0, 1, 1]
    assert cache.room.tolist() == [0, 0, 2]
    cache.open(1)  # what class 2 missed is forgotten, what is there stays
    assert cache.room.tolist() == [1, 1, 1]
    assert cache.add(torch.tensor([2, 2]), value=torch.tensor([7, 8])).tolist() == [True, False]
    assert cache["value"].tolist() == [0, 1, 2, 4, 7]
    assert len(cache) == 5


def test_nothing_to_add_is_fine() -> None:
    cache = HardExampleCache(2)
    cache.open(1)
    empty = torch.zeros(0, dtype=torch.int64)
    assert len(cache.add(empty, image=torch.zeros(0, 1, 4, 4))) == 0
    assert cache["image"].shape == (0, 1, 4, 4)
    assert len(cache) == 0


def test_other_fields_are_refused() -> None:
    cache = HardExampleCache(2)
    cache.open(1)
    cache.add(torch.tensor([0]), image=torch.zeros(1))
    with pytest.raises(ValueError, match=r"fields: got \['theta'\], wanted \['image'\]"):
        cache.add(torch.tensor([0]), theta=torch.zeros(1))


def test_state_comes_back_and_shares_nothing() -> None:
    cache = HardExampleCache(2)
    cache.open(2)
    cache.add(torch.tensor([0, 1, 1]), image=torch.rand(3, 2))
    other = HardExampleCache(2)
    other.load_state_dict(cache.state_dict())
    cache.open(9)
    assert other.room.tolist() == [1, 0]
    assert torch.equal(other["image"], cache["image"])
    assert torch.equal(other["labels"], cache["labels"])


def test_examples_are_replaced_in_their_places() -> None:
    cache = HardExampleCache(2)
    cache.open(2)
    cache.add(torch.tensor([0, 1]), image=torch.tensor([10, 11]))
    cache.add(torch.tensor([0, 1]), image=torch.tensor([12, 13]))
    saved = cache.state_dict()
    cache.replace(torch.tensor([3, 0]), labels=torch.tensor([1, 0]), image=torch.tensor([23, 20]))
    assert cache["image"].tolist() == [20, 11, 12, 23]
    assert cache["labels"].tolist() == [0, 1, 0, 1]
    assert cache.room.tolist() == [0, 0]
    assert saved["fields"]["image"].tolist() == [10, 11, 12, 13]


@pytest.mark.parametrize(
    ("index", "labels", "name", "message"),
    [
        ([0, 0], [0, 0], "image", r"index: got \[0, 0\], wanted places below 2, none twice"),
        ([2], [0], "image", r"index: got \[2\], wanted places below 2"),
        ([-1], [1], "image", r"index: got \[-1\], wanted places below 2"),
        ([0], [1], "image", "labels: got other classes"),
        ([0], [0], "theta", r"fields: got \['theta'\], wanted \['image'\]"),
    ],
)
def test_a_replacement_that_does_not_fit_is_refused(
    index: list[int], labels: list[int], name: str, message: str
) -> None:
    cache = HardExampleCache(2)
    cache.open(1)
    cache.add(torch.tensor([0, 1]), image=torch.tensor([10, 11]))
    values = torch.zeros(len(index), dtype=torch.int64)
    with pytest.raises(ValueError, match=message):
        cache.replace(torch.tensor(index), labels=torch.tensor(labels), **{name: values})
    assert cache["image"].tolist() == [10, 11]
