// stack.h: a stack of root slots, for drivers that hold objects while they make
// more, as Go's compiler has its stack maps do.

#ifndef STACK_H
#define STACK_H

#include "bench.h"

typedef struct stack {
    gh_mut *m;
    gh_slots *slots;
    gh_slot *top;  // the next free one
} stack;

static inline stack
stack_new(gh_mut *m, size_t depth)
{
    stack s = {.m = m};
    bench_check(gh_slots_new(gh_mut_heap(m), depth, &s.slots), "gh_slots_new");
    s.top = gh_slots_at(s.slots, 0);
    return s;
}

static inline gh_slot *
stack_push(stack *s)
{
    return s->top++;
}

static inline void
stack_pop(stack *s)
{
    gh_clear_inline(s->m, --s->top);
}

static inline void
stack_end(stack *s)
{
    gh_slots_free(s->slots);
}

#endif  // STACK_H
