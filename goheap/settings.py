"""What a heap is made with: frozen, comparable, picklable, the same in every result."""
from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal, Self

from . import _core
from .aliases import Size

__all__ = ["Costs", "Policy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the heap is made of; the defaults decide as Go does.

    tiny: combine requests below 16 bytes without pointers into shared blocks.
    sweep: "eager" ends the sweep with the cycle (Go's gcstoptheworld=2), "lazy" leaves it
    to the next allocations (gcstoptheworld=1); None lets the mode decide: eager in "stw", lazy
    in "virtual".
    scavenger: "go" gives free memory back to the system as Go does, "off" only when asked.
    min_heap: the least heap goal at GOGC=100, bytes or Go's spelling.
    """

    tiny: bool = True
    sweep: Literal["lazy", "eager"] | None = None
    scavenger: Literal["go", "off"] = "go"
    min_heap: Size = "4MiB"

    def __post_init__(self) -> None:
        if not isinstance(self.tiny, bool):
            raise TypeError(f"Policy: tiny must be a bool, not {type(self.tiny).__name__!r}")
        if self.sweep not in (None, "lazy", "eager"):
            raise ValueError(f'Policy: sweep must be "lazy", "eager" or None, not {self.sweep!r}')
        if self.scavenger not in ("go", "off"):
            raise ValueError(f'Policy: scavenger must be "go" or "off", not {self.scavenger!r}')
        if isinstance(self.min_heap, bool) or not isinstance(self.min_heap, (int, str)):
            raise TypeError("Policy: min_heap must be a size, not "
                            f"{type(self.min_heap).__name__!r}")
        # The same conversion, and the same messages, as every size gets.
        object.__setattr__(self, "min_heap", _core.size(self.min_heap, "Policy: min_heap"))

    def replace(self, **changes: Any) -> Self:
        """The same policy with some choices changed."""
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """The virtual clock's prices in ns, shipped: the same everywhere.

    alloc: an allocation; alloc_byte: a byte of the slot handed out; scan_byte: a byte of
    scan work; sweep_page: a page swept; page_fault: a page first used; stop: stopping or
    starting the world.
    """

    alloc: float = _core.COSTS[0]
    alloc_byte: float = _core.COSTS[1]
    scan_byte: float = _core.COSTS[2]
    sweep_page: float = _core.COSTS[3]
    page_fault: float = _core.COSTS[4]
    stop: float = _core.COSTS[5]

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):
            v = getattr(self, f.name)
            if isinstance(v, bool) or not isinstance(v, (int, float)):
                raise TypeError(f"Costs: {f.name} must be a number of ns, not "
                                f"{type(v).__name__!r}")
            if not (math.isfinite(v) and 0 <= v <= 1e12):
                raise ValueError(f"Costs: {f.name} must be 0..1e12 ns, not {v!r}")
            object.__setattr__(self, f.name, float(v))
