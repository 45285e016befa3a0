"""Compiles what the op would launch on a GPU, for an architecture that need not be there.

The interpreter accepts what the compiler refuses, so the tests run this in a process of its own,
where Triton is not on its interpreter: the op is called on CPU tensors, and each launch is compiled
as Triton would for the same arguments, and read for its registers and stack.

    TRITON_INTERPRET=0 python -m tests.ops.compile_triton 90 float32 float16
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

from compositor.triton import launch
from tests.ops.cases import identity, inputs

TYPES = {
    torch.float16: "*fp16",
    torch.bfloat16: "*bf16",
    torch.float32: "*fp32",
    torch.float64: "*fp64",
}


def typed(value: Any, parameter: Any) -> tuple[Any, Any, list[Any]]:
    """Type in the signature, value if it is a constant, attributes, as a launch specialises."""
    if value is None:
        return "constexpr", None, []
    if isinstance(value, torch.Tensor):
        return TYPES[value.dtype], None, [["tt.divisibility", 16]]
    if parameter.annotation_type:
        return parameter.annotation_type, None, []
    if parameter.do_not_specialize:
        return "i32", None, []
    if value == 1:
        return "constexpr", 1, []
    divisible = [["tt.divisibility", 16]] if value % 16 == 0 else []
    return ("i32" if value < 2**31 else "i64"), None, divisible


def accesses(ir: str) -> tuple[int, int]:
    """Of a kernel's loads and stores of tiles: how many go by columns, and the widest a thread."""
    layouts = dict(re.findall(r"^(#\w+) = #ttg\.blocked<\{(.*)\}>$", ir, re.MULTILINE))
    used = re.findall(r"tt\.(?:load|store) .*: tensor<(?:\d+x){2,}!tt\.ptr<\w+>, (#\w+)>", ir)
    by_columns, widest = 0, 0
    for name in used:
        each, order = (
            [int(n) for n in re.search(rf"{key} = \[([\d, ]+)\]", layouts[name])[1].split(",")]
            for key in ("sizePerThread", "order")
        )
        by_columns += order[0] != len(order) - 1
        widest = max(widest, *each)
    return by_columns, widest


def compile_launch(arch: int, kernel: Any, arguments: tuple[Any, ...], options: dict[str, Any]):
    """Compile one launch; return a report of its registers, its stack and its accesses."""
    signature: dict[str, Any] = {}
    constants: dict[Any, Any] = {}
    attributes: dict[Any, Any] = {}
    given = {**dict(zip(kernel.arg_names, arguments, strict=False)), **options}
    for index, parameter in enumerate(kernel.params):
        value = given.pop(parameter.name)
        if parameter.is_constexpr:
            signature[parameter.name] = "constexpr"
            constants[(index,)] = value
            continue
        parts = value if isinstance(value, tuple) else (value,)
        places = [(index, k) for k in range(len(parts))] if isinstance(value, tuple) else [(index,)]
        types = []
        for place, part in zip(places, parts, strict=True):
            kind, constant, attribute = typed(part, parameter)
            types.append(kind)
            if kind == "constexpr":
                constants[place] = constant
            if attribute:
                attributes[place] = attribute
        signature[parameter.name] = tuple(types) if isinstance(value, tuple) else types[0]
    source = ASTSource(kernel, signature, constants, attributes)
    compiled = triton.compile(source, target=GPUTarget("cuda", arch, 32), options=given)
    with tempfile.TemporaryDirectory() as folder:
        cubin = Path(folder, "kernel.cubin")
        cubin.write_bytes(compiled.asm["cubin"])
        tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
        command = [tool, "--dump-resource-usage", cubin]
        report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", report)
    assert found, report
    by_columns, widest = accesses(compiled.asm["ttgir"])
    return (
        f"{found[1]} registers, {found[2]} bytes of stack, {by_columns} accesses by columns, "
        f"{widest} wide"
    )


def compile_op(arch: int, dtype: torch.dtype) -> None:
    """Both directions; once, for it takes a minute, each layout and way through the kernels too."""
    seen = set()

    def run(self: Any, *arguments: Any, grid: Any, warmup: bool, **options: Any) -> None:
        report = compile_launch(arch, self, arguments, options)
        where = [str(options[k]) for k in ("RADIUS", "TILE_Y", "TILE_X", "num_warps", "maxnreg")
                 if options.get(k) is not None]  # fmt: skip
        line = f"{self.__name__} {' '.join(where)}: {report}"
        if line not in seen:
            print(line, flush=True)
        seen.add(line)

    def forward(given: Any, radius: int, alpha: bool = False) -> None:
        launch.blend(*given, 0.3, radius / 3, radius, True, alpha)

    def backward(given: Any, radius: int, straight: bool, needs: tuple[bool, ...]) -> None:
        grad = torch.empty_like(given.background)
        grad_alpha = torch.empty_like(given.background[:, :1]) if needs[1] else None
        options = (0.3, radius / 3, radius, straight)
        launch.blend_backward(grad, grad_alpha, *given, *options, *needs)

    theta, every = (False, False, False, True), (True, True, True, True)
    given = inputs((2, 3, 300, 300, 300, 300), dtype)
    torch.use_deterministic_algorithms(True)  # the first configuration, untimed
    with mock.patch.object(JITFunction, "run", run):
        forward(given, 3)
        backward(given, 3, True, theta)
        if arch == 80 and dtype != torch.float32:
            return
        backward(given, 3, False, every)
        if arch == 80 or dtype != torch.float32:
            return
        forward(given._replace(mask=None), 0)
        backward(given._replace(mask=None), 0, True, theta)
        forward(given, 20)  # rows first
        backward(given, 20, True, theta)
        for channels in (3, 16):
            images = [t[:, :1].expand(-1, channels, -1, -1) for t in given[:3]]
            images = [t.contiguous(memory_format=torch.channels_last) for t in images]
            images[1] = images[1][:, :1]
            forward(type(given)(*images, identity(2)), 3, alpha=True)
        far = torch.empty_strided((1, 1, 4, 4), (0, 0, 0, 2**31), device="meta")
        forward(type(given)(far, far, far, identity(1).to("meta")), 3)  # offsets of 64 bits


if __name__ == "__main__":
    for name in sys.argv[2:]:
        print(name)
        compile_op(int(sys.argv[1]), getattr(torch, name))
