"""Table: columns with a row view, in memory of their own."""
from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import chain
from typing import Any, Generic, NamedTuple, TypeVar

__all__ = ["Table"]

Row = TypeVar("Row", bound="tuple[Any, ...]", covariant=True)

_NUMPY = {"Q": "u8", "q": "i8", "I": "u4", "i": "i4", "B": "u1", "d": "f8"}
_ARROW = {"Q": "uint64", "q": "int64", "I": "uint32", "i": "int32", "B": "uint8",
          "d": "float64"}
_CHUNK = 4096  # rows that an iteration makes at a time


class Column(NamedTuple):
    """A column as it lies in memory: bytes of a struct format, or with strings numbers
    of those (-1: None)."""

    data: bytes
    format: str
    strings: tuple[str, ...] | None = None

    def view(self) -> memoryview:
        view: Any = memoryview(self.data)
        numbers: memoryview = view.cast(self.format)
        return numbers

    def values(self, start: int, stop: int) -> list[Any]:
        numbers = self.view()[start:stop].tolist()
        if self.strings is None:
            return numbers
        strings = (*self.strings, None)  # [-1]
        return [strings[i] for i in numbers]

    def cell(self, i: int) -> Any:
        number = self.view()[i]
        if self.strings is None:
            return number
        return None if number < 0 else self.strings[number]

    def unique(self) -> tuple[list[int], list[str]]:
        """Numbers and strings with each string once."""
        assert self.strings is not None
        strings = list(dict.fromkeys(self.strings))
        at = {s: i for i, s in enumerate(strings)}
        again = [*(at[s] for s in self.strings), -1]
        return [again[i] for i in self.view()], strings


def text_column(values: Sequence[str | None]) -> Column:
    """A column of strings."""
    from array import array
    at: dict[str, int] = {}
    codes = array("i", (-1 if v is None else at.setdefault(v, len(at)) for v in values))
    return Column(codes.tobytes(), "i", tuple(at))


def number_column(values: Sequence[Any], format: str) -> Column:
    """A column of numbers."""
    from array import array
    return Column(array(format, values).tobytes(), format)


class Table(Generic[Row]):
    """Columns with a row view: ``table["addr"]`` is a read-only memoryview that numpy
    takes without a copy; a loop over the table gives its rows as named tuples.

    Of a column of strings the memoryview holds numbers, and ``table.strings(name)`` what
    they stand for; -1 is None.

    >>> from goheap import Heap
    >>> with Heap() as heap:
    ...     block = heap.alloc(100)
    ...     table = heap.snapshot().objects
    >>> table["size"].tolist(), table.row(0).type, len(table)
    ([100], 'Block', 1)
    """

    __slots__ = ("_row", "_columns", "__weakref__")

    def __init__(self, row: type[Any] | tuple[str, ...], columns: Mapping[str, Column]) -> None:
        self._row: Any = namedtuple("Row", row) if isinstance(row, tuple) else row
        self._columns = dict(columns)
        if tuple(self._columns) != self.names:
            raise ValueError(f"Table: columns {tuple(self._columns)} are not the fields "
                             f"{self.names}")

    def _now(self) -> dict[str, Column]:
        """The columns; a table that still grows fetches them."""
        return self._columns

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in order."""
        fields: tuple[str, ...] = self._row._fields
        return fields

    def _column(self, name: str) -> Column:
        if not isinstance(name, str):
            raise TypeError(f"Table: table[...] takes a column's name, not "
                            f"{type(name).__name__!r}; a row is table.row(i)")
        try:
            return self._now()[name]
        except KeyError:
            raise KeyError(f"no column {name!r}; there are: {', '.join(self.names)}") from None

    def __len__(self) -> int:
        return _length(self._now())

    def __getitem__(self, column: str, /) -> memoryview:
        return self._column(column).view()

    def strings(self, column: str, /) -> tuple[str, ...]:
        """The strings that the numbers of a column of strings stand for."""
        c = self._column(column)
        if c.strings is None:
            raise TypeError(f"Table: column {column!r} holds numbers")
        return c.strings

    def __iter__(self) -> Iterator[Row]:
        columns = tuple(self._now().values())
        n = len(columns[0].view()) if columns else 0
        make = self._row._make
        return chain.from_iterable(
            map(make, zip(*(c.values(i, i + _CHUNK) for c in columns)))
            for i in range(0, n, _CHUNK))

    def row(self, i: int, /) -> Row:
        """Row number i; negative counts from the end."""
        if isinstance(i, bool) or not hasattr(type(i), "__index__"):
            raise TypeError(f"Table.row: a number is needed, not {type(i).__name__!r}")
        columns = self._now()
        n = _length(columns)
        k = i.__index__()
        k = k + n if k < 0 else k
        if not 0 <= k < n:
            raise IndexError(f"Table.row: row {i} of {n}")
        made: Row = self._row._make(c.cell(k) for c in columns.values())
        return made

    def to_dict(self) -> dict[str, list[Any]]:
        """Each column as a list, ready for JSON."""
        columns = self._now()
        n = _length(columns)
        return {name: c.values(0, n) for name, c in columns.items()}

    def to_pandas(self) -> Any:
        """A pandas.DataFrame; numbers aren't copied, strings become categories."""
        try:
            import numpy
            import pandas  # pyright: ignore[reportMissingImports]
        except ImportError as e:
            raise ImportError(f"Table.to_pandas needs the package {e.name or 'pandas'}: "
                              "pip install pandas", name=e.name) from e
        data: dict[str, Any] = {}
        for name, c in self._now().items():
            if c.strings is None:
                data[name] = numpy.frombuffer(c.data, "<" + _NUMPY[c.format])
            else:
                codes, strings = c.unique()
                data[name] = pandas.Categorical.from_codes(codes, categories=strings)
        return pandas.DataFrame(data, copy=False)

    def to_arrow(self) -> Any:
        """A pyarrow.Table; numbers aren't copied, strings become dictionaries."""
        try:
            import pyarrow  # pyright: ignore[reportMissingImports]
        except ImportError as e:
            raise ImportError("Table.to_arrow needs the package pyarrow: pip install pyarrow",
                              name=e.name) from e
        data: dict[str, Any] = {}
        for name, c in self._now().items():
            if c.strings is None:
                kind = getattr(pyarrow, _ARROW[c.format])()
                data[name] = pyarrow.Array.from_buffers(
                    kind, len(c.view()), [None, pyarrow.py_buffer(c.data)])
            else:
                codes, strings = c.unique()
                data[name] = pyarrow.DictionaryArray.from_arrays(
                    pyarrow.array([i if i >= 0 else None for i in codes], pyarrow.int32()),
                    pyarrow.array(strings, pyarrow.string()))
        return pyarrow.table(data)

    def __eq__(self, other: object, /) -> bool:
        if not isinstance(other, Table):
            return NotImplemented
        if self.names != other.names:
            return False
        mine, others = self._now(), other._now()
        return mine == others or _length(mine) == _length(others) and all(
            mine[n].values(0, _length(mine)) == others[n].values(0, _length(others))
            for n in self.names)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._row.__name__}: {len(self)} rows " \
               f"({', '.join(self.names)})>"

    def _repr_html_(self) -> str:
        shown = 10
        columns = self._now()
        n = _length(columns)
        cells = [c.values(0, shown) for c in columns.values()]
        head = "".join(f"<th>{escape(name)}</th>" for name in columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(_show(name, v))}</td>"
                             for name, v in zip(columns, row)) + "</tr>"
            for row in zip(*cells))
        more = f"<p>{n - shown} more rows</p>" if n > shown else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"

    def __reduce__(self) -> tuple[Any, ...]:
        # A row class made for this table can't be found by name again.
        made = self._row.__module__ == __name__
        return _restore, (type(self), self._row._fields if made else self._row, self._now())


def _restore(cls: type[Table[Any]], row: Any, columns: dict[str, Column]) -> Table[Any]:
    table = cls.__new__(cls)
    Table.__init__(table, row, columns)
    return table


def _length(columns: Mapping[str, Column]) -> int:
    for c in columns.values():
        return len(c.view())
    return 0


_ADDRESSES = {"addr", "base", "span", "source", "target", "tiny"}


def _show(name: str, value: Any) -> str:
    if value is None:
        return ""
    return f"{value:#x}" if name in _ADDRESSES and value else str(value)
