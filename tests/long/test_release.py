"""A dropped GiB goes back: what stays resident after free_os_memory(), mapping by mapping.

`make release` runs this and prints the items; without GOHEAP_LONG=1 the tests are skipped,
because each needs 1.5 GiB and some seconds. Each runs in a process of its own: what another
test made and freed would be counted as the process's own otherwise.

What "resident" is comes from the kernel (/proc/self/smaps), not from the heap's own figures.
The heap's tables beside its window are anonymous; the reserved bytes tell them apart: 4096 MiB
of records of each object's type, 64 MiB for each of two bit areas and the pointer bits, 8 MiB
of page records, 4 MiB of span pointers (sums, where the kernel put two side by side).
"""
from __future__ import annotations

import ctypes
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest

import goheap as gh

GIB = 1 << 30
MIB = 1 << 20
SHOWN_BASE = 0xC000000000       # the address that address_of gives for the window's first byte
WINDOW_LIMIT = GIB // 100       # bytes of the window that may stay resident
REST_LIMIT = 48 * MIB           # bytes by which the rest of the process may have grown
KINDS = ("blocks of 1 MiB", "nodes of 64 bytes", "nodes of 1 KiB")
FIGURES = ("heap_sys", "heap_released", "mspan_sys", "gc_sys", "other_sys")
SMAPS = "/proc/self/smaps"


class Node64(gh.Struct):
    """8 words, one of them a pointer."""

    next: gh.Ptr[Node64]
    rest: gh.fixed(gh.int64, 7)  # type: ignore[valid-type]


class Node1024(gh.Struct):
    """128 words, one of them a pointer."""

    next: gh.Ptr[Node1024]
    rest: gh.fixed(gh.int64, 127)  # type: ignore[valid-type]


@dataclass(frozen=True)
class Mapping:
    """One line of /proc/self/maps and how much of it is resident."""

    start: int
    end: int
    mode: str
    name: str
    resident: int


def mappings() -> list[Mapping]:
    """Everything mapped into this process now."""
    found: list[Mapping] = []
    with open(SMAPS) as f:
        for line in f:
            head = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+\s*(.*)", line)
            if head:
                at = (int(head[1], 16), int(head[2], 16), head[3], head[4].strip())
            elif line.startswith("Rss:"):
                found.append(Mapping(*at, int(line.split()[1]) * 1024))
    return found


def split(found: list[Mapping], window: range) -> tuple[list[Mapping], list[Mapping]]:
    """The mappings that have a part in window, and the others.

    The page before the window, the zero-size object's, is mapped together with it.
    """
    return ([m for m in found if m.start < window.stop and window.start < m.end],
            [m for m in found if m.end <= window.start or window.stop <= m.start])


def resident(found: list[Mapping]) -> int:
    """Their resident bytes together."""
    return sum(m.resident for m in found)


def fill(heap: Any, kind: str) -> Any:
    """Makes a GiB of live objects, touches every page of them, and returns what holds them."""
    if kind.startswith("blocks"):
        blocks = [heap.alloc(MIB) for _ in range(GIB // MIB)]
        for block in blocks:
            memoryview(block)[:] = b"x" * MIB
        return blocks
    node = Node64 if "64" in kind else Node1024
    nodes = heap.new_many(node, GIB // gh.sizeof(node))
    nodes.store("next", nodes)  # each points at itself: one word of each is written
    return nodes


def window_of(heap: Any, space: int) -> range:
    """The addresses of heap's window in this process."""
    block = heap.alloc(4096)
    real = ctypes.addressof(ctypes.c_char.from_buffer(block))
    base = real - (gh.address_of(block) - SHOWN_BASE)
    return range(base, base + space)


def grown(before: list[Mapping], after: list[Mapping], window: range) -> list[dict[str, Any]]:
    """What is resident outside window and was not before: an item a mapping, largest first.

    reserved: the bytes of the mapping and of the reserved, unused ones behind it.
    """
    items = []
    own = split(after, window)[0]
    for i, m in enumerate(after):
        if m in own:
            continue
        had = sum(b.resident for b in before if b.start < m.end and m.start < b.end)
        if m.resident == had:
            continue
        end = m.end
        for unused in after[i + 1:]:
            if unused.start != end or not unused.mode.startswith("---"):
                break
            end = unused.end
        items.append({"name": m.name or "anonymous", "mode": m.mode, "grown": m.resident - had,
                      "reserved": end - m.start})
    return sorted(items, key=lambda item: -item["grown"])


def measure(kind: str) -> dict[str, Any]:
    """Fills, drops and releases in this process; what was resident when."""
    before = mappings()
    space = 4 * GIB
    heap = gh.Heap(address_space=space)
    window = window_of(heap, space)
    held = fill(heap, kind)
    full = resident(split(mappings(), window)[0])
    del held
    heap.free_os_memory()
    now = mappings()
    heap.verify()
    own, rest = split(now, window)
    stats = heap.stats()
    return {"full": full, "window": resident(own), "rest_before": resident(before),
            "rest": resident(rest) - resident(before), "items": grown(before, now, window),
            "stats": {name: getattr(stats, name) for name in FIGURES}}


def report(kind: str, got: dict[str, Any]) -> str:
    """The figures as lines, in MiB."""
    lines = [f"{kind}: window {got['full'] / MIB:.1f} MiB resident when full, "
             f"{got['window'] / MIB:.2f} after (at most {WINDOW_LIMIT / MIB:.2f}); "
             f"rest {got['rest'] / MIB:+.1f} MiB (at most {REST_LIMIT // MIB}) "
             f"over {got['rest_before'] / MIB:.1f}"]
    small = 0
    for item in got["items"]:
        if abs(item["grown"]) < MIB // 4:
            small += item["grown"]
            continue
        lines.append(f"  {item['grown'] / MIB:+8.2f}  {item['mode']} of "
                     f"{item['reserved'] / MIB:.1f} reserved  {item['name']}")
    lines.append(f"  {small / MIB:+8.2f}  mappings that changed by less than 0.25")
    lines.append("  the heap's own figures: " + ", ".join(
        f"{name} {value / MIB:.1f}" for name, value in got["stats"].items()))
    return "\n".join(lines)


@pytest.mark.skipif(os.environ.get("GOHEAP_LONG") != "1", reason="long: run `make release`")
@pytest.mark.skipif(not os.path.exists(SMAPS), reason=f"no {SMAPS}")
@pytest.mark.parametrize("kind", KINDS)
def test_a_dropped_gib_goes_back(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    child = subprocess.run([sys.executable, __file__, kind], stdout=subprocess.PIPE, text=True,
                           check=True, timeout=300)
    got = json.loads(child.stdout)
    with capsys.disabled():
        print("\n" + report(kind, got))
    assert got["full"] >= GIB  # else nothing was there to go back
    assert got["window"] <= WINDOW_LIMIT
    assert got["rest"] <= REST_LIMIT


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
