/* buffers.pml - grey objects on their way from P to P, and workers that wait for
 * them, for Spin.
 *
 * The first of N objects is grey and points to all others; two workers and a mutator that assists,
 * each with a P and its queue of buffers of ROOM entries. Every object must be
 * scanned once, every buffer be in one place, and the cycle must end: nobody
 * sleeps for ever. In C a sleeping worker looks anew after a millisecond; here
 * only wake-ups end a sleep.
 *
 * What the model does under a function's name, mgcpar.c, mgcwork.c and mgcbg.c do.
 * Steps within work_lock are taken apart; what only the holder of a P sees is one
 * step. Asking the Ps, the stop and the end are one step: termination.pml has them.
 *
 * Switches (-D...):
 *
 *   N, ROOM, ASSISTS  objects; entries in a buffer; how often the mutator assists
 *   NO_LOCK        take_full does not take work_lock
 *   NO_FLAG        push_full does not say that there is a buffer
 *   FLAG_CLEARED   take_full says that there is none left
 *   SHARE_HALF     who gives half away keeps as many as it gave
 *   FLUSH_TOP      what is handed on is the top buffer alone
 *   NO_RECHECK     a worker goes to sleep without a last look
 *   NO_ASSIST_WAKE a mutator that ends an assist wakes nobody
 */
#ifndef N
#define N 4
#endif
#ifndef ROOM
#define ROOM 3
#endif
#ifndef ASSISTS
#define ASSISTS 1
#endif

#define WORKERS 2
#define PS      3     /* the last one is the mutator's */
#define MIN_SHARE 2
#define NB      9     /* buffers 1..NB-1 */
#define NIL     0

typedef buf { byte at[ROOM]; byte n; byte below };
buf b[NB];
byte made;       /* buffers that the OS has given */
byte top[PS], spares[PS];   /* a queue, and its own empty ones */
byte list, spare;     /* the heap's: full ones, empty ones */
bool has_full;        /* conc.has_full */
bool work_lock;
byte scanned[N + 1];

byte nactive;         /* conc.active */
byte hungry;
bool lock;            /* the heap's lock: it goes with bg_cond */
bool asleep[WORKERS];
bool busy[PS];        /* between two safepoints */
bool marking = true;

#define gh_lock(l)   atomic { !l -> l = true }
#define gh_unlock(l) l = false

/* new_buf: own, the heap's, or the OS's */
inline new_buf(p, r) {
    if
    :: spares[p] != NIL -> r = spares[p]; spares[p] = b[r].below
    :: else ->
        gh_lock(work_lock);
        atomic {
            r = spare;
            if
            :: r != NIL -> spare = b[r].below
            :: else -> made++; assert(made < NB); r = made
            fi;
            gh_unlock(work_lock)
        }
    fi;
    b[r].n = 0; b[r].below = NIL
}

/* gh_mark_room, queue */
inline put(p, v, r) {
    if
    :: b[top[p]].n == ROOM -> new_buf(p, r); b[r].below = top[p]; top[p] = r
    :: else
    fi;
    b[top[p]].at[b[top[p]].n] = v;
    b[top[p]].n++;
    r = 0
}

/* scan_object */
inline scan_one(p, x, r) {
    b[top[p]].n--;
    x = b[top[p]].at[b[top[p]].n];
    b[top[p]].at[b[top[p]].n] = 0;
    scanned[x]++;
    assert(scanned[x] == 1);
    if
    :: x == 1 ->
        do
        :: x < N -> x++; put(p, x, r)
        :: else -> break
        od
    :: else
    fi;
    x = 0
}

inline push_full(r) {
    b[r].below = list;
    list = r;
#ifndef NO_FLAG
    has_full = true;
#endif
    skip
}

/* take_full; says in r whether there was one */
inline take_full(p, r) {
    if
    :: has_full ->
#ifndef NO_LOCK
        gh_lock(work_lock);
#endif
        r = list;
        if
        :: r != NIL ->
            list = b[r].below;
            if
#ifdef FLAG_CLEARED
            :: true -> has_full = false
#else
            :: list == NIL -> has_full = false
            :: else
#endif
            fi;
            atomic {
                b[r].below = NIL;
                b[top[p]].below = spare; spare = top[p];   /* keep_spare */
                top[p] = r
            }
        :: else
        fi;
#ifndef NO_LOCK
        gh_unlock(work_lock);
#endif
        skip
    :: else -> r = NIL
    fi
}

/* gh_par_share */
inline share(p, r, k) {
    if
    :: has_full -> r = NIL
    :: !has_full && b[top[p]].below != NIL ->
        atomic { r = b[top[p]].below; b[top[p]].below = b[r].below; b[r].below = NIL }
    :: !has_full && b[top[p]].below == NIL && b[top[p]].n >= MIN_SHARE ->
        atomic {
            new_buf(p, r);
            k = b[top[p]].n / 2;
            /* the older half: one entry, of two or three */
            b[r].at[0] = b[top[p]].at[0]; b[r].n = k;
            b[top[p]].at[0] = b[top[p]].at[1];
#if ROOM > 2
            b[top[p]].at[1] = b[top[p]].at[2];
            b[top[p]].at[2] = 0;
#endif
#ifdef SHARE_HALF
            b[top[p]].n = k;
#else
            b[top[p]].n = b[top[p]].n - k;
#endif
            k = 0
        }
    :: else -> r = NIL
    fi;
    if
    :: r != NIL -> gh_lock(work_lock); push_full(r); gh_unlock(work_lock); r = NIL
    :: else
    fi
}

/* gh_par_flush */
inline flush(p, r, k) {
    if
    :: b[top[p]].n == 0 && b[top[p]].below == NIL
    :: else ->
        k = NIL;
        if
        :: b[top[p]].n != 0 -> atomic { new_buf(p, k) }
        :: else
        fi;
        gh_lock(work_lock);
        atomic {
            r = top[p];
            if
            :: b[r].n == 0 -> r = b[r].below; b[top[p]].below = NIL
            :: else -> top[p] = k
            fi;
            k = NIL
        };
        do
        :: r != NIL ->
            atomic { k = b[r].below; push_full(r); r = k; k = NIL };
#ifdef FLUSH_TOP
            r = NIL;
#endif
            skip
        :: else -> break
        od;
        gh_unlock(work_lock)
    fi
}

/* wake_hungry */
inline wake() {
    gh_lock(lock);
    atomic { asleep[0] = false; asleep[1] = false };
    gh_unlock(lock)
}

#define queue_is_empty(p) (b[top[p]].n == 0 && b[top[p]].below == NIL)
#define all_empty (queue_is_empty(0) && queue_is_empty(1) && queue_is_empty(2))

/* gh_par_drain for one object; says in r: it was the last one */
inline drain(p, x, r) {
    if
    :: queue_is_empty(p) -> take_full(p, r)
    :: else
    fi;
    r = NIL;
    if
    :: queue_is_empty(p) -> r = 1
    :: else -> atomic {
        if
        :: b[top[p]].n == 0 -> /* gh_gcwork_pop_buf */
            r = top[p]; top[p] = b[r].below;
            b[r].below = spares[p]; spares[p] = r
        :: else
        fi;
        r = NIL;
        scan_one(p, x, r);
        r = NIL
       }
    fi
}

/* feed: gives to who is hungry */
inline feed(p, r, k) {
    if
    :: hungry > 0 ->
        share(p, r, k);
        if
        :: has_full -> wake()
        :: else
        fi
    :: else
    fi
}

proctype worker(byte p)
{
    byte x, r, k;
    do
    :: !marking -> break
    :: marking -> /* mark_a_while */
        if
        :: has_full -> /* run */
            busy[p] = true;
            nactive++;
            do
            :: drain(p, x, r);
               if
               :: r == 1 -> r = NIL; break
               :: else ->
                   feed(p, r, k);
                   if
                   :: true
                   :: true -> break  /* its share is over */
                   fi
               fi
            od;
            flush(p, r, k);
            nactive--;
            busy[p] = false
        :: else
        fi;
        if
        :: marking && nactive == 0 && !has_full -> /* end_if_over */
            atomic {
                !busy[0] && !busy[1] && !busy[2] ->
                if
                :: !has_full && all_empty ->
                    if
                    :: marking ->
                        k = 1;
                        do
                        :: k <= N -> assert(scanned[k] == 1); k++
                        :: else -> k = NIL; break
                        od;
                        assert(list == NIL);
                        marking = false
                    :: else
                    fi
                :: else -> flush(PS - 1, r, k)   /* gh_flush_all */
                fi;
                r = NIL
            };
            wake()
        :: else
        fi;
        gh_lock(lock); /* doze_hungry */
        hungry++;
        if
#ifdef NO_RECHECK
        :: marking ->
#else
        :: marking && !has_full && nactive > 0 ->
#endif
            atomic { asleep[p] = true; gh_unlock(lock) };
            !asleep[p];
            gh_lock(lock)
        :: else
        fi;
        hungry--;
        gh_unlock(lock)
    od
}

proctype mutator(byte p)
{
    byte x, r, k, i;
    do
    :: i < ASSISTS && marking -> /* assist */
        i++;
        atomic { busy[p] = true };
        nactive++;
        do
        :: drain(p, x, r);
           if
           :: r == 1 -> r = NIL; break
           :: else -> feed(p, r, k); if :: true :: true -> break fi
           fi
        od;
        nactive--;
        busy[p] = false;
        if
#ifndef NO_ASSIST_WAKE
        :: nactive == 0 && hungry > 0 -> wake()
#endif
        :: else
        fi
    :: else -> break
    od
}

init {
    atomic {
        top[0] = 1; top[1] = 2; top[2] = 3;
        /* the roots: in the heap's list */
        made = 4; b[4].at[0] = 1; b[4].n = 1; list = 4; has_full = true;
        run worker(0); run worker(1); run mutator(2)
    }
}
