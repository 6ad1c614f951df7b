"""Struct classes, the kinds of their fields, arrays: layouts as Go's compiler makes them.

A struct class is written down like a Go struct; its instances are handles:

>>> import goheap as gh
>>> class Node(gh.Struct):
...     left: gh.Ptr["Node"]
...     right: gh.Ptr["Node"]
...     key: gh.int64
>>> gh.type_info(Node).size, gh.type_info(Node).ptrdata
(24, 16)
"""
from __future__ import annotations

import keyword
import sys
import threading
import types as _pytypes
import weakref
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, NamedTuple, get_args, get_origin

from . import _core
from ._core import ClassMeta, Field

__all__ = [
    "Array", "Block", "Embed", "Field", "Fixed", "Ptr", "Interface", "Ref", "Slice", "String", "Struct",
    "TypeInfo", "Words",
    "bool_", "define", "fixed", "float32", "float64", "int8", "int16", "int32", "int64",
    "sizeof", "words", "struct", "type_info", "uint8", "uint16", "uint32", "uint64", "uintptr",
]

_PTR, _EMBED, _FIXED = 12, 13, 14  # codes of csrc/binding/binding.h, enum kind


# ---- kinds of fields ----------------------------------------------------------------


class bool_(Field):
    """A bool: one byte, True or False."""

    __slots__ = ()
    _code, _size = 0, 1


class int8(Field):
    """A signed integer of 8 bits; a value out of range is refused, not wrapped."""

    __slots__ = ()
    _code, _size = 1, 1


class int16(Field):
    """A signed integer of 16 bits; a value out of range is refused, not wrapped."""

    __slots__ = ()
    _code, _size = 2, 2


class int32(Field):
    """A signed integer of 32 bits; a value out of range is refused, not wrapped."""

    __slots__ = ()
    _code, _size = 3, 4


class int64(Field):
    """A signed integer of 64 bits; a value out of range is refused, not wrapped."""

    __slots__ = ()
    _code, _size = 4, 8


class uint8(Field):
    """An unsigned integer of 8 bits; a value out of range is refused, not wrapped."""

    __slots__ = ()
    _code, _size = 5, 1


class uint16(Field):
    """An unsigned integer of 16 bits; a value out of range is refused, not wrapped."""

    __slots__ = ()
    _code, _size = 6, 2


class uint32(Field):
    """An unsigned integer of 32 bits; a value out of range is refused, not wrapped."""

    __slots__ = ()
    _code, _size = 7, 4


class uint64(Field):
    """An unsigned integer of 64 bits; a value out of range is refused, not wrapped."""

    __slots__ = ()
    _code, _size = 8, 8


class uintptr(Field):
    """A number that looks like a pointer: the collector ignores it."""

    __slots__ = ()
    _code, _size = 9, 8


class float32(Field):
    """A float of 32 bits: a value is rounded; a finite one too large is refused."""

    __slots__ = ()
    _code, _size = 10, 4


class float64(Field):
    """A float of 64 bits."""

    __slots__ = ()
    _code, _size = 11, 8


class Ptr(Field):
    """A pointer word, or None for nil.

    Ptr[Node] takes handles of Node; the class may be named before it is defined, in
    quotes. Plain Ptr takes any handle of the heap.
    """

    __slots__ = ()

    def __class_getitem__(cls, target: Any) -> Any:
        return _pytypes.GenericAlias(cls, target)


class Embed(Field):
    """A struct inside the struct: Embed[Point].

    Reading it gives a handle into the object, which keeps the whole object alive;
    writing it copies the struct.
    """

    __slots__ = ()

    def __class_getitem__(cls, target: Any) -> Any:
        return _pytypes.GenericAlias(cls, target)


class String(Field):
    """The two words of a Go string; reads and writes the pointer word."""

    __slots__ = ()
    _code, _size = 15, 16


class Slice(Field):
    """The three words of a Go slice; reads and writes the pointer word."""

    __slots__ = ()
    _code, _size = 16, 24


class Interface(Field):
    """The two words of a Go interface; reads and writes the data word.

    Of the first word Go's collector needs to know nothing: it never points into the heap.
    """

    __slots__ = ()
    _code, _size = 17, 16


class Fixed(Field):
    """An array inside the struct (Go's [n]T); fixed() makes it."""

    __slots__ = ()


class _FixedSpec:
    """What fixed() returns: a field that is not yet in a class."""

    __slots__ = ("elem", "n")

    def __init__(self, elem: Any, n: int) -> None:
        self.elem, self.n = elem, n

    def __repr__(self) -> str:
        return f"fixed({_kind_name(self.elem)}, {self.n})"


def fixed(elem: Any, n: int, /) -> Any:
    """A field that holds n elements in place, as Go's [n]T.

    elem is a kind (int64, Ptr, Ptr[Node]) or a struct class.

    >>> class Digest(Struct):
    ...     state: Fixed[int] = fixed(uint32, 5)
    ...     used: uint8
    >>> sizeof(Digest), Digest.used.offset
    (24, 20)
    """
    if isinstance(n, bool) or not hasattr(type(n), "__index__"):
        raise TypeError(f"fixed: n must be an int, not {type(n).__name__!r}")
    n = n.__index__()
    if not 0 <= n <= 1 << 30:
        raise ValueError(f"fixed: n must be 0..{1 << 30}, not {n}")
    return _FixedSpec(elem, n)


class _Later:
    """A name in an annotation that is looked up when a pointer is first used."""

    __slots__ = ("name", "value")

    def __init__(self, name: str, value: Any = None) -> None:
        self.name, self.value = name, value

    def __repr__(self) -> str:
        return self.name


class _Spec(NamedTuple):
    """A field without name and place."""

    kind: type
    code: int
    size: int
    align: int
    target: Any  # class, name, None: any; of scalars None


def _go_name(kind: type) -> str:
    return "bool" if kind is bool_ else kind.__name__


def _kind_name(what: Any) -> str:
    """How a kind is written, for type_info and messages."""
    if isinstance(what, _pytypes.GenericAlias):
        arg = what.__args__[0]
        return f"{what.__origin__.__name__}[{getattr(arg, '__name__', arg)}]"
    if isinstance(what, type):
        return what.__name__
    return repr(what)


_INSTEAD = {int: "int64", float: "float64", bool: "bool_", bytes: "fixed(uint8, n) or Ptr[Block]",
            str: "fixed(uint8, n) or Ptr[Block]"}


def _spec(what: Any, where: str, owner: type | None = None) -> _Spec:
    """Reads an annotation; where begins the messages."""
    if isinstance(what, _Later) and what.value is not None:
        what = what.value
    if isinstance(what, type) and issubclass(what, Field):
        code = getattr(what, "_code", None)
        if code is not None:
            return _Spec(what, code, what._size, min(what._size, 8), None)
        if what is Ptr:
            return _Spec(Ptr, _PTR, 8, 8, None)
        raise TypeError(f"{where}: {what.__name__} alone is no kind of field; write "
                        + ("Embed[Point]" if what is Embed else
                           f"{where.rpartition('.')[2]}: Fixed[int] = fixed(int64, n)"))
    origin = get_origin(what)
    if origin is Ptr:
        target = get_args(what)[0]
        if isinstance(target, _Later):
            target = target.name
        elif not isinstance(target, str):
            forward = getattr(target, "__forward_arg__", None)
            target = target if forward is None else forward
        if target is Any or target is Ref:
            target = None
        if not (target is None or isinstance(target, (str, ClassMeta))):
            raise TypeError(f"{where}: Ptr takes a struct class or its name, not {target!r}")
        return _Spec(Ptr, _PTR, 8, 8, target)
    if origin is Embed:
        target = get_args(what)[0]
        if isinstance(target, _Later):
            target = target.value
        if not isinstance(target, ClassMeta) or not issubclass(target, Struct):
            raise TypeError(f"{where}: Embed takes a struct class that is defined already, "
                            f"not {get_args(what)[0]!r}")
        _finish_empty(target)
        layout = _core.class_layout(target)
        return _Spec(Embed, _EMBED, layout[1], layout[2], target)
    if isinstance(what, _FixedSpec):
        array = _array_class(what.elem, what.n, where, owner)
        layout = _core.class_layout(array)
        return _Spec(Fixed, _FIXED, layout[1], layout[2], array)
    if isinstance(what, ClassMeta):
        raise TypeError(f"{where}: write Ptr[{what.__name__}] for a pointer to one, "
                        f"Embed[{what.__name__}] for one inside")
    if isinstance(what, _Later):
        raise NameError(f"{where}: the name {what.name!r} is not defined")
    hint = _INSTEAD.get(what)
    raise TypeError(f"{where}: {_kind_name(what)} is no kind of field"
                    + (f"; write {hint}" if hint else ""))


# ---- the metaclass --------------------------------------------------------------------

_RESERVED = frozenset({
    "__init__", "__new__", "__del__", "__eq__", "__ne__", "__hash__", "__bool__", "__dict__",
    "__weakref__", "__buffer__", "__release_buffer__", "__getattribute__", "__setattr__",
    "__delattr__", "__reduce__", "__reduce_ex__", "__copy__", "__deepcopy__", "__class__",
    "__class_getitem__",
})


class _Body(dict[str, Any]):
    """A class body that remembers before which annotation a fixed() was assigned."""

    def __init__(self) -> None:
        super().__init__()
        self.bare: dict[str, int] = {}

    def __setitem__(self, name: str, value: Any) -> None:
        if isinstance(value, _FixedSpec):
            self.bare[name] = len(self.get("__annotations__", ()))
        super().__setitem__(name, value)


class _Names(dict[str, Any]):
    """The names of an annotation in text: what isn't there yet becomes a _Later."""

    def __init__(self, own: str, module: str, body: Mapping[str, Any],
                 local: Mapping[str, Any], global_: Mapping[str, Any]) -> None:
        super().__init__()
        self._own, self._module = own, module
        self._where = (body, local, global_)

    def __missing__(self, name: str) -> Any:
        if name == self._own:
            return _Later(name)
        for names in self._where:
            if name in names:
                value = names[name]
                # A class of a module may be defined anew before it is used (a cell
                # that is run again): a pointer follows the name, an embedded struct
                # the class.
                if (isinstance(value, ClassMeta) and value.__module__ == self._module
                        and names.get("__name__") == self._module):
                    return _Later(name, value)
                return value
        import builtins

        try:
            return getattr(builtins, name)
        except AttributeError:
            return _Later(name)


def _annotations(ns: dict[str, Any]) -> dict[str, Any]:
    """The annotations of a class body; since 3.14 as text, unevaluated."""
    if "__annotations__" in ns:
        return dict(ns["__annotations__"])
    if sys.version_info >= (3, 14):
        import annotationlib

        annotate = annotationlib.get_annotate_from_class_namespace(ns)
        if annotate is not None:
            return annotationlib.call_annotate_function(annotate, annotationlib.Format.STRING)
    return {}


def _wanted(name: str, ns: dict[str, Any], frame: Any) -> list[tuple[str, Any]]:
    """The fields of a class body, in order; takes their values out of ns."""
    module = ns.get("__module__", "__main__")
    names = _Names(name, module, ns, frame.f_locals, frame.f_globals)
    out: list[tuple[str, Any]] = []
    annotations = _annotations(ns)
    for field, what in annotations.items():
        if isinstance(what, str):
            what = eval(what, {"__builtins__": {}}, names)  # the user's own annotation
        if what is ClassVar or get_origin(what) is ClassVar:
            continue
        given = ns.pop(field, None)
        if isinstance(given, _FixedSpec):
            what = given
        elif given is not None:
            raise TypeError(f"{name}.{field}: a field begins as zero; it takes no default")
        out.append((field, what))
    bare = [f for f, v in ns.items() if isinstance(v, _FixedSpec)]
    order = getattr(ns, "bare", {})
    if bare and annotations and sys.version_info >= (3, 14):
        raise TypeError(f"{name}.{bare[0]}: beside annotated fields write "
                        f"`{bare[0]}: Fixed[int] = fixed(...)`, so that the order is known")
    for shift, field in enumerate(bare):
        spec = ns.pop(field)
        before = set(list(annotations)[:order.get(field, 0)])
        at = sum(1 for f, _ in out[:len(out)] if f in before) + shift
        out.insert(at, (field, spec))
    return out


# Pointers of local classes to local classes that aren't defined yet: by thread (several may
# run the function), module, the function's qualified name and the class's name.
_waiting: dict[tuple[int, str, str, str], list[weakref.ref[type]]] = {}


def _scope(cls: type) -> str | None:
    """The qualified name of the function in which cls was defined, None: none."""
    prefix = cls.__qualname__.rpartition(".")[0]
    return prefix if "<locals>" in prefix else None


def _follow(cls: type, specs: list[_Spec]) -> None:
    """Notes what a local class points at by name, and serves who waited for it."""
    scope = _scope(cls)
    if scope is None:
        return
    within = threading.get_ident(), cls.__module__, scope
    for owner in _waiting.pop((*within, cls.__name__), ()):
        waiter = owner()
        if waiter is not None:
            _core.class_cache(waiter)[cls.__name__] = cls
    for spec in specs:
        target = spec.target
        if spec.code == _FIXED:
            target = _core.class_layout(target)[7]
        if isinstance(target, str) and target != cls.__name__:
            _waiting.setdefault((*within, target), []).append(weakref.ref(cls))


def _finish(cls: type, wanted: list[tuple[str, Any]]) -> None:
    """Lays the fields out as Go's compiler does and fixes the layout for good.

    Go: cmd/compile/internal/types/size.go, CalcStructSize: a field of size zero at the
    end gets a byte, so that its address lies inside the object.
    """
    specs = []
    seen: set[str] = set()
    for name, what in wanted:
        where = f"{cls.__name__}.{name}"
        if not isinstance(name, str) or not name:
            raise TypeError(f"{cls.__name__}: the name of a field is a str, not {name!r}")
        if name in seen:
            raise TypeError(f"{where}: twice")
        if name.startswith("__") and name.endswith("__"):
            raise TypeError(f"{where}: a name of that form is Python's")
        seen.add(name)
        specs.append((name, _spec(what, where, cls)))
    offset, align = 0, 1
    fields = []
    for name, s in specs:
        offset = -(-offset // s.align) * s.align
        align = max(align, s.align)
        fields.append(s.kind(name, offset, s.code, s.size, s.target))
        offset += s.size
    if offset > 0 and specs and specs[-1][1].size == 0:
        offset += 1
    _core.class_finish(cls, tuple(fields), -(-offset // align) * align, align)
    _follow(cls, [s for _, s in specs])


def _finish_empty(cls: type) -> None:
    """A struct class without fields gets its layout at its first use."""
    if _core.class_layout(cls) is None:
        if cls is Struct:
            raise TypeError("Struct is the base of struct classes, not one of them")
        _core.class_finish(cls, (), 0, 1)


class StructMeta(ClassMeta):
    """The metaclass of handle classes: reads annotations, makes the layout."""

    @classmethod
    def __prepare__(mcs, name: str, bases: tuple[type, ...], /, **kwargs: Any) -> Any:
        return _Body()

    def __new__(mcs, name: str, bases: tuple[type, ...], ns: dict[str, Any], /,
                **kwargs: Any) -> Any:
        if kwargs:
            raise TypeError(f"{name}: a struct class takes no {next(iter(kwargs))!r}")
        if not _made:  # Ref and what is made with it; afterwards the C parts are closed
            return super().__new__(mcs, name, bases, dict(ns))
        if len(bases) != 1 or not issubclass(bases[0], Struct):
            raise TypeError(f"{name}: a struct class has one base: Struct, or a class of "
                            "methods derived from it")
        for bad in _RESERVED.intersection(ns):
            raise TypeError(f"{name}.{bad}: handles are made and compared by goheap; a "
                            "struct class adds fields and other methods")
        if ns.get("__slots__", ()) != ():
            raise TypeError(f"{name}.__slots__: a handle holds nothing but its object; "
                            "annotate fields")
        wanted = _wanted(name, ns, sys._getframe(1))
        return _make(mcs, name, bases, ns, wanted)


def _make(meta: type, name: str, bases: tuple[type, ...], ns: Mapping[str, Any],
          wanted: list[tuple[str, Any]]) -> Any:
    for field, _ in wanted:
        if field in ns:
            raise TypeError(f"{name}.{field}: both a field and something else")
    cls: Any = ClassMeta.__new__(meta, name, bases, {**ns, "__slots__": ()})
    if wanted:
        _finish(cls, wanted)
    return cls


# ---- Ref, Struct, Array, Block -----------------------------------------------------------

_made: list[type] = []  # Ref, Struct, Array, Block, once they are there


def _array_getitem(cls: type, elem: Any) -> Any:
    """Array[int64]: the class of such arrays. Array[int] is for type checkers."""
    if isinstance(elem, ClassMeta) or isinstance(elem, type) and issubclass(elem, Field):
        return _array_class(elem)
    return _pytypes.GenericAlias(cls, elem)


Ref, Struct, Array, Block, Words = _core.ref_classes_init(
    StructMeta,
    {"__module__": "goheap", "__slots__": (), "__doc__":
     "A strong handle, with the rules of a Go global variable.\n\n"
     "It owns one root of its heap and holds no Python object. Once the Heap is closed or\n"
     "gone it is dead: comparison, hash, bool and repr go on working, everything else\n"
     "raises HeapClosedError. Equal handles: same heap and same address."},
    {"__module__": "goheap", "__slots__": (), "__doc__":
     "Base of struct classes: annotate fields, add methods.\n\n"
     "Heap.new makes the objects; there is no __init__."},
    {"__module__": "goheap", "__slots__": (), "__class_getitem__": classmethod(_array_getitem),
     "__doc__":
     "An array object, or one inside an object.\n\n"
     "Indexed and iterated like a sequence of fixed length. An element that is a struct\n"
     "gives a handle into the array, which keeps the whole array alive. Arrays of scalars\n"
     "have a writable buffer with their format: memoryview(a), numpy.asarray(a)."},
    {"__module__": "goheap", "__slots__": (), "__doc__":
     "Bytes without pointers, as make([]byte, n); use it through memoryview."},
    {"__module__": "goheap", "__slots__": (), "__doc__":
     "An object of a words() type: word i is an int, or a handle where the mask says\n"
     "pointer."},
)
_made += [Ref, Struct, Array, Block, Words]

_scalar_arrays: dict[tuple[type, int], type] = {}


def _array_class(elem: Any, n: int = -1, where: str = "array", owner: type | None = None) -> Any:
    """The class of arrays of elem; n < 0: as long as the object."""
    if isinstance(elem, ClassMeta) and issubclass(elem, Struct):
        _finish_empty(elem)
        layout = _core.class_layout(elem)
        s = _Spec(Embed, _EMBED, layout[1], layout[2], elem)
    elif isinstance(elem, _FixedSpec):
        array = _array_class(elem.elem, elem.n, where, owner)
        layout = _core.class_layout(array)
        s = _Spec(Fixed, _FIXED, layout[1], layout[2], array)
    else:
        s = _spec(elem, where, owner)
    if isinstance(s.target, str) and owner is None:
        raise TypeError(f"{where}: {_kind_name(elem)} names a class where one is needed")
    named = isinstance(s.target, str)
    if named:
        store: dict[Any, Any] = {}
    elif s.target is None:
        store = _scalar_arrays
    else:
        store = _core.class_cache(s.target)
    key = (s.kind, n)
    cls = store.get(key)
    if cls is None:
        text = _kind_name(elem) if not isinstance(elem, _FixedSpec) else repr(elem)
        cls = ClassMeta.__new__(
            StructMeta, f"Array[{text}]" if n < 0 else f"Array[{text}, {n}]", (Array,),
            {"__module__": "goheap", "__slots__": ()})
        _core.class_finish_array(cls, s.code, s.size, s.align, s.target, n)
        if named:
            _core.class_cache(cls)["owner"] = owner
        cls = store.setdefault(key, cls)
    return cls


def _resolve(at: Any, name: str) -> Any:
    """The class that a pointer names; at is its field, or its class of arrays.

    Looked for in this order: the struct itself, classes of the same function, the
    struct's module.
    """
    owner = at._owner if isinstance(at, Field) else _core.class_cache(at)["owner"]
    if name == owner.__name__:
        return owner
    found = _core.class_cache(owner).get(name)
    if found is None:
        first, *rest = name.split(".")
        found = getattr(sys.modules.get(owner.__module__), first, None)
        for part in rest:
            found = getattr(found, part, None)
    if found is None:
        raise NameError(f"{owner.__name__}: points at {name!r}, but no such class is defined "
                        f"in {owner.__module__}")
    if not isinstance(found, ClassMeta):
        raise TypeError(f"{owner.__name__}: points at {name!r}, which is no struct class but "
                        f"{found!r}")
    if issubclass(found, Struct):
        _finish_empty(found)
    return found


# ---- the call forms, and what a layout looks like --------------------------------------


def struct(name: str, fields: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), /,
           **more: Any) -> Any:
    """The class statement as a call; a mapping where a name is no identifier.

    >>> Pair = struct("Pair", a=int64, b=Ptr["Pair"])
    >>> sizeof(Pair)
    16
    """
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(f"struct: the name of a class is an identifier, not {name!r}")
    pairs: Any = fields.items() if isinstance(fields, Mapping) else fields
    wanted: list[tuple[str, Any]] = list(pairs)
    wanted += more.items()
    module = sys._getframe(1).f_globals.get("__name__", "__main__")
    return _make(StructMeta, name, (Struct,), {"__module__": module}, wanted)


def words(name: str, size: int, /, *, ptrs: str | Iterable[int] = "none") -> Any:
    """A type by size and pointer mask, for recorded types without fields.

    size is in bytes. ptrs says which words are pointers: "none", "all", a list such as
    "0,2-4", or the numbers themselves.

    >>> T = words("T", 32, ptrs="0,2-3")
    >>> type_info(T).gcmask, type_info(T).ptrdata
    (b'\\r', 32)
    """
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(f"words: the name of a class is an identifier, not {name!r}")
    if isinstance(size, bool) or not hasattr(type(size), "__index__"):
        raise TypeError(f"words: size must be an int, not {type(size).__name__!r}")
    size = size.__index__()
    if not 0 <= size <= 1 << 30:
        raise ValueError(f"words: size must be 0..{1 << 30}, not {size}")
    n = size // 8
    mask = 0
    for first, last in _word_ranges(ptrs, n):
        if not 0 <= first <= last < n:
            raise ValueError(f"words: a type of {size} bytes has the words 0..{n - 1}, not "
                             f"{last if first >= 0 else first}")
        mask |= (1 << last + 1) - (1 << first)
    if mask and size % 8:
        raise ValueError(f"words: a type with pointers consists of words of 8 bytes, not of "
                         f"{size} bytes")
    cls = ClassMeta.__new__(StructMeta, name, (Words,), {
        "__module__": sys._getframe(1).f_globals.get("__name__", "__main__"), "__slots__": ()})
    _core.class_finish_words(cls, size, mask.to_bytes((n + 7) // 8, "little"))
    return cls


def _word_ranges(ptrs: str | Iterable[int], n: int) -> list[tuple[int, int]]:
    """ptrs as ranges of word numbers, both ends included."""
    if ptrs == "none" or ptrs == "all" and n == 0:
        return []
    if ptrs == "all":
        return [(0, n - 1)]
    if not isinstance(ptrs, str):
        out = []
        for w in ptrs:
            if isinstance(w, bool) or not hasattr(type(w), "__index__"):
                raise TypeError(f"words: the number of a word is an int, not {w!r}")
            out.append((w.__index__(), w.__index__()))
        return out
    out = []
    for part in ptrs.split(","):
        first, dash, last = part.partition("-")
        if not (first.isascii() and first.isdigit() and (not dash or last.isascii()
                                                         and last.isdigit())):
            raise ValueError(f'words: ptrs is "none", "all" or a list such as "0,2-4", not '
                             f"{ptrs!r}")
        out.append((int(first), int(last) if dash else int(first)))
    return out


def define(cls: type, /, **fields: Any) -> None:
    """Give an empty struct its fields, once, before its first use: for types that
    point at each other.

    >>> A, B = struct("A"), struct("B")
    >>> define(A, b=Ptr[B])
    >>> define(B, a=Ptr[A])
    """
    if not isinstance(cls, ClassMeta) or not issubclass(cls, Struct) or cls is Struct:
        raise TypeError(f"define: a struct class is needed, not {cls!r}")
    if _core.class_layout(cls) is not None:
        raise TypeError(f"define: {cls.__name__} has its layout already")
    for field in fields:
        if field in vars(cls):
            raise TypeError(f"{cls.__name__}.{field}: both a field and something else")
    if fields:
        _finish(cls, list(fields.items()))
    else:
        _finish_empty(cls)


class TypeInfo(NamedTuple):
    """A layout as Go's compiler would make it."""

    name: str
    size: int
    align: int
    ptrdata: int  # bytes up to the end of the last pointer word
    gcmask: bytes  # one bit a word
    fields: tuple[tuple[str, int, int, str], ...]  # name, offset, size, kind

    def _repr_html_(self) -> str:
        from . import _html
        return _html.layout(self)


def _field_kind(field: Any) -> str:
    target = field._target
    if isinstance(field, Fixed):
        return _class_kind(target)
    if isinstance(field, (Ptr, Embed)):
        name = type(field).__name__
        return name if target is None else f"{name}[{getattr(target, '__name__', target)}]"
    return _go_name(type(field))


def _class_kind(cls: type) -> str:
    inner = cls.__name__.removeprefix("Array[").removesuffix("]")
    return f"fixed({inner})" if _core.class_layout(cls)[8] >= 0 else cls.__name__


def _class_info(cls: type) -> TypeInfo:
    if issubclass(cls, Struct):
        _finish_empty(cls)
    layout = _core.class_layout(cls)
    if layout is None:
        raise TypeError(f"{cls.__name__} has no layout")
    role, size, align, ptrdata, mask, fields = layout[:6]
    rows = tuple((f.name, f.offset, f.size, _field_kind(f)) for f in (fields or {}).values())
    return TypeInfo(cls.__name__, size, align, ptrdata, mask, rows)


def type_info(what: Any, /) -> TypeInfo:
    """The layout of a struct class, a kind, or a handle's object.

    Of an array or a block: of the whole object, as far as its type says it: name and
    mask are the element's.
    """
    if isinstance(what, Ref):
        info = _class_info(type(what))
        return info._replace(size=_core.sizeof(what))
    if isinstance(what, ClassMeta):
        if what in (Ref, Struct, Array, Words):
            raise TypeError(f"type_info: {what.__name__} alone has no layout")
        return _class_info(what)
    s = _spec(what, "type_info")
    mask = {_PTR: b"\x01", 15: b"\x01", 16: b"\x01", 17: b"\x02"}.get(s.code, b"")
    ptrdata = 8 * len(bin(mask[0])[2:]) if mask else 0
    if s.code in (_EMBED, _FIXED):
        ptrdata, mask = _core.class_layout(s.target)[3:5]
    name = _go_name(s.kind) if s.code < _PTR else _kind_name(what)
    return TypeInfo(name, s.size, s.align, ptrdata, mask, ())


def sizeof(what: Any, /) -> int:
    """Size in bytes, as unsafe.Sizeof; of an array or block the whole length asked for."""
    if isinstance(what, Ref):
        return _core.sizeof(what)
    if isinstance(what, ClassMeta) and _is_open(what):
        raise TypeError(f"sizeof: the size of {what.__name__} is its objects'")
    return type_info(what).size


def _is_open(cls: type) -> bool:
    """Whether the size of cls is told by each object."""
    return issubclass(cls, Block) or issubclass(cls, Array) and (
        cls is not Array and _core.class_layout(cls)[8] < 0)
