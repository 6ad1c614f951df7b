"""Go 1.26's heap in Python's hands."""
from ._core import GO_VERSION
from .errors import HeapError, ScriptError, TraceError
from .replay import GCCycle, Replay, replay
from .script import Script, ScriptResult

__all__ = ["GCCycle", "GO_VERSION", "HeapError", "Replay", "Script", "ScriptError",
           "ScriptResult", "TraceError", "replay"]
__version__ = "0.1.0"
