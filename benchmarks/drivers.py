"""Builds the programs that benchmarks run, and runs them.

A program is a side and a name: the side says what is measured, the name which
driver does the work. c/NAME.c is goheap's; with -DPEER=... it may be another
allocator's (c/peer.h); go/NAME.go is real Go's, built with go/bench.go;
NAME.py here is Python's.
"""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
BUILD = os.path.join(HERE, "build")
CSRC = os.path.join(ROOT, "csrc")
TRACE = os.path.join(ROOT, "goheap/data/compile-json.gogc20.ghtrace")
HISTORY = os.path.join(BUILD, "history.bin")

# Where a loop lies is chance: of one and the same loop of stores half of the runs took 0.49 ns
# a store and half 0.71 where it did not begin at a multiple of 32.
CFLAGS = ["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-O2", "-falign-loops=32", "-Wall", "-Wextra",
          "-Wpedantic", "-I" + os.path.join(CSRC, "core")]
# What everybody runs under. The rest of the environment stays.
SETTINGS = {"GOGC": "100"}
CLEARED = ("GODEBUG", "GOMEMLIMIT", "GOEXPERIMENT", "GOFLAGS", "GOMAXPROCS",
           "LD_PRELOAD")
TIMEOUT = 600.0  # s, of one run


@dataclass(frozen=True)
class Peer:
    """Another allocator: how it is built, and the package it comes in."""

    macro: str
    link: tuple[str, ...]
    package: str


PEERS = {
    "mimalloc": Peer("PEER_MIMALLOC", ("-lmimalloc",), "libmimalloc-dev"),
    "jemalloc": Peer("PEER_JEMALLOC", ("-ljemalloc",), "libjemalloc-dev"),
    "libc": Peer("PEER_LIBC", (), "the C library"),
    "libgc": Peer("PEER_LIBGC", ("-lgc",), "libgc-dev"),
}


class Missing(Exception):
    """Something that a side needs is not there: its message says what."""


class Failed(Exception):
    """A program didn't build or didn't run."""


@dataclass(frozen=True)
class Command:
    """One run of one program. Equal commands run once a round."""

    side: str  # "goheap", "go", "python" or a peer
    name: str
    args: tuple[str, ...] = ()
    cores: int = 1
    env: tuple[tuple[str, str], ...] = ()
    copies: int = 1  # processes at a time, each with cores of its own

    def words(self) -> list[str]:
        if self.side == "python":
            return [sys.executable, os.path.join(HERE, self.name + ".py"),
                    *self.args]
        return [binary(self.side, self.name), *self.args]

    def __str__(self) -> str:
        env = "".join(f"{k}={v} " for k, v in self.env)
        copies = f"{self.copies} x " if self.copies > 1 else ""
        return f"{copies}{env}{self.side}/{self.name} {' '.join(self.args)}".rstrip()


def binary(side: str, name: str) -> str:
    return os.path.join(BUILD, "c" if side == "goheap" else side, name)


def environment() -> dict[str, str]:
    env = {k: v for k, v in os.environ.items() if k not in CLEARED}
    # The toolchain that is there is used; nothing is fetched.
    return env | SETTINGS | {"GOTOOLCHAIN": "local", "GOPROXY": "off"}


def own_cores(cores: int, copy: int) -> list[str]:
    """The words before a program that keep it on its cores; none for 0: anywhere."""
    if not cores or not shutil.which("taskset") or not hasattr(os, "sched_getaffinity"):
        return []
    have = sorted(os.sched_getaffinity(0), reverse=True)
    mine = have[copy * cores:(copy + 1) * cores] or have[:cores]
    return ["taskset", "-c", ",".join(map(str, mine))]


def execute(words: list[str], cores: int = 0,
            env: dict[str, str] | None = None, copy: int = 0) -> str:
    """What a program says. cores: keep it on that many of them, copy on the next
    ones."""
    words = [*own_cores(cores, copy), *words]
    try:
        r = subprocess.run(words, env=environment() | (env or {}), text=True,
                           cwd=HERE, capture_output=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired as e:
        raise Failed(f"{' '.join(words)}: took more than {TIMEOUT:.0f} s") from e
    if r.returncode != 0:
        raise Failed(f"{' '.join(words)}\n{r.stdout}{r.stderr}".rstrip())
    return r.stdout


def answer(command: Command) -> dict:
    """What a driver says of its run: its last line, a JSON object. Of several copies,
    begun together, the one that took the longest."""
    env = dict(command.env)
    if command.side == "go":
        env.setdefault("GOMAXPROCS", str(command.cores))

    def run(copy: int) -> dict:
        return json.loads(execute(command.words(), command.cores, env,
                                  copy).strip().splitlines()[-1])
    if command.copies == 1:
        return run(0)
    with ThreadPoolExecutor(command.copies) as threads:
        return max(threads.map(run, range(command.copies)), key=lambda a: a["wall_s"])


# ---- building ------------------------------------------------------------------

def build_library() -> str:
    """Builds libgoheap.a as the release does; returns its path."""
    execute(["make", "-s", "-C", CSRC, "libgoheap.a"])
    return os.path.join(CSRC, "libgoheap.a")


def compile_c(side: str, name: str, flags: list[str]) -> str:
    program = binary(side, name)
    os.makedirs(os.path.dirname(program), exist_ok=True)
    cc = os.environ.get("CC", "cc").split()
    execute([*cc, *CFLAGS, "-o", program, os.path.join(HERE, "c", name + ".c"),
             *flags])
    return program


def build_c(name: str, library: str) -> str:
    return compile_c("goheap", name, [library, "-lm", "-pthread"])


def have_peer(peer: Peer) -> bool:
    cc = os.environ.get("CC", "cc").split()
    with tempfile.TemporaryDirectory() as d:
        source = os.path.join(d, "try.c")
        with open(source, "w") as f:
            f.write('#include "peer.h"\nint main(void) { return 0; }\n')
        r = subprocess.run(
            [*cc, *CFLAGS, "-w", f"-DPEER={peer.macro}",
             "-I" + os.path.join(HERE, "c"), "-o", os.path.join(d, "try"),
             source, *peer.link], capture_output=True)
    return r.returncode == 0


def build_go(name: str) -> None:
    if shutil.which("go") is None:
        raise Missing("real Go's figures (no go)")
    program = binary("go", name)
    os.makedirs(os.path.dirname(program), exist_ok=True)
    # concurrent.go asks the runtime whether it marks.
    execute(["go", "build", "-ldflags=-checklinkname=0", "-o", program,
             *(os.path.join(HERE, "go", n + ".go") for n in (name, "bench"))])


def have_goheap() -> bool:
    r = subprocess.run([sys.executable, "-c", "import goheap"], cwd=ROOT,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return r.returncode == 0


def build(commands: set[Command]) -> dict[Command, str]:
    """Builds what the commands need; those that can't run, and why."""
    why: dict[tuple[str, str], str] = {}
    programs = sorted({(c.side, c.name) for c in commands})
    library = None
    lacking: dict[str, str] = {}
    for side, name in programs:
        try:
            if side in lacking:
                raise Missing(lacking[side])
            if side == "goheap":
                library = library or build_library()
                build_c(name, library)
            elif side == "go":
                build_go(name)
            elif side == "python":
                if not have_goheap():
                    raise Missing("Python's rows (goheap is not built: run "
                                  "`make build`)")
            else:
                peer = PEERS[side]
                if not have_peer(peer):
                    raise Missing(f"{side}'s figures (no {peer.package})")
                compile_c(side, name, ["-Wno-unused-parameter",
                                       f"-DPEER={peer.macro}", *peer.link,
                                       "-pthread"])
        except Missing as e:
            lacking[side] = str(e)
            why[side, name] = str(e)
    if any(HISTORY in c.args for c in commands):
        if have_goheap():
            execute([sys.executable, os.path.join(HERE, "history.py"), TRACE,
                     HISTORY])
        else:
            for c in commands:
                if HISTORY in c.args:
                    why[c.side, c.name] = "the recorded history (goheap is not built)"
    return {c: why[c.side, c.name] for c in commands if (c.side, c.name) in why}
