"""Machine code of compiled kernels, and what one turn of a loop costs in instructions."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple


class Instruction(NamedTuple):
    """One of SASS: the address, the name without its suffixes, and where a branch goes."""

    address: int
    name: str
    goes_on: bool  # the next instruction may follow
    target: int | None  # of a branch


LINE = re.compile(
    r"^\s+/\*(?P<address>[0-9a-f]{4,})\*/\s+(?P<guard>@!?U?P\w+ )?\s*(?P<name>\w+)(?P<rest>[^;]*);",
    re.MULTILINE,
)
TARGET = re.compile(r"(?P<guard>\bU?P\d, )?0x(?P<target>[0-9a-f]+)\s*$")


def disassembler() -> str | None:
    """Find cuobjdump: the toolkit's, or the one that Triton brings."""
    found = shutil.which("cuobjdump") or shutil.which("/usr/local/cuda/bin/cuobjdump")
    triton = importlib.util.find_spec("triton")
    for folder in (triton and triton.submodule_search_locations) or ():
        found = found or shutil.which(Path(folder) / "backends/nvidia/bin/cuobjdump")
    return found


def kernels(cubin: Path) -> dict[str, list[Instruction]]:
    """Return the instructions of each kernel, by its mangled name."""
    tool = disassembler()
    assert tool, "cuobjdump is neither in the CUDA toolkit nor in Triton"
    run = subprocess.run([tool, "-sass", cubin], capture_output=True, text=True, check=True)
    pieces = re.split(r"Function : (\S+)", run.stdout)
    return {
        name: [_parse(line) for line in LINE.finditer(text)]
        for name, text in zip(pieces[1::2], pieces[2::2], strict=True)
    }


def _parse(line: re.Match[str]) -> Instruction:
    name, guarded = line["name"], line["guard"] is not None
    target = None
    if name == "BRA":
        branch = TARGET.search(line["rest"])
        assert branch, line[0]
        target = int(branch["target"], 16)
        guarded = guarded or branch["guard"] is not None
    return Instruction(
        int(line["address"], 16), name, guarded or name not in ("BRA", "EXIT", "RET"), target
    )


def _loops(code: list[Instruction]) -> Iterator[list[Instruction]]:
    """Yield the instructions from where a branch goes back to up to that branch."""
    for last, instruction in enumerate(code):
        target = instruction.target
        if target is not None and target < instruction.address:
            first = next(k for k, other in enumerate(code) if other.address == target)
            yield code[first : last + 1]


def _shortest_turn(loop: list[Instruction], issues: Mapping[str, int]) -> int | None:
    index = {instruction.address: k for k, instruction in enumerate(loop)}
    # At each instruction: how many of the names have been issued on the way -> the shortest way.
    ways: list[dict[tuple[int, ...], int]] = [{} for _ in loop]
    ways[0][(0,) * len(issues)] = 0
    wanted = tuple(issues.values())
    for k, instruction in enumerate(loop):
        for before, length in ways[k].items():
            issued = tuple(
                n + (name == instruction.name) for n, name in zip(before, issues, strict=True)
            )
            if any(n > most for n, most in zip(issued, wanted, strict=True)):
                continue
            if k == len(loop) - 1:
                if issued == wanted:
                    return length + 1
                continue
            if instruction.name == "CALL":  # the slow path of a division
                continue
            nexts = {k + 1} if instruction.goes_on else set()
            ahead = index.get(instruction.target, 0) if instruction.target is not None else 0
            if ahead > k:  # an inner loop is passed through once
                nexts.add(ahead)
            for after in nexts:
                ways[after][issued] = min(length + 1, ways[after].get(issued, length + 1))
    return None


def instructions_a_turn(code: list[Instruction], issues: Mapping[str, int]) -> int | None:
    """Return what one turn costs of the loop that issues just these instructions, None without one.

    Counted is the shortest way from the loop's head to its branch back that issues each of the
    names as often as said, such as ``{"LDG": 4, "STS": 1}``. That tells loops apart, and ways
    through them: a sample inside the frame reads four pixels of the mask, one outside none.
    """
    turns = [_shortest_turn(loop, issues) for loop in _loops(code)]
    return min((turn for turn in turns if turn is not None), default=None)
