"""A state machine: what the program built is what the heaps say, whatever the order."""
from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

import goheap as gh
from goheap import testing


class Machine(testing.HeapMachine):
    """The machine that we ship, and what only our own tests know."""

    @rule(i=st.integers(0, 2))
    def recount(self, i):
        """Looking changes nothing."""
        heap = self.at(i)
        before = heap.stats(), heap.heap_live, heap.now_ns
        repr(heap), heap.heap_goal, heap.trigger, list(heap.cycles)
        for o in self.held:
            if o.heap is heap and o.size:
                info = heap.info(o.handle)
                assert info.addr == o.address and info.base <= o.address
                assert heap.info(o.address) == info
        assert (heap.stats(), heap.heap_live, heap.now_ns) == before


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=100, stateful_step_count=50, deadline=None,
                                suppress_health_check=list(HealthCheck))
