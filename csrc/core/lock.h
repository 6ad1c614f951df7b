// lock.h: mutexes, condition variables, threads and the monotonic clock.
//
// Layer 1. Includes goheap.h. The only core header that includes an OS header:
// the types have to be whole where they are embedded.

#ifndef LOCK_H
#define LOCK_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#include <pthread.h>
#include <stdatomic.h>

#include "goheap.h"

typedef struct gh_mutex {
    pthread_mutex_t m;
} gh_mutex;

typedef struct gh_cond {
    pthread_cond_t c;
} gh_cond;

// gh_rmutex is one that its holder may lock again, for what is taken often and held for a
// few hundred ns. Who waits for it only reads before it sleeps, so that the holder's
// writes are not slowed down. gh_runlock still looks at it after others may have it, so
// who frees it knows that every gh_runlock has returned: gh_heap_free does, as holders
// unlock before they leave their P, and threads are joined.
typedef struct gh_rmutex {
    _Atomic uint32_t word;    // free, held, or held and awaited
    uint32_t depth;           // the holder's: how often it locked it again
    _Atomic uint64_t holder;  // gh_thread_self of the holder, else 0
    gh_mutex park;            // guards waiting for `parked`
    gh_cond parked;
#if GH_ASSERT_LEVEL >= 1
    // Who sleeps for it calls that every 10 ms: see watchdog.h. NULL: nobody cares.
    void (*awaited)(void *arg, int64_t since);
    void *awaited_arg;
#endif
} gh_rmutex;

void gh_mutex_init(gh_mutex *m);
void gh_mutex_fini(gh_mutex *m);
void gh_lock(gh_mutex *m);
void gh_unlock(gh_mutex *m);
#if GH_ASSERT_LEVEL >= 1
bool gh_try_lock(gh_mutex *m);
#endif
void gh_rmutex_init(gh_rmutex *m);
void gh_rmutex_fini(gh_rmutex *m);
bool gh_rlock(gh_rmutex *m);  // returns whether somebody else had it
void gh_runlock(gh_rmutex *m);

// gh_pause is a step of a loop that waits for another thread.
static inline void
gh_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

// gh_spin is a wait without a sleep, from zero. gh_spins takes a step of it; false: about
// 10 us are over, which is what a sleep and a wake cost. By the clock, because a pause
// lasts five times as long on one CPU as on another.
typedef struct gh_spin {
    uint32_t n;
    int64_t end;
} gh_spin;
bool gh_spins(gh_spin *s);

void gh_cond_init(gh_cond *c);
void gh_cond_fini(gh_cond *c);
// gh_cond_wait gives m up while it waits; it may return early.
void gh_cond_wait(gh_cond *c, gh_mutex *m);
// gh_cond_wait_until the same, at most until gh_nanotime is end.
void gh_cond_wait_until(gh_cond *c, gh_mutex *m, int64_t end);
// gh_cond_signal wakes one that waits.
void gh_cond_signal(gh_cond *c);
void gh_cond_broadcast(gh_cond *c);

// gh_thread_start runs fn(arg) on a thread that takes no signals: those are for
// the program's own threads. False if the system refused.
typedef struct gh_thread {
    pthread_t id;
} gh_thread;
bool gh_thread_start(gh_thread *t, void *(*fn)(void *arg), void *arg);
void gh_thread_join(gh_thread *t);
// gh_thread_self tells the calling thread from others that run.
uint64_t gh_thread_self(void);
// gh_sleep gives the processor up for about ns, or only for a moment if 0.
void gh_sleep(int64_t ns);

// gh_nanotime is the monotonic clock in ns. No figure of a heap comes from it
// in the repeatable modes: it only paces the hand-over of a heap.
int64_t gh_nanotime(void);

#endif  // LOCK_H
