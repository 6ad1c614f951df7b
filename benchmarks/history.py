"""Writes the allocations and deaths of a recording as history.c and history.go
read them (the format is described there).

An object is let go as early as the recording allows: before the collection that
found it dead, and after the one before that had begun. So nothing is drawn at
random, and both sides get the same events. Objects put into an existing tiny
block are left out: they take no slot.
"""
import array
import os
import sys
import zlib

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from goheap.trace import TraceFile  # noqa: E402


def values(trace, name):
    """A column, whole, as integers."""
    column = next(c for c in trace.columns if c.name == name)
    raw = zlib.decompress(trace.read_at(column.start, column.length))
    if column.enc == "u8":
        return raw
    out = array.array("Q")
    value = shift = 0
    for byte in raw:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            out.append(value)
            value = shift = 0
    return out


def deaths(ops, names, back):
    """For each object its death, as the number of objects born before it, or
    None."""
    born, began, back = 0, [], iter(back)
    death = []
    for op in ops:
        name = names[op]
        if name in ("alloc", "exist"):
            born += 1
            death.append(None)
        elif name == "gc_begin":
            began.append(born)
        elif name == "free":
            obj = born - 1 - next(back)
            death[obj] = max(obj + 1, began[-2] if len(began) > 1 else 0)
    return death


def write(trace_path, path):
    with TraceFile(trace_path) as trace:
        death = deaths(values(trace, "ev.op"), trace.ops,
                       values(trace, "free.back"))
        spanclass = values(trace, "obj.spanclass")
        pages = iter(values(trace, "obj.pages"))
        sizes = trace.class_to_size

    words = array.array("I", [0, len(death), *sizes])
    dying = {}  # number of objects born -> slots to let go
    free, slots = [], 0
    for obj, sc in enumerate(spanclass):
        for slot in dying.pop(obj, ()):
            words.append(slot << 1)
            free.append(slot)
        if free:
            slot = free.pop()
        else:
            slot, slots = slots, slots + 1
        words.append(slot << 9 | sc << 1 | 1)
        if sc >> 1 == 0:
            words.append(next(pages))
        if death[obj] is not None:
            dying.setdefault(death[obj], []).append(slot)
    words[0] = slots
    if sys.byteorder == "big":
        words.byteswap()
    with open(path, "wb") as f:
        words.tofile(f)


if __name__ == "__main__":
    write(sys.argv[1], sys.argv[2])
