/* parking.pml - taking Ps, giving them back, stopping the world, and the wake-ups in
 * between, for Spin.
 *
 * MUTS mutators that come in and leave over and over, PS Ps, a thread with a P that
 * stops the world and starts it again. One holds a P at a time, nobody holds one
 * while the world is stopped, and nobody waits for ever: an invalid end state is a
 * lost wake-up. Waits have no timer.
 *
 * What the model does under a function's name, safepoint.c does. Each access to an
 * atomic is a step; the lock is a lock. Memory is sequentially consistent, as the
 * accesses in C are that matter here [inv:safepoint.seen]; the switch REORDERED is
 * what weaker ones would allow.
 *
 * Switches (-D...):
 *
 *   PS, MUTS, ROUNDS  how many of each; ROUNDS for each mutator
 *   LEAVE_BLIND    who leaves does not look once more after giving the P back
 *   REORDERED      it looks before the others can see that the P is idle
 *   WAIT_LATE      who waits says so after it has looked
 *   WAKE_UNLOCKED  who leaves wakes without the lock
 *   START_SILENT   who starts the world wakes nobody
 *   STOP_BLIND     who stops the world does not wait for those who hold a P
 */
#ifndef PS
#define PS 2
#endif
#ifndef MUTS
#define MUTS 2
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef STOPS
#define STOPS 1
#endif

#define IDLE    0
#define HELD    1
#define STOPPED 2

byte status[PS];
bool stopped_held[PS];
bool stopping;
byte stopper = 255;
byte waiters;
bool lock;
bool asleep[MUTS + 1];
byte holders[PS];      /* who believe that they have the P */
bool exclusive;        /* the world is stopped */

#define gh_lock   atomic { !lock -> lock = true }
#define gh_unlock lock = false
#define cond_wait(t) atomic { asleep[t] = true; lock = false }; \
                     !asleep[t]; \
                     gh_lock

inline broadcast() {
    atomic {
        asleep[0] = false; asleep[1] = false;
#if MUTS > 1
        asleep[2] = false
#endif
    }
}

/* try_take: any P; says in got which, or PS */
inline try_take(got) {
    got = PS;
    if
    :: stopping
    :: !stopping ->
        atomic { if :: status[0] == IDLE -> status[0] = HELD; got = 0 :: else fi };
#if PS > 1
        if
        :: got == PS ->
            atomic { if :: status[1] == IDLE -> status[1] = HELD; got = 1 :: else fi }
        :: else
        fi
#endif
    fi
}

inline use(i) {
    atomic { holders[i]++; assert(holders[i] == 1); assert(!exclusive) };
    atomic { assert(!exclusive); holders[i]-- }
}

/* gh_conc_poll: stand */
inline poll(t, i) {
    if
    :: waiters != 0 ->
        gh_lock;
        do
        :: stopping && stopper != t ->
            if
            :: !stopped_held[i] ->
                stopped_held[i] = true;
                status[i] = STOPPED;
                broadcast()
            :: else
            fi;
            cond_wait(t)
        :: else -> break
        od;
        gh_unlock
    :: else
    fi
}

proctype mutator(byte t)
{
    byte i, w, n;
    do
    :: n < ROUNDS ->
        n++;
        try_take(i);
        if
        :: i == PS ->
            gh_lock; /* wait_take */
#ifndef WAIT_LATE
            waiters++;
#endif
            do
            :: try_take(i);
#ifdef WAIT_LATE
               if
               :: i == PS -> waiters++; cond_wait(t); waiters--
#else
               if
               :: i == PS -> cond_wait(t)
#endif
               :: else -> break
               fi
            od;
#ifndef WAIT_LATE
            waiters--; /* done_waiting */
#endif
            broadcast();
            gh_unlock
        :: else
        fi;
        use(i);
        if
        :: poll(t, i); use(i)
        :: true
        fi;
        /* gh_conc_leave */
        if
        :: waiters != 0 ->
            gh_lock; /* give_back */
            status[i] = IDLE;
            broadcast();
            gh_unlock
        :: waiters == 0 ->
#ifdef REORDERED
            w = waiters;
            status[i] = IDLE;
#else
            status[i] = IDLE;
            w = waiters;
#endif
            if
#ifndef LEAVE_BLIND
            :: w != 0 ->
#ifdef WAKE_UNLOCKED
                broadcast()
#else
                gh_lock;
                broadcast();
                gh_unlock
#endif
#endif
            :: else
            fi;
            w = 0
        fi;
        i = 0
    :: else -> break
    od
}

/* change: whether P k is idle, and then it is stopped; or it stands */
inline must_wait(k, self, all) {
    if
    :: k == self
    :: k != self ->
        atomic { if :: status[k] == IDLE -> status[k] = STOPPED :: else fi };
        if
        :: status[k] != STOPPED -> all = false
        :: else
        fi
    fi
}

proctype stopping_one(byte t)
{
    byte i, n;
    bool all;
    do
    :: n < STOPS ->
        n++;
        try_take(i);
        if
        :: i == PS ->
            gh_lock;
            waiters++;
            do
            :: try_take(i);
               if
               :: i == PS -> cond_wait(t)
               :: else -> break
               fi
            od;
            waiters--;
            broadcast();
            gh_unlock
        :: else
        fi;
        /* gh_stop_world */
        gh_lock;
        stopper = t;
        stopping = true;
        waiters++;
        broadcast();
        do
        :: all = true;
           must_wait(0, i, all);
#if PS > 1
           must_wait(1, i, all);
#endif
#ifdef STOP_BLIND
           break
#endif
           if
           :: all -> break
           :: else -> cond_wait(t)
           fi
        od;
        gh_unlock;
        atomic {
            exclusive = true;
            assert(holders[0] == 0);
#if PS > 1
            assert(holders[1] == 0)
#endif
        };
        exclusive = false;
        /* gh_start_world */
        gh_lock;
        atomic {
            if
            :: status[0] == STOPPED ->
                status[0] = (stopped_held[0] -> HELD : IDLE);
                stopped_held[0] = false
            :: else
            fi;
#if PS > 1
            if
            :: status[1] == STOPPED ->
                status[1] = (stopped_held[1] -> HELD : IDLE);
                stopped_held[1] = false
            :: else
            fi
#endif
        };
        stopping = false;
        stopper = 255;
        waiters--;
#ifndef START_SILENT
        broadcast();
#endif
        gh_unlock;
        /* gh_unclaim_p: give_back */
        gh_lock;
        status[i] = IDLE;
        broadcast();
        gh_unlock;
        i = 0; all = false
    :: else -> break
    od
}

init {
    byte t;
    atomic {
        do
        :: t < MUTS -> run mutator(t); t++
        :: else -> t = 0; break
        od;
        run stopping_one(MUTS)
    }
}
