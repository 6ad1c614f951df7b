// lock.c: POSIX threads behind lock.h.

#define _POSIX_C_SOURCE 200809L  // clock_gettime, sigset_t

#include "lock.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

#include "ghassert.h"

#define SPIN_NS 10000
#define PARK_NS 10000000

bool
gh_spins(gh_spin *s)
{
    gh_pause();
    if (++s->n % 32 != 0) {
        return true;
    }
    const int64_t now = gh_nanotime();
    if (s->end == 0) {
        s->end = now + SPIN_NS;
    }
    return now < s->end;
}

void
gh_mutex_init(gh_mutex *m)
{
    GH_THROW_IF(pthread_mutex_init(&m->m, NULL) != 0, "mutex init failed");
}

void
gh_mutex_fini(gh_mutex *m)
{
    GH_THROW_IF(pthread_mutex_destroy(&m->m) != 0, "mutex is still locked");
}

// lock_slowly spins before it sleeps: what locks guard here takes less time than a
// sleep and a wake. Go: lock2.
static __attribute__((noinline)) void
lock_slowly(gh_mutex *m)
{
    for (gh_spin spin = {0}; gh_spins(&spin);) {
        // Seldom, as a try takes the line from the holder.
        if (spin.n % 8 == 0 && pthread_mutex_trylock(&m->m) == 0) {
            return;
        }
    }
    GH_THROW_IF(pthread_mutex_lock(&m->m) != 0, "lock failed");
}

void
gh_lock(gh_mutex *m)
{
    if (pthread_mutex_trylock(&m->m) != 0) {
        lock_slowly(m);
    }
}

#if GH_ASSERT_LEVEL >= 1
bool
gh_try_lock(gh_mutex *m)
{
    return pthread_mutex_trylock(&m->m) == 0;
}
#endif

void
gh_unlock(gh_mutex *m)
{
    GH_THROW_IF(pthread_mutex_unlock(&m->m) != 0, "unlock failed");
}

// ---- gh_rmutex: the mutex of U. Drepper, Futexes Are Tricky, with park and parked where
// that one has the kernel

enum {
    RM_FREE,
    RM_HELD,
    RM_AWAITED,  // held, and somebody may sleep
};

void
gh_rmutex_init(gh_rmutex *m)
{
    atomic_init(&m->word, RM_FREE);
    atomic_init(&m->holder, 0);
    m->depth = 0;
#if GH_ASSERT_LEVEL >= 1
    m->awaited = NULL;
#endif
    gh_mutex_init(&m->park);
    gh_cond_init(&m->parked);
}

void
gh_rmutex_fini(gh_rmutex *m)
{
    GH_THROW_IF(atomic_load(&m->word) != RM_FREE, "mutex is still locked");
    gh_cond_fini(&m->parked);
    gh_mutex_fini(&m->park);
}

static inline bool
take(gh_rmutex *m)
{
    uint32_t is = RM_FREE;
    return atomic_compare_exchange_strong_explicit(
        &m->word, &is, RM_HELD, memory_order_acquire, memory_order_relaxed);
}

static __attribute__((noinline)) void
rlock_slowly(gh_rmutex *m)
{
    for (gh_spin spin = {0}; gh_spins(&spin);) {
        if (atomic_load_explicit(&m->word, memory_order_relaxed) == RM_FREE
            && take(m)) {
            return;
        }
    }
    // Who unlocks an awaited one takes park before it wakes, so it does so after we sleep.
    // Not for long in one go: glibc's condition variables may lose a signal when several
    // wait (its bug 25847).
    gh_lock(&m->park);
#if GH_ASSERT_LEVEL >= 1
    const int64_t since = gh_nanotime();
#endif
    while (atomic_exchange_explicit(&m->word, RM_AWAITED, memory_order_acquire)
           != RM_FREE) {
        gh_cond_wait_until(&m->parked, &m->park, gh_nanotime() + PARK_NS);
#if GH_ASSERT_LEVEL >= 1
        if (m->awaited != NULL) {
            m->awaited(m->awaited_arg, since);
        }
#endif
    }
    gh_unlock(&m->park);
}

bool
gh_rlock(gh_rmutex *m)
{
    const uint64_t me = gh_thread_self();
    bool waited = false;
    if (!take(m)) {
        if (atomic_load_explicit(&m->holder, memory_order_relaxed) == me) {
            m->depth++;
            return false;
        }
        rlock_slowly(m);
        waited = true;
    }
    atomic_store_explicit(&m->holder, me, memory_order_relaxed);
    return waited;
}

void
gh_runlock(gh_rmutex *m)
{
    GH_THROW_IF(atomic_load_explicit(&m->holder, memory_order_relaxed)
                    != gh_thread_self(),
                "unlock of a mutex that somebody else has");
    if (m->depth > 0) {
        m->depth--;
        return;
    }
    atomic_store_explicit(&m->holder, 0, memory_order_relaxed);
    if (GH_UNLIKELY(atomic_exchange_explicit(&m->word, RM_FREE,
                                             memory_order_release)
                    == RM_AWAITED)) {
        gh_lock(&m->park);
        gh_cond_signal(&m->parked);
        gh_unlock(&m->park);
    }
}

void
gh_cond_init(gh_cond *c)
{
    // Waits end by the clock of gh_nanotime.
    pthread_condattr_t a;
    GH_THROW_IF(pthread_condattr_init(&a) != 0
                    || pthread_condattr_setclock(&a, CLOCK_MONOTONIC) != 0
                    || pthread_cond_init(&c->c, &a) != 0,
                "cond init failed");
    (void)pthread_condattr_destroy(&a);
}

void
gh_cond_fini(gh_cond *c)
{
    (void)pthread_cond_destroy(&c->c);
}

void
gh_cond_wait(gh_cond *c, gh_mutex *m)
{
    GH_THROW_IF(pthread_cond_wait(&c->c, &m->m) != 0, "cond wait failed");
}

void
gh_cond_wait_until(gh_cond *c, gh_mutex *m, int64_t end)
{
    const struct timespec t = {
        .tv_sec = (time_t)(end / 1000000000),
        .tv_nsec = (long)(end % 1000000000),
    };
    const int err = pthread_cond_timedwait(&c->c, &m->m, &t);
    GH_THROW_IF(err != 0 && err != ETIMEDOUT, "cond wait failed");
}

void
gh_cond_signal(gh_cond *c)
{
    GH_THROW_IF(pthread_cond_signal(&c->c) != 0, "cond signal failed");
}

void
gh_cond_broadcast(gh_cond *c)
{
    GH_THROW_IF(pthread_cond_broadcast(&c->c) != 0, "cond broadcast failed");
}

bool
gh_thread_start(gh_thread *t, void *(*fn)(void *arg), void *arg)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    const bool ok = pthread_create(&t->id, NULL, fn, arg) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ok;
}

void
gh_thread_join(gh_thread *t)
{
    GH_THROW_IF(pthread_join(t->id, NULL) != 0, "thread join failed");
}

uint64_t
gh_thread_self(void)
{
    return (uint64_t)(uintptr_t)pthread_self();
}

void
gh_sleep(int64_t ns)
{
    const struct timespec t = {
        .tv_sec = (time_t)(ns / 1000000000),
        .tv_nsec = (long)(ns % 1000000000),
    };
    if (ns == 0) {
        (void)sched_yield();
    } else {
        (void)nanosleep(&t, NULL);  // a signal may end it early
    }
}

int64_t
gh_nanotime(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
