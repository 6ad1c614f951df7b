"""Calls of Python code by a heap: when they run, in which order, and whatever they do."""
from __future__ import annotations

import gc
import os
import pathlib
import sys
import threading
import warnings
import weakref

import pytest
from test_replay import sample_history

import goheap as gh

TRACE = pathlib.Path(gh.__file__).parent / "data" / "compile-json.gogc20.ghtrace"


class Node(gh.Struct):
    next: gh.Ptr[Node]
    key: gh.int64


@pytest.fixture
def unraisable(monkeypatch):
    """What went to sys.unraisablehook: (exception, its object)."""
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda u: told.append((u.exc_value, u.object)))
    return told


def numbers(heap):
    """Have the numbers of cycles noted."""
    told = []
    heap.on_cycle(lambda cycle, knobs: told.append(cycle.n))
    return told


# Methods of Heap at whose end calls run; the others only look, or are not of Heap.
RUNNERS = {
    "new": lambda h: h.new(Node), "alloc": lambda h: h.alloc(10),
    "array": lambda h: h.array(gh.int64, 3), "new_many": lambda h: h.new_many(Node, 2),
    "roots": lambda h: h.roots(2), "graph": lambda h: h.graph({"A": ["A"]}, roots=["A"]),
    "collect": lambda h: h.collect(), "gc_start": lambda h: h.gc_start(),
    "free_os_memory": lambda h: h.free_os_memory(), "advance": lambda h: h.advance(1),
    "read_mem_stats": lambda h: h.read_mem_stats(), "label": lambda h: h.label("L", "M"),
    "gogc": lambda h: setattr(h, "gogc", 70), "procs": lambda h: setattr(h, "procs", 2),
    "memory_limit": lambda h: setattr(h, "memory_limit", "1GiB"),
}
LOOKERS = {
    "stats": lambda h: h.stats(), "info": lambda h: h.info("L"), "color": lambda h: h.color("L"),
    "snapshot": lambda h: h.snapshot(edges=True), "verify": lambda h: h.verify(),
    "heap_live": lambda h: h.heap_live, "cycles": lambda h: list(h.cycles),
    "repr": lambda h: repr(h), "gogc": lambda h: h.gogc, "phase": lambda h: h.phase,
    "watch": lambda h: h.watch().__enter__(), "pending": lambda h: h.pending,
    "on_p": lambda h: h.on_p(0).__enter__(),
}


def with_one_pending():
    """A heap with a call that waits, brought about inside a call."""
    heap = gh.Heap()
    kept = heap.new(Node)
    heap.label(kept, "L")
    told = []

    def once(cycle, knobs):
        told.append(cycle.n)
        if cycle.n == 1:
            heap.collect()

    heap.on_cycle(once)
    heap.collect()
    assert told == [1] and heap.pending == 1
    return heap, kept, told


@pytest.mark.parametrize("name", RUNNERS)
def test_calls_run_at_the_end_of_methods(name):
    heap, kept, told = with_one_pending()
    RUNNERS[name](heap)
    assert told[:2] == [1, 2]


@pytest.mark.parametrize("name", LOOKERS)
def test_who_only_looks_runs_none(name):
    heap, kept, told = with_one_pending()
    LOOKERS[name](heap)
    assert told == [1] and heap.pending == 1


def test_reads_and_writes_of_handles_run_none():
    heap, kept, told = with_one_pending()
    kept.next, kept.key = kept, 5
    assert kept.next == kept and kept.key == 5 and gh.sizeof(kept) == 16
    many = kept.next
    del many
    assert told == [1] and heap.pending == 1
    heap.gogc = 100
    assert told == [1, 2] and heap.pending == 0


def test_each_cycle_is_told_once_in_order():
    with gh.Heap() as heap:
        told = numbers(heap)
        for _ in range(200):
            heap.alloc(500_000)
        assert heap.num_gc > 5
        heap.new_many(Node, 1_500_000)  # several cycles in one method
        heap.gc_start()
        heap.gc_step()
        heap.gc_finish()
        assert told == list(range(1, heap.num_gc + 1)) and heap.pending == 0


def test_a_cycle_that_ran_is_told_when_its_method_fails():
    with gh.Heap(hard_limit="16MiB") as heap:
        told = numbers(heap)
        kept = heap.alloc("8MiB")
        with pytest.raises(gh.HeapMemoryError):
            heap.alloc("12MiB")
        assert told == list(range(1, heap.num_gc + 1)) != []
        del kept


@pytest.mark.parametrize("mode", ["stw", "virtual"])
def test_knobs_hold_for_the_next_cycle(mode):
    with gh.Heap(mode=mode) as heap:
        seen = []

        def pacer(cycle, knobs):
            seen.append((cycle.heap_goal, knobs.goal, knobs.trigger, knobs.gogc))
            knobs.goal, knobs.trigger = (32 << 20, 8 << 20) if cycle.n == 1 else (None, None)
            knobs.gogc = 100 + cycle.n

        heap.on_cycle(pacer)
        heap.collect()
        assert (heap.heap_goal, heap.trigger, heap.gogc) == (32 << 20, 8 << 20, 101)
        kept = []
        while heap.num_gc < 2:
            kept.append(heap.alloc(10_000))
        cycle = heap.cycles[1]
        assert 8 << 20 <= cycle.trigger <= (8 << 20) + 16384 and cycle.heap_goal == 32 << 20
        heap.advance(10_000_000)
        heap.gogc = 100
        # Go's pacer again.
        marked = cycle.heap_marked
        assert marked * 2 <= heap.heap_goal <= marked * 2 + (1 << 20)
        assert seen == [(4 << 20, None, None, 100), (32 << 20, None, None, 101)]


def test_a_goal_counts_with_gogc_off_and_beats_the_limit():
    with gh.Heap(gogc="off", memory_limit="8MiB") as heap:
        heap.on_cycle(lambda cycle, knobs: setattr(knobs, "goal", 64 << 20))
        heap.collect()
        assert heap.heap_goal == 64 << 20
        before = heap.num_gc
        for _ in range(400):
            heap.alloc(100_000)
        assert heap.num_gc == before
        for _ in range(400):
            heap.alloc(100_000)
        assert heap.num_gc == before + 1


def test_a_tuner_changes_the_number_of_cycles():
    def cycles(percent):
        with gh.Heap() as heap:
            heap.on_cycle(lambda c, k: setattr(k, "gogc", percent))
            kept = heap.new_many(Node, 500_000)
            heap.collect()
            for _ in range(2000):
                heap.alloc(50_000)
            assert heap.gogc == percent and len(kept) == 500_000
            return heap.num_gc

    assert cycles(25) > 2 * cycles(100) > cycles(400) > cycles(None) == 3


@pytest.mark.parametrize("name, value, kind, words", [
    ("gogc", -1, ValueError, "gogc must be 0..2147483647, not -1"),
    ("gogc", 1.5, TypeError, "gogc must be an int or None, not 'float'"),
    ("gogc", True, TypeError, "not 'bool'"),
    ("memory_limit", 1 << 63, ValueError, "memory_limit must be 0..9223372036854775807"),
    ("memory_limit", "1GiB", TypeError, "not 'str'"),
    ("goal", 0, ValueError, "goal must be 1..1125899906842624, not 0"),
    ("trigger", (1 << 50) + 1, ValueError, "trigger must be 1..1125899906842624"),
    ("goals", 5, AttributeError, "it has gogc, memory_limit, goal, trigger"),
])
def test_a_knob_refuses_what_it_cannot_be(unraisable, name, value, kind, words):
    with gh.Heap(gogc=70) as heap:
        def tuner(cycle, knobs):
            knobs.gogc = 50
            setattr(knobs, name, value)

        heap.on_cycle(tuner)
        heap.collect()
        [(error, of)] = unraisable
        assert type(error) is kind and words in str(error) and of is tuner
        assert heap.gogc == 70  # nothing was turned


def test_trigger_above_goal_is_refused(unraisable):
    with gh.Heap() as heap:
        def tuner(cycle, knobs):
            knobs.goal, knobs.trigger, knobs.memory_limit = 10, 11, 5

        heap.on_cycle(tuner)
        heap.collect()
        [(error, of)] = unraisable
        assert "the trigger, 11, is above the goal, 10" in str(error)
        assert heap.memory_limit is None and heap.heap_goal == 4 << 20


def test_what_a_call_raises_goes_to_the_hook(unraisable):
    with gh.Heap() as heap:
        for error in (ValueError("v"), KeyboardInterrupt(), SystemExit(3)):
            def fn(cycle, knobs, error=error):
                raise error

            heap.on_cycle(fn)
            block = heap.alloc(24)
            heap.collect()
            assert unraisable.pop() == (error, fn) and unraisable == []
            assert error.__traceback__ is not None
            assert len(block) == 24
        heap.on_cycle(lambda: None)  # of another arity
        heap.collect()
        assert isinstance(unraisable.pop()[0], TypeError)


def test_calls_are_not_nested():
    with gh.Heap() as heap, gh.Heap() as other:
        depth, deepest, told = 0, 0, []

        def fn(cycle, knobs):
            nonlocal depth, deepest
            depth += 1
            deepest = max(deepest, depth)
            told.append(cycle.n)
            for h in (heap, other):
                if h.num_gc < 5:
                    h.collect()
                    h.alloc(10)
                    assert h.run_pending() == 0  # and not by asking either
            depth -= 1

        heap.on_cycle(fn)
        other.on_cycle(fn)
        heap.collect()
        assert deepest == 1 and heap.pending and other.pending
        while heap.run_pending() + other.run_pending():
            pass
        assert deepest == 1 and sorted(told) == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_a_call_that_always_collects_does_not_go_on_for_ever():
    with gh.Heap() as heap:
        heap.on_cycle(lambda c, k: heap.collect())
        # Each method runs its batch and leaves one for the next.
        heap.collect()
        assert (heap.num_gc, heap.pending) == (2, 1)
        heap.alloc(8)
        assert (heap.num_gc, heap.pending) == (3, 1)
        heap.collect()  # its own, and the one that waited
        assert (heap.num_gc, heap.pending) == (6, 2)


def test_a_call_may_do_anything_to_the_heap():
    heap = gh.Heap()
    kept = heap.new(Node, key=1)

    def fn(cycle, knobs):
        kept.next = heap.new(Node, key=cycle.n)  # store
        heap.alloc(1 << 20)
        heap.gc_start()
        heap.gc_step()
        heap.gc_finish()
        heap.procs = 3
        heap.verify()

    heap.on_cycle(fn)
    heap.collect()
    assert kept.next.key == 1 and heap.procs == 3
    heap.verify()


def test_a_call_may_end_its_heap(unraisable):
    for method in RUNNERS:
        heap, kept, told = with_one_pending()
        heap.on_cycle(lambda c, k, heap=heap: heap.close())
        RUNNERS[method](heap)
        assert heap.closed and unraisable == []
        with pytest.raises(gh.HeapClosedError):
            kept.key
        with pytest.raises(gh.HeapClosedError):
            heap.run_pending()
        with pytest.raises(gh.HeapClosedError):
            heap.pending
        with pytest.raises(gh.HeapClosedError):
            heap.on_cycle(None)


def test_the_result_of_a_method_whose_call_ended_the_heap():
    heap = gh.Heap()
    heap.on_cycle(lambda c, k: heap.close())
    cycle = heap.collect()
    assert cycle.n == 1 and heap.closed
    heap = gh.Heap(callbacks="manual")
    heap.on_cycle(lambda c, k: heap.close())
    heap.collect()
    heap.collect()
    assert heap.run_pending() == 1  # the second was not run: its heap is gone


def test_none_ends_the_calls_and_drops_what_waits():
    with gh.Heap(callbacks="manual") as heap:
        told = numbers(heap)
        heap.collect()
        heap.collect()
        assert heap.pending == 2
        heap.on_cycle(None)
        assert heap.pending == 0 and heap.run_pending() == 0
        heap.collect()
        assert heap.pending == 0 and told == []
        # From inside a call too.
        def last(cycle, knobs):
            told.append(cycle.n)
            heap.on_cycle(None)

        heap.on_cycle(last)
        heap.collect()
        heap.collect()
        assert heap.run_pending() == 1 and told == [4] and heap.pending == 0


def test_another_function_hears_of_what_waits():
    with gh.Heap(callbacks="manual") as heap:
        first, second = numbers(heap), []
        heap.collect()
        heap.on_cycle(lambda c, k: second.append(c.n))
        heap.collect()
        assert heap.run_pending() == 2 and first == [] and second == [1, 2]


def test_manual_waits_and_limits():
    with gh.Heap(callbacks="manual") as heap:
        told = numbers(heap)
        for _ in range(5):
            heap.collect()
        assert told == [] and heap.pending == 5
        assert heap.run_pending(0) == 0 and heap.run_pending(2) == 2 and told == [1, 2]
        assert heap.pending == 3
        heap.collect()
        assert heap.run_pending(3) == 3 and told == [1, 2, 3, 4, 5]
        assert heap.run_pending() == 1 and heap.run_pending() == 0
        for bad, kind in ((-1, ValueError), ("1", TypeError), (1.0, TypeError)):
            with pytest.raises(kind, match="limit"):
                heap.run_pending(bad)
    with pytest.raises(ValueError, match='callbacks must be "inline" or "manual", not \'later\''):
        gh.Heap(callbacks="later")


def test_pending_calls_end_with_the_heap():
    told = []
    with gh.Heap(callbacks="manual") as heap:
        heap.on_cycle(lambda c, k: told.append(c.n))
        heap.collect()
    assert told == []


def test_a_heap_that_its_function_holds_is_found_by_gc():
    heap = gh.Heap()
    heap.on_cycle(lambda c, k: heap.verify())
    gone = weakref.ref(heap)
    del heap
    gc.collect()
    assert gone() is None


def test_one_thread_at_a_time_runs_the_calls_of_a_heap():
    with gh.Heap() as heap:
        inside, may_go, told, threads = threading.Event(), threading.Event(), [], set()

        def fn(cycle, knobs):
            told.append(cycle.n)
            threads.add(threading.get_ident())
            if cycle.n == 1:
                inside.set()
                assert may_go.wait(30)

        heap.on_cycle(fn)
        runner = threading.Thread(target=heap.collect)
        runner.start()
        assert inside.wait(30)
        # A call that blocks keeps nobody out of the heap, only other calls of it.
        heap.collect()
        heap.alloc(100)
        assert told == [1] and heap.pending == 1 and heap.run_pending() == 0
        with gh.Heap() as other:
            more = numbers(other)
            other.collect()
            assert more == [1]
        may_go.set()
        runner.join()
        heap.alloc(100)
        assert told == [1, 2] and len(threads) == 2


@pytest.mark.parametrize("mode", ["stw", "virtual", "concurrent"])
def test_calls_of_many_threads_are_all_run(mode):
    with gh.Heap(mode=mode, procs=2) as heap:
        told, gogc = [], []

        def fn(cycle, knobs):
            told.append(cycle.n)
            gogc.append(knobs.gogc)
            knobs.gogc = 60 + cycle.n % 2

        heap.on_cycle(fn)

        def work():
            for _ in range(300):
                heap.alloc(100_000)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        heap.collect()  # so that none runs
        heap.run_pending()
        assert told == list(range(1, heap.num_gc + 1)) and heap.num_gc > 10
        assert gogc == [100, *(60 + n % 2 for n in told[:-1])]
        heap.verify()


def test_a_forked_child_runs_calls_that_another_thread_ran_in_the_parent():
    with gh.Heap() as heap:
        inside, may_go, told = threading.Event(), threading.Event(), []

        def fn(cycle, knobs):
            told.append(cycle.n)
            if cycle.n == 1:
                inside.set()
                assert may_go.wait(30)

        heap.on_cycle(fn)
        runner = threading.Thread(target=heap.collect)
        runner.start()
        assert inside.wait(30)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads and fork
            child = os.fork()
        if child == 0:
            heap.collect()
            os._exit(0 if told == [1, 2] else 1)
        status = os.waitpid(child, 0)[1]
        may_go.set()
        runner.join()
        assert status == 0


def test_a_graph_is_whole_before_its_calls_run():
    with gh.Heap() as heap:
        seen = []

        def fn(cycle, knobs):
            if cycle.n == 1:
                heap.collect()
            else:
                seen.append(heap.snapshot().census("label").to_dict()["key"])

        heap.on_cycle(fn)
        heap.collect()
        assert heap.pending == 1
        top = heap.graph({"A": ["B"], "B": ["A"]}, roots=["A"])
        assert seen and {"A", "B"} <= set(seen[0]) and top[0] is not None


# ---- replays --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    path = tmp_path_factory.mktemp("calls") / "sample.ghtrace"
    path.write_bytes(sample_history().file())
    return path


def test_a_replay_tells_every_cycle(history):
    told = []
    r = gh.replay(history, gogc=50, on_cycle=lambda c, k: told.append(c))
    plain = gh.replay(history, gogc=50)
    assert tuple(told) == r.cycles == plain.cycles and r.to_dict() == plain.to_dict()


@pytest.mark.parametrize("mode", ["stw", "virtual"])
def test_what_a_replay_s_function_turns_holds_from_there_on(mode):
    plain = gh.replay(TRACE, gogc=100, mode=mode, costs=gh.Costs())
    assert plain.automatic_gc > 3

    def tuner(cycle, knobs):
        knobs.gogc = 25
        assert knobs.goal is None and knobs.trigger is None

    more = gh.replay(TRACE, gogc=100, mode=mode, costs=gh.Costs(), on_cycle=tuner)
    assert more.automatic_gc > plain.automatic_gc
    assert more.cycles[0] == plain.cycles[0]
    assert [c.gogc for c in more.cycles] == [100] + [25] * (len(more.cycles) - 1)

    def pacer(cycle, knobs):
        knobs.goal = cycle.heap_marked + (6 << 20)

    mine = gh.replay(TRACE, gogc=100, mode=mode, costs=gh.Costs(), on_cycle=pacer)
    pairs = list(zip(mine.cycles, mine.cycles[1:]))
    assert pairs
    for before, after in pairs:
        assert after.heap_goal == before.heap_marked + (6 << 20)
        if not after.forced:
            assert after.trigger >= before.heap_marked


def test_what_a_replay_s_function_raises_ends_the_replay(history):
    def fn(cycle, knobs):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        gh.replay(history, gogc=50, on_cycle=fn)
    with pytest.raises(ValueError, match="goal must be 1"):
        gh.replay(history, gogc=50, on_cycle=lambda c, k: setattr(k, "goal", 0))
    with pytest.raises(TypeError, match="on_cycle must be callable or None"):
        gh.replay(history, on_cycle=5)
