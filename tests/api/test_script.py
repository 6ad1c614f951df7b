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
    ("alloc 0 12 ptrs=0", 3, "no multiple of 8"),
    ("onp 1", 3, "P 1 is outside 0..0"),
])
def test_errors(body, line, word):
    with pytest.raises(goheap.ScriptError, match=word.replace("(", r"\(").replace(")", r"\)")) as e:
        run(body)
    assert e.value.line == line and not e.value.refused and e.value.column >= 0


@pytest.mark.parametrize("body", ["memlimit 5", "par 1 2 3"])
def test_refused_by_name(body):
    with pytest.raises(goheap.ScriptError, match=body.split()[0]) as e:
        run(body)
    assert e.value.refused


def test_first_line():
    with pytest.raises(goheap.ScriptError, match="first line"):
        goheap.Script("alloc 0 1 noscan").run()


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


def test_doctests():
    assert doctest.testmod(goheap.script).failed == 0
