"""The cache of hard examples: the synthesizer fills it, and the target learns from it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot


class HardExampleCache:
    """Keeps examples, with a quota per class: any tensors whose first dimension is the batch.

    Args:
        classes: The number of classes; 1 for a task without classes.
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self._room = torch.zeros(classes, dtype=torch.int64)
        self._chunks: dict[str, list[Tensor]] = {"labels": [torch.zeros(0, dtype=torch.int64)]}

    def __len__(self) -> int:
        return sum(map(len, self._chunks["labels"]))

    def __getitem__(self, name: str) -> Tensor:
        """The tensor of that name for all examples, in the order in which they were added."""
        chunks = self._chunks[name]
        if len(chunks) > 1:
            chunks[:] = [torch.cat(chunks)]
        return chunks[0]

    @property
    def room(self) -> Tensor:
        """(classes,) int64: how many more examples of each class are wanted."""
        return self._room.clone()

    def open(self, per_class: int) -> None:
        """Make room for ``per_class`` more examples of every class, replacing the earlier quota."""
        self._room.fill_(per_class)

    def add(self, labels: Tensor, **fields: Tensor) -> Tensor:
        """Add examples of a batch, in order, as long as their classes have room.

        Args:
            labels: (n,) int64.
            **fields: Tensors (n, ...), under the same names in every call.

        Returns:
            (n,) bool, on the CPU: which were taken.

        Raises:
            ValueError: The names differ from those of the first call.
        """
        labels = labels.cpu()
        if len(self._chunks) > 1:
            self._check_names(fields)
        # The position of each example among those of its class in this batch, counted from 1.
        rank = one_hot(labels, self.classes).cumsum(0).gather(1, labels[:, None])[:, 0]
        taken = rank <= self._room[labels]
        self._room -= torch.bincount(labels[taken], minlength=self.classes)
        for name, values in {"labels": labels, **fields}.items():
            self._chunks.setdefault(name, []).append(values.detach().cpu()[taken])
        return taken

    def replace(self, index: Tensor, **fields: Tensor) -> None:
        """Put other examples in the places of some; each has to be of the class that was there.

        Args:
            index: (n,) int64: the places, none twice, counted in the order of :meth:`add`.
            **fields: Tensors (n, ...), under the same names as for :meth:`add`, ``labels`` too.

        Raises:
            ValueError: The names or the classes differ, or a place is named twice or is not there.
        """
        index = index.cpu()
        if len(index.unique()) < len(index) or not ((index >= 0) & (index < len(self))).all():
            raise ValueError(
                f"index: got {index.tolist()}, wanted places below {len(self)}, none twice"
            )
        labels = fields.pop("labels").cpu()
        self._check_names(fields)
        if not torch.equal(labels, self["labels"][index]):
            raise ValueError("labels: got other classes than those of the examples to replace")
        for name, values in fields.items():
            self[name][index] = values.detach().cpu()

    def _check_names(self, fields: Mapping[str, Tensor]) -> None:
        known = self._chunks.keys() - {"labels"}
        if known != fields.keys():
            raise ValueError(f"fields: got {sorted(fields)}, wanted {sorted(known)}")

    def state_dict(self) -> dict[str, Any]:
        return {"room": self.room, "fields": {name: self[name].clone() for name in self._chunks}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._room = state["room"].clone()
        self._chunks = {name: [values] for name, values in state["fields"].items()}
