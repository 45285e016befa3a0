"""How kernels are launched: tiles, and the configurations tried for speed.

The configurations come from the compiler's report, not from a GPU: registers are limited so that
two or three programs fit a multiprocessor, or nothing spills.
"""

from __future__ import annotations

from typing import Any

import torch
import triton

from compositor.triton.backward import backward_kernel
from compositor.triton.forward import forward_kernel

LARGEST_HALO = 16  # leaves a quarter of a tile of 64 x 64
FLAT = {"TILE_Y": 16, "TILE_X": 64}  # for kernels without a halo
EXACT = {"enable_fp_fusion": False}  # only the multiply-adds that kernels write out


def _config(tile_y: int, tile_x: int, warps: int, registers: int | None = None) -> triton.Config:
    tile = {"TILE_Y": tile_y, "TILE_X": tile_x}
    return triton.Config(tile, num_warps=warps, num_stages=1, maxnreg=registers)


def _least_rows(radius: int) -> int:
    """The rows of a tile of which the halo leaves at least half."""
    return 32 if min(radius, LARGEST_HALO) <= 8 else 64


def _with_room(configs: list[triton.Config], _: Any, **options: Any) -> list[triton.Config]:
    return [c for c in configs if c.kwargs["TILE_Y"] >= _least_rows(options["RADIUS"])]


def _of_one_tile(configs: list[triton.Config], _: Any, **options: Any) -> list[triton.Config]:
    """For theta's partial sums, one per tile: tuning does not change their number."""
    return [c for c in configs if c.kwargs["TILE_Y"] == _least_rows(options["RADIUS"])]


def _tuned(kernel: Any, configs: list[triton.Config], prune: Any) -> Any:
    return triton.autotune(
        configs, key=["channels", "RADIUS"], prune_configs_by={"early_config_prune": prune}
    )(kernel)


FORWARD = _tuned(
    forward_kernel,
    [
        _config(32, 64, 16, 64),
        _config(32, 64, 8),
        _config(32, 32, 4),
        _config(64, 64, 32, 64),
        _config(64, 64, 8),
    ],
    _with_room,
)
BACKWARD = _tuned(
    backward_kernel,
    [
        _config(32, 64, 16),
        _config(32, 64, 8),
        _config(32, 64, 8, 128),
        _config(64, 64, 16),
        _config(64, 64, 32),
    ],
    _of_one_tile,
)


def timed() -> bool:
    """Whether to choose by timing: not if another process must get the same bits."""
    return not (torch.are_deterministic_algorithms_enabled() or triton.knobs.runtime.interpret)


def run_tuned(kernel: Any, grid: Any, *arguments: Any, **options: Any) -> None:
    """Launch with the fastest configuration, or the first that has room."""
    if not timed():
        options |= kernel.early_config_prune(kernel.configs, None, **options)[0].all_kwargs()
        kernel = kernel.fn
    kernel[grid](*arguments, **options, **EXACT)


def halo_of(radius: int) -> int:
    """How far a tile of the canvas samples around itself: 0 if rows.py blurs the rows."""
    return radius if radius <= LARGEST_HALO else 0


def tiles(height: int, width: int, tile: dict[str, int], halo: int = 0) -> int:
    """The number of tiles over (height, width), each without its halo."""
    across: int = triton.cdiv(width, tile["TILE_X"] - 2 * halo)
    down: int = triton.cdiv(height, tile["TILE_Y"] - 2 * halo)
    return down * across


def partial_tile(radius: int) -> dict[str, int]:
    """The tile of the backward's sums for theta."""
    tile: dict[str, int] = _of_one_tile(BACKWARD.configs, None, RADIUS=radius)[0].kwargs
    return tile
