"""Go 1.26's heap in Python's hands: allocate, collect, look inside, replay."""
from ._core import GO_VERSION, Roots
from .aliases import Color, Limit, Mode, Path, Percent, Phase, Progress, Size
from .errors import (ForeignRefError, HeapClosedError, HeapCorruptionError, HeapError,
                     HeapMemoryError, HeapStateError, LostObjectError, ScriptError, TraceError)
from .types import (Array, Block, Embed, Field, Fixed, Interface, Ptr, Ref, Slice, String, Struct,
                    TypeInfo, Words, bool_, define, fixed, float32, float64, int8, int16, int32,
                    int64, sizeof, struct, type_info, uint8, uint16, uint32, uint64, uintptr, words)
from .settings import Costs, Debug, Knobs, Policy
from .stats import (BySize, Explanation, GCCycle, Histogram, MemStats, MemStatsDiff, ObjectInfo, SizeClass,
                    Step, explain, size_classes)
from .table import Table
from .snapshot import (CacheInfo, CensusRow, Edge, OccupancyRow, PageRun, RootInfo, Snapshot, Span)
from .watch import Event, EventLog
from .final import Cleanup, WeakRef
from .profile import HeapProfile, ProfileRow
from .heap import Heap, address_of, cast, heap_of
from .replay import Replay, replay
from .trace import Trace
from .whatif import Advice, Interval, Prediction, WhatIf, what_if
from .made import Workload
from .script import Script, ScriptResult

At = Ref | WeakRef | int | str  # where an object is: a handle, strong or weak, an address, a label

# Left out are struct, since a star import would hide the standard library's module, and
# the names for annotations.
__all__ = [
    "address_of", "Array", "Block", "bool_", "BySize", "CacheInfo", "cast", "CensusRow",
    "Cleanup", "Costs",
    "Debug", "define", "Edge", "Embed", "Event", "EventLog", "explain", "Explanation", "Field", "Fixed",
    "fixed", "float32", "float64", "ForeignRefError", "GCCycle", "GO_VERSION", "Heap", "heap_of", "Histogram",
    "HeapClosedError", "HeapCorruptionError", "HeapError", "HeapMemoryError", "HeapProfile",
    "HeapStateError",
    "int16", "int32", "int64", "int8", "Interface", "Knobs", "LostObjectError", "MemStats", "MemStatsDiff", "ObjectInfo",
    "OccupancyRow", "PageRun", "Policy", "ProfileRow", "Ptr", "Ref", "Replay", "replay", "RootInfo", "Roots",
    "Script", "ScriptError", "ScriptResult", "size_classes", "SizeClass", "sizeof", "Slice",
    "Snapshot", "Span", "Step", "String", "Struct", "Table", "Trace", "TraceError", "type_info",
    "TypeInfo", "uint16", "uint32", "uint64", "uint8", "uintptr", "WeakRef", "Words",
    "words", "Workload",
    "Advice", "Interval", "Prediction", "what_if", "WhatIf",
]
__version__ = "0.1.0"


def load_ipython_extension(ipython: object) -> None:
    """``%load_ext goheap``: a struct class shows its layout in a notebook."""
    from ._html import show_classes
    show_classes(ipython)
