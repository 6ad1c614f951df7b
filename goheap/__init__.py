"""Go 1.26's heap in Python's hands: allocate, collect, look inside, replay."""
from ._core import GO_VERSION
from .errors import (ForeignRefError, HeapClosedError, HeapCorruptionError, HeapError,
                     HeapMemoryError, HeapStateError, ScriptError, TraceError)
from .types import (Array, Block, Embed, Field, Fixed, Ptr, Ref, Struct, TypeInfo, bool_, define,
                    fixed, float32, float64, int8, int16, int32, int64, sizeof, struct,
                    type_info, uint8, uint16, uint32, uint64, uintptr)
from .settings import Costs, Policy
from .stats import (BySize, Explanation, GCCycle, MemStats, MemStatsDiff, ObjectInfo, SizeClass,
                    explain, size_classes)
from .heap import Heap, address_of, cast, heap_of
from .replay import Replay, replay
from .script import Script, ScriptResult

# struct is left out: a star import would hide the standard library's module.
__all__ = [
    "Array", "Block", "BySize", "Costs", "Embed", "Explanation", "Field", "Fixed",
    "ForeignRefError", "GCCycle", "GO_VERSION", "Heap", "HeapClosedError", "HeapCorruptionError",
    "HeapError", "HeapMemoryError", "HeapStateError", "MemStats", "MemStatsDiff", "ObjectInfo",
    "Policy", "Ptr", "Ref", "Replay", "Script", "ScriptError", "ScriptResult", "SizeClass",
    "Struct", "TraceError", "TypeInfo", "address_of", "bool_", "cast", "define", "explain",
    "fixed", "float32", "float64", "heap_of", "int16", "int32", "int64", "int8", "replay",
    "size_classes", "sizeof", "type_info", "uint16", "uint32", "uint64", "uint8", "uintptr",
]
__version__ = "0.1.0"
