/* termination.pml - when a cycle's marking is over, for Spin.
 *
 * Mutators and workers, a P for each; N objects of one pointer word in a chain;
 * every mutator has one root slot, on the first object. A cycle has begun: the
 * barrier is on, the slots are still to be looked at. When a worker ends the cycle
 * nothing may be grey anywhere, and all that the slots reach must be marked.
 *
 * What the model does under a function's name, mgcbg.c, mgcpar.c and safepoint.c
 * do. One step here is what others cannot come between there: a critical section,
 * what only the holder of a P sees, a whole store (barrier.pml takes stores
 * apart). Whoever waits goes on when it can: lost wake-ups are parking.pml's.
 *
 * Switches (-D...):
 *
 *   MUTS, WORKERS, N   how many of each
 *   OPS=k        at most k steps a mutator
 *   NO_LOOK      in the stop nobody looks once more at what the Ps have
 *   NO_RAGGED    the Ps are not asked before the stop
 *   NO_WB        what is handed on leaves the barrier's buffer out
 *   END_TWICE    in the stop the phase is not looked at
 *   NO_ENDING    two may suspect the end at the same time
 *   IDLE_EARLY   a worker says that it is idle, and then hands on what it has
 */
#ifndef MUTS
#define MUTS 2
#endif
#ifndef WORKERS
#define WORKERS 1
#endif
#ifndef N
#define N 3
#endif
#ifndef OPS
#define OPS 3
#endif

#define PS  (MUTS + WORKERS)
#define NOBODY 255
#define bit(o) (((1 << (o)) >> 1))   /* of object 1..N; 0 of nil */

byte f[N + 1];       /* the word of an object; 0: nil */
byte marked, black;  /* sets of objects; grey is marked and not black */
byte slot[MUTS];
byte wb[PS];         /* a P's barrier buffer: a set */
byte q[PS];          /* its queue */
byte list;           /* the heap's list of full buffers */
bool has_roots = true;
byte root;           /* the next slot to look at */

bool held[PS], standing[PS], wanted[PS];   /* wanted: flush_wanted */
bool stopping;
byte stopper = NOBODY;
byte nactive;
bool flushed, ending;
bool marking = true;
byte ends;

#define has_work (list != 0 || has_roots)

/* shade_buffer */
inline shade(p) {
    q[p] = q[p] | (wb[p] & ~marked);
    marked = marked | wb[p];
    wb[p] = 0
}

/* gh_par_flush; says in any whether there was something */
inline flush(p, any) {
#ifndef NO_WB
    shade(p);
#endif
    if
    :: q[p] != 0 -> list = list | q[p]; q[p] = 0; any = true
    :: else
    fi
}

/* hand_on */
inline hand_on(p) {
    if
    :: wanted[p] -> wanted[p] = false; flush(p, flushed)
    :: else
    fi
}

/* gh_safepoint, gh_poll: look */
inline safepoint(p) {
    if
    :: stopping && stopper != p ->
        atomic { standing[p] = true };
        atomic { !stopping; standing[p] = false; hand_on(p) }
    :: wanted[p] -> atomic { hand_on(p) }
    :: else
    fi
}

/* gh_par_drain, until nothing is left or something was scanned */
inline drain(p, x, c, none) {
    atomic {
        shade(p);
        if
        :: q[p] == 0 && list != 0 -> q[p] = list; list = 0   /* take_full */
        :: else
        fi;
        if
        :: q[p] == 0 && has_roots ->                  /* mark_some_roots */
            if
            :: root < MUTS ->
                c = slot[root]; root++;
                q[p] = bit(c) & ~marked; marked = marked | bit(c)
            :: else -> has_roots = false
            fi
        :: else
        fi;
        if
        :: q[p] & 1 -> x = 1
        :: q[p] & 2 -> x = 2
        :: q[p] & 4 -> x = 3
        :: q[p] == 0 -> x = 0
        fi;
        q[p] = q[p] & ~bit(x);
        none = (x == 0 && !has_roots && list == 0);
        c = 0
    };
    if
    :: x != 0 ->
        atomic { c = f[x] };
        atomic {
            q[p] = q[p] | (bit(c) & ~marked);
            marked = marked | bit(c);
            black = black | bit(x);
            x = 0; c = 0
        }
    :: else
    fi
}

#define stands(i) (i == p || !held[i] || standing[i])
#if MUTS + WORKERS == 2
#define all_stand (stands(0) && stands(1))
#define none_wanted (!wanted[0] && !wanted[1])
#define queues (q[0] | q[1] | list)
#define buffers (wb[0] | wb[1])
#else
#define all_stand (stands(0) && stands(1) && stands(2))
#define none_wanted (!wanted[0] && !wanted[1] && !wanted[2])
#define queues (q[0] | q[1] | q[2] | list)
#define buffers (wb[0] | wb[1] | wb[2])
#endif

#ifdef NO_ENDING
#define take_ending skip
#else
#define take_ending atomic { !ending -> ending = true }
#endif

/* stand: go on when the world does */
#define stand(p)                                              \
    do                                                        \
    :: stopping && stopper != p ->                            \
        atomic { standing[p] = true };                        \
        atomic { !stopping; standing[p] = false }             \
    :: else -> break                                          \
    od

/* gh_flush_all */
inline flush_all(p, any, i) {
    atomic { any = false; flush(p, any) };
    atomic {
        !stopping || stopper == p ->
        i = 0;
        do
        :: i < PS -> wanted[i] = (i != p); i++
        :: else -> i = 0; break
        od
    };
    do
    :: atomic { wanted[0] && !held[0] && !stopping -> wanted[0] = false; flush(0, any) }
    :: atomic { wanted[1] && !held[1] && !stopping -> wanted[1] = false; flush(1, any) }
#if MUTS + WORKERS > 2
    :: atomic { wanted[2] && !held[2] && !stopping -> wanted[2] = false; flush(2, any) }
#endif
    :: stopping && stopper != p -> stand(p)
    :: atomic { none_wanted -> any = any | flushed; flushed = false } break
    od
}

/* end_if_over */
inline end_if_over(p, any, i, x, c) {
    if
    :: marking && nactive == 0 && !has_work ->
        if
        :: take_ending;
            if
#ifndef NO_RAGGED
            :: flush_all(p, any, i)
#endif
            :: any = false  /* a small cycle: nobody is asked */
            fi;
            if
            :: !any && nactive == 0 && !has_work ->
                /* gh_stop_world */
                do
                :: stopping -> stand(p)
                :: atomic { !stopping -> stopping = true; stopper = p } break
                od;
                all_stand;
                atomic {
                    any = has_work;
#ifndef NO_LOOK
                    i = 0;
                    do
                    :: i < PS -> flush(i, any); i++
                    :: else -> i = 0; break
                    od;
#endif
                    if
#ifdef END_TWICE
                    :: !any ->
#else
                    :: !any && marking ->
#endif
                        /* gh_gc_end_marking */
                        ends++;
                        assert(ends == 1);
                        assert(queues == 0 && marked == black);
                        assert((buffers & ~marked) == 0);
                        i = 0;
                        do
                        :: i < MUTS ->
                            x = slot[i];
                            do
                            :: x != 0 -> assert(marked & bit(x)); x = f[x]
                            :: else -> break
                            od;
                            i++
                        :: else -> i = 0; break
                        od;
                        marking = false
                    :: else
                    fi;
                    ending = false;  /* before the next cycle may begin */
                    stopping = false; stopper = NOBODY
                }
            :: else -> ending = false
            fi
        :: ending
        fi;
        any = false
    :: else
    fi
}

proctype mutator(byte p)
{
    byte x, c, i, ops;
    bool none, any;
    do
    :: atomic { ops < OPS && marking && slot[p] != 0 -> /* load the word */
        ops++;
        wb[p] = wb[p] | bit(slot[p]);
        slot[p] = f[slot[p]]
       }
    :: atomic { ops < OPS && marking && slot[p] != 0 -> /* and cut it */
        ops++;
        x = slot[p];
        wb[p] = wb[p] | bit(f[x]) | bit(x);
        slot[p] = f[x]; f[x] = 0; x = 0
       }
    :: atomic { ops < OPS && marking && wb[p] != 0 -> /* the buffer is full */
        ops++;
        shade(p)
       }
    :: atomic { ops < OPS && marking -> /* assist */
        ops++; nactive++
       }
       do
       :: drain(p, x, c, none);
          safepoint(p);
          if
          :: none || !marking -> break
          :: true -> break
          :: true
          fi
       od;
       nactive--;
       if
       :: none -> end_if_over(p, any, i, x, c)
       :: else
       fi
    :: ops < OPS && marking && (stopping || wanted[p]) -> safepoint(p)
    :: break
    od;
    /* gh_conc_leave: it may have seen that something is wanted, or not */
    atomic {
        if
        :: hand_on(p)
        :: true
        fi;
        held[p] = false; none = 0; ops = 0
    }
}

proctype worker(byte p)
{
    byte x, c, i;
    bool none, any;
    do
    :: !marking -> break
    :: marking ->
        if
        :: has_work || nactive == 0 ->
            /* gh_claim_p */
            atomic { !stopping && !held[p] -> held[p] = true };
            if
            :: has_work ->
                nactive++;
                do
                :: !marking -> break
                :: marking ->
                    drain(p, x, c, none);
                    if
                    :: none -> break
                    :: true -> safepoint(p)
                    :: safepoint(p); break  /* its share is over */
                    fi
                od;
#ifdef IDLE_EARLY
                nactive--;
                atomic { flush(p, any); any = false }
#else
                atomic { flush(p, any); any = false };
                nactive--
#endif
            :: else
            fi;
            end_if_over(p, any, i, x, c);
            /* gh_unclaim_p */
            stand(p);
            atomic { hand_on(p); held[p] = false; none = 0 }
        fi
    od
}

init {
    byte i;
    atomic {
        i = 1;
        do
        :: i < N -> f[i] = i + 1; i++
        :: else -> i = 0; break
        od;
        do
        :: i < MUTS -> slot[i] = 1; held[i] = true; run mutator(i); i++
        :: i >= MUTS && i < PS -> run worker(i); i++
        :: else -> i = 0; break
        od
    }
}
