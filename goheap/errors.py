"""The exceptions of goheap: all are kinds of HeapError."""
from __future__ import annotations

__all__ = ["ForeignRefError", "HeapClosedError", "HeapCorruptionError", "HeapError",
           "HeapMemoryError", "HeapStateError", "LostObjectError", "ScriptError", "TraceError"]


class HeapError(Exception):
    """Base of the kinds below; done: steps completed, where a run stopped."""

    done: int | None = None


class HeapClosedError(HeapError, ValueError):
    """Closed heap or dead handle (as I/O on a closed file: a ValueError)."""


class ForeignRefError(HeapError, ValueError):
    """A handle of another heap."""


class HeapStateError(HeapError, RuntimeError):
    """Not in this mode, phase, thread or process."""


class HeapMemoryError(HeapError, MemoryError):
    """The system, hard_limit or the heap's address space has no room; all in bytes."""

    requested: int | None = None
    in_use: int | None = None
    limit: int | None = None  # None: no hard_limit was set


class HeapCorruptionError(HeapError, RuntimeError):
    """verify() found broken invariants: violations, one line each."""

    def __init__(self, violations: tuple[str, ...] = ()) -> None:
        super().__init__(violations)
        self.violations = tuple(violations)

    def __str__(self) -> str:
        return "%d broken invariants:\n%s" % (len(self.violations), "\n".join(self.violations))


class LostObjectError(HeapCorruptionError):
    """An unsound policy freed an object that is still reachable.

    path leads there now: labels, or addresses of objects without one, from the object that
    a root holds to the lost one itself. violations: what verify() found, if it was that.
    """

    def __init__(self, message: str = "", path: tuple[int | str, ...] = (),
                 violations: tuple[str, ...] = ()) -> None:
        super().__init__(violations)
        self.args = (message, path, self.violations)
        self.message, self.path = message, tuple(path)

    def __str__(self) -> str:
        way = " -> ".join(x if isinstance(x, str) else hex(x) for x in self.path)
        lines = (f"{self.message}: {way}" if way else self.message, *self.violations)
        return "\n".join(lines)


class ScriptError(HeapError, ValueError):
    """A script that is wrong, or asks for what this version refuses.

    line and column count from 1, text is the line; refused tells a sound script
    that uses a feature which this version doesn't have.
    """

    def __init__(self, message: str, line: int = 0, column: int = 0, text: str = "",
                 refused: bool = False) -> None:
        super().__init__(message, line, column, text, refused)
        self.message, self.line, self.column = message, line, column
        self.text, self.refused = text, refused

    def __str__(self) -> str:
        if not self.line:
            return self.message
        return "line %d, column %d: %s: %s" % (self.line, self.column, self.message, self.text)


class TraceError(HeapError, ValueError):
    """A recorded history that is damaged; path and offset say where."""

    def __init__(self, message: str, path: str = "", offset: int | None = None) -> None:
        super().__init__(message, path, offset)
        self.message, self.path, self.offset = message, path, offset

    def __str__(self) -> str:
        where = self.path if self.offset is None else "%s at byte %d" % (self.path, self.offset)
        return "%s: %s" % (where, self.message) if where else self.message
