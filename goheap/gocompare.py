"""The same script in real Go: our interpreter of the script language, built by the Go that is
installed, and the figures in which our heap differs from it.

The interpreter is Go source in goheap/data/oracle: one program, and one file that is laid over
package runtime when it is built, so that slots, spans and the pacer's state can be read. Rules
and tolerances, figure by figure and lane by lane, stand in compare.py beside it.
"""

from __future__ import annotations

import atexit
import functools
import importlib.resources
import json
import os
import runpy
import shutil
import subprocess
import tempfile
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from .aliases import Path
from .errors import HeapError
from .table import Column, Table, text_column

if TYPE_CHECKING:
    from .script import Script

WANTED = "go1.26"  # what the interpreter reads inside the runtime is of this Go
TRIES = 6  # the start state is not always reached: the interpreter then ends with 3
SECONDS = 300
FILES = ("main.go", "selftest.go", "go.mod", "zz_oracle_probe.go")
LEVELS = ("core", "layout", "all")


class GoMissing(HeapError):
    """There is no Go, it is of another version, or it can't build the interpreter."""


class Difference(NamedTuple):
    """One figure that differs: where, at which level, what Go has, what our heap has."""

    figure: str
    level: str
    go: str
    goheap: str


def _data(name: str) -> str:
    text: str = (importlib.resources.files("goheap") / "data" / "oracle" / name).read_text(
        encoding="utf-8")
    return text


def _go(go: Path | None) -> str:
    found = shutil.which("go" if go is None else os.fsdecode(go))
    if found is None:
        raise GoMissing(f"no Go: {'go' if go is None else os.fsdecode(go)} is not a program on "
                        "the path")
    return found


def _ask(go: str, *args: str) -> str:
    env = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": ""}
    r = subprocess.run([go, *args], capture_output=True, text=True, env=env, check=False)
    if r.returncode:
        raise GoMissing(f"{go} {args[0]}: {r.stderr.strip() or r.returncode}")
    return r.stdout.strip()


@functools.cache
def _interpreter(go: str) -> str:
    """The built interpreter; it is removed when the process ends."""
    version = _ask(go, "env", "GOVERSION")
    if not (version == WANTED or version.startswith(WANTED + ".")):
        raise GoMissing(f"{go} is {version}; the interpreter looks inside the runtime of {WANTED}")
    base = FilePath(tempfile.mkdtemp(prefix="goheap-"))
    atexit.register(shutil.rmtree, base, ignore_errors=True)
    for name in FILES:
        (base / name).write_text(_data(name), encoding="utf-8")
    probe = base / "zz_oracle_probe.go"
    place = os.path.join(_ask(go, "env", "GOROOT"), "src", "runtime", probe.name)
    # Not beside main.go: it is of another package.
    (base / "probe").mkdir()
    laid = probe.rename(base / "probe" / probe.name)
    (base / "overlay.json").write_text(json.dumps({"Replace": {place: str(laid)}}))
    env = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": ""}
    r = subprocess.run(
        [go, "build", "-trimpath", "-overlay", str(base / "overlay.json"), "-o",
         str(base / "oracle"), "."], cwd=base, env=env, capture_output=True, text=True, check=False)
    if r.returncode:
        raise GoMissing(f"{go} build: {r.stderr.strip()}")
    return str(base / "oracle")


def in_go(script: Script, go: Path | None = None) -> dict[str, Any]:
    """What real Go did on the script: the same JSON as ours."""
    oracle = _interpreter(_go(go))
    keep = {k: v for k, v in os.environ.items()
            if k not in ("GOGC", "GOMEMLIMIT", "GODEBUG", "GOMAXPROCS")}
    # Scan work counted by object: independent of the CPU.
    env = {**keep, "GOMAXPROCS": "1", "GODEBUG": "cpu.avx512bw=off"}
    with tempfile.TemporaryDirectory(prefix="goheap-") as folder:
        file, out = os.path.join(folder, "script.txt"), os.path.join(folder, "out.json")
        with open(file, "w", encoding="utf-8") as f:
            f.write(script.text)
        code, said = 3, ""
        for _ in range(TRIES):
            if code != 3:
                break
            r = subprocess.run([oracle, "-o", out, file], env=env, capture_output=True, text=True,
                               timeout=SECONDS, check=False)
            if r.returncode == 0:
                with open(out, encoding="utf-8") as f:
                    data: dict[str, Any] = json.load(f)
                return data
            code, said = r.returncode, r.stderr.strip()[:500]
        raise GoMissing(f"Go's interpreter ended with {code}: {said}")


@functools.cache
def _rules() -> dict[str, Any]:
    with importlib.resources.as_file(
            importlib.resources.files("goheap") / "data" / "oracle" / "compare.py") as path:
        return runpy.run_path(str(path), run_name="goheap compare")


def compare(script: Script, level: Literal["core", "layout", "all"] = "core",
            go: Path | None = None) -> Table[Difference]:
    """Runs the script in both and gives the figures that differ."""
    if level not in LEVELS:
        raise ValueError(f'level must be "core", "layout" or "all", not {level!r}')
    ours = json.loads(script.run().to_json())
    theirs = in_go(script, go)
    for data in (ours, theirs):
        data.pop("script", None)
        data.pop("repeats", None)
    walk = _rules()["Compare"](level, False)
    walk.walk("", theirs, ours, theirs.get("lane", ""))
    rows = [(path, at, str(want), got if isinstance(got, str) else json.dumps(got))
            for path, at, want, got in walk.diffs]
    columns: dict[str, Column] = {name: text_column([r[i] for r in rows])
                                  for i, name in enumerate(Difference._fields)}
    return Table(Difference, columns)
