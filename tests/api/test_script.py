"""Script: errors that name line and column, and what the language means."""
import doctest

import pytest

import goheap
import goheap.script


def run(body, head="slots 8\n"):
    return goheap.Script("goheap-script 1\n" + head + body).run()


@pytest.mark.parametrize("body, line, word", [
    ("allok 0 1 noscan", 3, "unknown operation"),
    ("alloc 0 $x noscan", 3, "unknown variable"),
    ("alloc 0 (1 noscan", 3, "missing )"),
    ("repeat i 3\ngc", 3, "repeat without end"),
    ("end", 3, "end without repeat"),
    ("alloc 8 16 noscan", 3, "slot 8 is outside 0..7"),
    ("alloc 0-1 16 noscan", 3, "slot -1"),
    ("alloc 0 0-5 noscan", 3, "size -5"),
    ("alloc 1/0 5 noscan", 3, "division by zero"),
    ("store 0.0 1", 3, "holds nil"),
    ("alloc 0 16 ptrs=0\nstore 0.2 0", 4, "outside the object"),
    ("alloc 0 16 ptrs=0\nload 1 0.9", 4, "outside the object"),
    ("fin 0", 3, "holds nil"),
    ("alloc 0 16 ptrs=0\nfin 0\nfin 0", 5, "has a finalizer already"),
    ("alloc 0 12 ptrs=0", 3, "no multiple of 8"),
    ("onp 1", 3, "P 1 is outside 0..0"),
    ("par 2 10", 3, "par takes 3 to 3 fields"),
    ("par 1 10 0-1", 3, "size -1"),
    ("par 65537 1 8", 3, "65537 workers are more than 65536"),
    ("par 4 (1+9223372036854775807/4) 8", 3, "are too many"),
    ("memlimit", 3, "memlimit takes 1 to 1 fields"),
    ("memlimit 0-20000000", 3, "memlimit -20000000 is below -"),
])
def test_errors(body, line, word):
    with pytest.raises(goheap.ScriptError, match=word.replace("(", r"\(").replace(")", r"\)")) as e:
        run(body)
    assert e.value.line == line and not e.value.refused and e.value.column >= 0


def test_refused_by_name():
    with pytest.raises(goheap.ScriptError, match="goheap-script 2 is not supported") as e:
        goheap.Script("goheap-script 2\nallok 0 1 noscan").run()
    assert e.value.refused and (e.value.line, e.value.column) == (1, 15)


@pytest.mark.parametrize("line", ["alloc 0 1 noscan", "goheap-script", "goheap-script 0",
                                  "goheap-script 1.5", "goheap-script one"])
def test_first_line(line):
    with pytest.raises(goheap.ScriptError, match="first line") as e:
        goheap.Script(line).run()
    assert not e.value.refused


def test_gcmode_unknown():
    with pytest.raises(goheap.ScriptError, match="unknown gcmode fast"):
        run("", "gcmode fast\n")


CHURN = "gogc %s\nrandom 5 60000 sizes=u:16-512 base=0 live=5000 scan=30\nstats s\n"


def churn(mode, gogc="100"):
    return run(CHURN % gogc, "slots 5000\ngcmode %s\n" % mode)


def starts(r):
    return [e for e in r.gc_log if e["ev"] == "start"]


def test_gcmode_stw_stops_at_the_allocation():
    r = churn("stw")
    assert r.data["gcmode"] == "stw" and starts(r)
    # A cycle begins and ends at one allocation, and leaves nothing to sweep.
    assert [e["at"] for e in starts(r)] == [e["at"] for e in r.gc_log if e["ev"] == "end"]
    assert not any("triggered" in e for e in r.gc_log) and r.stats["s"]["unswept"] == 0


def test_gcmode_stw_mark_sweeps_later():
    r = churn("stw-mark")
    ends = [e for e in r.gc_log if e["ev"] == "end"]
    assert [e["at"] for e in starts(r)] == [e["at"] for e in ends]
    assert all(e["runway"] == 0 for e in ends)
    # The trigger stays as far away as an unfinished sweep wants it: 1 MiB.
    assert r.stats["s"]["pacer"]["sweep_min_trigger"] > 1 << 20
    assert churn("stw").stats["s"]["pacer"]["sweep_min_trigger"] == 0


def test_gcmode_concurrent_takes_its_time():
    r = churn("concurrent")
    ends = [e for e in r.gc_log if e["ev"] == "end"]
    assert len(ends) > 2
    # While a cycle marks the program allocates.
    assert any(a["at"] < b["at"] for a, b in zip(starts(r), ends))
    assert any("triggered" in e for e in starts(r))
    assert any(e["runway"] > 0 for e in ends)
    assert r.to_json() == churn("concurrent").to_json()


@pytest.mark.parametrize("paced", ["gogc off", "gogc 100", "memlimit off"])
def test_gcmode_concurrent_with_explicit_cycles(paced):
    body = "alloc $i 100+$i noscan\nend\ndrop 3\ngc\nstats s\naddr a 0 40\n"
    body = "repeat i 40\n" + body
    want = run(body, "slots 64\ngcmode stw\n")
    for extra in ("", paced + "\n"):
        r = run(extra + body, "slots 64\ngcmode concurrent\n")
        for key in ("mem", "by_class", "spans"):
            assert {k: v for k, v in r.stats["s"][key].items() if k not in ("GCSys", "OtherSys", "Sys")} \
                == {k: v for k, v in want.stats["s"][key].items() if k not in ("GCSys", "OtherSys", "Sys")}
        assert r.data["addr"] == want.data["addr"]


def test_par_totals():
    r = run("par 3 1000 100\nstats s\ngc\nstats g", "procs 3\n")
    s, g = r.stats["s"], r.stats["g"]
    assert (r.data["allocs"], s["mem"]["Mallocs"], s["mem"]["TotalAlloc"]) == (3000, 3000, 336000)
    assert g["mem"]["HeapObjects"] == 0                # nobody keeps anything


def test_par_uses_a_p_for_each_worker():
    # 10 objects each: one span for each P that took part.
    for procs, workers, spans in ((4, 3, 3), (4, 4, 4), (2, 5, 2), (1, 3, 1)):
        r = run("par %d 10 64\nstats s" % workers, "procs %d\n" % procs)
        assert r.stats["s"]["spans"]["6n"][:3] == [spans, spans, 10 * workers]


def test_par_takes_turns():
    # Both workers fill a span of 8 slots and then take another. Page 0 came from the
    # growth; then P 1 was first to take 64 pages for itself, and P 0 got the next 64.
    r = run("par 2 9 1024\nalloc 0 1024 noscan\nonp 1\nalloc 1 1024 noscan\naddr a 0 2",
            "procs 2\n")
    assert r.data["addr"]["a"]["page"] == [64, 2] and r.data["addr"]["a"]["idx"] == [1, 1]


def test_par_goes_back_to_its_p():
    r = run("onp 1\nalloc 0 64 noscan\npar 2 3 64\nalloc 1 64 noscan\naddr a 0 2", "procs 2\n")
    assert r.data["addr"]["a"]["span"] == [0, 0] and r.data["addr"]["a"]["idx"] == [0, 4]


def test_stacks_that_a_cycle_scans():
    # As Go's interpreter: a worker's goroutine for each P, in par two more.
    for procs, gc, alloc, par in ((1, 2432, 2512, 2880), (2, 2640, 2720, 3088),
                                  (4, 3088, 3168, 3536)):
        r = run("gc\ngogc 100\nrepeat i 300\nalloc 0 20000 noscan\nend\n"
                "par 1 300 20000\nstats s", "procs %d\n" % procs)
        stacks = [e["stack"] for e in r.gc_log if e["ev"] == "end"]
        assert stacks[0] == gc and stacks[1] in (alloc, alloc + 64)
        assert stacks[-1] in (par, par + 64)


@pytest.mark.parametrize("par", ["par 0 10 64", "par 0-3 10 64", "par 2 0 64", "par 2 0-1 64"])
def test_par_of_nothing(par):
    assert run(par + "\nstats s").stats["s"]["mem"]["Mallocs"] == 0


def test_par_holds_one_object_for_each_worker():
    # Large objects, so that a cycle finds each one but the last of a worker dead.
    r = run("gogc 100\npar 2 200 40960\nstats s\ngogc off\ngc\nstats g", "procs 2\n")
    ends = [e for e in r.gc_log if e["ev"] == "end"]
    # Cycles are looked for when all workers have ended: several show as one.
    assert len(ends) == 2 and ends[0]["at"] == 400
    assert r.stats["s"]["mem"]["NumGC"] > 2
    assert r.stats["s"]["large"]["frees"] > 250 and r.stats["g"]["large"]["frees"] == 400


def test_memlimit():
    body = "memlimit %s\nrandom 5 60000 sizes=u:16-512 base=0 live=5000 scan=30\nstats s\n"
    r = run(body % (12 << 20), "slots 5000\ngcmode stw\n")
    s = r.stats["s"]
    assert s["mem"]["NumGC"] > 0 and s["pacer"]["heap_goal"] < 12 << 20
    # Room for the heap is the limit less 1 MiB of headroom and Go's own records.
    assert s["mem"]["HeapInuse"] < 11 << 20
    assert run(body % "off", "slots 5000\ngcmode stw\n").stats["s"]["mem"]["NumGC"] == 0
    assert run(body % (1 << 40), "slots 5000\ngcmode stw\n").stats["s"]["mem"]["NumGC"] == 0


def test_memlimit_off_again():
    body = "random 5 60000 sizes=u:16-512 base=0 live=5000 scan=30\nstats s\n"
    r = run("memlimit 12582912\n" + body + "memlimit off\n" + body, "slots 5000\ngcmode stw\n")
    assert r.stats["s"]["mem"]["NumGC"] == r.stats["s#2"]["mem"]["NumGC"] > 0
    assert r.stats["s#2"]["pacer"]["heap_goal"] == -1
    assert r.data["gc_log"][-1]["at"] < 60000


def test_memlimit_far_too_low_ends_all_the_same():
    r = run("memlimit 0-1000000\nrepeat i 300\nalloc 0 5000 noscan\nend\nstats s",
            "slots 8\ngcmode stw\n")
    assert r.stats["s"]["mem"]["NumGC"] > 10 and r.stats["s"]["mem"]["Mallocs"] == 300


@pytest.mark.parametrize("expr, size", [
    ("16", 16), ("2+3*10", 32), ("(2+3)*10", 64), ("100/7", 16), ("100%33", 16),
    ("7-2-1", 16), ("$i*16+48", 48), ("($i+1)*(40+8)", 48)])
def test_expressions(expr, size):
    r = run("repeat i 1\nalloc 0 %s noscan\nend\nstats s\n" % expr)
    assert r.stats["s"]["mem"]["TotalAlloc"] == size


def test_labels_met_again():
    assert run("repeat i 3\nstats a\nend").data["stats_order"] == ["a", "a#2", "a#3"]


def test_word_outside_the_mask_keeps_nothing_alive():
    r = run("alloc 0 32 ptrs=0\nalloc 1 64 noscan\nstore 0.1 1\ndrop 1\ngc\nstats s")
    assert r.stats["s"]["mem"]["HeapObjects"] == 1


@pytest.mark.thread_unsafe(reason="doctest is not made for it")
def test_doctests():
    assert doctest.testmod(goheap.script).failed == 0
