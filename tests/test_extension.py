"""What is built, what is missing and why, and that importing never fails."""

import subprocess
import sys

import pytest
import torch

import compositor
from compositor import _extension, triton


def run_python(code):
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_build_info_says_what_serves():
    info = compositor.build_info()
    backends = info["backends"]
    assert list(backends) == ["reference", "cpu", "cuda", "triton"]
    assert backends["reference"] == backends["cpu"] == backends["triton"] == "available"
    if "cuda" in info:
        gpu = "available" if torch.cuda.is_available() else "PyTorch finds no GPU"
        assert backends["cuda"] == gpu and info["cuda_architectures"]
    else:
        assert "COMPOSITOR_BUILD=cuda" in backends["cuda"]
    assert info["torch"] == torch.__version__
    assert info["vector_instructions_in_use"] in info["vector_instructions"]
    assert "baseline" in info["vector_instructions"]
    assert info["built_with_torch"] and info["oldest_torch"] and info["compiler"]


def test_import_needs_torch_alone():
    run_python(
        "import sys\n"
        "import torch\n"
        "for name in ('torchvision', 'PIL', 'scipy', 'pybind11', 'trainers'):\n"
        "    assert name not in sys.modules, name\n"
        "    sys.modules[name] = None\n"
        "import compositor\n"
    )


def test_without_the_extension_the_reference_serves_and_the_name_raises():
    printed = run_python(
        "import pathlib\n"
        "import torch\n"
        "pathlib.Path.exists = lambda path: False\n"
        "import compositor\n"
        "x = torch.rand(1, 3, 8, 8)\n"
        "theta = torch.eye(2, 3)[None].requires_grad_()\n"
        "compositor.blend(x, None, x, theta).sum().backward()\n"
        "print(compositor.build_info()['backends']['cpu'])\n"
        "try:\n"
        "    compositor.blend(x, None, x, theta, backend='cpu')\n"
        "except RuntimeError as error:\n"
        "    print(error)\n"
    )
    reason, error = printed.splitlines()
    assert "was not built: run" in reason
    assert error == f"backend: 'cpu' is not available: {reason}"


def test_cuda_by_name_serves_or_says_why_not(monkeypatch):
    x = torch.rand(1, 3, 8, 8)
    theta = torch.eye(2, 3)[None]
    if compositor.build_info()["backends"]["cuda"] != "available":
        with pytest.raises(RuntimeError, match="'cuda' is not available: (the ext|PyTorch finds)"):
            compositor.blend(x, None, x, theta, backend="cuda")
    monkeypatch.setattr(_extension, "_cuda_status", lambda: "available")
    with pytest.raises(RuntimeError, match="got 'cuda' for tensors on cpu, wanted them on cuda"):
        compositor.blend(x, None, x, theta, backend="cuda")
    monkeypatch.undo()
    monkeypatch.setattr(_extension, "_built", {})
    with pytest.raises(RuntimeError, match="built without CUDA: build it with COMPOSITOR_BUILD"):
        compositor.blend(x, None, x, theta, backend="cuda")


def test_a_library_that_does_not_load_is_told_from_one_that_is_not_there(monkeypatch):
    monkeypatch.setattr(_extension, "_reason", "built for another PyTorch")
    with pytest.raises(RuntimeError, match="'cpu' is not available: built for another PyTorch"):
        _extension.require("cpu")


@pytest.mark.parametrize(
    ("versions", "fault"),
    [
        (
            {"triton": "3.6.0", "numpy": "2.5.5"},
            "the interpreter of Triton 3.6.0 needs NumPy below 2.4, got 2.5.5",
        ),
        ({"triton": "3.6.0", "numpy": "2.3.5"}, ""),
        ({"triton": "3.10.0", "numpy": "2.5.5"}, ""),
    ],
)
def test_an_interpreter_that_numpy_stops_says_so(monkeypatch, versions, fault):
    monkeypatch.setattr(triton, "version", versions.__getitem__)
    assert triton._interpreter_fault() == fault


def test_what_stops_the_interpreter_is_the_backends_status(monkeypatch):
    monkeypatch.setattr(triton, "_FAULT", "it cannot")
    x = torch.rand(1, 3, 8, 8)
    with pytest.raises(RuntimeError, match="backend: 'triton' is not available: it cannot"):
        compositor.blend(x, None, x, torch.eye(2, 3)[None], backend="triton")


def test_modules_loaded_anew_find_the_ops():
    run_python(
        "import importlib\n"
        "import sys\n"
        "import torch\n"
        "import compositor\n"
        "from compositor.ops import registration\n"
        "x = torch.rand(1, 3, 8, 8)\n"
        "theta = torch.eye(2, 3)[None].requires_grad_()\n"
        "importlib.reload(registration)\n"
        "compositor.blend(x, None, x, theta).sum().backward()\n"
        "for name in [name for name in sys.modules if name.startswith('compositor')]:\n"
        "    del sys.modules[name]\n"
        "del compositor, registration\n"
        "import compositor\n"
        "compositor.blend(x, None, x, theta, backend='cpu').sum().backward()\n"
        "torch.func.jacfwd(lambda t: compositor.blend(x, None, x, t))(theta.detach())\n"
    )
