"""docs/choosing-gomemlimit.md: every command and every program in it is run."""
import importlib.resources
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

import goheap
from goheap import cli

PAGE = Path(__file__).parents[2] / "docs" / "choosing-gomemlimit.md"
SAMPLE = Path(__file__).parents[1] / "traces" / "go1.26.trace.gz"
TEXT = PAGE.read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.S)
            for line in block.splitlines()]
PROGRAMS = re.findall(r"```python\n(.*?)```", TEXT, re.S)


@pytest.fixture
def recording(tmp_path, monkeypatch):
    with importlib.resources.as_file(
            importlib.resources.files("goheap") / "data" / "compile-json.gogc20.ghtrace") as path:
        shutil.copy(path, tmp_path / "app.ghtrace")
    monkeypatch.chdir(tmp_path)


def test_what_is_there():
    assert [line.split()[:2] for line in COMMANDS] == [
        ["goheap", "record"], ["goheap", "convert"], ["goheap", "replay"], ["goheap", "what-if"],
        ["goheap", "advise"]]
    assert len(PROGRAMS) == 2
    assert all((PAGE.parent / name).exists() for name in re.findall(r"!\[.*?\]\((.*?)\)", TEXT))


def test_commands_and_programs(recording, capsys):
    said = {}
    shutil.copy(SAMPLE, "service.trace")
    for line in COMMANDS[1:]:
        _, *args = shlex.split(line)
        assert cli.main(args) == 0, line
        said[args[0]] = capsys.readouterr().out
    assert "automatic, " in said["replay"]
    head, _, *rows = said["what-if"].splitlines()
    assert head.startswith("recorded setting: ") and len(rows) == 10
    # What the page says of them.
    assert re.match(r"Set GOGC=off GOMEMLIMIT=\d\dMiB\. That keeps the peak under 96MiB",
                    said["advise"])
    assert "Do not go down to GOMEMLIMIT=48MiB" in said["advise"]
    for program in PROGRAMS:
        exec(program, {"__name__": "guide"})


@pytest.mark.skipif(not (os.environ.get("GOHEAP_TOOLS") and shutil.which("go")),
                    reason="make check-tools, and Go")
def test_the_recording_by_real_go(recording, capfd):
    root = subprocess.run(["go", "env", "GOROOT"], check=True, capture_output=True, text=True)
    _, *args = shlex.split(COMMANDS[0].replace("$(go env GOROOT)", root.stdout.strip()))
    assert cli.main(args) == 0
    assert goheap.replay("gofmt.ghtrace").automatic_gc > 0
    assert "collections" in capfd.readouterr().err
