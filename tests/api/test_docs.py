"""Docstrings: every public name has one, every example in one runs."""
from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

import pytest

import goheap

MODULES = sorted(m.name for m in pkgutil.iter_modules(goheap.__path__, "goheap.")
                 if not m.name.endswith(("_core", "__main__")))


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.thread_unsafe(reason="doctest is not made for it")
def test_examples_run(name):
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    names = {t.name for m in MODULES for t in finder.find(importlib.import_module(m))
             if t.examples}
    assert {"goheap.heap.Heap", "goheap.types.fixed", "goheap.stats.explain",
            "goheap.script.Script"} <= names


def public():
    for name in goheap.__all__:
        thing = getattr(goheap, name)
        if inspect.isclass(thing) or callable(thing):
            yield name, thing
            if inspect.isclass(thing):
                for attr, value in inspect.getmembers(thing):
                    owner = next((c for c in thing.__mro__ if attr in vars(c)), object)
                    if not attr.startswith("_") and "goheap" in owner.__module__ and (
                            callable(value) or isinstance(value, property)):
                        yield f"{name}.{attr}", value


def test_public_names_are_documented():
    assert [name for name, thing in public() if not inspect.getdoc(thing)] == []
