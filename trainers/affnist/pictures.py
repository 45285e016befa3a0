"""The pictures of the AffNIST experiment: the paper's figures 7 and 4 with our results."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from compositor.data.figures import plt, save
from trainers.affnist.sampling import CLASSES
from trainers.affnist.tasks import TASKS

NAMES = {
    "baseline": "MNIST alone",
    "synthesizer": "synthesizer",
    "random": "random affine",
    "random_hard": "random affine, hard",
    "image_hard": "per-image hard",
    "renewed": "renewed where T is right",
    "renewed_all": "renewed wherever shown",
    "renewed_at_random": "renewed at random, as many",
    "renewed_synthesizer": "renewed, replacements by S",
    "renewed_fitted": "renewed, replacements by a fitted law",
}
MIXES = {
    "half": "batches half MNIST, half added images",
    "concatenate": "batches drawn from MNIST and added images combined",
}
COLOURS = {
    "baseline": "tab:gray",
    "synthesizer": "tab:green",
    "random": "tab:red",
    "random_hard": "tab:orange",
    "image_hard": "tab:blue",
    "renewed": "tab:purple",
    "renewed_all": "tab:brown",
    "renewed_at_random": "tab:pink",
    "renewed_synthesizer": "tab:olive",
    "renewed_fitted": "tab:cyan",
}


def curve(path: Path, results: dict[str, Any]) -> None:
    """Draw figure 7, accuracy against added images with our spread and the paper's points.

    Beside it is the same against two costs: composites made, and passes of T to choose.
    """
    figure, panels = plt.subplots(
        1, 3, figsize=(15, 5), sharey=True, layout="constrained", width_ratios=(4, 3, 3)
    )
    axes, made, passes = panels
    task = TASKS[results["config"]["task"]]
    for number, (way, points) in enumerate(results["curve"].items()):
        added, accuracy = np.transpose(points)
        spent, spread = results["spent"][way], results["spread"][way]
        colour = COLOURS.get(way, f"C{number}")  # a variant of a way has none of its own
        line = {"ls": "-" if way in COLOURS else "--", "marker": ".", "label": NAMES.get(way, way)}
        for panel, x in zip(panels, (added, spent["made"], spent["passes"]), strict=True):
            panel.plot(x, accuracy, color=colour, **line)
            if spread:
                low, high = accuracy - np.array(spread), accuracy + np.array(spread)
                panel.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)
    most = max(1, *(points[-1][0] for points in results["curve"].values()))
    for way, points in results["paper"]["points"].items():
        near = [point for point in points if point[0] <= most * 1.1]
        far = [f"{y:.0f} % at {x}" for x, y in points if x > most * 1.1]
        label = f"paper: {NAMES[way]}" + (f" (and {', '.join(far)})" if far else "")
        axes.plot(*zip(*near, strict=True), color=COLOURS[way], marker="D", ls="none", label=label)
    if "final" in results["paper"]:
        final = results["paper"]["final"]
        axes.axhline(final, color="black", ls=":", label=f"paper, table 1: {final} %")
    seeds = len(results["seeds"])
    axes.set(
        xlabel="added images",
        ylabel=f"{task.measure} on affNIST ({task.unit})",
        xlim=(-most * 0.02, most * 1.05),
        title=f"{results['data']['affnist']}, mean of {seeds} seed{'s' * (seeds > 1)}\n"
        f"{MIXES[results['config']['target']['mix']]}",
    )
    made.set(xlabel="composites made")
    passes.set(xlabel="passes of T to choose")
    for panel in panels:
        panel.grid(alpha=0.3)
    shown = axes.get_legend_handles_labels()
    figure.legend(*shown, loc="outside lower center", ncols=3, fontsize="small")
    save(figure, path)


def hard_examples(
    path: Path, fields: dict[str, Tensor], history: list[dict[str, Any]], title: str
) -> None:
    """Draw figure 4: images added in up to ten of the cycles, one row per cycle.

    Args:
        path: Where to write the picture.
        fields: The cache's fields: ``images`` (n, 1, h, w) uint8 and ``labels`` (n,).
        history: The run's records; ``added`` says where each cycle's images end.
        title: The picture's title.
    """
    cycles = len(history) - 1 if "images" in fields else 0  # nothing may have been added
    shown = sorted({round(1 + i * (cycles - 1) / 9) for i in range(10)}) if cycles else []
    rows = []
    for cycle in shown:
        new = slice(history[cycle - 1]["added"], history[cycle]["added"])
        rows.append(_row(fields["images"][new], fields["labels"][new]))
    if not rows:
        return
    grid = torch.cat(rows)
    figure, axes = plt.subplots(
        figsize=(grid.shape[1] / 75, grid.shape[0] / 75 + 0.4), layout="constrained"
    )
    axes.imshow(grid.numpy(), cmap="gray", vmin=0, vmax=255)
    height = len(rows[0])
    labels = [f"cycle {cycle}" for cycle in shown]
    axes.set_yticks([height * (i + 0.5) for i in range(len(rows))], labels)
    axes.set_xticks([])
    axes.set_title(title, fontsize="medium")
    save(figure, path)


def placements(path: Path, runs: dict[str, list[dict[str, Any]]]) -> None:
    """Draw how densely each way's images lie by place and by scale, at up to four of its cycles.

    Args:
        path: Where to write the picture.
        runs: The records of one run of each way.
    """
    known = {way: [r for r in run if "density" in r] for way, run in runs.items()}
    known = {way: records for way, records in known.items() if records}
    if not known:
        return
    columns = max(min(len(records), 4) for records in known.values())
    figure, grid = plt.subplots(
        len(known), 2 * columns, squeeze=False, layout="constrained",
        figsize=(2.4 * columns + 1.6, 1.35 * len(known) + 0.6),
    )  # fmt: skip
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    for row, (way, records) in zip(grid, known.items(), strict=True):
        row[0].set_ylabel(
            NAMES.get(way, way).replace(", ", ",\n"), rotation=0, ha="right", va="center"
        )
        for column in range(min(len(records), columns)):
            record = records[round(column * (len(records) - 1) / max(columns - 1, 1))]
            for axes, name in zip(row[2 * column :], ("place", "scale"), strict=False):
                shown = axes.imshow(record["density"][name], vmin=0, vmax=2, cmap="RdBu_r")
                axes.set_title(f"{name}, {record['added']} held", fontsize="x-small")
    figure.colorbar(shown, ax=grid, label="density over the random law's", shrink=0.8)
    save(figure, path)


def _row(images: Tensor, labels: Tensor, each: int = 2) -> Tensor:
    """``each`` images of every class side by side, (h + 2, width); black where one is missing."""
    side = images.shape[-1]
    row = torch.zeros(CLASSES, each, side + 2, side + 2, dtype=torch.uint8)
    row[..., -2:, :] = row[..., -2:] = 90
    for number in range(CLASSES):
        for place, image in enumerate(images[labels == number][:each]):
            row[number, place, :side, :side] = image[0]
    return row.flatten(0, 1).permute(1, 0, 2).flatten(1)
