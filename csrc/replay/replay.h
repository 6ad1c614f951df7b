// replay.h: a recorded allocation history, run on a heap under other settings.
//
// A history (GHTRACE1) says which slots a real Go program took, on which P, and
// when its sweeper found each of them dead. It is run in two passes over the
// same columns:
//
//   survey   reads when every object was freed and which collections were
//            forced; its result, gh_lifetimes, is the same for every setting.
//   replay   makes a heap, allocates every object with its span class and type,
//            keeps it alive by a root slot and clears the slot when the history
//            says that the object died. The heap collects when it decides to.
//
// Columns are pushed in: gh_replay_step runs until a column has no bytes left
// and names it, the caller feeds it (gh_replay_feed) and goes on. Events are
// never held, only decoded. A replay keeps 18 bytes for each object that is alive at
// once; a survey 8, its lifetimes 4 for each object of the history, of which some
// megabytes are in memory: the rest is in a file without a name. Where there is a place
// for that file, the first replays leave eight bytes more of each object to the later
// ones, which then do without columns (digest.h). A history is limited to 2^32 - 2
// objects.
//
// When an object died. Found dead by the sweep after mark k, it died before
// mark k ended, and after mark k-1 began or after its own birth. Time is counted
// in objects allocated. GH_DEATHS_EARLY takes the first moment, _LATE the last
// one, _DRAWN one in between, before mark k began, as likely as objects of the kind
// die at that age (lifetime.h): most die young. An object that was never freed lives
// for ever, but with _DRAWN those born after the last mark began die as others of
// their kind did.
//
// What is left out or guessed: pointers between objects (none are recorded, so
// every object is a leaf that a root holds); objects of the recorder's own;
// which collections were forced, where only their number is known: taken to be those
// that began the smallest part of the way from the marked heap to the goal.
//
// Client of goheap.h: nothing of the core but its public interface is used.
//
// Threads: a gh_replay belongs to one thread at a time, and is the only user of
// its heap. A gh_lifetimes may be shared: what replays leave there for one another
// is made by one and read when it is ready.

#ifndef GH_REPLAY_H
#define GH_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "goheap.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gh_replay gh_replay;
typedef struct gh_lifetimes gh_lifetimes;

typedef struct gh_replay_column {
    const char *name;
    const char *enc;
    uint64_t count;  // values
} gh_replay_column;

typedef struct gh_replay_type {
    const char *name;
    uint64_t size, ptrdata;
    bool recorder;  // objects of this type are the recorder's: left out
} gh_replay_type;

typedef enum gh_deaths {
    GH_DEATHS_EARLY = 0,
    GH_DEATHS_DRAWN,
    GH_DEATHS_LATE,
} gh_deaths;

// gh_replay_config is filled by gh_replay_config_init and then changed. What it
// points at is copied by gh_replay_new, but lifetimes.
typedef struct gh_replay_config {
    size_t struct_size;
    // The history, as the header of the recording says.
    const char *const *ops;  // names; the index is the op code
    size_t nops;
    const gh_replay_column *columns;
    size_t ncolumns;
    const gh_replay_type *types;  // number 0: no type
    size_t ntypes;
    const uint32_t *class_to_size;
    size_t nclasses;
    uint64_t num_forced;  // forced collections of the recorded run
    // Which ones they were, by number from 0; NULL: not known, see above.
    const uint32_t *forced;
    size_t nforced;
    // NULL: a survey. Else the survey of the same history, which must outlive
    // the replay, and the setting to run it under.
    const gh_lifetimes *lifetimes;
    gh_mode mode;        // GH_MODE_STW or GH_MODE_VIRTUAL
    int32_t gogc;
    int64_t memory_limit;
    int32_t procs;       // objects stay on the P they were recorded on, modulo
    bool follow_procs;   // procs changes where the recording's did
    gh_deaths deaths;
    uint64_t seed;
    uint64_t globals_scan, stack_scan;
    // Bytes of stacks that each recorded collection scanned, from its begin on; NULL:
    // stack_scan throughout.
    const uint64_t *stacks;
    size_t nstacks;
    uint64_t non_heap;   // what the recorded process had mapped beside its heap,
                         // for the limit; 0: what this heap has
    gh_policy policy;    // eager_sweep is off by default, as in a Go program
    gh_costs costs;
    // A sample about this often, after so many objects, after each cycle; 0: not.
    uint64_t series_ns, series_objects;
    bool series_cycles;
    int64_t profile_rate; // of the heap profile; a site is a type's number + 1
    // GH_MODE_VIRTUAL: what the recording's stamps hold besides the program.
    double event_ns;     // writing one event
    double gc_share;     // share of the time in marking that the collector had
    double busy_ns;      // gh_options.busy_ns; 0: its default
    double cycle_delay_ns;  // gh_options.cycle_delay_ns
    // Survey: where a file may be made for what is too much to keep in memory;
    // NULL: nowhere. spill_keep: bytes of each array that stay, 0: 8 MiB.
    const char *spill_dir;
    size_t spill_keep;
    bool keep_recorder;  // the recorder's objects are allocated too, and its
                         // events take their time: for the recorded setting, whose
                         // goals they entered and whose program they slowed down
    const gh_mem_ops *mem_ops;  // NULL: Linux
    void *mem_ctx;
} gh_replay_config;

void gh_replay_config_init(gh_replay_config *cfg);

typedef struct gh_replay_error {
    int column;       // index in config.columns; -1: not about one
    uint64_t offset;  // bytes of the column decoded before the fault
    char message[200];
} gh_replay_error;

typedef enum gh_replay_result {
    GH_REPLAY_DONE = 0,
    GH_REPLAY_NEED,    // a column wants more bytes
    GH_REPLAY_BUDGET,  // max_events are done, or a collection
    GH_REPLAY_BAD,     // the history is damaged: *err says where
    GH_REPLAY_NOMEM,   // the replay itself or its heap got no memory
} gh_replay_result;

// gh_replay_new begins a survey or a replay. GH_ERR_INVAL: the config isn't
// sound, and *err says why (column -1 or the column meant).
GH_NODISCARD gh_status gh_replay_new(const gh_replay_config *cfg,
                                     gh_replay **out, gh_replay_error *err);
void gh_replay_free(gh_replay *r);

// gh_replay_wants reports whether this pass reads the column at all.
bool gh_replay_wants(const gh_replay *r, int column);

// gh_replay_step handles at most max_events further events, and ends early after
// a collection: a heap that does little else can be stopped. *need is set with
// GH_REPLAY_NEED, *err with GH_REPLAY_BAD. After GH_REPLAY_BAD and _NOMEM the
// pass has ended for good and gives the same answer again.
gh_replay_result gh_replay_step(gh_replay *r, uint64_t max_events, int *need,
                                gh_replay_error *err);

// gh_replay_feed appends raw bytes to a column; last: there are no more.
// GH_ERR_INVAL for a column that isn't wanted, GH_ERR_STATE after the last piece.
GH_NODISCARD gh_status gh_replay_feed(gh_replay *r, int column,
                                      const uint8_t *data, size_t n, bool last);

uint64_t gh_replay_events_done(const gh_replay *r);
uint64_t gh_replay_events_total(const gh_replay *r);

// gh_replay_lifetimes is what a survey found, owned by it; NULL until it is
// done, and of a replay.
const gh_lifetimes *gh_replay_lifetimes(const gh_replay *r);

// gh_recorded_cycle is one collection of the recorded program.
typedef struct gh_recorded_cycle {
    int64_t begin_ns, end_ns;   // of marking, by the stamps
    uint64_t heap_start, heap_end, heap_marked, heap_goal;  // 0: not seen
    bool forced;                // taken to be
} gh_recorded_cycle;

#define GH_GAP_BUCKETS 48

// gh_survey_facts is what the stamps of a history say.
typedef struct gh_survey_facts {
    int64_t duration_ns;
    int64_t mark_ns;      // in marking, all cycles together
    int64_t stopped_ns;   // with the world stopped
    double event_ns;      // a free after a free on the same P: mostly the
                          // recorder's price; 0: too few
    uint64_t recorder_bytes;  // large noscan objects from before the recording
    // Times between two events of one P, of at least 1 << i ns, until the last
    // mark ended: how many, and their sum.
    uint64_t gaps[GH_GAP_BUCKETS], gap_ns[GH_GAP_BUCKETS];
    uint32_t ps;              // Ps that had events
    uint32_t ncycles;
    const gh_recorded_cycle *cycle;
} gh_survey_facts;
// gh_replay_facts is what a finished survey found; false else. *out points into
// the survey.
bool gh_replay_facts(const gh_replay *r, gh_survey_facts *out);

// gh_replay_heap is the heap of a replay, NULL of a survey. Nobody is inside
// between two steps.
gh_heap *gh_replay_heap(gh_replay *r);

typedef struct gh_replay_summary {
    uint64_t events;
    uint64_t objects;         // slots taken, without those left out
    uint64_t reused;          // uses of a slot that a pool kept: see replay.c
    uint64_t tiny;            // further parts of tiny blocks
    uint64_t bytes;           // of the slots taken
    uint64_t left_out, left_out_bytes;  // the recorder's objects
    uint64_t live_objects;    // held by roots now
    uint64_t peak_live_objects;
    uint64_t automatic_gc, forced_gc;
    uint64_t peak_heap;       // most heap_live at any time
    uint64_t peak_gc_heap;    // most heap_live at the start of a collection
    uint64_t peak_committed;  // most heap bytes in use or free, not released
    int64_t time_ns;          // of the heap's clock
    int64_t longest_pause_ns;
    double gc_cpu_fraction;
    // Of all cycles together.
    int64_t assist_ns, background_ns, idle_ns;
    uint64_t work;            // bytes scanned, of heap, stacks and globals
    uint64_t limited;         // cycles that ended with the CPU limiter on
} gh_replay_summary;
// gh_replay_summary_get says what a replay has done so far.
void gh_replay_summary_get(gh_replay *r, gh_replay_summary *out);

// gh_replay_sample is one point of the series. Sizes in bytes.
typedef struct gh_replay_sample {
    int64_t t_ns;
    uint64_t objects;  // allocated so far
    uint64_t heap_live, heap_goal, heap_marked;
    uint64_t heap_inuse, heap_free, heap_released;
    uint64_t num_gc;
} gh_replay_sample;
size_t gh_replay_samples(const gh_replay *r, const gh_replay_sample **out);
// gh_replay_sample_now is the point of this moment.
void gh_replay_sample_now(gh_replay *r, gh_replay_sample *out);

#ifdef __cplusplus
}
#endif

#endif  // GH_REPLAY_H
