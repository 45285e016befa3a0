"""Annotation clean-up: decides which objects are good enough to paste (the paper's section A.2)."""

from dataclasses import dataclass

import numpy as np
import scipy.ndimage

from compositor.data.images import box_of, ious
from compositor.data.records import Cutout, Skip


@dataclass(frozen=True)
class CleanUp:
    """The rule. The paper gives none: its authors inspected masks by eye and dropped about 10 %."""

    min_iou: float = 0.7
    """Least IoU of the mask's tight box with the annotated one; below it the two disagree. VOC's
    void border takes about 5 pixels off a mask's sides, which leaves an object of 31 x 31 pixels an
    IoU of 0.7."""
    min_side: int = 32
    """Least larger side in pixels: a smaller object, scaled to 0.7 of 300, is mostly blur."""
    min_piece: float = 0.8
    """Least share of the mask in its largest connected piece; below it the object is occluded."""
    max_cut: int = 1
    """Most sides of the photograph that may cut the object: more leave only a limb or a torso."""

    def __str__(self) -> str:
        return (
            f"IoU of mask and box >= {self.min_iou}, larger side >= {self.min_side} pixels, "
            f"largest piece >= {self.min_piece}, cut by <= {self.max_cut} sides"
        )

    def judge(self, cutout: Cutout) -> Cutout | Skip:
        """Return an object to keep, or the reason to leave it out, such as an empty mask."""
        mask = cutout.mask
        if not mask.any():
            return Skip("empty mask", cutout.name)
        height, width = mask.shape
        tight = np.array(box_of(mask), np.float32)
        if cutout.box is not None:
            (overlap,) = ious(tight, np.array([cutout.box], np.float32))
            if overlap < self.min_iou:
                return Skip("mask and box disagree", cutout.name, cutout)
        if max(tight[2:] - tight[:2]) < self.min_side:
            return Skip("too small", cutout.name, cutout)
        if (tight[:2] <= 0).sum() + (tight[2:] >= (width, height)).sum() > self.max_cut:
            return Skip("cut by the frame", cutout.name, cutout)
        pieces, _ = scipy.ndimage.label(mask, np.ones((3, 3)))
        if np.bincount(pieces[mask]).max() < self.min_piece * mask.sum():
            return Skip("in pieces", cutout.name, cutout)
        return cutout


DEFAULT = CleanUp()
