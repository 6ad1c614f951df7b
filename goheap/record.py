"""Recording a Go program: tests, a whole program, a server.

Each way ends in a trace with alloc and free events, which becomes a GHTRACE1 file. See
docs/recording.md for what each costs and what it doesn't see.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from .errors import HeapError
from .trace import convert

HOOK = "goheap_record.go"


class RecordError(HeapError, RuntimeError):
    """A program that could not be built, run or asked."""


def environment(gogc: str | None, memory_limit: str | None) -> dict[str, str]:
    """The environment of a recorded program."""
    env = dict(os.environ)
    debug = [x for x in env.get("GODEBUG", "").split(",")
             if x and not x.startswith("traceallocfree=")]
    env["GODEBUG"] = ",".join([*debug, "traceallocfree=1"])
    if gogc is not None:
        env["GOGC"] = gogc
    if memory_limit is not None:
        env["GOMEMLIMIT"] = memory_limit
    return env


def _settings(env: Mapping[str, str]) -> dict[str, Any]:
    known: dict[str, Any] = {k: env.get(k, "") for k in ("GOGC", "GOMEMLIMIT")}
    return known


def _go() -> str:
    go = shutil.which("go")
    if go is None:
        raise RecordError("there is no go command in PATH")
    return go


def _run(command: Sequence[str], env: Mapping[str, str] | None, what: str) -> None:
    status = subprocess.run(command, env=env).returncode
    if status != 0:
        raise RecordError(f"{what} ended with status {status}")


def test(args: Sequence[str], out: str, *, gogc: str | None = None,
         memory_limit: str | None = None) -> None:
    """Runs `go test` with these arguments, for one package, and records it."""
    env = environment(gogc, memory_limit)
    with tempfile.TemporaryDirectory(prefix="goheap-") as folder:
        raw = os.path.join(folder, "x.trace")
        _run([_go(), "test", f"-trace={raw}", f"-outputdir={folder}", *args], env, "go test")
        if not os.path.exists(raw):
            raise RecordError("go test wrote no trace: it takes one package at a time")
        convert(raw, out, stats=_settings(env), note="go test " + " ".join(args))


def build(package: str, program: str) -> None:
    """Builds the main package with the recording hook in it. The program records itself
    when GOHEAP_TRACE names a file."""
    go = _go()
    found = subprocess.run([go, "list", "-f", "{{.Name}} {{.Dir}}", package],
                           capture_output=True, text=True)
    if found.returncode != 0:
        raise RecordError(f"go list {package}: {found.stderr.strip().splitlines()[-1]}")
    name, _, folder = found.stdout.strip().partition(" ")
    if name != "main" or "\n" in folder:
        raise RecordError(f"{package} is not one main package")
    with tempfile.TemporaryDirectory(prefix="goheap-") as work:
        hook = os.path.join(os.path.dirname(__file__), "data", HOOK)
        overlay = os.path.join(work, "overlay.json")
        with open(overlay, "w", encoding="utf-8") as f:
            json.dump({"Replace": {os.path.join(folder, HOOK): hook}}, f)
        # The hook asks the runtime to be called at the end, which has no public name.
        _run([go, "build", "-overlay", overlay, "-ldflags=-checklinkname=0", "-o", program,
              package], None, "go build")


def run(package: str, args: Sequence[str], out: str, *, gogc: str | None = None,
        memory_limit: str | None = None) -> None:
    """Builds the main package with the hook, runs it and records it from its first
    instruction to its last."""
    with tempfile.TemporaryDirectory(prefix="goheap-") as folder:
        program = os.path.join(folder, "program")
        build(package, program)
        raw = os.path.join(folder, "x.trace")
        env = environment(gogc, memory_limit)
        env["GOHEAP_TRACE"] = raw
        status = subprocess.run([program, *args], env=env).returncode
        if not os.path.exists(raw):
            raise RecordError(f"{package} wrote no trace (status {status})")
        convert(raw, out, note=" ".join((package, *args)))


def url(address: str, out: str, *, seconds: float = 5.0, gogc: str | None = None,
        memory_limit: str | None = None) -> None:
    """Asks a server's net/http/pprof for a trace of some seconds."""
    parts = urllib.parse.urlsplit(address)
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"{address!r} is not an http or https address")
    path = parts.path.rstrip("/")
    if not path.endswith("/trace"):
        path = (path or "/debug/pprof") + "/trace"
    asked = urllib.parse.urlunsplit(
        (parts.scheme, parts.netloc, path, f"seconds={seconds:g}", ""))
    with tempfile.TemporaryDirectory(prefix="goheap-") as folder:
        raw = os.path.join(folder, "x.trace")
        with urllib.request.urlopen(asked, timeout=seconds + 60) as answer, \
                open(raw, "wb") as f:
            shutil.copyfileobj(answer, f, 1 << 17)
        known = {"GOGC": gogc, "GOMEMLIMIT": memory_limit}
        convert(raw, out, stats={k: v for k, v in known.items() if v is not None},
                note=asked)
