"""Weak handles, and what Heap.add_cleanup gives back."""
from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, final

from . import _core
from .errors import HeapClosedError
from .types import Ref

if TYPE_CHECKING:
    from .heap import Heap

__all__ = ["Cleanup", "WeakRef"]

_R = TypeVar("_R")


@final
class WeakRef(Generic[_R]):
    """Go's weak.Pointer: finds an object without keeping it alive. Made by Heap.weak.

    Equal and equally hashed for equal objects, also when they are gone. Costs 16 bytes of the
    heap, which all weak handles of an object share.

    >>> import goheap as gh
    >>> with gh.Heap() as heap:
    ...     block = heap.alloc(100)
    ...     weak = heap.weak(block)
    ...     weak() == block, weak == heap.weak(block)
    (True, True)
    """

    __slots__ = ("_box", "_cls", "_len")
    _box: Any
    _cls: type[Any]
    _len: int

    def __init__(self, *args: Any) -> None:
        raise TypeError("a WeakRef is made by Heap.weak")

    def __call__(self) -> _R | None:
        """The object, strong; None from the sweep that found it dead, before its finalizer
        runs."""
        strong: _R | None = _core.weak_strong(self._box, self._cls, self._len)
        return strong

    def __eq__(self, other: object) -> bool:
        return self._box == other._box if isinstance(other, WeakRef) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._box)

    def __repr__(self) -> str:
        return f"<WeakRef to {self._cls.__name__}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a WeakRef belongs to its heap: it can't be pickled or copied")


def make_weak(box: Any, ref: Any) -> WeakRef[Any]:
    weak: WeakRef[Any] = object.__new__(WeakRef)
    weak._box, weak._cls, weak._len = box, type(ref), _core.short_length(ref)
    return weak


@final
class Cleanup:
    """A call that Heap.add_cleanup arranged."""

    __slots__ = ("_heap", "_addr", "_number", "_token")
    _heap: weakref.ref[Heap]
    _addr: int
    _number: int
    _token: int

    def __init__(self, *args: Any) -> None:
        raise TypeError("a Cleanup is made by Heap.add_cleanup")

    def stop(self) -> bool:
        """Cancel; False if it is queued or done."""
        heap: Heap | None = self._heap()
        if heap is None:
            raise HeapClosedError("Cleanup.stop: its Heap is gone")
        if not heap._stop_cleanup(self._addr, self._number):
            return False
        heap._calls.pop(self._token, None)
        return True


def make_cleanup(heap: Heap, addr: int, number: int, token: int) -> Cleanup:
    cleanup: Cleanup = object.__new__(Cleanup)
    cleanup._heap, cleanup._addr = weakref.ref(heap), addr
    cleanup._number, cleanup._token = number, token
    return cleanup


def held_by(fn: Any, args: tuple[Any, ...]) -> list[Any]:
    """The handles that a call of a cleanup keeps alive, as far as Go looks: arguments, what
    the function closes over, and the object of a method."""
    held = [*args, getattr(fn, "__self__", None)]
    for cell in getattr(fn, "__closure__", None) or ():
        try:
            held.append(cell.cell_contents)
        except ValueError:
            pass  # not assigned yet
    return [x for x in held if isinstance(x, Ref)]
