"""The suite in parallel threads: pytest-run-parallel runs each test in several at once.

It calls a test with the same fixtures in all of them. A heap of the test is made anew in
each: what a test counts is its own.
"""
from __future__ import annotations

import contextlib
import functools
import inspect
from types import SimpleNamespace


def pytest_configure(config):
    config.addinivalue_line("markers", "thread_unsafe(reason): not in several threads at once")


def pytest_collection_modifyitems(config, items):
    if getattr(config.option, "parallel_threads", 1) in (1, "1"):
        return
    for item in items:
        made = getattr(item, "_fixtureinfo", None) and item._fixtureinfo.name2fixturedefs.get("heap")
        if made and "heap" in item._fixtureinfo.argnames:
            item.obj = with_its_own_heap(item.obj, made[-1].func, getattr(item, "callspec", None))


def with_its_own_heap(test, make, callspec):
    params = callspec.params if callspec else {}
    given = [SimpleNamespace(param=params["heap"])] if inspect.signature(make).parameters else []

    @functools.wraps(test)
    def inner(*args, heap, **fixtures):
        with contextlib.contextmanager(make)(*given) as mine:
            return test(*args, heap=mine, **fixtures)
    return inner
