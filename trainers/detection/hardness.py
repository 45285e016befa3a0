"""Which composites are hard for T, and the search for them with T's forward passes counted."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Generic, Protocol, Self, TypeVar

import torch
from torch import Tensor
from torchvision.ops import box_iou

HARD = 0.5
"""A composite is hard where T's confidence for the pasted object is below this (supplement A.2)."""
TRIES = 16
"""Placements a foreground gets where the search is per foreground."""


def confidence(
    detections: Mapping[str, Tensor], box: Tensor, label: int, iou: float = 0.5
) -> float:
    """T's confidence for one object: the best score of a detection on it with its class.

    What selection asks: a detection elsewhere in the picture does not make its object easy.

    Args:
        detections: Of one image, as torchvision's detectors return them: ``boxes`` (n, 4),
            ``scores`` (n,) and ``labels`` (n,). What the detector's own score threshold drops
            counts as 0.
        box: (4,), (x1, y1, x2, y2) in pixels, right and bottom exclusive.
        label: The object's class.
        iou: Least IoU for a detection to be on the object.

    Returns:
        In [0, 1]; 0 where no detection is on the object.
    """
    on = box_iou(box[None].float(), detections["boxes"].float())[0] >= iou
    scores = detections["scores"][on & (detections["labels"] == label)]
    return float(scores.max()) if len(scores) else 0.0


def presence(detections: Mapping[str, Tensor], label: int) -> float:
    """T's p of the picture showing the class: the best score of a detection of it, anywhere.

    One minus it is the paper's hardness (section 4.2.1), which figure 8 shows.

    Args:
        detections: Of one image, as for :func:`confidence`.
        label: The class.

    Returns:
        In [0, 1]; 0 where nothing of the class is detected. No less than :func:`confidence`.
    """
    scores = detections["scores"][detections["labels"] == label]
    return float(scores.max()) if len(scores) else 0.0


class Pairs(Protocol):
    """Foregrounds and their backgrounds, however the caller holds them."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Tensor) -> Self: ...


PairsType = TypeVar("PairsType", bound=Pairs)


@dataclass(frozen=True)
class Proposals:
    """Composites to judge, or found.

    Attributes:
        composites: (N, 3, H, W).
        boxes: (N, 4) of the pasted objects, pixels, right and bottom exclusive.
        labels: (N,) int64, their classes.
        theta: (N, 2, 3), their placements.
        valid: (N,) bool: False where too little of the object shows for its label to be right.
        background: (N,) int64, which background each was pasted on: whose existing boxes join.
    """

    composites: Tensor
    boxes: Tensor
    labels: Tensor
    theta: Tensor
    valid: Tensor
    background: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor | slice) -> Self:
        return type(self)(**{name: value[index] for name, value in vars(self).items()})

    @classmethod
    def cat(cls, parts: "list[Proposals]") -> Self:
        """Put proposals one after the other."""
        columns = {name: [vars(part)[name] for part in parts] for name in vars(parts[0])}
        return cls(**{name: torch.cat(column) for name, column in columns.items()})


@dataclass
class Tally:
    """What a search cost and gave.

    Attributes:
        pairs: How many foregrounds were drawn.
        proposed: How many placements were made.
        invalid: How many of them showed too little of the object: neither scored nor taken.
        passes: Images that went forward through T.
        accepted: How many composites were hard.
        taken: How many of them there was room for.
        shortfall: How many more were wanted when the search was given up.
    """

    pairs: int = 0
    proposed: int = 0
    invalid: int = 0
    passes: int = 0
    accepted: int = 0
    taken: int = 0
    shortfall: int = 0


class Search(Generic[PairsType]):
    """Draws pairs, has them placed, and keeps the valid composites that are hard.

    Args:
        draw: Gives that many pairs.
        propose: Places each pair anew: by chance or by S.
        score: T's confidence (n,) for the pasted objects, of composites, boxes and labels. None: T
            is not asked, and every valid composite is kept.
        tries: How many placements a pair gets until one is hard. 1 filters pair and place jointly,
            so that a foreground that is hard anywhere comes back often; more (:data:`TRIES`) filter
            the places of each foreground.
        batch: Pairs at a time, at most.
        hard: What is below this confidence is kept.

    Attributes:
        tally: Of everything this search has done.
    """

    def __init__(
        self,
        draw: Callable[[int], PairsType],
        propose: Callable[[PairsType], Proposals],
        score: Callable[[Tensor, Tensor, Tensor], Tensor] | None,
        *,
        tries: int = 1,
        batch: int = 16,
        hard: float = HARD,
    ) -> None:
        if tries < 1 or batch < 1:
            raise ValueError(f"tries, batch: got {tries} and {batch}, wanted 1 or more of each")
        self.draw, self.propose, self.score = draw, propose, score
        self.tries, self.batch, self.hard = tries, batch, hard
        self.tally = Tally()

    def fill(self, count: int, max_proposals: int) -> Iterator[Proposals]:
        """Find ``count`` composites, a batch at a time, or give up.

        Args:
            count: How many are wanted. What the last batch finds beyond is accepted, not taken.
            max_proposals: No batch starts after so many placements of this call; what is missing
                then is the tally's shortfall.

        Yields:
            What each batch found: at most ``batch`` composites, never none.
        """
        missing, last = count, self.tally.proposed + max_proposals
        while missing and self.tally.proposed < last:
            found = self._search(self.draw(self._batch(missing)))
            taken = found[:missing]
            missing -= len(taken)
            self.tally.accepted += len(found)
            self.tally.taken += len(taken)
            if len(taken):
                yield taken
        self.tally.shortfall += missing

    def _batch(self, missing: int) -> int:
        """As many pairs as should do by the rate so far: more passes would be wasted."""
        rate = self.tally.pairs / max(self.tally.accepted, 1)
        return min(self.batch, max(missing, ceil(missing * rate)))

    @torch.no_grad()
    def _search(self, pairs: PairsType) -> Proposals:
        self.tally.pairs += len(pairs)
        found = []
        for _ in range(self.tries):
            proposals = self.propose(pairs)
            kept = self._judge(proposals)
            found.append(proposals[kept])
            left = (~kept).nonzero()[:, 0]
            if not len(left):
                break
            pairs = pairs[left]
        return found[0].cat(found)

    def _judge(self, proposals: Proposals) -> Tensor:
        """Which proposals (N,) are valid and hard."""
        kept = proposals.valid.clone()
        valid = proposals[kept]
        self.tally.proposed += len(proposals)
        self.tally.invalid += len(proposals) - len(valid)
        if self.score is not None and len(valid):
            self.tally.passes += len(valid)
            confidences = self.score(valid.composites, valid.boxes, valid.labels)
            kept[kept.clone()] = (confidences < self.hard).to(kept.device)
        return kept
