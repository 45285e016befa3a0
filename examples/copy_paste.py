"""Copy-paste in a DataLoader: on each picture balloons of the batch's others, and its new labels.

python examples/copy_paste.py --output copy_paste.png

Here the DataLoader's workers paste. To paste on a GPU, call the transform on the batch once it is
there: in PyTorch Lightning in the module's `on_after_batch_transfer`.
"""

import sys
from pathlib import Path

import torch
import tyro
from drawings import balloon, landscape
from overlay import colour
from pictures import check_output, to_bytes, to_image, write
from torch.utils.data import DataLoader, Dataset
from torchvision.ops import masks_to_boxes
from torchvision.utils import draw_bounding_boxes, draw_segmentation_masks, make_grid

from compositor.transforms import CopyPaste


class Balloons(Dataset):
    """Eight landscapes with a balloon each: a picture (3, H, W) uint8 and its target."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        colours, shape = (part[0] for part in balloon(index, height=100 + 10 * index))
        picture = landscape(index, seed=index)[0]
        masks = torch.zeros(1, *picture.shape[1:])
        y, x = 20 + 7 * index, 30 * index
        there = slice(y, y + shape.shape[1]), slice(x, x + shape.shape[2])
        picture[:, *there].lerp_(colours, shape)
        masks[:, *there] = shape
        masks = masks > 0.5
        boxes = masks_to_boxes(masks) + torch.tensor([0, 0, 1, 1])  # right and bottom exclusive
        labels = torch.tensor([1 + index % 3])
        return to_bytes(picture), {"boxes": boxes, "masks": masks, "labels": labels}


def main(seed: int = 0, output: Path = Path("copy_paste.png")) -> None:
    check_output(output)
    torch.manual_seed(seed)
    copy_paste = CopyPaste(objects=(2, 4), scale=(0.4, 1.2))
    loader = DataLoader(Balloons(), batch_size=8, num_workers=2, collate_fn=copy_paste.collate)
    panels = []
    for image, target in zip(*next(iter(loader)), strict=True):
        hues = [colour(n) for n in range(len(target["labels"]))]
        tinted = draw_segmentation_masks(image, target["masks"], alpha=0.4, colors=hues)
        panels += [image, draw_bounding_boxes(tinted, target["boxes"] - 0.5, colors=hues, width=2)]
    write(to_image(make_grid(panels, nrow=4)), output)
    print(f"wrote {output}")


if __name__ == "__main__":
    try:
        tyro.cli(main, description=__doc__)
    except ValueError as error:
        sys.exit(f"error: {error}")
