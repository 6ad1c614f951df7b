/* parking.pml - taking Ps, giving them back and away, stopping the world, and the
 * wake-ups in between, for Spin.
 *
 * MUTS mutators that come in, for any P or for one, and leave, over and over; PS Ps; a
 * worker that claims a P. Any mutator may stop the world, and polls meanwhile. One holds
 * a P at a time, who has stopped the world keeps its own, nobody uses one while the world
 * is stopped, and nobody waits for ever: an invalid end state is a lost wake-up. Waits
 * have no timer.
 *
 * In its last round a mutator may stay: it polls, and leaves only when nobody needs
 * anything any more. That it polls again and again is a wait for a poll that finds
 * something to do: as long as it finds nothing it changes nothing.
 *
 * What the model does under a function's name, safepoint.c does. Each access to an
 * atomic is a step; the lock is a lock. Memory is sequentially consistent, as the
 * accesses in C are that matter here [inv:safepoint.seen]; the switch REORDERED is
 * what weaker ones would allow. The poll's looks at `lookers` and `wanted` are hints in
 * C: a later poll sees what this one misses.
 *
 * Not here: spinning before a wait, which is the same as waking for nothing.
 *
 * Switches (-D...):
 *
 *   PS, MUTS, ROUNDS  how many of each; ROUNDS for each mutator
 *   STOPS, CLAIMS  how often the world is stopped, and the worker claims
 *   FLUSH          the worker does gh_flush_all before it gives its P back
 *   LEAVE_BLIND    who leaves does not look once more after giving the P back
 *   LEAVE_LOOKERS  it looks at `lookers`, as a poll does, and not at `waiters`
 *   REORDERED      it looks before the others can see that the P is idle
 *   WAIT_LATE      who waits says so after it has looked
 *   WAKE_UNLOCKED  who leaves wakes without the lock
 *   WANT_LATE      who waits for one P raises its `wanted` after it has looked
 *   WANT_UNSAID    it never does
 *   WANT_KEPT      it doesn't lower it
 *   DONE_SILENT    who has waited for a P wakes nobody
 *   POLL_BLIND     a poll does not look at `wanted`
 *   ANY_ONLY       who polls gives way only to those that take any P
 *   STAND_SILENT   who stands wakes nobody
 *   START_SILENT   nor does who starts the world
 *   STOP_BLIND     who stops the world does not wait for those who hold a P
 *   STOP_UNSAID    it doesn't raise `lookers`
 *   FLUSH_UNSAID   nor does gh_flush_all
 *   LOCK_EARLY     who stops the world takes heap_lock before all stand
 *   GIVES_AWAY     who has stopped the world gives its P away at a poll
 */
#ifndef PS
#define PS 2
#endif
#ifndef MUTS
#define MUTS 2
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef STOPS
#define STOPS 1
#endif
#ifndef CLAIMS
#define CLAIMS 1
#endif
#define THREADS (MUTS + (CLAIMS > 0))  /* three at most */
#if MUTS + (CLAIMS > 0) > 3
#error "asleep[] is of three"
#endif

#define IDLE    0
#define HELD    1
#define STOPPED 2

#define ANY    PS
#define NOBODY 255

byte status[PS];
bool stopped_held[PS];
bool flush_wanted[PS];
byte wanted[PS];
byte waiters, lookers, any_waiting;
bool stopping;
byte stopper = NOBODY;  /* a P */
byte claim = NOBODY;    /* the P that the worker claims, or ANY */
byte granted = NOBODY;
bool lock, heap_lock;

bool asleep[3];
byte back[3];     /* 1 + the P that one stands back from and nobody has taken */
byte users[PS];         /* who believe that they have the P */
bool exclusive;         /* the world is stopped */
byte stops = STOPS;     /* that are still to come */
byte needy = THREADS;   /* who need, or will need, something of others */

#define gh_lock   atomic { !lock -> lock = true }
#define gh_unlock lock = false
#define cond_wait(t) atomic { asleep[t] = true; lock = false }; \
                     !asleep[t]; \
                     gh_lock

inline broadcast() {
    d_step {
        asleep[0] = false;
#if THREADS > 1
        asleep[1] = false;
#endif
#if THREADS > 2
        asleep[2] = false;
#endif
    }
}

/* wait_p is cond_wait of who waits for a P */
inline wait_p(t, want) {
#ifdef WANT_LATE
    if :: want != ANY -> wanted[want]++ :: else fi;
#endif
    cond_wait(t);
#ifdef WANT_LATE
    if :: want != ANY -> wanted[want]-- :: else fi
#endif
}

/* taken: P i has another turn */
inline taken(i) {
    d_step {
        if :: back[0] == i + 1 -> back[0] = 0 :: else fi;
#if THREADS > 1
        if :: back[1] == i + 1 -> back[1] = 0 :: else fi;
#endif
#if THREADS > 2
        if :: back[2] == i + 1 -> back[2] = 0 :: else fi;
#endif
    }
}

inline use(i) {
    atomic { users[i]++; assert(users[i] == 1); assert(!exclusive) };
    atomic { assert(!exclusive); users[i]-- }
}

inline need_look() {
    waiters++;
    lookers++
}

inline done_look() {
    lookers--;
    waiters--
}

inline need_p(want) {
    if
    :: want == ANY -> any_waiting++; need_look()
    :: else ->
        waiters++;
#if !defined(WANT_UNSAID) && !defined(WANT_LATE)
        wanted[want]++
#else
        skip
#endif
    fi
}

inline done_waiting(want) {
    if
    :: want == ANY -> any_waiting--; done_look()
    :: else ->
#if !defined(WANT_UNSAID) && !defined(WANT_KEPT) && !defined(WANT_LATE)
        wanted[want]--;
#endif
        waiters--
    fi;
#ifndef DONE_SILENT
    broadcast()
#endif
}

#ifdef ANY_ONLY
#define is_wanted(i) (any_waiting > 0)
#else
#define is_wanted(i) (any_waiting > 0 || wanted[i] > 0)
#endif
#define is_claimed(i) (claim == i || claim == ANY)
#define must_stand(i) (stopping && stopper != i)

/* change: from idle to held; got is untouched where that fails */
inline take(k, got) {
    atomic { if :: status[k] == IDLE -> status[k] = HELD; got = k :: else fi }
}

/* try_take: says in got which, or NOBODY */
inline try_take(want, got) {
    got = NOBODY;
    if
    :: stopping
    :: !stopping ->
        if
        :: want != ANY -> take(want, got)
        :: else ->
            take(0, got);
#if PS > 1
            if
            :: got == NOBODY -> take(1, got)
            :: else
            fi
#endif
        fi
    fi
}

inline wait_take(t, want, got) {
    gh_lock;
#ifndef WAIT_LATE
    need_p(want);
#endif
    do
    :: try_take(want, got);
       if
       :: got == NOBODY ->
#ifdef WAIT_LATE
           need_p(want);
#endif
           wait_p(t, want);
#ifdef WAIT_LATE
           done_waiting(want)
#endif
       :: else -> break
       fi
    od;
#ifndef WAIT_LATE
    done_waiting(want);
#endif
    gh_unlock
}

/* hand_on: under the lock */
inline hand_on(i) {
#ifdef FLUSH
    if
    :: flush_wanted[i] -> flush_wanted[i] = false; broadcast()
    :: else
    fi
#else
    skip
#endif
}

inline give_back(i) {
    hand_on(i);
    if
    :: !stopping && is_claimed(i) -> d_step { granted = i; claim = NOBODY }
    :: else -> status[i] = IDLE
    fi;
    broadcast()
}

#ifdef LEAVE_LOOKERS
#define LOOKED_AT lookers
#else
#define LOOKED_AT waiters
#endif

/* gh_conc_leave */
inline leave(i, w) {
    if
    :: LOOKED_AT != 0 ->
        gh_lock;
        give_back(i);
        gh_unlock
    :: LOOKED_AT == 0 ->
#ifdef REORDERED
        w = (LOOKED_AT != 0);
        status[i] = IDLE;
#else
        status[i] = IDLE;
        w = (LOOKED_AT != 0);
#endif
        if
#ifndef LEAVE_BLIND
        :: w ->
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
        w = false
    fi
}

inline stand(t, i) {
    do
    :: must_stand(i) ->
        if
        :: !stopped_held[i] ->
            stopped_held[i] = true;
            status[i] = STOPPED;
#ifndef STAND_SILENT
            broadcast()
#endif
        :: else
        fi;
        cond_wait(t)
    :: else -> break
    od
}

inline retake(t, i) {
    need_p(i);
    do
    :: must_stand(i) -> wait_p(t, i)
    :: else ->
        got = NOBODY;
        take(i, got);
        if
        :: got == NOBODY -> wait_p(t, i)
        :: else -> break
        fi
    od;
    got = NOBODY;
    done_waiting(i)
}

/* give_way: time is over after some ten milliseconds, or not yet; who stays has
 * polled for long */
inline give_way(t, i) {
    if
    :: is_claimed(i) ->
        d_step { granted = i; claim = NOBODY; away = true };
        broadcast()
    :: !is_claimed(i) && is_wanted(i) ->
        if
        :: !stays
        :: away = true;
           back[t] = i + 1;
           status[i] = IDLE;
           broadcast();
           do
           :: is_wanted(i) && back[t] != 0 && status[i] != HELD -> cond_wait(t)
           :: else -> break
           od;
           back[t] = 0
        fi
    :: else
    fi;
    if
    :: away ->
        needy = needy + stays;
        retake(t, i);
        needy = needy - stays
    :: else
    fi
}

inline look(t, i) {
    gh_lock;
    stand(t, i);
    hand_on(i);
#ifndef GIVES_AWAY
    if
    :: stopper != i ->
#endif
        give_way(t, i);
        if
        :: away -> stand(t, i)
        :: else
        fi
#ifndef GIVES_AWAY
    :: else
    fi
#endif
    ;
    gh_unlock;
    if
    :: away -> taken(i); away = false
    :: else
    fi
}

#ifdef POLL_BLIND
#define SEES(i) (lookers != 0)
#else
#define SEES(i) (lookers != 0 || wanted[i] != 0)
#endif

/* gh_conc_poll */
inline poll(t, i) {
    if
    :: SEES(i) -> look(t, i)
    :: else
    fi
}

/* all_stand: P k is idle, and then it is stopped; or it stands */
inline stop_p(k, self) {
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

inline stop_world(t, i) {
    gh_lock;
    stand(t, i);
    stopper = i;
    stopping = true;
#ifdef STOP_UNSAID
    waiters++;
#else
    need_look();
#endif
    broadcast();
#ifdef LOCK_EARLY
    atomic { !heap_lock -> heap_lock = true };
#endif
    do
    :: all = true;
       stop_p(0, i);
#if PS > 1
       stop_p(1, i);
#endif
#ifdef STOP_BLIND
       break;
#endif
       if
       :: all -> break
       :: else -> cond_wait(t)
       fi
    od;
    all = false;
    gh_unlock;
#ifndef LOCK_EARLY
    atomic { !heap_lock -> heap_lock = true };
#endif
    atomic {
        exclusive = true;
        assert(users[0] == 0);
#if PS > 1
        assert(users[1] == 0)
#endif
    }
}

inline start_p(k) {
    d_step {
        if
        :: status[k] == STOPPED ->
            status[k] = (stopped_held[k] -> HELD : IDLE);
            stopped_held[k] = false
        :: else
        fi
    }
}

inline start_world(i) {
    atomic { assert(stopper == i && status[i] == HELD); exclusive = false };
    heap_lock = false;
    gh_lock;
    start_p(0);
#if PS > 1
    start_p(1);
#endif
    stopping = false;
    stopper = NOBODY;
#ifdef STOP_UNSAID
    waiters--;
#else
    done_look();
#endif
    gh_unlock;
#ifndef START_SILENT
    broadcast()
#endif
}

proctype mutator(byte t)
{
    byte i = NOBODY, want, n, got = NOBODY;
    bool w, away, stays, all;
    do
    :: n < ROUNDS ->
        n++;
        if
        :: want = ANY
        :: want = 0
#if PS > 1
        :: want = 1
#endif
        fi;
        try_take(want, i);
        if
        :: i == NOBODY -> wait_take(t, want, i)
        :: else
        fi;
        want = 0;
        taken(i);
        use(i);
        if
        :: poll(t, i); use(i)
        :: atomic { stops > 0 -> stops-- };
           stop_world(t, i);
           poll(t, i);
           start_world(i)
        :: true
        fi;
        if
        :: n == ROUNDS ->
            needy--;
            if
            :: stays = true;
               do
               :: needy == 0 -> break
               :: SEES(i) && (must_stand(i) || flush_wanted[i] || is_claimed(i)
                           || is_wanted(i)) ->
                   look(t, i)
               od;
               stays = false
            :: true
            fi
        :: else
        fi;
        leave(i, w);
        i = NOBODY
    :: else -> break
    od
}

#if CLAIMS > 0
/* of P k in gh_flush_all: an idle one is the caller's for a moment */
inline flush_p(k) {
    if
    :: flush_wanted[k] ->
        atomic {
            if
            :: status[k] == IDLE -> status[k] = STOPPED; got = k
            :: else -> left = true
            fi
        };
        if
        :: got == k ->
            got = NOBODY;
            flush_wanted[k] = false;
            status[k] = IDLE;
            broadcast()
        :: else
        fi
    :: else
    fi
}

inline flush_all(t, i) {
    gh_lock;
#ifdef FLUSH_UNSAID
    waiters++;
#else
    need_look();
#endif
    d_step {
        flush_wanted[0] = (i != 0);
#if PS > 1
        flush_wanted[1] = (i != 1)
#endif
    };
    do
    :: left = false;
       flush_p(0);
#if PS > 1
       flush_p(1);
#endif
       if
       :: !left -> break
       :: left && must_stand(i) -> stand(t, i)
       :: left && !must_stand(i) -> cond_wait(t)
       fi
    od;
#ifdef FLUSH_UNSAID
    waiters--;
#else
    done_look();
#endif
    gh_unlock
}

/* run, and gh_claim_p and gh_unclaim_p around it */
proctype worker(byte t)
{
    byte i = NOBODY, want, n, got = NOBODY;
    bool left;
    do
    :: n < CLAIMS ->
        n++;
        if
        :: want = ANY
        :: want = 0
        fi;
        gh_lock;
        try_take(want, i);
        if
        :: i == NOBODY ->
            claim = want;
            need_look();
            do
            :: granted != NOBODY -> break
            :: else ->
                try_take(want, i);
                if
                :: i != NOBODY -> break
                :: else -> cond_wait(t)
                fi
            od;
            done_look();
            d_step {
                claim = NOBODY;
                if :: granted != NOBODY -> i = granted; granted = NOBODY :: else fi
            }
        :: else
        fi;
        want = 0;
        stand(t, i);
        gh_unlock;
        atomic { !heap_lock -> heap_lock = true };
        heap_lock = false;
        use(i);
        if
        :: lookers != 0 ->  /* gh_safepoint */
            gh_lock;
            stand(t, i);
            hand_on(i);
            gh_unlock
        :: else
        fi;
#ifdef FLUSH
        flush_all(t, i);
#endif
        if
        :: n == CLAIMS -> needy--
        :: else
        fi;
        gh_lock;
        stand(t, i);
        give_back(i);
        gh_unlock;
        i = NOBODY
    :: else -> break
    od
}
#endif

init {
    byte t;
    atomic {
        do
        :: t < MUTS -> run mutator(t); t++
        :: else -> t = 0; break
        od;
#if CLAIMS > 0
        run worker(MUTS)
#endif
    }
}
