"""Draws a detection experiment's pictures: T's curve, and the paper's figures 8, 9, 11, 14."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import torch
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from torch import Tensor
from torchvision.ops import box_iou

from compositor.data.figures import plt, save
from trainers.detection.best import History, best_run, best_told, over, score
from trainers.detection.report import MEASURES, NAMES, Measure

FOUND, MISSED, FALSE = "limegreen", "red", "gold"
PASTED, EXISTING = "cyan", "limegreen"
BINS = 10
Detections = Mapping[str, Tensor]


def curve(
    path: Path, histories: Mapping[str, Mapping[int, History]], measure: Measure, title: str
) -> None:
    """Draw how good T was after each cycle: each way's mean over the seeds, and their spread.

    Args:
        path: Where to write the picture.
        histories: Each run's records, by its way and seed.
        measure: The name of T's figures in these.
        title: The picture's title.
    """
    figure, axes = plt.subplots(figsize=(7, 4.6), layout="constrained")
    for way, runs in histories.items():
        scores = np.array(
            [[score(record, measure) for record in history] for history in runs.values()], float
        )  # NaN where there is none
        best = best_told([best_run(history, measure, way) for history in runs.values()])
        cycles, mean = np.arange(scores.shape[1]), scores.mean(0)
        (line,) = axes.plot(cycles, mean, marker=".", label=f"{NAMES.get(way, way)}, best {best}")
        if len(scores) > 1:
            spread = scores.std(0, ddof=1)
            axes.fill_between(
                cycles, mean - spread, mean + spread, color=line.get_color(), alpha=0.15, lw=0
            )
    axes.set(
        xlabel="cycle (0: before any composite)",
        ylabel=", ".join((f"{MEASURES[measure]} (%)", *over(runs, measure))),
        xticks=cycles if len(cycles) < 20 else cycles[:: len(cycles) // 10],
    )
    axes.set_title(fill(title, 80), fontsize="medium")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    save(figure, path)


def hardness(
    path: Path,
    answers: Mapping[str, Mapping[str, Sequence[Tensor]]],
    limit: float | None,
    title: str,
    answer: str,
) -> None:
    """Draw figure 8: the distribution of T's answers on each way's composites.

    For a detector its p of seeing the class: the paper's hardness is 1 - p (section 4.2.1). It is
    about the picture; a search for hard composites goes by the confidence for the object, which is
    never higher.

    Args:
        path: Where to write the picture.
        answers: For each panel (such as before and after T learnt) and each way, one tensor (n,)
            per seed: T's answer about each composite, in [0, 1]. All ways have the same number.
        limit: The legend gives the share below this; None: it gives none.
        title: The picture's title.
        answer: What the answers are.
    """
    figure, panels = plt.subplots(
        1,
        len(answers),
        figsize=(6.2 * len(answers), 4.4),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    edges = np.linspace(0, 1, BINS + 1)
    for axes, (panel, ways) in zip(panels[0], answers.items(), strict=True):
        width = 0.9 / (BINS * len(ways))
        for number, (way, seeds) in enumerate(ways.items()):
            shares = np.stack([_shares(values, edges) for values in seeds])
            label = NAMES.get(way, way)
            if limit is not None:
                hard = np.mean([float((values < limit).float().mean()) for values in seeds])
                label += f": {100 * hard:.0f} % below {limit:g}"
            left = edges[:-1] + 0.05 / BINS + number * width
            axes.bar(
                left,
                shares.mean(0),
                width,
                align="edge",
                yerr=shares.std(0, ddof=1) if len(shares) > 1 else None,
                error_kw={"elinewidth": 0.8},
                label=label,
            )
        if limit is not None:
            axes.axvline(limit, color="black", lw=0.8, ls=":")
        axes.set(xlabel=answer, title=panel, xlim=(0, 1))
        axes.set_xticks(edges)
        axes.grid(axis="y", alpha=0.3)
        axes.set_axisbelow(True)
        axes.legend(fontsize="small")
    panels[0, 0].set(ylabel="share of the composites", ylim=(0, None))
    # A source may be a long path.
    figure.suptitle(fill(title, 75 * len(answers)), fontsize="medium")
    save(figure, path)


def _shares(values: Tensor, edges: np.ndarray) -> np.ndarray:
    """Share of the values in each bin; the last bin includes 1."""
    return np.histogram(values.double().cpu().numpy(), edges)[0] / max(len(values), 1)


@dataclass(frozen=True)
class Sheet:
    """A row of composites.

    Attributes:
        label: The row's label, such as "cycle 3".
        composites: (n, 3, H, W) uint8.
        boxes: For each composite, the boxes of all objects (k, 4) in pixels, the pasted one last.
        confidences: (n,), T's confidence for each pasted object.
    """

    label: str
    composites: Tensor
    boxes: Sequence[Tensor]
    confidences: Tensor


def composites(
    path: Path, rows: Sequence[Sheet], title: str, answer: str, columns: int = 8
) -> None:
    """Draw figure 11: composites over the cycles, with the pasted objects' boxes and confidences.

    Each row shows the first ``columns`` that were found, with none hand-picked; ``answer`` is what
    their confidences are.
    """
    if not rows:
        return
    figure, panels = grid(len(rows), columns, rows[0].composites.shape[-2:])
    for line, row in zip(panels, rows, strict=True):
        line[0].set_ylabel(row.label)
        for number, axes in enumerate(line):
            if number >= len(row.composites):
                axes.set_visible(number == 0)  # the label stays
                continue
            axes.imshow(_picture(row.composites[number]))
            for box in row.boxes[number][:-1]:
                _draw(axes, box, EXISTING)
            for box in row.boxes[number][-1:]:  # none if nothing is pasted
                _draw(axes, box, PASTED, f"{float(row.confidences[number]):.2f}")
    figure.suptitle(
        f"{title}\n{PASTED}: the pasted object, {answer}; green: objects of the background",
        fontsize="medium",
    )
    save(figure, path)


def detections(
    path: Path,
    photograph: Callable[[int], tuple[Tensor, Detections]],
    before: Sequence[Detections],
    after: Sequence[Detections],
    title: str,
    columns: int = 8,
    score: float = 0.5,
) -> None:
    """Draw figures 9 and 14: the test images on which the most objects were gained or lost.

    Two rows, before and after: found objects are green, missed ones red, and detections of nothing
    yellow and dashed. Images are chosen by the number of objects found in one and missed in the
    other, gains and losses alike; the title counts both over all test images.

    Args:
        path: Where to write the picture.
        photograph: Returns the image (3, H, W) uint8 of an index, and its target: ``boxes``,
            ``labels`` and ``ignore``.
        before: T's detections in each test image: ``boxes``, ``scores``, ``labels``.
        after: The same after T has learnt.
        title: The picture's title.
        columns: The number of images.
        score: Least score of a detection that is drawn and counted.
    """
    if len(before) != len(after):
        raise ValueError(f"after: got {len(after)} images, wanted {len(before)} as before")
    gained, lost = [], []
    for number in range(len(before)):
        target = photograph(number)[1]
        first, second = (
            found(d[number], target, score)[0] & ~target["ignore"] for d in (before, after)
        )
        gained.append(int((second & ~first).sum()))
        lost.append(int((first & ~second).sum()))
    change = np.add(gained, lost)
    chosen = np.argsort(-change, kind="stable")[:columns]
    if not len(chosen):
        return
    size = photograph(int(chosen[0]))[0].shape[-2:]
    figure, panels = grid(2, len(chosen), size)
    for line, label, every in zip(panels, ("before", "after"), (before, after), strict=True):
        line[0].set_ylabel(label)
        for axes, number in zip(line, chosen, strict=True):
            image, target = photograph(int(number))
            hit, false = found(every[number], target, score)
            axes.imshow(_picture(image))
            for index in false.nonzero()[:, 0].tolist():
                _draw(axes, every[number]["boxes"][index], FALSE, dashed=True)
            for box, found_one, ignored in zip(target["boxes"], hit, target["ignore"], strict=True):
                if not ignored:
                    _draw(axes, box, FOUND if found_one else MISSED)
    figure.suptitle(
        f"{title}: {sum(gained)} objects gained, {sum(lost)} lost on {len(before)} images, of "
        "which these changed most\n"
        f"green: found, red: missed, yellow: no object (score at least {score:g}, IoU 0.5)",
        fontsize="medium",
    )
    save(figure, path)


def found(image: Detections, target: Detections, score: float = 0.5) -> tuple[Tensor, Tensor]:
    """Determine which objects of an image are found, and which detections are of nothing.

    Detections of at least ``score``, best first, each take the free object of their class that they
    overlap most, at an IoU of at least 0.5.

    Returns:
        found: (m,) bool, for the target's objects; ignored ones can be found too.
        false: (n,) bool, for the detections.
    """
    hit = torch.zeros(len(target["labels"]), dtype=torch.bool)
    false = torch.zeros(len(image["labels"]), dtype=torch.bool)
    overlap = box_iou(image["boxes"].float(), target["boxes"].float()).cpu()
    scores, labels = image["scores"].cpu(), image["labels"].cpu()
    overlap[labels[:, None] != target["labels"].cpu()] = 0
    for index in scores.argsort(descending=True, stable=True).tolist():
        if scores[index] < score:
            break
        free = torch.where(hit, 0, overlap[index])
        if len(free) and free.max() >= 0.5:
            hit[free.argmax()] = True
        else:
            false[index] = True
    return hit, false


def grid(rows: int, columns: int, size: Sequence[int]) -> tuple[Any, Any]:
    """A figure for pictures of this size (H, W), without ticks, and its axes (rows, columns)."""
    width = 1.7
    figure, panels = plt.subplots(
        rows,
        columns,
        figsize=(width * columns + 0.3, width * size[0] / size[1] * rows + 0.6),
        squeeze=False,
        layout=ConstrainedLayoutEngine(w_pad=0.01, h_pad=0.01, wspace=0.01, hspace=0.01),
    )
    for axes in panels.flat:
        axes.set_xticks([])
        axes.set_yticks([])
    return figure, panels


def _picture(image: Tensor) -> np.ndarray:
    return image.detach().cpu().permute(1, 2, 0).numpy()


def _draw(axes: Any, box: Tensor, colour: str, text: str = "", dashed: bool = False) -> None:
    """Draw a box (x1, y1, x2, y2); a pixel's square is centred on its index, hence the half."""
    x1, y1, x2, y2 = (float(v) - 0.5 for v in box)
    style = "--" if dashed else "-"
    axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, ec=colour, lw=1.2, ls=style))
    if text:
        # Inside the picture: text sticking out would shift its neighbours.
        right = x1 > 0.8 * axes.get_xlim()[1]
        axes.text(
            x2 if right else max(x1, 0),
            max(y1, 0),
            text,
            fontsize=6,
            ha="right" if right else "left",
            va="top",
            bbox={"facecolor": colour, "edgecolor": "none", "pad": 0.6, "alpha": 0.8},
        )
