"""What users install: a source distribution that builds, a wheel that holds only the library.

`make oldest` compiles such a wheel and runs the op's tests with it; here nothing is compiled.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ("compositor", "csrc", "trainers", "tests", "MANIFEST.in", "LICENSE", "README.md",
           "pyproject.toml", "setup.py")  # fmt: skip
BUILT = shutil.ignore_patterns("*.so", "__pycache__")


def build(kind, folder, **environment):
    """Build in ``folder``, without what needs a compiler."""
    return subprocess.run(
        [sys.executable, "setup.py", "-q", kind, "--dist-dir", "built"], cwd=folder,
        env={**os.environ, "COMPOSITOR_BUILD": "none", **environment},
        capture_output=True, text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The source distribution, made and unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=BUILT)
        else:
            shutil.copy(ROOT / name, folder / name)
    run = build("sdist", folder)
    assert run.returncode == 0, run.stderr
    (made,) = (folder / "built").iterdir()
    with tarfile.open(made) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (inside,) = (folder / "unpacked").iterdir()
    return inside


def files_in(folder):
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_source_distribution_holds_all_that_builds_and_no_trainers(unpacked):
    for name in ("csrc", "compositor"):
        wanted = {f for f in files_in(ROOT / name) if not f.endswith((".so", ".pyc"))}
        assert files_in(unpacked / name) == wanted, name
    assert (unpacked / "LICENSE").is_file() and (unpacked / "setup.py").is_file()
    assert not (unpacked / "trainers").exists() and not (unpacked / "tests").exists()


def test_wheel_made_from_it_holds_the_library_alone(unpacked):
    run = build("bdist_wheel", unpacked)
    assert run.returncode == 0, run.stderr
    (made,) = (unpacked / "built").iterdir()
    with zipfile.ZipFile(made) as archive:
        names = archive.namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"compositor"}
    inside = {name.removeprefix("compositor/") for name in names if name.startswith("compositor/")}
    assert inside == files_in(unpacked / "compositor")


def test_setuptools_that_is_too_old_is_told_in_one_line(tmp_path):
    """Before it stumbles over pyproject.toml."""
    (tmp_path / "sitecustomize.py").write_text("import setuptools\nsetuptools.__version__ = '76.1'")
    run = build("--version", ROOT, PYTHONPATH=str(tmp_path))
    assert run.returncode != 0
    assert "compositor: setuptools: got 76.1, wanted 77 or later" in run.stderr
    assert "Traceback" not in run.stderr
