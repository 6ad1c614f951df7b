"""Whatever a person does wrong: the documented exception, never a crash.

The public surface is found by introspection of goheap.__all__: functions, constructors,
methods, properties (read, set, deleted), operators. Each is called on a live, a closed and
a lost heap, with arguments that are right and with each argument in turn replaced by each
of BAD. One call is a cell. What may come out of a cell follows from the kind of the
parameter, which KINDS gives by its name.
"""
from __future__ import annotations

import atexit
import functools
import gc
import inspect
import itertools
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
import threading
import time

import pytest
from test_replay import sample_history

import goheap as gh

MAX = (1 << 63) - 1


class Text(str):
    """A str subclass, where a text or a size is taken."""


class Index:
    """What behaves as a number but isn't one."""

    def __init__(self, value):
        self.value = value

    def __index__(self):
        if isinstance(self.value, BaseException):
            raise self.value
        return self.value


class Closer:
    """A number that closes its heap when it is asked for its value."""

    def __init__(self, heap, value):
        self.heap, self.value = heap, value

    def __index__(self):
        self.heap.close()
        return self.value

    def __iter__(self):
        self.heap.close()
        return iter([self.value])

    def __fspath__(self):
        self.heap.close()
        return os.devnull


class Node(gh.Struct):
    left: gh.Ptr[Node]
    any: gh.Ptr
    key: gh.int64
    small: gh.uint8
    ratio: gh.float64
    flag: gh.bool_
    ring: gh.Fixed[int] = gh.fixed(gh.int32, 3)


class Big(gh.Struct):
    data: gh.Fixed[int] = gh.fixed(gh.uint8, 1 << 22)


class Env:
    """A heap with something of everything in it, and what may be passed wrongly.

    state: "live", "marking" (a cycle by hand has begun), "closed", "lost". The objects
    were made before.
    """

    def __init__(self, state="live", address_space="1GiB"):
        self.heap = gh.Heap(procs=2, address_space=address_space)
        self.node = self.heap.new(Node, key=5)
        self.node.left = self.node
        self.block = self.heap.alloc(24)
        self.numbers = self.heap.array(gh.int64, 4)
        self.pointers = self.heap.array(gh.Ptr, 4)
        self.nodes = self.heap.array(Node, 2)
        self.stats = self.heap.stats()
        self.cycle = self.heap.collect()
        self.heap.gc_start()
        self.step = self.heap.gc_step()
        self.heap.gc_finish()
        self.info = self.heap.info(self.node)
        self.more = {name: make(self) for name, make in MORE.items()}
        if state == "marking":
            self.heap.gc_start()
            self.heap.gc_step()
        if state == "closed":
            self.heap.close()
        if state == "lost":
            del self.heap


def make_log(env):
    with env.heap.watch() as log:
        env.heap.collect()
    return log


# Parts of the surface that need more to be made; name of the class -> from an Env.
MORE = {}
if hasattr(gh, "Words"):
    MORE["Words"] = lambda env: env.heap.new(gh.words("W", 24, ptrs="1"))
if hasattr(gh, "Roots"):
    MORE["Roots"] = lambda env: env.heap.new_many(Node, 3)
if hasattr(gh, "Snapshot"):
    MORE["Snapshot"] = lambda env: env.heap.snapshot(edges=True)
    MORE["EventLog"] = make_log
MORE["WeakRef"] = lambda env: env.heap.weak(env.node)


def make_profile(env):
    env.heap.profile_rate = 1
    env.more_block = env.heap.alloc(100)
    env.heap.collect()
    profile = env.heap.profile()
    env.heap.profile_rate = 0
    return profile


MORE["HeapProfile"] = make_profile
MORE["Cleanup"] = lambda env: env.heap.add_cleanup(env.node, print)



@functools.cache
def sample_path():
    with tempfile.NamedTemporaryFile(suffix=".ghtrace", delete=False) as f:
        f.write(sample_history().file())
    atexit.register(os.unlink, f.name)
    atexit.register(lambda: os.path.exists(f.name + ".saved") and os.unlink(f.name + ".saved"))
    return f.name


@functools.cache
def gctrace_path():
    with tempfile.NamedTemporaryFile("w", suffix=".log", delete=False) as f:
        for i in range(1, 5):
            f.write(f"gc {i} @{i}.0s 1%: 0.1+0.2+0.1 ms clock, 0+0/0/0+0 ms cpu, 8->9->4 MB, "
                    "8 MB goal, 0 MB stacks, 0 MB globals, 2 P\n")
    atexit.register(os.unlink, f.name)
    return f.name


@functools.cache
def sample_replay():
    return gh.replay(sample_path())


@functools.cache
def sample_whatif():
    return gh.what_if(sample_path(), gogc=[100], seeds=1)


SCRIPT = "goheap-script 1\nslots 2\nalloc 0 100 noscan\nstats s\n"

# Instances of the public classes: an Env -> one. Field kinds are fields of Node.
INSTANCES = {
    "Heap": lambda env: env.heap,
    "Ref": lambda env: env.node,
    "Struct": lambda env: env.node,
    "Array": lambda env: env.numbers,
    "Block": lambda env: env.block,
    "Words": lambda env: env.more["Words"],
    "Roots": lambda env: env.more["Roots"],
    "Snapshot": lambda env: env.more["Snapshot"],
    "EventLog": lambda env: env.more["EventLog"],
    "WeakRef": lambda env: env.more["WeakRef"],
    "Cleanup": lambda env: env.more["Cleanup"],
    "HeapProfile": lambda env: env.more["HeapProfile"],
    "ProfileRow": lambda env: env.more["HeapProfile"].rows.row(0),
    "Table": lambda env: env.more["Snapshot"].objects,
    "CacheInfo": lambda env: env.more["Snapshot"].caches.row(0),
    "CensusRow": lambda env: env.more["Snapshot"].census().row(0),
    "Edge": lambda env: env.more["Snapshot"].edges.row(0),
    "Event": lambda env: env.more["EventLog"].row(0),
    "OccupancyRow": lambda env: env.more["Snapshot"].occupancy().row(0),
    "PageRun": lambda env: env.more["Snapshot"].pages.row(0),
    "RootInfo": lambda env: env.more["Snapshot"].roots.row(0),
    "Span": lambda env: env.more["Snapshot"].spans.row(0),
    "Field": lambda env: Node.key,
    "MemStats": lambda env: env.stats,
    "MemStatsDiff": lambda env: env.stats - env.stats,
    "GCCycle": lambda env: env.cycle,
    "ObjectInfo": lambda env: env.info,
    "Step": lambda env: env.step,
    "BySize": lambda env: env.stats.by_size[3],
    "SizeClass": lambda env: gh.size_classes()[0],
    "TypeInfo": lambda env: gh.type_info(Node),
    "Explanation": lambda env: gh.explain(100),
    "Policy": lambda env: gh.Policy(),
    "Debug": lambda env: gh.Debug(),
    "Costs": lambda env: gh.Costs(),
    "Script": lambda env: gh.Script(SCRIPT),
    "ScriptResult": lambda env: gh.Script(SCRIPT).run(),
    "Replay": lambda env: sample_replay(),
    "WhatIf": lambda env: sample_whatif(),
    "Prediction": lambda env: sample_whatif()[0],
    "Interval": lambda env: sample_whatif()[0].automatic_gc,
    "Advice": lambda env: sample_whatif().advise(),
    "Histogram": lambda env: gh.Heap().metrics()["/gc/pauses:seconds"],
    "Knobs": lambda env: gh.Knobs(100, None),
    "Trace": lambda env: gh.Trace.open(sample_path()),
    "Workload": lambda env: gh.Workload(live=1 << 20, alloc_rate=1 << 20, seconds=0.1),
}

# Plain values: immutable records of Python objects, with nothing of C behind them. Their
# methods take no argument or are those of tuples and dataclasses.
RECORDS = {"BySize", "SizeClass", "TypeInfo", "ObjectInfo", "Explanation", "MemStats",
           "MemStatsDiff", "GCCycle", "Replay", "ScriptResult", "Policy", "Debug", "Costs", "CacheInfo",
           "CensusRow", "Edge", "Event", "OccupancyRow", "PageRun", "RootInfo", "Span", "Step",
           "Knobs", "HeapProfile", "ProfileRow", "Histogram", "Prediction", "Interval", "Advice"}

# ---- what is passed wrongly -----------------------------------------------------------

NUMBERS = {"-1": -1, "2**31": 1 << 31, "2**32": 1 << 32, "2**47": 1 << 47,
           "2**63-1": MAX, "2**63": 1 << 63, "2**64": 1 << 64, "-2**63-1": -(1 << 63) - 1}


class Bad:
    """The values, with handles of a foreign, a closed and a lost heap."""

    def __init__(self):
        self.foreign, self.closed, self.lost = Env(), Env("closed"), Env("lost")
        self.values = {
            "None": None, "object": object(), "True": True, "1.5": 1.5, "nan": float("nan"),
            "bytes": b"8", "list": [1], "empty": (), "class": int, "Text": Text("nonsense"),
            "Text with zero": Text("8\0"), "surrogate": "\ud800", "long": "9" * 4000,
            "Index": Index(1 << 40), "raising Index": Index(KeyError("__index__")),
            "foreign": self.foreign.node, "closed": self.closed.node, "lost": self.lost.node,
            "foreign heap": self.foreign.heap, "closed heap": self.closed.heap, **NUMBERS,
        }


# ---- what may come out -----------------------------------------------------------------

OK = None
TYPE, VALUE, OVER, INDEX, LOOKUP = (TypeError,), (ValueError,), (OverflowError,), (IndexError,), (
    LookupError,)
CLOSED, FOREIGN, MEMORY = (gh.HeapClosedError,), (gh.ForeignRefError,), (gh.HeapMemoryError,)
NUMBER_OUT = (OK, *VALUE, *OVER)
TEXTS = ("Text", "Text with zero", "surrogate", "long")
HANDLES = ("foreign", "closed", "lost")
HEAPS = ("foreign heap", "closed heap")

# kind -> {name of a bad value, or a group: what may come out}; "else" is the rest.
KINDS = {
    "plain size": {"numbers": NUMBER_OUT, "texts": (*VALUE, *OVER), "else": TYPE},
    "size": {"numbers": (OK, *VALUE, *OVER, *MEMORY), "texts": (*VALUE, *OVER),
             "Index": (OK, *MEMORY, *OVER), "raising Index": (KeyError,), "else": TYPE},
    "plain int": {"numbers": NUMBER_OUT, "Index": NUMBER_OUT, "raising Index": (KeyError,),
                  "else": TYPE},
    "delays": {"numbers": NUMBER_OUT, "None": (OK,), "Index": NUMBER_OUT,
             "raising Index": (KeyError,), "else": TYPE},
    "time": {"numbers": NUMBER_OUT, "Index": NUMBER_OUT, "raising Index": (KeyError,),
             "else": TYPE},
    "identifier": {"Text": (OK,), "else": VALUE},
    "recorded": {"numbers": NUMBER_OUT, "texts": (*VALUE, *OVER, *TYPE), "None": (OK, *TYPE),
                 "else": TYPE},  # of replay: what the recorded program had, or a number
    "int": {"numbers": (OK, *VALUE, *OVER, *MEMORY), "Index": (OK, *VALUE, *OVER, *MEMORY),
            "raising Index": (KeyError,), "else": TYPE},
    "index": {"-1": (OK, *TYPE), "numbers": (*INDEX, *OVER), "Index": (*INDEX, *OVER),
              "True": (OK, *TYPE),
              "raising Index": (KeyError,), "else": TYPE},
    "percent": {"numbers": NUMBER_OUT, "texts": VALUE, "None": (OK,), "Index": NUMBER_OUT,
                "raising Index": (KeyError,), "else": TYPE},
    "limit": {"numbers": NUMBER_OUT, "texts": (*VALUE, *OVER), "None": (OK,),
              "Index": NUMBER_OUT, "raising Index": (KeyError,), "else": TYPE},
    "handle": {"foreign": FOREIGN, "closed": CLOSED, "lost": CLOSED, "else": TYPE},
    "any handle": {"foreign": (OK,), "closed": CLOSED, "lost": CLOSED, "else": TYPE},
    "pointer": {"None": (OK,), "foreign": FOREIGN, "closed": CLOSED, "lost": CLOSED,
                "else": TYPE},
    "at": {"foreign": FOREIGN, "closed": CLOSED, "lost": CLOSED,
           "numbers": (*LOOKUP, *VALUE, *OVER), "texts": (*LOOKUP, *TYPE, *VALUE),
           "Index": (*LOOKUP, *OVER, *TYPE), "raising Index": (KeyError, *TYPE), "else": TYPE},
    "scalar": {"numbers": NUMBER_OUT, "Index": NUMBER_OUT, "raising Index": (KeyError,),
               "True": (OK, *TYPE), "else": TYPE},
    "class": {"else": (*TYPE,)},
    "what": {"foreign": (OK,), "closed": CLOSED, "lost": CLOSED, "numbers": NUMBER_OUT + TYPE,
             "texts": (*VALUE, *TYPE, *OVER), "Index": (*NUMBER_OUT, *TYPE), "else": (*TYPE,)},
    "anything": {"else": (OK,)},
    "flags": {"numbers": (OK, BufferError, *OVER), "True": (OK, BufferError), "Index":
              (OK, BufferError, *OVER), "raising Index": (KeyError,), "else": (*TYPE, BufferError)},
    "name": {"texts": (OK, *VALUE, *TYPE), "else": TYPE},
    "text or None": {"None": (OK,), "texts": (OK, *VALUE), "else": TYPE},
    "axes": {"None": (OK, ImportError), "else": TYPE},
    "choice": {"else": (*VALUE, *TYPE), "None": (OK, *VALUE, *TYPE)},
    "flag": {"True": (OK,), "else": (OK, *TYPE)},
    "policy": {"else": TYPE},
    "class table": {"None": (OK,), "list": VALUE, "empty": VALUE, "else": (*TYPE, *VALUE)},
    "costs": {"None": (OK,), "else": TYPE},
    "price": {"numbers": (OK, *VALUE), "1.5": (OK,), "nan": VALUE, "else": TYPE},
    "text": {"texts": (OK, *VALUE), "else": TYPE},
    "path": {"texts": (OSError, *VALUE), "bytes": (OSError,), "else": TYPE},
    "grid": {"None": (OK, *TYPE), "list": (OK, *VALUE, *TYPE), "empty": VALUE,
             "bytes": TYPE, "else": TYPE},
    "what_if progress": {"class": TYPE, "None": (OK,), "else": TYPE},
    "position": {"-1": (OK,), "True": (OK, *INDEX), "numbers": INDEX, "Index": INDEX,
                 "raising Index": (KeyError,), "else": TYPE},
    "seeds": {"numbers": VALUE, "else": TYPE},
    "executor": {"None": (OK,), "else": TYPE},
    "share or None": {"None": (OK,), "1.5": VALUE, "nan": VALUE, "numbers": VALUE, "else": TYPE},
    "callable": {"class": VALUE, "None": (OK,), "else": TYPE},
    "seed": {"numbers": (OK, *VALUE, *OVER), "else": TYPE},
    "error": {"else": (OK,)},
    "column": {"texts": (KeyError,), "else": TYPE},
    "kinds": {"texts": VALUE, "empty": VALUE, "else": TYPE},
    "series": {"texts": VALUE, "numbers": (OK, *VALUE), "else": TYPE},
    "every": {"texts": VALUE, "numbers": VALUE, "else": TYPE},
    "fields": {"empty": (OK,), "else": (*TYPE, *VALUE)},
    "ptrs": {"texts": VALUE, "list": (OK, *VALUE), "empty": (OK,), "bytes": (OK, *VALUE),
             "else": (*TYPE,)},
    "field": {"texts": (*LOOKUP, *TYPE, *VALUE, AttributeError), "else": TYPE},
    "index list": {"None": (OK,), "bytes": (OK, *INDEX, *VALUE, *TYPE), "list":
                   (OK, *INDEX, *VALUE), "empty": (*VALUE, *INDEX), "else": (*TYPE, *VALUE)},
    "values": {"bytes": (*VALUE, *TYPE), "list": (OK, *VALUE, *TYPE), "empty":
               (*VALUE, *TYPE), "else": (*TYPE, *VALUE)},
    "edges": {"else": (*TYPE, *VALUE, AttributeError)},
    "labels": {"texts": (*LOOKUP, *VALUE), "empty": (OK, *VALUE), "else": (*TYPE, *LOOKUP, *VALUE)},
    "slot value": {"None": (OK,), "foreign": FOREIGN, "closed": CLOSED, "lost": CLOSED,
                   "else": TYPE},
    "context": {"else": (OK,)},
    "function": {"class": (OK,), "None": (OK,), "else": TYPE},
    "rate": {"numbers": NUMBER_OUT, "texts": (*VALUE, *OVER), "Index": NUMBER_OUT,
             "raising Index": (KeyError,), "else": TYPE},
    "cleanup": {"class": (OK,), "else": TYPE},
    "place": {"numbers": (*LOOKUP, *VALUE, *OVER), "texts": (*LOOKUP, *VALUE),
              "Index": LOOKUP, "raising Index": (KeyError,), "else": TYPE},
    "tuner": {"class": TYPE, "None": (OK,), "else": TYPE},
    "count or None": {"None": (OK,), "numbers": NUMBER_OUT, "Index": (OK,),
                      "raising Index": (KeyError,), "else": TYPE},
    "bytes size": {"numbers": NUMBER_OUT, "texts": (*VALUE, *OVER), "Index": NUMBER_OUT,
                   "raising Index": (KeyError,), "else": TYPE},
    "rows": {"bytes": (OK, *VALUE), "list": (OK, *VALUE), "empty": VALUE, "texts": TYPE,
             "else": (*TYPE, *VALUE)},
    "rows or None": {"None": (OK,), "bytes": (OK, *VALUE), "list": (OK, *VALUE), "empty": VALUE,
                     "else": (*TYPE, *VALUE)},
    "share": {"numbers": (OK, *VALUE), "1.5": (OK, *VALUE), "nan": VALUE, "else": TYPE},
    "knob": {"None": (OK,), "numbers": NUMBER_OUT, "Index": NUMBER_OUT,
             "raising Index": (KeyError,), "else": TYPE},
}

# Parameters by name: (kind, a value that is right, from an Env). An entry "Class.member
# name" or "function name" comes before the plain name.
PARAMETERS = {
    "size": ("size", lambda env: 64),
    "n": ("int", lambda env: 3),
    "p": ("int", lambda env: 1),
    "gogc": ("percent", lambda env: 100),
    "procs": ("int", lambda env: 2),
    "memory_limit": ("limit", lambda env: None),
    "hard_limit": ("limit", lambda env: None),
    "globals_scan": ("size", lambda env: 0),
    "stack_scan": ("size", lambda env: 0),
    "address_space": ("size", lambda env: "1GiB"),
    "min_heap": ("plain size", lambda env: "4MiB"),
    "mode": ("choice", lambda env: "stw"),
    "sweep": ("choice", lambda env: "lazy"),
    "scavenger": ("choice", lambda env: "off"),
    "marker": ("choice", lambda env: "greentea"),
    "scan_work": ("choice", lambda env: "object"),
    "deaths": ("choice", lambda env: "late"),
    "tiny": ("flag", lambda env: True),
    "huge_pages": ("flag", lambda env: True),
    "size_classes": ("class table", lambda env: (16, 512, 32768)),
    "page_cache": ("flag", lambda env: True),
    "clobber_free": ("flag", lambda env: True),
    "gc_every": ("plain int", lambda env: 100),
    "delays": ("delays", lambda env: 7),
    "barrier": ("choice", lambda env: "hybrid"),
    "checkmark": ("flag", lambda env: True),
    "ballast": ("plain size", lambda env: 0),
    "policy": ("policy", lambda env: gh.Policy()),
    "debug": ("policy", lambda env: gh.Debug()),
    "costs": ("costs", lambda env: None),
    "ref": ("any handle", lambda env: env.node),
    "at": ("at", lambda env: env.node),
    "cls": ("class", lambda env: Node),
    "elem": ("class", lambda env: gh.int64),
    "what": ("what", lambda env: Node),
    "name": ("name", lambda env: "Name"),
    "go_names": ("flag", lambda env: True),
    "title": ("text", lambda env: "t"),
    "text": ("text", lambda env: SCRIPT),
    "path": ("path", lambda env: os.devnull),
    "source": ("path", lambda env: sample_path()),
    "Trace.open path": ("path", lambda env: sample_path()),
    "Trace.open progress": ("function", lambda env: None),  # asked of Go's traces only
    **{f"Trace.from_columns {c}": ("rows", lambda env: [1]) for c in (
        "size", "birth_ns", "death_ns")},
    **{f"Trace.from_columns {c}": ("rows or None", lambda env: [0]) for c in (
        "scan", "type_id", "p")},
    **{f"Trace.from_columns {c}": ("bytes size", lambda env: 64) for c in ("stacks", "globals")},
    "Workload.from_gctrace path": ("path", lambda env: gctrace_path()),
    "Workload live": ("bytes size", lambda env: "1MiB"),
    **{f"Workload {c}": ("bytes size", lambda env: 64) for c in (
        "alloc_rate", "mean_size", "stacks", "globals", "other")},
    "Workload scan_share": ("share", lambda env: 0.5),
    "Workload seconds": ("share", lambda env: 0.5),
    "Trace.save path": ("path", lambda env: sample_path() + ".saved"),
    "progress": ("callable", lambda env: None),
    "seed": ("seed", lambda env: 0),
    "pointers": ("flag", lambda env: False),
    "t": ("context", lambda env: None),
    "v": ("context", lambda env: None),
    "tb": ("context", lambda env: None),
    "ptrs": ("ptrs", lambda env: "none"),
    "field": ("field", lambda env: "key"),
    "values": ("values", lambda env: [1, 2, 3]),
    "index": ("index list", lambda env: None),
    "edges": ("edges", lambda env: {"A": ["B"], "B": [None]}),
    "roots": ("labels", lambda env: ["A"]),
    "column": ("column", lambda env: "kind"),
    "Table.strings column": ("column", lambda env: "type"),
    "i": ("index", lambda env: 0),
    "objects": ("flag", lambda env: True),
    "Heap.snapshot edges": ("flag", lambda env: False),
    "Script.run threads": ("flag", lambda env: False),
    "kinds": ("kinds", lambda env: "slow"),
    "every": ("every", lambda env: "cycle"),
    "by": ("choice", lambda env: "class"),
    "ns": ("time", lambda env: 1000),
    "fn": ("function", lambda env: lambda cycle, knobs: None),
    "Heap.profile_label name": ("text", lambda env: "label"),
    "profile_rate": ("rate", lambda env: 0),
    "Heap.set_finalizer fn": ("function", lambda env: None),
    "Heap.add_cleanup fn": ("cleanup", lambda env: print),
    "Heap.ref at": ("place", lambda env: env.info.addr),
    **{f"Heap.{name} ref": ("handle", lambda env: env.node)
       for name in ("set_finalizer", "add_cleanup", "weak", "pin")},
    "limit": ("count or None", lambda env: None),
    "callbacks": ("choice", lambda env: "manual"),
    "on_cycle": ("tuner", lambda env: None),
    "Knobs gogc": ("knob", lambda env: 100),
    "Knobs memory_limit": ("knob", lambda env: None),
    "Heap.label name": ("text or None", lambda env: "A"),
    "Roots.load field": ("field", lambda env: "left"),
    "Heap.new_many cls": ("class", lambda env: Big),  # the heap is full after some
    "words size": ("plain int", lambda env: 64),
    "words name": ("identifier", lambda env: "W"),
    "struct name": ("identifier", lambda env: "S"),
    "fixed elem": ("anything", lambda env: gh.int64),  # looked at when the class is made
    "cast cls": ("class", lambda env: Node),
    "struct fields": ("fields", lambda env: {"a": gh.int64}),
    "define cls": ("class", lambda env: gh.struct("Later")),
    "sizeof what": ("what", lambda env: Node),
    **{f"{c}.plot name": ("choice", lambda env, name=name: name) for c, name in (
        ("Heap", "heap"), ("Replay", "pauses"), ("Snapshot", "pages"),
        ("EventLog", "page_history"), ("WhatIf", "pareto"))},
    "ax": ("axes", lambda env: None),
    "series": ("series", lambda env: "cycle"),
    "replay mode": ("choice", lambda env: "stw"),
    "replay costs": ("policy", lambda env: gh.Costs()),
    "replay gogc": ("recorded", lambda env: 100),
    "replay memory_limit": ("recorded", lambda env: "1GiB"),
    "replay procs": ("recorded", lambda env: 2),
    "what_if gogc": ("grid", lambda env: [100]),
    "what_if memory_limit": ("grid", lambda env: [None]),
    "what_if procs": ("grid", lambda env: ["recorded"]),
    "what_if policy": ("grid", lambda env: [gh.Policy()]),
    "seeds": ("seeds", lambda env: 1),
    "executor": ("executor", lambda env: None),
    "what_if progress": ("what_if progress", lambda env: None),
    "max_rss": ("recorded", lambda env: "off"),
    "max_gc_cpu": ("share or None", lambda env: 1.0),
    "WhatIf.cliff gogc": ("anything", lambda env: 100),
    "WhatIf.cliff procs": ("anything", lambda env: None),
}
for _price in ("alloc", "alloc_byte", "scan_byte", "sweep_page", "page_fault", "stop"):
    PARAMETERS["Costs " + _price] = ("price", lambda env: 1.0)

# Operators: name -> [(kind, right value)]. "setitem" of arrays takes what their elements do.
OPERATORS = {
    "__len__": [], "__iter__": [], "__bool__": [], "__hash__": [], "__repr__": [], "__str__": [],
    "__call__": [],
    "__enter__": [], "__sizeof__": [], "_repr_html_": [], "__reduce__": [],
    "__exit__": [("context", lambda env: None)] * 3,
    "__eq__": [("anything", lambda env: 1)], "__ne__": [("anything", lambda env: 1)],
    "__lt__": [("anything", lambda env: 1)], "__le__": [("anything", lambda env: 1)],
    "__gt__": [("anything", lambda env: 1)], "__ge__": [("anything", lambda env: 1)],
    "__getitem__": [("index", lambda env: 0)],
    "__setitem__": [("index", lambda env: 0), ("scalar", lambda env: 1)],
    "__delitem__": [("never", lambda env: 0)],
    "__reduce_ex__": [("never", lambda env: 4)], "__copy__": [],
    "__deepcopy__": [("never", lambda env: {})],
    "__buffer__": [("flags", lambda env: 0)],
    "__sub__": [("anything", lambda env: env.stats)],
    "WhatIf.__getitem__": [("position", lambda env: 0)],
    "Words.__getitem__": [("index", lambda env: 0)],
    "EventLog.__getitem__": [("column", lambda env: "kind")],
    "Table.__getitem__": [("column", lambda env: "type")],
    "Roots.__setitem__": [("index", lambda env: 0), ("slot value", lambda env: env.node)],
    "Words.__setitem__": [("index", lambda env: -2), ("pointer", lambda env: env.node)],
    "Field.__get__": [("field owner", lambda env: env.node), ("anything", lambda env: None)],
    "Field.__set__": [("field owner", lambda env: env.node), ("scalar", lambda env: 1)],
    "Field.__delete__": [("never", lambda env: env.node)],
    "__class_getitem__": [("anything", lambda env: int)],
}
KINDS["field owner"] = {"None": (OK, *TYPE), "foreign": (OK,), "closed": CLOSED, "lost": CLOSED,
                        "else": (*TYPE, AttributeError)}
KINDS["never"] = {"else": (*TYPE, AttributeError)}

# Right, but of no use here: each cycle looks at so many roots; a file in this folder.
SLOW = {("Heap.new_many", "2**31"), ("Heap.roots", "2**31"), ("Trace.save", "Text"),
        ("Trace.save", "bytes")}

# Not called, each for a reason.
LEFT_OUT = {
    "__buffer__": "CPython's wrapper since 3.12", "__release_buffer__": "likewise",
    "GO_VERSION": "a str",
    "HeapProfile.save": "writes files; see test_profile.py",
    "save": "likewise", "compare_with_go": "starts Go; see test_compare.py",
    "Heap.to_perfetto": "writes files; see test_perfetto.py", "Replay.to_perfetto": "likewise",
    "__init_subclass__": "inherited", "__subclasshook__": "inherited", "__new__": "as the class",
    "__init__": "as the class", "__getnewargs__": "of tuples", "__replace__": "of dataclasses",
    "__match_args__": "data", "__setstate__": "of dataclasses", "__getstate__": "of dataclasses",
    "__setattr__": "as properties", "__delattr__": "as properties",
    "__post_init__": "as the class", "__dealloc__": "as the end", "__get__": "as Field",
}


# ---- the surface ------------------------------------------------------------------------


class Target:
    """Something public that can be called: label, and call(env, args) with the arguments
    params = [(name, kind, right value)]; keywords are passed by name."""

    def __init__(self, label, call, params, bound=False):
        self.label, self.call, self.params, self.bound = label, call, params, bound


def parameters(label, function):
    """[(name, kind, right, how)] of a function, from its signature."""
    out = []
    for p in inspect.signature(function).parameters.values():
        if p.name in ("self", "mcs") or p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL):
            continue
        entry = PARAMETERS.get(f"{label} {p.name}") or PARAMETERS.get(p.name)
        assert entry is not None, f"{label}: PARAMETERS has no entry for {p.name!r}"
        out.append((p.name, *entry, p.kind == p.KEYWORD_ONLY))
    return out


def call_with(params, function):
    def call(env, args):
        plain = [a for i, a in enumerate(args) if i >= len(params) or not params[i][3]]
        named = {name: a for (name, _, _, by_name), a in zip(params, args) if by_name}
        return function(env)(*plain, **named)
    return call


def members(cls):
    """Names of what goheap defines in cls and its bases, private ones left out."""
    seen = {}
    for k in cls.__mro__:
        if k.__module__.startswith("goheap") and not k.__name__.startswith("_OnP"):
            for name, value in vars(k).items():
                if not name.startswith("_") or name in OPERATORS or (
                        name.startswith("__") and callable(value)):
                    seen.setdefault(name, value)
    return seen


def class_targets(name, cls):
    if issubclass(cls, BaseException):
        return
    instance = INSTANCES.get(name)
    kind_of_field = issubclass(cls, gh.Field) and cls is not gh.Field
    if instance is None and not kind_of_field:
        raise AssertionError(f"INSTANCES has no entry for goheap.{name}")
    if not kind_of_field and name not in RECORDS - {"Policy", "Debug", "Costs", "Workload"}:
        try:
            params = parameters(name, cls) if name in (
                "Heap", "Policy", "Debug", "Costs", "Script", "Workload") else [("x", "anything call", lambda env: 1,
                                                           False)]
        except ValueError:
            params = []
        yield Target(name, call_with(params, lambda env, c=cls: c), params)
    if kind_of_field:
        yield Target(name, lambda env, a, c=cls: c(*a), [("name", "never made", lambda env: "f",
                                                         False)])
        return
    for member, value in members(cls).items():
        label = f"{name}.{member}"
        if (member in LEFT_OUT or label in LEFT_OUT) and label not in OPERATORS or value is None:
            continue  # None: unhashable
        operator = OPERATORS.get(label, OPERATORS.get(member))
        if operator is not None:
            params = [(f"arg{i}", kind, right, False) for i, (kind, right) in enumerate(operator)]
            yield Target(label, call_with(params, lambda env, m=member, i=instance:
                                          getattr_on_type(i(env), m)), params, True)
        elif inspect.isdatadescriptor(value):
            yield from property_targets(label, member, instance)
        elif not callable(value) and not isinstance(value, (classmethod, staticmethod)):
            yield Target(label + " (data)", lambda env, a, m=member, i=instance:
                         getattr(i(env), m), [])
        else:
            function = getattr(cls, member)
            params = parameters(label, function)
            if isinstance(value, classmethod):
                yield Target(label, call_with(params, lambda env, f=function: f), params)
            else:
                yield Target(label, call_with(params, lambda env, m=member, i=instance:
                                              getattr(i(env), m)), params, True)


def getattr_on_type(obj, name):
    """An operator, bound as Python binds it: looked up on the type."""
    if name == "__class_getitem__":
        return getattr(type(obj), name)
    if name == "__iter__":
        return lambda *args: list(type(obj).__iter__(obj, *args))
    return getattr(type(obj), name).__get__(obj)


def property_targets(label, member, instance):
    yield Target(label + " (get)", lambda env, a: getattr(instance(env), member), [], True)
    kind = {"gogc": "percent", "procs": "int", "memory_limit": "limit",
            "profile_rate": "rate"}.get(
        member, "read-only") if label.startswith("Heap.") else "read-only"
    kind = "knob" if label.startswith("Knobs.") else kind
    right = {"percent": 100, "int": 2, "limit": None, "rate": 0}.get(kind, 1)
    yield Target(label + " (set)", lambda env, a: setattr(instance(env), member, a[0]),
                 [("value", kind, lambda env: right, False)], True)
    yield Target(label + " (del)", lambda env, a: delattr(instance(env), member), [], True)


KINDS["read-only"] = {"else": (AttributeError, TypeError)}
KINDS["never made"] = {"else": TYPE}
KINDS["anything call"] = {"else": (*TYPE, *VALUE)}


def targets():
    out = []
    for name in gh.__all__ + ["struct"]:
        value = getattr(gh, name)
        if name in LEFT_OUT:
            continue
        if inspect.isclass(value):
            out += class_targets(name, value)
        else:
            params = parameters(name, value)
            out.append(Target(name, call_with(params, lambda env, v=value: v), params))
    return out


# ---- the cells -----------------------------------------------------------------------------


def allowed(kind, bad):
    table = KINDS[kind]
    if bad in table:
        return table[bad]
    for group, names in (("numbers", NUMBERS), ("texts", TEXTS), ("handles", HANDLES)):
        if bad in names and group in table:
            return table[group]
    return table["else"]


# Always an answer on a dead handle or heap.
SURVIVE = {"__eq__", "__ne__", "__hash__", "__bool__", "__repr__", "__class_getitem__", "closed",
           "close", "__exit__", "__enter__", "__str__", "__sizeof__", "__lt__", "__le__", "__gt__",
           "__ge__",
           "mode", "policy", "debug", "costs",
           "cycles"}  # a live view, which says so when it is read
SURVIVE_IN = {"Roots.__len__", "Heap._repr_html_"}
NEVER = {"__reduce__", "__reduce_ex__", "__copy__", "__deepcopy__", "__delitem__"}
HEAP_BOUND = {"Heap", "WeakRef", "Cleanup", "Ref", "Struct", "Array", "Block", "Words", "Roots"}


def outcome(target, env, args):
    """The exception of a call, None for success. A context manager is entered and left."""
    try:
        result = target.call(env, args)
        if hasattr(type(result), "__enter__") and hasattr(type(result), "__exit__") and not (
                isinstance(result, (gh.Heap, memoryview))):
            with result:
                pass
        elif isinstance(result, gh.Heap) and result is not getattr(env, "heap", None):
            if target.label == "Heap":
                result.close()
    except Exception as e:
        return e
    return None


def expected_right(target):
    """What a call with right arguments gives: nearly always success."""
    kinds = [kind for _, kind, _, _ in target.params]
    owner, _, member = target.label.rpartition(".")
    if "never" in kinds or member in NEVER and owner in HEAP_BOUND or member.endswith("(del)"):
        return (TypeError, AttributeError)
    if member in ("to_pandas", "to_arrow", "plot") or member == "to_pprof":
        return (OK, ImportError)
    if any(k in ("read-only", "never made", "anything call") for k in kinds):
        return KINDS[kinds[0]]["else"]
    return (OK,)


def out_of_order(target):
    """What depends on the phase alone."""
    return (gh.HeapStateError,) if target.label.startswith("Heap.gc_") else ()


def fits(error, expected):
    if error is None:
        return OK in expected
    return any(e is not None and isinstance(error, e) for e in expected) and not isinstance(
        error, (SystemError, RecursionError))


def run_matrix(report, address_space="1GiB"):
    """Runs all cells; report gets a line for each that is wrong. Returns their number."""
    bad = Bad()
    cells = 0
    wrong = []

    def judge(target, what, error, expected):
        nonlocal cells
        cells += 1
        if not fits(error, expected):
            wrong.append(f"{target.label} {what}: {type(error).__name__ if error else 'success'}"
                         f" ({error}), not one of "
                         f"{[e.__name__ if e else 'success' for e in expected]}")

    for target, state in itertools.product(targets(), ("live", "marking")):
        if state == "marking" and (not target.bound or
                                   target.label.partition(".")[0] not in HEAP_BOUND):
            continue
        env = Env(state, address_space=address_space)
        # Right arguments on a live heap: success, or a refusal that the kind names.
        right = [make(env) for _, _, make, _ in target.params]
        judge(target, "(right)", outcome(target, env, right),
              expected_right(target) + out_of_order(target))
        for i, (name, kind, _, _) in enumerate(target.params):
            for what, value in bad.values.items():
                if (target.label, what) in SLOW:
                    continue
                args = [make(env) for _, _, make, _ in target.params]
                args[i] = value
                expected = allowed(kind, what) + out_of_order(target)
                judge(target, f"({name}={what})", outcome(target, env, args), expected)
        if "(" not in target.label and target.label not in ("Costs", "Debug", "Policy",
                                                            "Heap.add_cleanup"):
            judge(target, "with too many arguments", outcome(target, env, right + [1] * 20),
                  (TypeError, AttributeError))
        if state == "marking" and not env.heap.closed:
            env.heap.on_cycle(None)
            env.heap.collect()
        if hasattr(env, "heap") and not env.heap.closed:
            env.heap.verify()
        owner = target.label.split(".")[0]
        if state == "marking" or not target.bound or owner not in HEAP_BOUND:
            continue
        member = target.label.split(".")[-1].split(" ")[0]
        for i, (name, kind, _, _) in enumerate(target.params):
            for number in (0, 1, 1 << 40):
                env = Env(address_space=address_space)
                args = [make(env) for _, _, make, _ in target.params]
                args[i] = Closer(env.heap, number)
                judge(target, f"({name}=a number that closes the heap)",
                      outcome(target, env, args), (OK, *TYPE, *VALUE, *INDEX, *OVER,
                                                   *LOOKUP, AttributeError, gh.HeapClosedError,
                                                   gh.HeapStateError))  # it is inside itself
        for end in ("closed", "lost"):
            if end == "lost" and owner == "Heap":
                continue
            dead = Env(end)
            live = Env()
            args = [make(live) for _, _, make, _ in target.params]
            if member in SURVIVE or target.label in SURVIVE_IN:
                expected = (OK,)
            else:
                expected = TYPE if member in NEVER else CLOSED
            if target.label.endswith("(del)") or any(
                    kind == "read-only" for _, kind, _, _ in target.params):
                expected = (AttributeError, TypeError, *CLOSED)
            judge(target, f"on a {end} heap", outcome(target, dead, args), expected)
    for line in wrong:
        report(line)
    return cells


def test_matrix(capsys):
    lines = []
    cells = run_matrix(lines.append)
    assert not lines, "\n".join(lines)
    with capsys.disabled():
        print(f"\nmisuse cells: {cells}, all with the documented outcome ", end="")
    assert cells >= 10_000


def test_matrix_in_a_child():
    """The same with room for sizes of 2**32 and more, and CPython's checks on."""
    code = "import test_misuse as m; print(m.run_matrix(print, '64GiB'), 'cells')"
    r = subprocess.run([sys.executable, "-X", "dev", "-X", "faulthandler", "-c", code],
                       capture_output=True, text=True, cwd=os.path.dirname(__file__), timeout=100,
                       env={"PYTHONMALLOC": "debug", **os.environ})
    assert r.returncode == 0, r.stdout + r.stderr
    assert r.stdout.endswith(" cells\n") and r.stdout.count("\n") == 1, r.stdout
    # Under AddressSanitizer calloc() says so when it refuses.
    lines = [line for line in r.stderr.splitlines() if "failed to allocate" not in line]
    assert not lines, r.stderr


def test_no_public_name_is_left_out():
    """Every name in goheap.__all__ and every public member of its classes has a cell."""
    labels = {t.label.partition(" ")[0] for t in targets()}
    for name in gh.__all__:
        value = getattr(gh, name)
        if not callable(value) or inspect.isclass(value) and issubclass(value, BaseException):
            continue
        assert name in labels or any(label.startswith(name + ".") for label in labels), name
        if inspect.isclass(value) and not (issubclass(value, gh.Field)
                                           and value is not gh.Field):
            for member in dir(value):
                inherited = getattr(object, member, None) is getattr(value, member)
                if not member.startswith("_") and not inherited and not (
                        issubclass(value, (tuple, Sequence)) and member in ("count", "index")):
                    assert (member in LEFT_OUT
                            or f"{name}.{member}" in labels | set(LEFT_OUT)), f"{name}.{member}"


# ---- re-entrance: what Python code runs inside a call may do anything ----------------------


def test_iterator_that_closes_the_heap():
    def numbers(heap):
        yield 1
        heap.close()
        yield 2
        yield 3
    env = Env()
    with pytest.raises(gh.HeapClosedError):
        env.more["Roots"].store("key", list(numbers(Env().heap)))  # of another heap: fine
        env.heap.close()
        env.more["Roots"].store("key", [1, 2, 3])


def test_buffer_of_a_closed_heap_stays():
    env = Env()
    views = [memoryview(env.block), memoryview(env.numbers), memoryview(env.node)]
    env.heap.close()
    views[0][3] = 7
    views[1][2] = 1 << 40
    assert views[0][3] == 7 and views[1][2] == 1 << 40 and views[2].readonly
    del env
    gc.collect()
    assert views[0][3] == 7
    for view in views:
        view.release()


@pytest.mark.parametrize("method", ["alloc", "collect", "stats", "verify", "free_os_memory"])
def test_closed_from_another_thread(method):
    """One thread uses a heap while another closes it: an exception at worst."""
    heap = gh.Heap(address_space="1GiB")
    seen = []

    def work():
        try:
            while True:
                getattr(heap, method)(*([100] if method == "alloc" else []))
                time.sleep(0.0002)  # now and then nobody is inside
        except gh.HeapClosedError as e:
            seen.append(e)
    threads = [threading.Thread(target=work) for _ in range(3)]
    for t in threads:
        t.start()
    time.sleep(0.02)
    while not heap.closed:
        try:
            heap.close()
        except gh.HeapStateError:
            pass
    for t in threads:
        t.join(20)
        assert not t.is_alive()
    assert len(seen) == 3
