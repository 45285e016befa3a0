"""The cache of hard examples: the synthesizer fills it, and the target learns from it."""

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
        known = self._chunks.keys() - {"labels"}
        if known and known != fields.keys():
            raise ValueError(f"fields: got {sorted(fields)}, wanted {sorted(known)}")
        # The position of each example among those of its class in this batch, counted from 1.
        rank = one_hot(labels, self.classes).cumsum(0).gather(1, labels[:, None])[:, 0]
        taken = rank <= self._room[labels]
        self._room -= torch.bincount(labels[taken], minlength=self.classes)
        for name, values in {"labels": labels, **fields}.items():
            self._chunks.setdefault(name, []).append(values.detach().cpu()[taken])
        return taken

    def state_dict(self) -> dict[str, Any]:
        return {"room": self.room, "fields": {name: self[name] for name in self._chunks}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._room = state["room"].clone()
        self._chunks = {name: [values] for name, values in state["fields"].items()}
