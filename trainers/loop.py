"""The three-player loop of the paper's section 3: S against T and D, in cycles.

A trainer derives from :class:`Loop` and defines how its synthesizer makes hard examples, how its
target (and discriminator) learn, and how a cycle is evaluated. The loop freezes the players that
are not learning, counts updates, stops on a loss or gradient that is not finite, and saves after
each cycle, so that a run killed at any moment resumes from its last complete cycle, bit for bit.
"""

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from trainers import checkpoint
from trainers.checkpoint import Stateful, check_data, check_identity
from trainers.draws import seed_all
from trainers.player import Player, frozen

COLLAPSED = 0.3
"""Below this spread, relative to that of random placement, placements are hardly more than one."""


def cautions(missing: int, spread: float) -> str:
    """What the line on a cycle ends with if it went badly.

    Args:
        missing: How many images the cycle lacks of those it was to add.
        spread: Standard deviation of S's placements, relative to that of random ones.
    """
    told = ""
    if missing:
        told += f"; warning: {missing} fewer were found than wanted"
    if spread < COLLAPSED:
        part = f"{100 * spread:.0f} % of random placement's spread"
        told += f"; warning: placements have collapsed ({part})"
    return told


class NonFiniteError(RuntimeError):
    """A loss or its gradient became NaN or infinite; the last checkpoint predates it."""


class Loop(ABC):
    """Cycles of synthesis and learning over up to three players.

    Args:
        accelerator: Devices, processes and precision.
        name: What to call the run where it says how far it is.
        seed: Seeds the global generators just before the first cycle.
        path: The checkpoint file. If it exists, :meth:`run` resumes from it.
        identity: The settings that define this run; a checkpoint with others is refused.
        data: Fingerprints of what it reads, by name; a checkpoint from other data is refused.
        target: T.
        synthesizer: S, or another network that places objects; None: none does.
        discriminator: D, or None for the two-player game.
        log_folder: Folder for TensorBoard's files, or None for no logs.
        line: The terminal's line for its progress bars.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        name: str,
        seed: int,
        path: Path,
        identity: Mapping[str, Any],
        data: Mapping[str, str],
        *,
        target: Player,
        synthesizer: Player | None = None,
        discriminator: Player | None = None,
        log_folder: Path | None = None,
        line: int = 0,
    ) -> None:
        self.accelerator = accelerator
        self.name, self.seed, self.path = name, seed, path
        self.identity, self.fingerprints = dict(identity), dict(data)
        self.target, self.synthesizer, self.discriminator = target, synthesizer, discriminator
        self._log_folder, self._line, self._cycles = log_folder, line, 0
        self._writer: SummaryWriter | None = None
        self.updates = 0
        self.history: list[dict[str, Any]] = []
        self._players: dict[str, Player | None] = {
            "synthesizer": synthesizer,
            "target": target,
            "discriminator": discriminator,
        }
        self.parts: dict[str, Stateful] = {n: p for n, p in self._players.items() if p is not None}

    @abstractmethod
    def start(self) -> None:
        """Prepare T (and D) for the first cycle."""

    @abstractmethod
    def synthesize(self) -> None:
        """Make this cycle's hard examples; T and D are frozen."""

    @abstractmethod
    def learn(self) -> None:
        """Train T, and D if there is one; S is frozen."""

    @abstractmethod
    def evaluate(self) -> dict[str, Any]:
        """Evaluate the cycle: return a record of plain values for the history."""

    @abstractmethod
    def summary(self) -> str:
        """One line on the last cycle: the run, the cycle, and how T did."""

    def run(self, cycles: int) -> list[dict[str, Any]]:
        """Run until ``cycles`` cycles are done; return the history, where cycle 0 is the start."""
        self._cycles = cycles
        resumed = self.path.exists()
        if resumed:
            self._resume()
        if self._log_folder is not None and self.accelerator.is_main_process:
            # Discard what a killed run logged after its last checkpoint.
            purge = self.updates + 1 if resumed else 0
            self._writer = SummaryWriter(self._log_folder, purge_step=purge)
        try:
            if not resumed:
                self.start()
                # Trained or loaded, T enters the cycles with no momentum, and draws begin anew.
                self.target.optimizer.state.clear()
                seed_all(self.seed)
                self._finish_cycle()
            while len(self.history) <= cycles:
                with self._still("target", "discriminator"):
                    self.synthesize()
                with self._still("synthesizer"):
                    self.learn()
                self._finish_cycle()
        finally:  # after a failure, the log shows what led to it
            if self._writer is not None:
                self._writer.close()
        return self.history

    def share_start(
        self,
        path: Path,
        parts: Mapping[str, nn.Module],
        depends: Sequence[str],
        train: Callable[[], None],
    ) -> None:
        """Load the starting point that another run saved, or train it and save it for the others.

        Args:
            path: The file of the starting point.
            parts: The networks in it.
            depends: The names in the identity and the fingerprints that its content depends on.
            train: Trains the parts.

        Raises:
            OtherRunError: The file comes from other settings or other data.
        """
        identity, data = (
            {name: known[name] for name in depends if name in known}
            for known in (self.identity, self.fingerprints)
        )
        there = path.exists()
        self.accelerator.wait_for_everyone()  # or one could already see what another writes
        if there:
            content = checkpoint.load(path)
            check_identity(path, content.get("identity", {}), identity)
            check_data(path, content.get("data", {}), data)
            for name, part in parts.items():
                part.load_state_dict(content["parts"][name])
            self.updates = content["updates"]
            return
        train()
        if self.accelerator.is_main_process:
            states = {name: part.state_dict() for name, part in parts.items()}
            content = {"identity": identity, "data": data, "updates": self.updates, "parts": states}
            checkpoint.write(path, content)
        self.accelerator.wait_for_everyone()

    def update(self, player: Player, loss: Tensor, name: str) -> float:
        """Update ``player`` once, logged as ``name``; return the loss.

        Raises:
            NonFiniteError: The loss or the gradient is NaN or infinite; no weight has moved.
        """
        # The mean over the processes, so that all stop together; their gradients are one.
        mean = self.accelerator.reduce(loss.detach().float(), "mean")
        both = torch.stack((mean, player.differentiate(loss).float()))
        value, norm = both.tolist()  # waits for the device once
        self._check_finite(value, f"loss/{name}", player)
        self._check_finite(norm, f"gradient of loss/{name}", player)
        player.optimizer.step()
        self.updates += 1
        self.log({f"loss/{name}": value})
        return value

    def _check_finite(self, value: float, name: str, player: Player) -> None:
        if not math.isfinite(value):
            raise NonFiniteError(
                f"{name}: is {value} in cycle {len(self.history)} after {self.updates} "
                f"updates (learning rate {player.optimizer.param_groups[0]['lr']:g}); "
                f"the checkpoint of the last complete cycle is in {self.path}"
            )

    def doing(self, cycle: int) -> str:
        """The run and its cycle, in words."""
        part = f"cycle {cycle}/{self._cycles}" if cycle else "start"
        return f"{self.name}, seed {self.seed}, {part}"

    def bar(self, work: Iterable[Any], total: int | None = None, who: str = "T") -> "tqdm[Any]":
        """A progress bar over work of the cycle.

        Args:
            work: Its parts.
            total: How many these are, if ``work`` does not know.
            who: Whose work it is.
        """
        return tqdm(
            work,
            f"{self.doing(len(self.history))}, {who}",
            total,
            leave=False,
            position=self._line,
            # None: no bar where there is no terminal.
            disable=None if self.accelerator.is_main_process else True,
        )

    def log(self, values: Mapping[str, float]) -> None:
        """Write scalars to TensorBoard at the number of updates so far, over all players."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, self.updates)

    def picture(self, name: str, image: Tensor) -> None:
        """Write a picture (3, H, W) uint8 to TensorBoard, at the same count as :meth:`log`."""
        if self._writer is not None:
            self._writer.add_image(name, image, self.updates)

    def _still(self, *names: str) -> Any:
        return frozen(*(p.network for n in names if (p := self._players[n]) is not None))

    def _finish_cycle(self) -> None:
        self._agree()
        self.history.append(self.evaluate())
        header = {
            "identity": self.identity,
            "data": self.fingerprints,
            "history": self.history,
            "updates": self.updates,
        }
        checkpoint.save(self.path, self.accelerator, self.parts, header)
        if self.accelerator.is_main_process and not sys.stderr.isatty():
            print(self.summary(), flush=True)  # there is no terminal, so no progress bar either

    def _agree(self) -> None:
        # Each process has its own BatchNorm statistics; the main process's are saved, so all adopt
        # those.
        networks = [p.network if isinstance(p, Player) else p for p in self.parts.values()]
        for network in networks:
            if isinstance(network, nn.Module):
                for buffer in network.buffers():
                    buffer.copy_(broadcast(buffer))

    def _resume(self) -> None:
        content = checkpoint.load(self.path)
        header = content["header"]
        check_identity(self.path, header["identity"], self.identity)
        check_data(self.path, header.get("data", {}), self.fingerprints)
        checkpoint.restore(self.path, content, self.accelerator, self.parts)
        self.history, self.updates = header["history"], header["updates"]
