"""The examples: each once in its own process, then executed in this one, which is quicker."""

import runpy
import sys

import pytest

from tests.examples.commands import EXAMPLES


@pytest.fixture
def succeed(tmp_path, monkeypatch, capsys):
    """Execute an example in ``tmp_path``; return what it prints."""

    def execute(script, *arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(EXAMPLES)
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / script), run_name="__main__")
        return capsys.readouterr().out

    return execute


@pytest.fixture
def refuse(tmp_path, succeed):
    """Execute an example that has to fail; return its one line of complaint."""

    def execute(script, *arguments):
        with pytest.raises(SystemExit) as caught:
            succeed(script, *arguments)
        assert isinstance(caught.value.code, str) and "\n" not in caught.value.code
        assert not list(tmp_path.glob(".*"))  # no temporary file
        return caught.value.code

    return execute
