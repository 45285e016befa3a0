"""Context-DA: an object goes where a network finds that one of its class fits in.

Dvornik et al., "Modeling Visual Context is Key to Augmenting Object Detection Datasets", ECCV 2018.
The network is shown what is around a box, and the box itself in grey, and says of which class the
object is that belongs there, if any. Here it has S's backbone, and objects are pasted one by one,
as in the other ways.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchvision.ops import box_iou, roi_align

import compositor
from compositor.data.prepared import Photographs
from compositor.files import DataError
from compositor.scenes.random_placement import PlacementRules, covers, padded
from trainers.detection.batches import Batches, generator
from trainers.detection.composites import Stage
from trainers.detection.config import ContextConfig
from trainers.detection.scenes import IDENTITY, Paste
from trainers.detection.tones import PLAIN
from trainers.detectors.backbones import Backbone

SIDE = 112
"""Side of a neighbourhood in pixels; 300 in the paper."""
AROUND = 2.0
"""Side of a neighbourhood over the longer side of its box."""
GREY = 0.5
EMPTY = 3
"""Empty boxes for each one with an object; the paper too has more of them."""
OVERLAP = 0.3
"""Largest IoU of an empty box with an object."""


class ContextNetwork(nn.Module):
    """Says what belongs in the middle of a neighbourhood.

    Args:
        backbone: Its trunk.
        classes: How many there are, the background among them.
    """

    def __init__(self, backbone: Backbone, classes: int) -> None:
        super().__init__()
        self.backbone, self.head = backbone, nn.Linear(backbone.channels[-1], classes)

    def forward(self, neighbourhoods: Tensor) -> Tensor:
        """Logits (k, classes) of neighbourhoods (k, 3, SIDE, SIDE) in [0, 1]; 0: nothing."""
        logits: Tensor = self.head(self.backbone(neighbourhoods).mean((2, 3)))
        return logits


def neighbourhoods(images: Tensor, boxes: Tensor, picture: Tensor) -> Tensor:
    """Squares (k, 3, SIDE, SIDE) around boxes, the boxes grey; black beyond the pictures.

    Args:
        images: (n, 3, H, W) in [0, 1].
        boxes: (k, 4) in pixels.
        picture: (k,) int64, the image that each is on.
    """
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    sides = boxes[:, 2:] - boxes[:, :2]
    half = AROUND / 2 * sides.amax(1, keepdim=True)
    squares = torch.cat((picture[:, None].to(boxes), centres - half, centres + half), 1)
    shown = roi_align(images, squares, (SIDE, SIDE), aligned=True)
    steps = ((torch.arange(SIDE, device=boxes.device) + 0.5) * 2 / SIDE - 1).abs()
    inside = steps <= (sides / (2 * half))[:, :, None]
    return shown.masked_fill((inside[:, 1, :, None] & inside[:, 0, None])[:, None], GREY)


class Contexts(Batches):
    """Batches to learn from, each determined by the seed and its number.

    A batch has pictures (n, 3, H, W) uint8, boxes (k, 4) on them, the picture of each box (k,), and
    the label of the object in it (k,), 0 for none. Each picture gives one of its objects, and boxes
    of real objects' sizes at random places clear of all its objects.

    Args:
        real: The photographs, some of which show objects.
        seed: The run's seed.
        steps: The number of batches.
        batch: Pictures a batch, over all processes.
        process: This process's index, and the number of processes.

    Raises:
        DataError: No photograph shows an object.
    """

    def __init__(
        self,
        real: Photographs,
        seed: int,
        steps: int,
        batch: int,
        process: tuple[int, int] = (0, 1),
    ) -> None:
        self.real, self.seed, self.steps = real, seed, steps
        self.batch, self.process = batch, process
        self.showing = [i for i, one in enumerate(real.targets) if not one["ignore"].all()]
        if not self.showing:
            raise DataError(f"ways: got context, but no object of {real.source} is known")
        self.sides = object_sides(real)

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        random = generator(self.seed, "context", 0, number)
        chosen = torch.randint(len(self.showing), (self.batch,), generator=random)
        # Each picture has a seed, so that its boxes are the same on however many processes.
        seeds = torch.randint(2**62, (self.batch,), generator=random)
        mine = slice(self.process[0], None, self.process[1])
        images, boxes, picture, labels = [], [], [], []
        pairs = zip(chosen[mine].tolist(), seeds[mine].tolist(), strict=True)
        for place, (row, seed) in enumerate(pairs):
            index, own = self.showing[row], torch.Generator().manual_seed(seed)
            target = self.real.targets[index]
            known = (~target["ignore"]).nonzero()[:, 0]
            (one,) = known[torch.randint(len(known), (1,), generator=own)]
            empty = self._clear(target["boxes"], own)
            images.append(self.real.image(index))
            boxes += [target["boxes"][one][None], empty]
            picture += [place] * (1 + len(empty))
            labels += [int(target["labels"][one])] + [0] * len(empty)
        return torch.stack(images), torch.cat(boxes), torch.tensor(picture), torch.tensor(labels)

    def _clear(self, objects: Tensor, random: torch.Generator) -> Tensor:
        """Up to :data:`EMPTY` boxes at random places of a picture with these objects (m, 4)."""
        sides = self.sides[torch.randint(len(self.sides), (4 * EMPTY,), generator=random)]
        boxes = random_boxes(sides, self.real.size, random)
        return boxes[box_iou(boxes, objects).amax(1) < OVERLAP][:EMPTY]


def object_sides(real: Photographs) -> Tensor:
    """Width and height (m, 2) of all objects of photographs but those to ignore."""
    boxes = torch.cat([target["boxes"][~target["ignore"]] for target in real.targets])
    return boxes[:, 2:] - boxes[:, :2]


def random_boxes(
    sides: Tensor, size: tuple[int, int], random: torch.Generator | None = None
) -> Tensor:
    """Boxes (k, 4) of these sides (k, 2), shrunk to fit on the canvas, uniformly on it."""
    canvas = sides.new_tensor([size[1], size[0]])
    sides = (sides * (canvas / sides).amin(1, keepdim=True).clamp_max(1)).minimum(canvas)
    corners = torch.rand(sides.shape, generator=random).to(sides) * (canvas - sides)
    return torch.cat((corners, corners + sides), 1)


def context_loss(
    network: nn.Module, images: Tensor, boxes: Tensor, picture: Tensor, labels: Tensor
) -> Tensor:
    """Cross-entropy () of a batch of :class:`Contexts`."""
    return cross_entropy(network(neighbourhoods(images.float() / 255, boxes, picture)), labels)


@torch.no_grad()
def place_in_context(
    network: nn.Module,
    stage: Stage,
    sides: Tensor,
    config: ContextConfig,
    rules: PlacementRules,
) -> tuple[Paste, Tensor]:
    """Placements where objects fit in best, colours as they are, and whether they fit in (n,).

    Args:
        network: A :class:`ContextNetwork`, in eval mode.
        stage: Pictures, and the object to place on each.
        sides: (m, 2), of real objects, whose areas the candidates take; the aspect is the object's.
        config: How many candidates, and how probable the best has to be.
        rules: Say how much of an object on the picture a candidate may cover.
    """
    batch, images = stage.batch, stage.images
    size = (images.shape[-2], images.shape[-1])
    masks, every = batch.masks(), torch.arange(len(batch), device=images.device)
    own, shows = compositor.boxes(masks)
    shape = (own[:, 2:] - own[:, :2]).clamp_min(1).sqrt()
    shape = (shape / shape.flip(1)).cpu()  # of an area of 1
    there, areas_there = padded([target["boxes"].cpu().double() for target in stage.targets])
    boxes, chances = [], []
    for _ in range(config.candidates):
        areas = sides[torch.randint(len(sides), (len(batch),))].prod(1, keepdim=True)
        drawn = random_boxes(shape * areas.sqrt(), size)
        covering = covers(drawn.double(), there, areas_there, rules)
        boxes.append(drawn.to(images))
        shown = neighbourhoods(images, boxes[-1], every)
        chance = network(shown).softmax(1)[every, batch.labels[:, -1]]
        chances.append(chance.masked_fill(covering.to(chance.device), 0))
    best, which = torch.stack(chances).max(0)
    chosen = torch.stack(boxes)[which, every]
    theta = IDENTITY.to(chosen).repeat(len(batch), 1, 1)
    # At the op's own threshold nothing of a thin mask shows, which from_boxes refuses.
    theta[shows] = compositor.affine.from_boxes(masks[shows], chosen[shows], size, threshold=0.5)
    return Paste(theta, PLAIN.to(theta).expand_as(theta)), shows & (best > config.least)
