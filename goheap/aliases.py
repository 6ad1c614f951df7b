"""Names for the types of arguments, for the annotations of code that passes them on."""
from __future__ import annotations

import os
from collections.abc import Callable
from typing import Literal, TypeAlias

__all__ = ["Color", "Limit", "Mode", "Path", "Percent", "Phase", "Progress", "Size",
           "TraceKind"]

Size: TypeAlias = int | str  # bytes, or Go's spelling: "64MiB"
Percent: TypeAlias = int | Literal["off"] | None  # None and "off" are the same
Limit: TypeAlias = int | str | None  # a Size, "off" or None
Mode: TypeAlias = Literal["stw", "virtual", "concurrent"]
Color: TypeAlias = Literal["white", "grey", "black"]
TraceKind: TypeAlias = Literal["gctrace", "scavtrace", "gcpacertrace"]  # of GODEBUG
Phase: TypeAlias = Literal["off", "mark", "marktermination"]  # Go's gcphase
Path: TypeAlias = str | os.PathLike[str]
Progress: TypeAlias = Callable[[int, int], object]  # (done, total)
