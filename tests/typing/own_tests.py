"""Tests of a user's own, with goheap.testing."""
from collections.abc import Callable
from typing import assert_type

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import rule, run_state_machine_as_test

import goheap as gh
from goheap.testing import HeapMachine, fault_sweep, policies, structs


class Node(gh.Struct):
    next: gh.Ptr["Node"]


class Machine(HeapMachine):
    """A heap of another make, and one rule more."""

    def make_heap(self) -> gh.Heap:
        return gh.Heap(gogc=20, procs=3, address_space="1GiB")

    @rule()
    def look(self) -> None:
        assert_type(self.heap, gh.Heap)
        assert self.heap.snapshot().stats.num_gc == self.heap.num_gc


@hypothesis_settings(max_examples=5, database=None, deadline=None)
@given(cls=structs(max_words=8), policy=policies())
def fits(cls: type[gh.Struct], policy: gh.Policy) -> None:
    with gh.Heap(policy=policy, address_space="1GiB") as heap:
        assert gh.sizeof(heap.new(cls)) <= gh.explain(cls, policy=policy).elemsize


def small() -> None:
    with gh.Heap(address_space="1GiB") as heap:
        heap.new(Node)


def main() -> None:
    run_state_machine_as_test(Machine, settings=hypothesis_settings(
        max_examples=3, stateful_step_count=10, database=None, deadline=None))
    fits()
    scenario: Callable[[], None] = small
    assert_type(fault_sweep(scenario), int)


if __name__ == "__main__":
    main()
