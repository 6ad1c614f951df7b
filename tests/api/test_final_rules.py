"""Any sequence of steps with finalizers, cleanups and weak handles, with collections between
any two: against a model that knows Go's rules and nothing of the heap.

The model has objects as nodes of a graph, what holds them, and what is attached to them. A
collection in the model: what the holders and the queued reach, and what the objects with
finalizers point at, is alive; of the rest those with a finalizer are brought back and their
weak handles cleared; the others are gone, and their cleanups queued.
"""
from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import goheap as gh


class Node(gh.Struct):
    left: gh.Ptr[Node]
    right: gh.Ptr[Node]
    key: gh.int64


class Obj:
    def __init__(self, key):
        self.key = key
        self.edges = {"left": None, "right": None}
        self.finalizer = False
        self.cleanups = []   # numbers, newest first
        self.weak = []       # WeakRefs made since it last was dead, all equal
        self.queued = False  # waits for its finalizer


class Finals(RuleBasedStateMachine):
    def __init__(self, **options):
        super().__init__()
        self.heap = gh.Heap(gogc="off", callbacks="manual", **options)
        self.made = self.ncleanups = 0
        self.objects = {}    # key -> Obj, that the heap has
        self.held = {}       # key -> handle
        self.stopped = {}    # cleanup number -> Cleanup
        self.dead_weak = []
        self.due = []        # calls that wait: ("f", key), ("c", number), as sets
        self.told = []
        self.sets = self.clears = 0

    # ---- the model's collection

    def reach(self, keys):
        seen, todo = set(), [k for k in keys if k is not None]
        while todo:
            k = todo.pop()
            if k not in seen:
                seen.add(k)
                todo += [e for e in self.objects[k].edges.values() if e is not None]
        return seen

    def sweep(self):
        roots = [*self.held, *(k for k, o in self.objects.items() if o.queued)]
        for o in self.objects.values():
            if o.finalizer:
                roots += o.edges.values()
        alive = self.reach(roots)
        for k in set(self.objects) - alive:
            o = self.objects[k]
            self.dead_weak += o.weak
            o.weak = []
            if o.finalizer:
                o.finalizer, o.queued = False, True
                self.due.append(("f", k))
            else:
                self.due += [("c", n) for n in o.cleanups]
                del self.objects[k]

    # ---- steps

    keys = st.integers(0, 7)

    def pick(self, i):
        return sorted(self.held)[i % len(self.held)]

    @rule()
    def new(self):
        self.made += 1
        self.held[self.made] = self.heap.new(Node, key=self.made)
        self.objects[self.made] = Obj(self.made)

    @precondition(lambda self: self.held)
    @rule(i=keys, j=keys, name=st.sampled_from(["left", "right"]), nil=st.booleans())
    def point(self, i, j, name, nil):
        a, b = self.pick(i), None if nil else self.pick(j)
        setattr(self.held[a], name, None if b is None else self.held[b])
        self.objects[a].edges[name] = b

    @precondition(lambda self: self.held)
    @rule(i=keys)
    def drop(self, i):
        del self.held[self.pick(i)]

    @precondition(lambda self: self.held)
    @rule(i=keys)
    def set_finalizer(self, i):
        k = self.pick(i)
        o = self.objects[k]
        try:
            self.heap.set_finalizer(self.held[k], lambda x: self.told.append(("f", x)))
        except ValueError:
            assert o.finalizer
        else:
            assert not o.finalizer
            o.finalizer = True
            self.sets += 1

    @precondition(lambda self: self.held)
    @rule(i=keys)
    def clear_finalizer(self, i):
        k = self.pick(i)
        self.heap.set_finalizer(self.held[k], None)
        self.clears += self.objects[k].finalizer
        self.objects[k].finalizer = False

    @precondition(lambda self: self.held)
    @rule(i=keys)
    def add_cleanup(self, i):
        k = self.pick(i)
        self.ncleanups += 1
        n = self.ncleanups
        self.stopped[n] = self.heap.add_cleanup(self.held[k],
                                                lambda n: self.told.append(("c", n)), n)
        self.objects[k].cleanups.insert(0, n)

    @precondition(lambda self: self.stopped)
    @rule(i=keys)
    def stop(self, i):
        n = sorted(self.stopped)[-1 - i % len(self.stopped)]
        owner = [o for o in self.objects.values() if n in o.cleanups]
        assert self.stopped.pop(n).stop() == bool(owner)
        for o in owner:
            o.cleanups.remove(n)

    @precondition(lambda self: self.held)
    @rule(i=keys)
    def weak(self, i):
        k = self.pick(i)
        w = self.heap.weak(self.held[k])
        assert w() == self.held[k] and all(w == old for old in self.objects[k].weak)
        self.objects[k].weak.append(w)

    @precondition(lambda self: any(o.weak for o in self.objects.values()))
    @rule(i=keys)
    def upgrade(self, i):
        having = sorted(k for k, o in self.objects.items() if o.weak)
        k = having[i % len(having)]
        strong = self.objects[k].weak[0]()
        if strong is not None:
            assert strong.key == k
            self.held[k] = strong

    @rule()
    def collect(self):
        self.heap.collect()
        self.sweep()

    @rule(n=st.integers(0, 3) | st.none(), revive=st.booleans())
    def run(self, n, revive):
        self.told = []
        before = self.heap.pending
        assert before == len(self.due)
        done = self.heap.run_pending(n)
        assert done == len(self.told) == (before if n is None else min(n, before))
        for kind, what in self.told:
            if kind == "f":
                k = what.key
                assert ("f", k) in self.due and self.objects[k].queued
                self.due.remove(("f", k))
                self.objects[k].queued = False
                if revive:
                    self.held[k] = what
            else:
                self.due.remove(("c", what))
                self.stopped.pop(what, None)
        what = None
        self.told = []

    @rule()
    def by_hand(self):
        self.heap.gc_start()
        self.heap.gc_step(2)
        if self.held:
            k = self.pick(0)
            w = self.heap.weak(self.held[k])
            self.objects[k].weak.append(w)
            assert w() == self.held[k]
        self.heap.gc_finish()
        self.sweep()

    # ---- what always holds

    @invariant()
    def accounts(self):
        self.heap.verify()
        assert self.heap.pending == len(self.due)
        assert all(w() is None for w in self.dead_weak)
        queued = [k for kind, k in self.due if kind == "f"]
        assert len(set(self.due)) == len(self.due)  # none doubled
        assert sorted(queued) == sorted(k for k, o in self.objects.items() if o.queued)
        waiting = sum(o.finalizer for o in self.objects.values())
        cleanups = sum(len(o.cleanups) for o in self.objects.values())
        assert len(self.heap._calls) == waiting + cleanups + len(self.due)  # none lost

    def teardown(self):
        self.held.clear()
        self.told = []
        for _ in range(2 * len(self.objects) + 3):
            self.heap.collect()
            self.sweep()
            self.run(None, False)
        # Only rings with a finalizer are left, and what they lead to: in the heap too.
        rings = [e for o in self.objects.values() if o.finalizer for e in o.edges.values()]
        assert self.reach(rings) == set(self.objects)
        assert sum(r.type == "Node" for r in self.heap.snapshot().objects) == len(self.objects)
        self.heap.close()


class Lazily(Finals):
    def __init__(self):
        super().__init__(policy=gh.Policy(sweep="lazy"))


class Beside(Finals):
    def __init__(self):
        super().__init__(mode="virtual", procs=2)


class GreenTea(Finals):
    def __init__(self):
        super().__init__(policy=gh.Policy(marker="greentea"))


_SETTINGS = settings(max_examples=25, stateful_step_count=40, deadline=None,
                     suppress_health_check=list(HealthCheck))
TestFinals = Finals.TestCase
TestLazily = Lazily.TestCase
TestBeside = Beside.TestCase
TestGreenTea = GreenTea.TestCase
for _case in (TestFinals, TestLazily, TestBeside, TestGreenTea):
    _case.settings = _SETTINGS


def test_final_rules():
    """The name by which csrc/design/finalizers.md knows the machines."""
    assert all(issubclass(c, RuleBasedStateMachine) for c in (Finals, Lazily, Beside, GreenTea))
