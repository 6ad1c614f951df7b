"""The heap profile: which types and places the sampled objects are of."""
from __future__ import annotations

import gzip
import os
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _core
from .aliases import Path
from .table import Table, number_column, text_column

if TYPE_CHECKING:
    from .heap import Heap

__all__ = ["HeapProfile", "ProfileRow"]


class ProfileRow(NamedTuple):
    """Objects of one type, label and slot size."""

    type: str
    label: str | None
    size: int  # of the slot
    alloc_objects: int
    alloc_bytes: int
    inuse_objects: int
    inuse_bytes: int


def _table(rows: Sequence[ProfileRow]) -> Table[ProfileRow]:
    columns: list[Sequence[Any]] = list(zip(*rows)) or [()] * 7
    return Table(ProfileRow, {
        name: text_column(values) if i < 2 else number_column(values, "q")
        for i, (name, values) in enumerate(zip(ProfileRow._fields, columns))})


class HeapProfile:
    """What a heap or replay allocated and holds, by type, label and size: an estimate.

    One allocation in about `rate` bytes is sampled, as in Go. `samples` has them as they
    were drawn, `rows` the estimate of what there was, each the largest in use first. Valid
    without its heap.

    >>> import goheap as gh
    >>> with gh.Heap() as heap:
    ...     heap.profile_rate = 1
    ...     blocks = [heap.alloc(100) for _ in range(3)]
    ...     cycle = heap.collect()
    ...     list(heap.profile().rows)
    [ProfileRow(type='Block', label=None, size=112, alloc_objects=3, alloc_bytes=336, inuse_objects=3, inuse_bytes=336)]
    """

    __slots__ = ("_rate", "_samples", "_rows", "__weakref__")

    def __init__(self, rate: int, samples: Iterable[ProfileRow]) -> None:
        self._rate = rate
        raw = sorted(samples, key=lambda r: (-r.inuse_bytes, -r.alloc_bytes, r))
        self._samples = _table(raw)
        self._rows = _table([
            ProfileRow(r.type, r.label, r.size,
                       *_core.profile_scale(rate, r.alloc_objects, r.alloc_bytes),
                       *_core.profile_scale(rate, r.inuse_objects, r.inuse_bytes))
            for r in raw])

    @property
    def rate(self) -> int:
        """Bytes between two samples when the profile was asked for: what rows scale by."""
        return self._rate

    @property
    def samples(self) -> Table[ProfileRow]:
        """What was sampled."""
        return self._samples

    @property
    def rows(self) -> Table[ProfileRow]:
        """What there was, by estimate."""
        return self._rows

    def to_pprof(self) -> bytes:
        """The file that `go tool pprof` reads; needs protobuf (extra pprof).

        A sample's stack is its type; label and slot size are labels of the sample.
        """
        from ._pprof import encode
        return gzip.compress(encode(self), mtime=0)

    def save(self, path: Path, /) -> None:
        """Write to_pprof() to a file."""
        data = self.to_pprof()
        with open(os.fspath(path), "wb") as f:
            f.write(data)

    def __repr__(self) -> str:
        return (f"<HeapProfile: {len(self.rows)} rows, {sum(self.rows['inuse_objects'])} objects "
                f"of {sum(self.rows['inuse_bytes'])} bytes in use, one sample in {self.rate} bytes>")

    def __reduce__(self) -> Any:
        return HeapProfile, (self.rate, list(self.samples))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, HeapProfile):
            return NotImplemented
        return self.rate == other.rate and list(self.samples) == list(other.samples)

    __hash__ = None  # type: ignore[assignment]


def make(rate: int, rows: Iterable[tuple[Any, ...]], labels: Sequence[str | None],
         types: Sequence[str] | None = None) -> HeapProfile:
    """From rows of the core. types: what sites stand for, in place of labels."""
    def row(type: str, site: int, size: int, allocs: int, alloc_bytes: int, frees: int,
            free_bytes: int) -> ProfileRow:
        if types is not None and site > 0:
            type, label = types[site - 1], None
        else:
            label = labels[site]
        return ProfileRow(type, label, size, allocs, alloc_bytes, allocs - frees,
                          alloc_bytes - free_bytes)
    merged: dict[tuple[str, str | None, int], ProfileRow] = {}
    for r in (row(*x) for x in rows):
        old = merged.get(r[:3])
        merged[r[:3]] = r if old is None else ProfileRow(
            *r[:3], *(a + b for a, b in zip(old[3:], r[3:])))
    return HeapProfile(rate, merged.values())


class Labelled(AbstractContextManager[None]):
    """What Heap.profile_label returns; may be entered again."""

    __slots__ = ("_heap", "_site", "_before")

    def __init__(self, heap: Heap, site: int) -> None:
        self._heap, self._site = heap, site
        self._before: list[int] = []

    def __enter__(self) -> None:
        self._before.append(self._heap._profile_site(self._site))

    def __exit__(self, t: type[BaseException] | None, v: BaseException | None,
                 tb: TracebackType | None, /) -> None:
        before = self._before.pop()
        if not self._heap.closed:
            self._heap._profile_site(before)
