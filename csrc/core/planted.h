// planted.h: bugs that a test build can plant in the protocols between threads, one
// at a time. No Go ancestor.
//
// Layer 0. Includes nothing of the core. Each leaves out one step that a model of
// tests/model leaves out, too, under the same name: csrc/design/models.md says what
// it is. `make -C csrc planted` builds the core with GH_PLANTS and sees that its
// tests find each. Any other build has none of them: GH_PLANTED is then 0.

#ifndef PLANTED_H
#define PLANTED_H

#ifndef GH_CORE
#error "internal to csrc/core"
#endif

#ifdef GH_PLANTS

#include <stdbool.h>

enum {
    GH_PLANT_NOTHING,
    GH_PLANT_NO_TIMER,  // no bug: hungry workers have only wake-ups
    GH_PLANT_NO_INS,    // no bug: slots have no need of the insertion half
    // barrier.pml
    GH_PLANT_NO_DEL,
    GH_PLANT_NO_SLOT,
    GH_PLANT_ALLOC_WHITE,
    GH_PLANT_NO_SAFE,
    // termination.pml
    GH_PLANT_NO_LOOK,
    GH_PLANT_NO_RAGGED_LOOK,
    GH_PLANT_NO_WB,
    GH_PLANT_NO_ENDING,
    // spans.pml
    GH_PLANT_NO_FLUSH,
    GH_PLANT_NO_STALE,
    GH_PLANT_WRONG_SET,
    GH_PLANT_KEEP_SET,
    GH_PLANT_PUSH_KEPT,
    GH_PLANT_NO_CLEAR,
    GH_PLANT_NO_SWEEP,
    GH_PLANT_EARLY_MARK,
    GH_PLANT_NO_END_AHEAD,
    GH_PLANT_NO_SETTLE,
    GH_PLANT_NO_END_SPARE,
    // buffers.pml
    GH_PLANT_NO_LOCK,
    GH_PLANT_NO_FLAG,
    GH_PLANT_FLAG_CLEARED,
    GH_PLANT_SHARE_HALF,
    GH_PLANT_FLUSH_TOP,
    GH_PLANT_NO_RECHECK,
    GH_PLANT_NO_ASSIST_WAKE,
    // parking.pml
    GH_PLANT_LEAVE_BLIND,
    GH_PLANT_LEAVE_LOOKERS,
    GH_PLANT_REORDERED,
    GH_PLANT_WAIT_LATE,
    GH_PLANT_WAKE_UNLOCKED,
    GH_PLANT_WANT_UNSAID,
    GH_PLANT_WANT_KEPT,
    GH_PLANT_DONE_SILENT,
    GH_PLANT_POLL_BLIND,
    GH_PLANT_ANY_ONLY,
    GH_PLANT_STAND_SILENT,
    GH_PLANT_START_SILENT,
    GH_PLANT_STOP_BLIND,
    GH_PLANT_STOP_UNSAID,
    GH_PLANT_FLUSH_UNSAID,
    GH_PLANT_LOCK_EARLY,
    GH_PLANT_GIVES_AWAY,
};

// The bug that is on; the test program has it.
extern int gh_planted;
// gh_planted_pause makes the window of a bug that needs one wider, now and then.
void gh_planted_pause(void);
// gh_planted_root is where one is about to look at root slots.
// gh_planted_stand has who holds p stand where it may not: in the middle of a store.
struct gh_heap;
struct gh_mut;
void gh_planted_root(struct gh_heap *h);
void gh_planted_stand(struct gh_mut *p);

#define GH_PLANTED(bug) (gh_planted == GH_PLANT_##bug)
#define GH_PLANTED_PAUSE(bug)                                                  \
    do {                                                                       \
        if (GH_PLANTED(bug)) {                                                 \
            gh_planted_pause();                                                \
        }                                                                      \
    } while (0)
#define GH_PLANTED_ROOT(h) gh_planted_root(h)
#define GH_PLANTED_STAND(bug, p)                                               \
    do {                                                                       \
        if (GH_PLANTED(bug)) {                                                 \
            gh_planted_stand(p);                                               \
        }                                                                      \
    } while (0)

#else

#define GH_PLANTED(bug) 0
#define GH_PLANTED_PAUSE(bug) ((void)0)
#define GH_PLANTED_ROOT(h) ((void)0)
#define GH_PLANTED_STAND(bug, p) ((void)0)

#endif  // GH_PLANTS

#endif  // PLANTED_H
