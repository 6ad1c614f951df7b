/* spans.pml - who may sweep a span, allocate from it and free it, for Spin.
 *
 * One span class, SPANS spans of two slots, MUTS mutators with a P and a root slot
 * each, the background sweeper, and cycles. What a root reaches must not be freed
 * or handed out again; a span belongs to one at a time and is swept once a cycle;
 * marking begins when all are swept, with clear mark bits, and none is ahead; what
 * nobody reaches is gone two cycles later.
 *
 * What the model does under a function's name, mcache.c, mcentral.c, mgcsweep.c and
 * mgc.c do. heap_lock is held around a refill, a piece of sweeping, the sweeping of
 * one's own span, and a stop; allocating from a span that one has takes no lock, nor
 * does bringing one into use that was taken ahead. A P has one of those, and one full
 * span that it has put aside; in the core eight of each.
 * Marking is one step, at the start: barrier.pml is about the rest.
 *
 * Switches (-D...):
 *
 *   SPANS, MUTS, CYCLES  how many of each; CYCLES while the mutators run
 *   OPS=k          at most k steps a mutator
 *   AHEAD          a refill takes a span ahead, if it may; or it doesn't
 *   ALWAYS         whenever it may
 *   SPARE          with AHEAD: a refill may sweep for a debt, and keeps what is empty
 *   SPLIT          no heap_lock: sweepgen and the sets alone keep them apart
 *   LAZY           a P's mcache is flushed when the P is next used, not in the stop
 *   NO_FLUSH       it is not flushed at all
 *   NO_STALE       a span that was cached before the sweep began goes back unswept
 *   WRONG_SET      a swept span goes back to where it was
 *   KEEP_SET       a span that is swept out of turn stays in its set
 *   PUSH_KEPT      a span that is swept for a P goes to a set, too
 *   NO_CLEAR       sweeping leaves the marks as they are
 *   NO_SWEEP       a span is taken for a P without sweeping it
 *   EARLY_MARK     a cycle begins before all is swept
 *   NO_END_AHEAD   a stop leaves what is ahead
 *   END_EARLY      the stop that begins a cycle gives it back before all stand
 *   END_LATE       that stop leaves it, and the one that ends the cycle gives it back
 *   NO_END_SPARE   a stop leaves what was kept when it was swept for a debt
 *   NO_SETTLE      a full span that was put aside is not given to its set
 *   TAKE_MARKING   spans are taken ahead while there is marking, too
 */
#ifndef SPANS
#define SPANS 2
#endif
#ifndef MUTS
#define MUTS 2
#endif
#ifndef CYCLES
#define CYCLES 2
#endif
#ifndef OPS
#define OPS 3
#endif

#define NIL    0
#define FREE   0   /* the page heap's */
#define CACHED 1   /* a P's */
#define HANDS  2   /* somebody has popped it */
#define SETS   3   /* and on: partial of one half, full of it, the other half's */
#define SWEPT   ((h / 2) & 1)
#define UNSWEPT (1 - SWEPT)
#define partial(half) (SETS + 2 * (half))
#define full_of(half) (SETS + 2 * (half) + 1)

byte h = 2;                /* the heap's sweepgen; +2 a cycle */
byte gen[SPANS];
byte where[SPANS];
byte owners[SPANS];        /* how many think that they have it */
byte alloc[SPANS], mark[SPANS];   /* of two slots: bits */
byte cached[MUTS];         /* span + 1; NIL */
#ifdef AHEAD
byte ready[MUTS];          /* likewise: taken ahead, not yet in use */
byte aside[MUTS];          /* and full, not yet given back: gh_ahead.full */
byte spare[MUTS];          /* swept for a debt, empty, in no set: in somebody's hands */
#endif
byte flush_gen[MUTS];
byte root[MUTS];           /* 2 * span + slot + 1; NIL */
bool marking, drained = true;
bool lock;                 /* heap_lock */
bool inside[MUTS];         /* in the middle of a step: the stop waits */
bool sweeping;             /* so is the sweeper */
bool stopping;
byte ended;                /* mutators */
bool over;

#define span_of(o) (((o) - 1) / 2)
#define bit_of(o)  (1 << (((o) - 1) & 1))

#ifdef SPLIT
#define gh_lock   skip
#define gh_unlock skip
#else
#define gh_lock   atomic { !lock -> lock = true }
#define gh_unlock lock = false
#endif

/* What a root reaches is allocated. */
inline check_roots() {
    assert(root[0] == NIL || (alloc[span_of(root[0])] & bit_of(root[0])));
#if MUTS > 1
    assert(root[1] == NIL || (alloc[span_of(root[1])] & bit_of(root[1])))
#endif
}

#if SPANS > 2
#define none_in(set) (where[0] != set && where[1] != set && where[2] != set)
#else
#define none_in(set) (where[0] != set && where[1] != set)
#endif

/* gh_spanset_pop: some span of the set, or NIL. Order is of no account here. */
inline pop(set, s) {
    if
    :: where[0] == set -> s = 1
    :: where[1] == set -> s = 2
#if SPANS > 2
    :: where[2] == set -> s = 3
#endif
    :: none_in(set) -> s = NIL
    fi;
    if
    :: s != NIL ->
        owners[s - 1]++;
        assert(owners[s - 1] == 1);
        where[s - 1] = HANDS
    :: else
    fi
}

/* gh_spanset_push */
inline push(set, s) {
    assert(where[s - 1] == HANDS && owners[s - 1] == 1);
    owners[s - 1]--;
    where[s - 1] = set
}

/* popped from an unswept set: it is ours to sweep */
#define begin_sweep(s) \
    assert(gen[s - 1] == h - 2); \
    gen[s - 1] = h - 1

/* where a swept span goes */
inline put_back(s, half) {
    if
    :: alloc[s - 1] == 0 ->
        /* gh_mheap_free_span */
        assert(owners[s - 1] == 1);
        owners[s - 1]--; where[s - 1] = FREE; alloc[s - 1] = 0
    :: else ->
        if
        :: alloc[s - 1] == 3 -> push(full_of(half), s)
        :: else -> push(partial(half), s)
        fi
    fi
}

/* gh_mspan_sweep, whose caller has set the sweepgen */
inline sweep(s, preserve) {
    atomic {
        assert(gen[s - 1] == h - 1);
        assert(owners[s - 1] == 1);
        assert(where[s - 1] == HANDS);
        assert((mark[s - 1] & ~alloc[s - 1]) == 0)  /* check_zombies */
    }
    atomic {
        alloc[s - 1] = mark[s - 1];
#ifndef NO_CLEAR
        mark[s - 1] = 0;
#endif
        gen[s - 1] = h;
        check_roots()
    }
    atomic {
        if
        :: preserve ->
#ifdef PUSH_KEPT
            where[s - 1] = partial(SWEPT)
#endif
            skip
        :: else ->
#ifdef WRONG_SET
            put_back(s, UNSWEPT)
#else
            put_back(s, SWEPT)
#endif
        fi
    }
}

/* gh_sweepone: says in s whether there was one */
inline sweepone(s) {
    atomic {
        pop(full_of(UNSWEPT), s);
        if
        :: s == NIL -> pop(partial(UNSWEPT), s)
        :: else
        fi;
        if
        :: s == NIL -> drained = true
        :: else -> begin_sweep(s)
        fi
    };
    if
    :: s != NIL -> sweep(s, false)
    :: else
    fi
}

/* gh_mcentral_uncache_span, of what is in `from`, a place of an mcache */
inline uncache(from, s) {
    atomic {
        s = from; from = NIL;
        assert(where[s - 1] == CACHED && owners[s - 1] == 1);
        where[s - 1] = HANDS
    };
    if
#ifndef NO_STALE
    :: gen[s - 1] == h + 1 -> atomic { gen[s - 1] = h - 1 }; sweep(s, false)
#endif
    :: else -> atomic {
        assert(alloc[s - 1] != 0);
        gen[s - 1] = h;
        put_back(s, SWEPT)
       }
    fi
}

/* gh_mcentral_cache_span, for the place `to`: from_unswept, from_spare, gh_mheap_alloc */
inline cache_span(m, to, s) {
    atomic { pop(partial(SWEPT), s) };
    if
    :: s == NIL ->
        atomic {
            pop(partial(UNSWEPT), s);
            if
#ifdef NO_SWEEP
            :: s != NIL
#else
            :: s != NIL -> begin_sweep(s)
#endif
            :: else
            fi
        };
        if
        :: s != NIL ->
#ifndef NO_SWEEP
            sweep(s, true)
#endif
            skip
        :: else ->
            atomic {
                pop(full_of(UNSWEPT), s);
                if
                :: s != NIL -> begin_sweep(s)
                :: else
                fi
            };
            if
            :: s != NIL ->
                sweep(s, true);
                if
                :: alloc[s - 1] == 3 ->
                    atomic { push(full_of(SWEPT), s); s = NIL }
                :: else
                fi
            :: else
            fi
        fi
    :: else
    fi;
#ifdef SPARE
    if
    :: s == NIL -> s = spare[m]; spare[m] = NIL
    :: else
    fi;
#endif
    atomic {
        if
        :: s == NIL ->
            pop(FREE, s);
            if
            :: s != NIL -> gen[s - 1] = h; alloc[s - 1] = 0; mark[s - 1] = 0
            :: else
            fi
        :: else
        fi;
        if
        :: s != NIL ->
            assert(alloc[s - 1] != 3);
            gen[s - 1] = h + 3;
            assert(owners[s - 1] == 1);
            where[s - 1] = CACHED; to = s
        :: else  /* out of memory */
        fi
    }
}

#ifdef AHEAD
/* settle, under heap_lock or in a stop */
inline settle(m, s) {
    if
    :: aside[m] != NIL ->
#ifdef NO_SETTLE
        aside[m] = NIL
#else
        assert(gen[aside[m] - 1] == h + 3 && alloc[aside[m] - 1] == 3);
        uncache(aside[m], s)
#endif
    :: else
    fi
}

/* end_ready, under heap_lock or in a stop */
inline end_ready(m, s) {
    settle(m, s);
    if
    :: ready[m] != NIL ->
        if
        :: alloc[ready[m] - 1] != 0 -> uncache(ready[m], s)
        :: else ->
            atomic {
                s = ready[m]; ready[m] = NIL;
                assert(where[s - 1] == CACHED && owners[s - 1] == 1);
                gen[s - 1] = h;
                owners[s - 1]--; where[s - 1] = FREE  /* gh_mheap_free_span */
            }
        fi
    :: else
    fi
}

/* gh_mcache_end_ahead, likewise */
inline end_ahead(m, s) {
    end_ready(m, s);
    if
#ifndef NO_END_SPARE
    :: spare[m] != NIL ->
        atomic {
            s = spare[m]; spare[m] = NIL;
            assert(where[s - 1] == HANDS && owners[s - 1] == 1 && alloc[s - 1] == 0);
            owners[s - 1]--; where[s - 1] = FREE  /* gh_mheap_free_span */
        }
#endif
    :: else
    fi
}

#ifdef TAKE_MARKING
#define may_take_ahead (!stopping)
#else
#define may_take_ahead (!stopping && !marking)
#endif

/* sweep_for_debt */
inline sweep_for_debt(m, s) {
    atomic {
        pop(full_of(UNSWEPT), s);
        if
        :: s == NIL -> pop(partial(UNSWEPT), s)
        :: else
        fi;
        if
        :: s != NIL -> begin_sweep(s)
        :: else
        fi
    };
    if
    :: s != NIL ->
        sweep(s, true);
        if
        :: alloc[s - 1] == 0 -> spare[m] = s
        :: else -> atomic { put_back(s, SWEPT) }
        fi;
        s = NIL
    :: else
    fi
}

/* gh_mcache_take_ahead */
inline take_ahead(m, s) {
    if
    :: cached[m] != NIL && may_take_ahead ->
        assert(ready[m] == NIL && aside[m] == NIL);
        cache_span(m, ready[m], s)
#ifdef ALWAYS
    :: else
#else
    :: true
#endif
    fi
}

/* gh_mcache_refill_ahead, without heap_lock */
inline refill_ahead(m, s) {
    atomic {
        s = ready[m];
        assert(aside[m] == NIL);
        aside[m] = cached[m]
    }
    ready[m] = NIL;
    cached[m] = s
}

/* gh_stop_world, when all stand */
inline end_all_ahead(i, s) {
    i = 0;
    do
    :: i < MUTS -> end_ahead(i, s); i++
    :: else -> break
    od
}
#endif

/* gh_mcache_prepare_for_sweep */
inline prepare_for_sweep(m, s) {
    if
#ifndef NO_FLUSH
    :: flush_gen[m] != h ->
        assert(flush_gen[m] == h - 2);
#if defined(AHEAD) && !defined(NO_END_AHEAD)
        end_ahead(m, s);
#endif
        if
        :: cached[m] != NIL -> uncache(cached[m], s)
        :: else
        fi;
        flush_gen[m] = h
#endif
    :: else
    fi
}

proctype mutator(byte m)
{
    byte s, b, ops;
    do
    :: ops < OPS ->
        atomic { !stopping -> inside[m] = true; ops++ };
#ifdef LAZY
        gh_lock;
        prepare_for_sweep(m, s);
        gh_unlock;
        s = NIL;
#endif
        if
        :: true ->  /* allocate */
            if
#ifdef AHEAD
            :: ready[m] != NIL && alloc[cached[m] - 1] == 3 -> refill_ahead(m, s)
            :: ready[m] == NIL && (cached[m] == NIL || alloc[cached[m] - 1] == 3) ->
#else
            :: cached[m] == NIL || alloc[cached[m] - 1] == 3 ->
#endif
                gh_lock;  /* gh_mcache_refill */
#ifdef AHEAD
                settle(m, s);
#endif
                if
                :: cached[m] != NIL ->
#ifndef NO_FLUSH
                    assert(gen[cached[m] - 1] == h + 3);
#endif
                    uncache(cached[m], s)
                :: else
                fi;
#ifdef SPARE
                if
                :: spare[m] == NIL && may_take_ahead -> sweep_for_debt(m, s)
                :: true
                fi;
#endif
                cache_span(m, cached[m], s);
#ifdef AHEAD
                take_ahead(m, s);
#endif
                gh_unlock
            :: else
            fi;
            atomic {
                s = cached[m];
                if
                :: s != NIL ->
                    b = ((alloc[s - 1] & 1) -> 2 : 1);
                    s = 2 * (s - 1) + b;  /* the object */
                    /* nobody has it */
#if MUTS > 1
                    assert(root[0] != s && root[1] != s);
#endif
                    alloc[span_of(s)] = alloc[span_of(s)] | b;
                    if
                    :: marking -> mark[span_of(s)] = mark[span_of(s)] | b
                    :: else
                    fi;
                    root[m] = s
                :: else
                fi;
                s = NIL; b = 0
            }
#ifdef AHEAD
        :: ready[m] != NIL || aside[m] != NIL ->
            gh_lock;  /* a refill of another class, which may need the room */
            settle(m, s);
            if
            :: ready[m] != NIL -> end_ready(m, s)
            :: true
            fi;
            gh_unlock;
            s = NIL
#endif
        :: root[m] != NIL -> /* a look at the object, then drop it */
            atomic { check_roots(); root[m] = NIL }
        :: root[m] != NIL -> /* gh_ensure_swept, to attach something */
            gh_lock;
#ifdef SPLIT
            gen[span_of(root[m])] != h - 1;
#endif
            atomic {
                s = span_of(root[m]) + 1;
                if
                :: gen[s - 1] == h - 2 ->
                    gen[s - 1] = h - 1;
                    owners[s - 1]++;
                    assert(owners[s - 1] == 1);
#ifndef KEEP_SET
                    where[s - 1] = HANDS
#endif
                    skip
                :: else -> s = NIL
                fi
            };
            if
            :: s != NIL ->
#ifdef KEEP_SET
                atomic {
                    alloc[s - 1] = mark[s - 1]; mark[s - 1] = 0;
                    gen[s - 1] = h; owners[s - 1]--
                }
#else
                sweep(s, false)
#endif
            :: else
            fi;
            gh_unlock;
            s = NIL
#if MUTS > 1
        :: root[1 - m] != NIL && root[m] == NIL -> /* the other's object, too */
            atomic { if :: root[1 - m] != NIL -> root[m] = root[1 - m] :: else fi }
#endif
        fi;
        inside[m] = false
    :: break
    od;
    atomic { root[m] = NIL; ended++; ops = 0 }
}

proctype sweeper()
{
    byte s;
    do
    :: over -> break
    :: !drained && !over ->
        atomic { !stopping && !lock -> sweeping = true };
        gh_lock;
        if
        :: drained
        :: else -> sweepone(s)
        fi;
        gh_unlock;
        atomic { sweeping = false; s = NIL }
    od
}

#if MUTS > 1
#define all_stand (!inside[0] && !inside[1] && !sweeping && !lock)
#else
#define all_stand (!inside[0] && !sweeping && !lock)
#endif

proctype collector()
{
    byte n, i, s;
    do
    :: n < CYCLES + 2 ->
        if
        :: n >= CYCLES -> ended == MUTS
        :: else
        fi;
        n++;
        /* begin_cycle, in a stop */
        stopping = true;
#ifdef END_EARLY
        gh_lock;
        end_all_ahead(i, s);
        gh_unlock;
#endif
        all_stand;
#if defined(AHEAD) && !defined(NO_END_AHEAD) && !defined(END_EARLY) && !defined(END_LATE)
        end_all_ahead(i, s);
#endif
#ifdef LAZY
        i = 0;
        do
        :: i < MUTS -> prepare_for_sweep(i, s); i++
        :: else -> break
        od;
#endif
#ifndef EARLY_MARK
        do /* sweep_termination */
        :: drained -> break
        :: else -> sweepone(s)
        od;
#endif
        atomic {
            i = 0;
            do
            :: i < SPANS ->
                assert(where[i] != HANDS);
                assert(where[i] == FREE || gen[i] == (where[i] == CACHED -> h + 3 : h));
                assert(where[i] == FREE || mark[i] == 0);
                assert(owners[i] == (where[i] == CACHED -> 1 : 0));
                i++
            :: else -> break
            od;
            i = 0;
            do
            :: i < MUTS ->
#if defined(AHEAD) && !defined(NO_END_AHEAD) && !defined(END_LATE)
                assert(ready[i] == NIL && aside[i] == NIL && spare[i] == NIL);
#endif
#ifndef NO_FLUSH
                assert(flush_gen[i] == h);
#endif
                if
                :: root[i] != NIL ->
                    mark[span_of(root[i])] = mark[span_of(root[i])] | bit_of(root[i])
                :: else
                fi;
                i++
            :: else -> break
            od;
            marking = true; stopping = false; i = 0; s = NIL
        };
        /* end_cycle, in another; gc_sweep */
        stopping = true;
        all_stand;
#if defined(AHEAD) && !defined(NO_END_AHEAD)
        end_all_ahead(i, s);
#endif
        atomic { marking = false; h = h + 2; drained = false };
#ifndef LAZY
        i = 0;
        do /* flush_after_cycle */
        :: i < MUTS -> prepare_for_sweep(i, s); i++
        :: else -> break
        od;
#endif
        atomic { stopping = false; i = 0; s = NIL }
    :: else -> break
    od;
    /* All is garbage, and two cycles have ended since. */
    do
    :: drained -> break
    :: else
    od;
    atomic {
        over = true;
        i = 0;
        do
        :: i < SPANS -> assert(where[i] == FREE || where[i] == CACHED); i++
        :: else -> break
        od
    }
}

init {
    byte i;
    atomic {
        do
        :: i < MUTS -> flush_gen[i] = h; run mutator(i); i++
        :: else -> i = 0; break
        od;
        run sweeper(); run collector()
    }
}
