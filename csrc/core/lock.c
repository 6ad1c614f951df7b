// lock.c: POSIX threads behind lock.h.

#define _POSIX_C_SOURCE 200809L  // clock_gettime, recursive mutexes, sigset_t

#include "lock.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

#include "ghassert.h"

// Tries before a thread sleeps: a few microseconds.
#define SPINS 100

void
gh_mutex_init(gh_mutex *m)
{
    GH_THROW_IF(pthread_mutex_init(&m->m, NULL) != 0, "mutex init failed");
}

void
gh_mutex_init_recursive(gh_mutex *m)
{
    pthread_mutexattr_t a;
    GH_THROW_IF(pthread_mutexattr_init(&a) != 0
                    || pthread_mutexattr_settype(&a, PTHREAD_MUTEX_RECURSIVE)
                           != 0
                    || pthread_mutex_init(&m->m, &a) != 0,
                "mutex init failed");
    (void)pthread_mutexattr_destroy(&a);
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
    for (int i = 0; i < SPINS; i++) {
        gh_pause();
        if (pthread_mutex_trylock(&m->m) == 0) {
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

void
gh_unlock(gh_mutex *m)
{
    GH_THROW_IF(pthread_mutex_unlock(&m->m) != 0, "unlock failed");
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
