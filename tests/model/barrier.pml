/* barrier.pml - the write barrier and the root slots, for Spin.
 *
 * Two mutators, one collector, N objects of one pointer word each, H root slots
 * a mutator, one cycle. At the end of marking every object that a slot reaches
 * must be marked; nothing else is asked. Any graph may stand at the start.
 *
 * Steps that others may come between: a store reads the old word, shades it,
 * shades the new one, writes; blackening reads the word, then shades. What the
 * core does in one piece is one step here: a write to a slot with its barrier,
 * an allocation, the scan of one slot. Memory is sequentially consistent.
 *
 * A dropped handle (slots.h) keeps its object until it is drained: the step
 * "drop" is the draining. That nobody uses the slot in between takes away
 * interleavings and adds none.
 *
 * Without a switch this is what mbarrier.h and mgc.c do: the world stops, the
 * barrier goes on, all slots are greyed, the world runs. Switches (-D...):
 *
 *   SLOTWISE     slots are scanned one by one while the mutators run
 *   NO_DEL       a store into an object does not shade the old word
 *   NO_INS       a store into an object does not shade the new word
 *   NO_SLOT      a slot that is overwritten or dropped does not shade its word
 *   INS_SLOT     a slot that is written shades its new word
 *   ALLOC_WHITE  objects made while marking are white
 *   NO_SAFE      the collector does not wait for a mutator inside a store
 *   GO           Go's rule, with slots as stacks: no barrier on them, each
 *                mutator's are scanned in one step, nobody writes to another's,
 *                the new word is shaded only until the own ones are scanned
 *   GATE         no mutator does anything while another is inside a store, as
 *                long as a heap lets in one at a time (lock:world)
 *   OPS=k        at most k steps a mutator, to bound the search
 */
#ifndef N
#define N 2
#endif
#ifndef H
#define H 2
#endif

#define WHITE 0
#define GREY  1
#define BLACK 2

byte f[N + 1];       /* the word of object 1..N; 0: nil */
byte mark[N + 1];
bool live[N + 1];    /* allocated */
byte slot[2 * H];    /* mutator m owns slots m*H and on */
bool marking;
bool busy[2];        /* inside a store */
bool done;

#ifdef GO
#define NO_SLOT
bool scanned[2];     /* the mutator's slots are black */
#endif

#ifdef GATE
#define alone (!busy[0] && !busy[1])
#else
#define alone true
#endif

#ifdef OPS
#define more  (!done && alone && ops < OPS)
#define count ops++
#else
#define more  (!done && alone)
#define count skip
#endif

#ifdef NO_SAFE
#define safe(m) true
#else
#define safe(m) (!busy[m])
#endif

inline shade(o) {
    if
    :: o != 0 && mark[o] == WHITE -> mark[o] = GREY
    :: else
    fi
}

/* Slot s is to hold v. */
inline slot_write(s, v) {
#ifndef NO_SLOT
    if
    :: marking -> shade(slot[s])
    :: else
    fi;
#endif
#ifdef INS_SLOT
    if
    :: marking -> shade(v)
    :: else
    fi;
#endif
    slot[s] = v
}

proctype mutator(byte m)
{
    byte x, v, old, i, j;
    bool wb;
#ifdef OPS
    byte ops;
#endif
    do
    :: done -> break
    :: atomic { /* load: slot i = the word of the object in slot j */
        more -> count;
        select(i : 0 .. H - 1);
        select(j : 0 .. H - 1);
        if
        :: slot[m * H + j] != 0 ->
            v = f[slot[m * H + j]];
            slot_write(m * H + i, v)
        :: else
        fi;
        v = 0; i = 0; j = 0
       }
    :: atomic { /* drop slot i */
        more -> count;
        select(i : 0 .. H - 1);
        slot_write(m * H + i, 0);
        i = 0
       }
    :: atomic { /* allocate into slot i */
        more -> count;
        select(i : 0 .. H - 1);
        select(x : 1 .. N);
        if
        :: !live[x] ->
            live[x] = true;
#ifndef ALLOC_WHITE
            if
            :: marking -> mark[x] = BLACK
            :: else
            fi;
#endif
            slot_write(m * H + i, x)
        :: else
        fi;
        x = 0; i = 0
       }
#ifndef GO
    :: atomic { /* pass: the other's slot j = slot i */
        more -> count;
        select(i : 0 .. H - 1);
        select(j : 0 .. H - 1);
        slot_write((1 - m) * H + j, slot[m * H + i]);
        i = 0; j = 0
       }
#endif
    :: atomic { /* store: the word of the object in slot i = slot j or nil */
        more -> count;
        select(i : 0 .. H - 1);
        select(j : 0 .. H);
        x = slot[m * H + i];
        if
        :: x != 0 ->
            if
            :: j < H -> v = slot[m * H + j]
            :: else
            fi;
            busy[m] = true;
            wb = marking
        :: else
        fi;
        i = 0; j = 0
       }
       if
       :: busy[m] ->
#ifndef NO_DEL
            if
            :: wb -> old = f[x]; atomic { shade(old); old = 0 }
            :: else
            fi;
#endif
#ifndef NO_INS
#ifdef GO
            if
            :: wb && !scanned[m] -> atomic { shade(v) }
            :: else
            fi;
#else
            if
            :: wb -> atomic { shade(v) }
            :: else
            fi;
#endif
#endif
            atomic { f[x] = v; busy[m] = false; x = 0; v = 0; wb = false }
       :: else
       fi
    od
}

#define blacken(n)                                              \
    atomic { mark[n] == GREY -> o = n };                        \
    c = f[o];                                                   \
    atomic { shade(c); mark[o] = BLACK; c = 0; o = 0 }

#if N == 1
#define no_grey (mark[1] != GREY)
#elif N == 2
#define no_grey (mark[1] != GREY && mark[2] != GREY)
#else
#define no_grey (mark[1] != GREY && mark[2] != GREY && mark[3] != GREY)
#endif

proctype collector()
{
    byte o, c, k;
#ifdef GO
    atomic { safe(0) && safe(1) -> marking = true };
    do
    :: k < 2 ->
        atomic {
            safe(k) ->
            do
            :: c < H -> shade(slot[k * H + c]); c++
            :: else -> break
            od;
            scanned[k] = true; c = 0; k++
        }
    :: else -> break
    od;
#else
#ifdef SLOTWISE
    atomic { safe(0) && safe(1) -> marking = true };
    do
    :: k < 2 * H -> atomic { shade(slot[k]); k++ }
    :: else -> break
    od;
#else
    atomic {
        safe(0) && safe(1) -> marking = true;
        do
        :: k < 2 * H -> shade(slot[k]); k++
        :: else -> break
        od
    };
#endif
#endif
    k = 0; c = 0;
    do
    :: blacken(1)
#if N > 1
    :: blacken(2)
#endif
#if N > 2
    :: blacken(3)
#endif
    :: atomic { /* mark termination: the world is stopped */
        !busy[0] && !busy[1] && no_grey ->
        done = true;
        k = 0;
        do
        :: k < 2 * H ->
            o = slot[k]; c = 0;
            do
            :: o != 0 && c <= N -> assert(mark[o] == BLACK); o = f[o]; c++
            :: else -> break
            od;
            k++
        :: else -> break
        od
       }
       break
    od
}

init {
    byte i, k;
    atomic {
        /* Any graph of the first N-1 objects; object N is not yet made. */
        i = 1;
        do
        :: i < N -> live[i] = true; select(k : 0 .. N - 1); f[i] = k; i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < 2 * H -> select(k : 0 .. N - 1); slot[i] = k; i++
        :: else -> break
        od;
        i = 0; k = 0;
        run mutator(0); run mutator(1); run collector()
    }
}
