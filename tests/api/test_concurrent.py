"""mode="concurrent": real threads. What a heap does there that it doesn't in the others."""
from __future__ import annotations

import gc
import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest

import goheap as gh

SMALL = gh.Policy(min_heap="256KiB")


class Node(gh.Struct):
    left: gh.Ptr[Node]
    key: gh.int64
    twice: gh.int64


def heap(**settings) -> gh.Heap:
    return gh.Heap(mode="concurrent", policy=SMALL, **settings)


def churn(h: gh.Heap, n: int, keep: int = 500) -> None:
    kept: list[Node] = []
    for i in range(n):
        a = h.new(Node, key=i, twice=2 * i)
        if kept:
            a.left = kept[-1]
        kept.append(a)
        if len(kept) == keep:
            kept = kept[-1:]
            kept[0].left = None


def test_cycles_run_by_themselves():
    with heap(gogc=50) as h:
        assert h.mode == "concurrent"
        churn(h, 20_000)
        assert h.num_gc > 0
        assert [c.n for c in h.cycles] == list(range(1, h.num_gc + 1))
        for c in h.cycles:
            assert c.start_ns <= c.end_ns <= h.now_ns
        assert not any(c.forced for c in h.cycles)
        h.verify()


def test_collect_frees_what_is_dropped():
    with heap(procs=2) as h:
        kept = h.new_many(Node, 1000)
        h.new_many(Node, 5000).clear()
        assert h.collect().forced
        h.collect()
        assert h.stats().heap_objects == 1000
        kept.clear()
        h.collect()
        assert h.stats().heap_objects == 0


def test_the_clock_is_real():
    with heap() as h:
        before = h.now_ns
        time.sleep(0.01)
        assert h.now_ns - before >= 10_000_000


def test_what_is_refused_by_name():
    with heap() as h:
        for call in (h.gc_start, lambda: h.gc_step(1), h.gc_finish):
            with pytest.raises(gh.HeapStateError, match='in mode "concurrent" threads run the'):
                call()
        with pytest.raises(gh.HeapStateError, match="time passes by itself"):
            h.advance(1)
    with pytest.raises(ValueError, match="'greentea' is not in mode \"concurrent\", where several"):
        gh.Heap(mode="concurrent", policy=gh.Policy(marker="greentea"))
    for barrier in ("insertion", "none"):
        with pytest.raises(ValueError, match=f"'{barrier}' loses objects and is not in mode"):
            gh.Heap(mode="concurrent", policy=gh.Policy(barrier=barrier))


def test_threads_at_once():
    """More threads than Ps; each object carries a check."""
    with heap(procs=2, gogc=30) as h:
        shared = h.new_many(Node, 100)
        errors: list[BaseException] = []

        def work(seed: int) -> None:
            rng = random.Random(seed)
            try:
                for i in range(3000):
                    a = h.new(Node, key=i, twice=2 * i)
                    b = shared[rng.randrange(100)]
                    if b is not None:
                        assert b.twice == 2 * b.key
                        b.left = a
                    shared[rng.randrange(100)] = None if rng.random() < 0.1 else a
                    if rng.random() < 0.003:
                        h.collect()
                    if rng.random() < 0.001:
                        try:
                            h.procs = rng.randrange(1, 5)
                        except gh.HeapStateError:
                            pass  # somebody stands on a P that would end
                    if rng.random() < 0.002:
                        with h.on_p(0):
                            h.alloc(100)
            except BaseException as e:
                errors.append(e)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(60)
            assert not t.is_alive()
        assert not errors
        h.verify()


DELAYED = """
import random, sys, threading
import goheap as gh
seed = int(sys.argv[1])
class Node(gh.Struct):
    left: gh.Ptr["Node"]
    key: gh.int64
    twice: gh.int64
debug = gh.Debug(checkmark=True, clobber_free=True, delays=seed)
errors = []
threading.excepthook = errors.append
with gh.Heap(mode="concurrent", policy=gh.Policy(min_heap="256KiB"), procs=3, gogc=30,
             debug=debug) as h:
    shared = h.new_many(Node, 20)
    def work(n):
        rng = random.Random(n)
        for i in range(400):
            shared[rng.randrange(20)] = a = h.new(Node, key=i, twice=2 * i)
            b = shared[rng.randrange(20)]
            assert b is None or b.twice == 2 * b.key
            a.left = b if rng.random() < 0.7 else None
            if i % 100 == 0:
                h.collect()
    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    h.verify()
assert not errors, errors
"""


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_delays(seed: int):
    """Threads are held up at random in the middle of things; nothing is lost.

    In a child, so that a core that ends the process leaves somebody to name the seed.
    """
    try:
        child = subprocess.run([sys.executable, "-c", DELAYED, str(seed)], capture_output=True,
                               text=True, timeout=60)
    except subprocess.TimeoutExpired as e:
        raise AssertionError(f"delays={seed}: hangs") from e
    assert child.returncode == 0, f"delays={seed}: code {child.returncode}\n{child.stderr}"


class Goodbye(BaseException):
    """Ends a thread wherever it is."""


def script(h: gh.Heap, shared: list[Node], left: list[object]):
    """Everything that a thread does with a heap, an operation at a time."""
    a, b = h.new(Node, key=1, twice=2), shared[0]
    yield
    many = h.new_many(Node, 300)  # an allocation run
    yield
    for i, x in enumerate(many):
        x.left = many[i - 1]
        shared[i % len(shared)] = x
    yield
    a.left = b.left  # between load and store stands the next step
    held = a.left
    a.left = None
    yield
    b.left = held
    left.append(h.alloc(200))  # outlives its thread
    view = memoryview(h.alloc(64))
    view[0] = 7
    left.append(view)
    yield
    weak = h.weak(a)
    h.set_finalizer(h.new(Node), lambda x: None)
    yield
    with h.on_p(0):
        kept = [h.new(Node)]
        yield  # it may end in there
        kept.append(h.new(Node))
    h.collect()
    yield
    assert weak() == a
    del a, many, kept
    yield
    h.collect()
    yield


def test_threads_end_anywhere():
    """Eight threads at a time on two Ps, each ends after some step: it returns, it dies of an
    exception inside the step's blocks, or its generator is left where it is."""
    with heap(procs=2, gogc=25, globals_scan="1MiB",
              debug=gh.Debug(checkmark=True, clobber_free=True)) as h:
        shared = h.new_many(Node, 50)
        for i, x in enumerate(shared):
            x.key, x.twice, x.left = i, 2 * i, shared[i - 1]
        left: list[object] = []
        abandoned: list[object] = []
        steps = sum(1 for _ in script(h, shared, []))
        reached: list[int] = []

        def work(ends_after: int, how: int) -> None:
            run = script(h, shared, left)
            for n, _ in enumerate(run, 1):
                if n == ends_after:
                    reached.append(n)
                    if how == 1:
                        run.throw(Goodbye())
                    elif how == 2:
                        abandoned.append(run)
                    return

        lives = [(n, how) for how in range(3) for n in range(1, steps + 1)] * 2
        hook, threading.excepthook = threading.excepthook, lambda args: None
        try:
            for i in range(0, len(lives), 8):
                threads = [threading.Thread(target=work, args=life) for life in lives[i:i + 8]]
                for t in threads:
                    t.start()
                for t in threads:
                    t.join(60)
                    assert not t.is_alive()
                h.verify()
        finally:
            threading.excepthook = hook
        assert sorted(reached) == sorted(n for n, _ in lives)
        views = [x for x in left if isinstance(x, memoryview)]
        assert views and all(v[0] == 7 for v in views)
        abandoned.clear()
        for v in views:
            v.release()
        left.clear()
        shared.clear()
        del x, views, v
        gc.collect()
        for _ in range(3):
            h.collect()
            h.run_pending()
        h.verify()
        assert h.stats().heap_objects == 0


def test_looking_beside_threads():
    """Snapshots, figures, labels and watches stop the others for as long as they take."""
    with heap(procs=2, gogc=50) as h:
        stop = threading.Event()

        def work() -> None:
            while not stop.is_set():
                churn(h, 200)

        t = threading.Thread(target=work)
        t.start()
        a = h.new(Node, key=7)
        h.label(a, "seven")
        with h.watch() as log:
            for _ in range(20):
                assert len(h.snapshot().objects) >= 1
                assert h.info("seven").addr == gh.address_of(a)
                s = h.stats()
                assert s.mallocs >= s.frees
                assert h.heap_live > 0 and h.phase in ("off", "mark", "marktermination")
                h.verify()
        stop.set()
        t.join()
        assert all(e.t_ns >= 0 for e in log)


def test_finalizers_and_weak_handles():
    with heap() as h:
        seen: list[int] = []
        a, b = h.new(Node, key=1), h.new(Node, key=2)
        h.set_finalizer(a, lambda x: seen.append(x.key))
        weak = h.weak(b)
        del a
        h.collect()
        h.collect()
        h.run_pending()
        assert seen == [1]
        assert weak() is not None and weak().key == 2
        del b
        h.collect()
        h.collect()
        assert weak() is None
        h.verify()


def test_hard_limit():
    with heap(hard_limit="24MiB") as h:
        kept = []
        with pytest.raises(gh.HeapMemoryError):
            for _ in range(100):
                kept.append(h.alloc("1MiB"))
        kept.clear()
        h.alloc("1MiB")
        h.verify()


@pytest.mark.thread_unsafe(reason="counts the process's threads")
def test_threads_end_with_the_heap():
    def count() -> int:
        return len(os.listdir("/proc/self/task"))

    before = count()
    with heap(procs=3) as h:
        assert count() == before  # they start with the first cycle
        h.collect()
        assert count() == before + 4
    assert count() == before


@pytest.mark.parametrize("mode", ["stw", "virtual", "concurrent"])
def test_fork(mode: str):
    """A repeatable heap works in the child; one with threads can be closed there."""
    h = gh.Heap(mode=mode, policy=SMALL)
    ref = h.new(Node, key=3, twice=6)
    roots = h.roots(10)
    h.collect()
    pid = os.fork()
    if pid == 0:
        code = 1
        signal.alarm(60)
        try:
            if mode == "concurrent":
                for use in (lambda: h.alloc(10), lambda: ref.left, lambda: h.stats()):
                    try:
                        use()
                        os._exit(2)
                    except gh.HeapStateError as e:
                        assert "can only be closed" in str(e)
                assert not h.closed
            else:
                assert ref.twice == 6
                h.collect()
                h.verify()
            h.close()
            assert h.closed
            del roots  # it waited for ever that its heap let go of it
            with gh.Heap(mode="concurrent", policy=SMALL) as mine:
                churn(mine, 3000)
                mine.collect()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert ref.twice == 6
    h.collect()
    h.verify()
    h.close()


def ends(program: str, seconds: float = 60) -> str:
    """What a program says that used to wait for ever."""
    head = """
import sys, threading, time
import goheap as gh
class Node(gh.Struct):
    left: gh.Ptr["Node"]
    right: gh.Ptr["Node"]
"""
    r = subprocess.run([sys.executable, "-c", head + program], text=True,
                       capture_output=True, timeout=seconds)
    assert r.returncode == 0, r.stderr
    return r.stdout


def test_what_allocates_in_a_stop_begins_no_cycle():
    """It would wait there for a cycle whose workers wait for the stop to end."""
    assert ends("""
h = gh.Heap(mode="concurrent", procs=2, debug=gh.Debug(gc_every=1))
many = h.new_many(Node, 20000)
print(h.weak(many[0])() is not None)
h.verify()
""") == "True\n"


def test_what_allocates_in_a_stop_keeps_the_gil():
    """It would wait for the GIL with a lock that the GIL's next holder waits for."""
    assert ends("""
sys.setswitchinterval(1e-4)
h = gh.Heap(mode="concurrent", procs=2, gogc=20)
many = h.new_many(Node, 50000)
end = time.monotonic() + 2
def weak():
    while time.monotonic() < end:
        for n in [h.new(Node) for _ in range(10)]:
            h.weak(n)
            h.alloc(500)
def load():
    while time.monotonic() < end:
        many[:500].load("left")
def collect():
    while time.monotonic() < end:
        h.collect()
threads = [threading.Thread(target=f) for f in (weak, load, load, collect)]
for t in threads: t.start()
for t in threads: t.join()
h.verify()
print("ended")
""") == "ended\n"


def test_fork_while_another_thread_is_inside():
    h = gh.Heap(mode="stw")
    many = h.new_many(Node, 1000)
    ready, stop = threading.Event(), threading.Event()

    def work() -> None:
        while not stop.is_set():
            ready.set()
            h.new_many(Node, 200_000).clear()

    t = threading.Thread(target=work)
    t.start()
    ready.wait()
    for _ in range(20):
        time.sleep(0.003)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                try:
                    h.alloc(10)
                except gh.HeapStateError as e:
                    assert "can only be closed" in str(e)
                h.close()
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    stop.set()
    t.join()
    many.clear()
    h.verify()
    h.close()


def test_fork_while_another_thread_ends_the_heap():
    """Roots waited in the child for a thread that was not there."""
    for _ in range(3):
        h = gh.Heap(mode="stw")
        last = h.roots(1)  # its heap lets go of it after all others
        others = [h.roots(1) for _ in range(50_000)]
        t = threading.Thread(target=h.close)
        t.start()
        while not h.closed:
            pass
        pid = os.fork()
        if pid == 0:
            signal.alarm(60)
            del last
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        t.join()
        del last, others


CHILD = """
import os, random, signal, sys, threading, time
import goheap as gh
# A suite that runs in the background of a shell has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
seed, how = int(sys.argv[1]), sys.argv[2]
rng = random.Random(seed)
class Node(gh.Struct):
    left: gh.Ptr["Node"]
    key: gh.int64
h = gh.Heap(mode="concurrent", procs=rng.choice((1, 2, 4)), gogc=20,
            policy=gh.Policy(min_heap="256KiB"))
shared = h.new_many(Node, 200)
def work(seed, forever):
    rng = random.Random(seed)
    while forever or rng.random() < 0.999:
        a = h.new(Node, key=1)
        a.left = shared[rng.randrange(200)]
        shared[rng.randrange(200)] = a
        if rng.random() < 0.002:
            h.collect()
        if rng.random() < 0.001:
            h.new_many(Node, 20000)
for i in range(3):
    threading.Thread(target=work, args=(seed * 10 + i, how != "death"), daemon=True).start()
if how != "sigint":
    print("ready", flush=True)
end = time.monotonic() + rng.random() * 0.15
if how == "death":
    while time.monotonic() < end:
        threading.Thread(target=work, args=(rng.random(), False), daemon=True).start()
        time.sleep(0.005)
elif how == "fork":
    while time.monotonic() < end:
        pid = os.fork()
        if pid == 0:
            try:
                h.alloc(1)
            except gh.HeapStateError:
                pass
            h.close()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
elif how == "sigint":
    try:
        print("ready", flush=True)  # the signal may come as soon as this is written
        while True:
            h.new_many(Node, 100000)
            h.collect()
    except KeyboardInterrupt:
        h.verify()
        sys.exit(0)
else:
    while time.monotonic() < end:
        h.alloc(100)
"""


def run_child(seed: int, how: str) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(seed), how],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        if how == "sigint":
            time.sleep(random.Random(seed).random() * 0.15)
            child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=5)
    except subprocess.TimeoutExpired:
        child.kill()
        raise AssertionError(f"{how}, seed {seed}: hangs")
    assert child.returncode == 0, (how, seed, child.returncode, err)


@pytest.mark.parametrize("how", ["sigint", "fork", "exit", "death"])
def test_children_end(how: str):
    """A few of `make children`'s 200."""
    for seed in range(int(os.environ.get("GOHEAP_CHILDREN", "3"))):
        run_child(seed, how)
