"""Go 1.26's heap in Python's hands."""
from ._core import GO_VERSION
from .errors import HeapError, ScriptError
from .script import Script, ScriptResult

__all__ = ["GO_VERSION", "HeapError", "Script", "ScriptError", "ScriptResult"]
__version__ = "0.1.0"
