"""The op in packages of AOTInductor, which run where there is no Python."""

import subprocess
from pathlib import Path

import torch
from torch.utils import cpp_extension

import compositor
from compositor import _extension
from tests.ops.cases import inputs
from tests.ops.emulation import COMPILER


class Composite(torch.nn.Module):
    def forward(self, foreground, mask, background, theta):
        return compositor.blend(
            foreground, mask, background, theta, threshold=0.5, return_alpha=True
        )


def test_a_package_runs_in_a_program_without_python(tmp_path):
    given = inputs((2, 3, 12, 11, 14, 13))
    package, program = tmp_path / "composite.pt2", tmp_path / "run_package"
    exported = torch.export.export(Composite(), tuple(given))
    torch._inductor.aoti_compile_and_package(exported, package_path=str(package))
    torch.save(list(given), tmp_path / "inputs.pt")
    libraries = cpp_extension.library_paths()
    subprocess.run(
        [
            COMPILER, "-std=c++20", Path(__file__).with_name("run_package.cpp"), "-o", program,
            *(f"-isystem{folder}" for folder in cpp_extension.include_paths()),
            *(f"-L{folder}" for folder in libraries),
            *(f"-Wl,-rpath,{folder}" for folder in libraries),
            "-ltorch", "-ltorch_cpu", "-lc10", "-ldl",
        ],
        check=True,
    )  # fmt: skip
    arguments = _extension.LIBRARY, package, tmp_path / "inputs.pt", tmp_path / "outputs.pt"
    run = subprocess.run([program, *arguments], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    for got, wanted in zip(
        torch.load(tmp_path / "outputs.pt", weights_only=False), Composite()(*given), strict=True
    ):
        assert torch.equal(got, wanted)


def test_the_extension_has_no_python_in_it():
    """Beside running in C++, one build serves every version of Python."""
    names = subprocess.run(
        ["nm", "-D", "--undefined-only", _extension.LIBRARY], capture_output=True, text=True
    ).stdout
    assert "aoti_torch" in names and " Py" not in names and " _Py" not in names
