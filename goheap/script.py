"""Allocation scripts, the language `goheap-script 1` (tests/oracle/SCHEMA.md)."""
from __future__ import annotations

import json
import os
from typing import Any, Literal, Self

from . import _core
from .aliases import Path
from .settings import Costs
from .table import Table

__all__ = ["Script", "ScriptResult"]


class ScriptResult:
    """What the heap did: the result JSON and its parts."""

    def __init__(self, text: str) -> None:
        self._text = text
        data = json.loads(text)
        self.stats: dict[str, Any] = data["stats"]
        self.gc_log: list[dict[str, Any]] = data["gc_log"] or []
        self.data: dict[str, Any] = data
        self.costs = Costs()  # scripts run on the clock's shipped prices

    def to_json(self) -> str:
        """As tests/oracle/SCHEMA.md says."""
        return self._text


class Script:
    """A goheap-script 1; run() makes the heap it runs on.

    >>> r = Script("goheap-script 1\\nalloc 0 100 noscan\\nstats s\\n").run()
    >>> r.stats["s"]["mem"]["TotalAlloc"]
    112
    """

    def __init__(self, text: str, /, *, title: str = "") -> None:
        for name, value in (("text", text), ("title", title)):
            if not isinstance(value, str):
                raise TypeError(f"Script: {name} must be a str, not {type(value).__name__!r}")
        self.text, self.title = text, title

    @classmethod
    def from_file(cls, path: Path, /) -> Self:
        """A script in a file; its title is the file's name without the ending."""
        where = os.fspath(path)  # open() would take a number, and close that descriptor
        with open(where, encoding="utf-8") as f:
            text = f.read()
        return cls(text, title=os.path.splitext(os.path.basename(where))[0])

    def compare_with_go(self, *, level: Literal["core", "layout", "all"] = "core",
                        go: Path | None = None) -> Table[Any]:
        """The same in the Go that is installed: every figure that differs, a row each.

        Needs Go 1.26 (go: the command; None: on the path) and builds the interpreter once a
        process. level "core" is what any faithful heap must show, "layout" page numbers and
        addresses too, "all" also Go's own records. HeapError: no such Go, or it failed.
        """
        from .gocompare import compare
        return compare(self, level, go)

    def run(self, *, threads: bool = False) -> ScriptResult:
        """On a heap of its own, GIL released; Ctrl-C stops between operations.

        threads: a script of gcmode concurrent, or with par, runs on real threads, the
        collector's and its own, as in Go: what varies there varies then. Without it, and
        for all other scripts, every run gives the same.
        """
        return ScriptResult(_core.run_script(self.text, self.title, threads))
