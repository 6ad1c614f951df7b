// script.h: allocation scripts, the language `goheap-script 1`.
//
// A script is a text of operations on a table of slots: allocate, drop, store,
// load, collect, take a snapshot. It is compiled once (gh_script_compile) and
// then run any number of times, each run on a heap of its own that starts in
// the state the language asks for. What the heap did comes out as JSON.
//
// Client of goheap.h: nothing of the core but its public interface is used.
//
// Faults of the text (GH_SCRIPT_SYNTAX) and operations that cannot be carried
// out (GH_SCRIPT_RUNTIME) name line and column. GH_SCRIPT_REFUSED is a sound
// script that asks for something this version doesn't do, by name.
//
// Threads: a compiled script never changes and may be shared. A run belongs to
// one thread at a time.

#ifndef GH_SCRIPT_H
#define GH_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "goheap.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct gh_script gh_script;
typedef struct gh_script_run gh_script_run;

typedef struct gh_script_error {
    int line, column;   // both count from 1, column in bytes; 0: no place
    char message[256];
    char text[128];     // the line, without blanks around it; may be cut
} gh_script_error;

typedef enum gh_script_status {
    GH_SCRIPT_OK = 0,
    GH_SCRIPT_SYNTAX,
    GH_SCRIPT_REFUSED,
    GH_SCRIPT_RUNTIME,
    GH_SCRIPT_NOMEM,
    GH_SCRIPT_INTERRUPTED,  // for callers that stop a run between two steps
} gh_script_status;

// gh_script_compile translates text, len bytes that need no end mark. name is
// what the result calls the script (`script`); NULL or "": its title. On any
// other status than GH_SCRIPT_OK *out is left alone and *err says why.
gh_script_status gh_script_compile(const char *text, size_t len,
                                   const char *name, gh_script **out,
                                   gh_script_error *err);
void gh_script_free(gh_script *s);

// The header lines; "" where a line is absent.
const char *gh_script_title(const gh_script *s);
const char *gh_script_lane(const gh_script *s);
const char *gh_script_gcmode(const gh_script *s);
int gh_script_procs(const gh_script *s);
size_t gh_script_slots(const gh_script *s);

// gh_script_run_new makes the heap and takes the baseline. s must outlive the
// run.
gh_script_status gh_script_run_new(const gh_script *s, gh_script_run **out,
                                   gh_script_error *err);
// The same on a heap that asks ops for its memory (NULL: Linux).
// threads: a script of `gcmode concurrent`, or with `par`, runs in
// GH_MODE_CONCURRENT: the collector is threads, and so are par's workers. What
// varies in Go varies then. Other scripts run as ever.
gh_script_status gh_script_run_new_on(const gh_script *s, const gh_mem_ops *ops,
                                      void *ctx, bool threads,
                                      gh_script_run **out,
                                      gh_script_error *err);
// gh_script_run_step carries out up to max_ops operations; one round of a
// random operation counts as one, and so does an allocation of `par` and every
// `repeat` and `end`. It holds P number 0, or the last `onp`, while it runs; in
// `par` the Ps of the workers. *finished tells whether the program is over. After
// an error the run has stopped for good: the heap is as the last good operation
// left it, and every further step gives the same error.
gh_script_status gh_script_run_step(gh_script_run *r, uint64_t max_ops,
                                    bool *finished, gh_script_error *err);
// gh_script_run_done is the number of operations carried out so far.
uint64_t gh_script_run_done(const gh_script_run *r);
// gh_script_run_json writes the result so far as JSON text (len bytes and a
// final zero byte), from malloc: the caller frees it. GH_ERR_NOMEM at worst.
GH_NODISCARD gh_status gh_script_run_json(gh_script_run *r, char **json,
                                          size_t *len);
gh_heap *gh_script_run_heap(gh_script_run *r);
void gh_script_run_free(gh_script_run *r);

#ifdef __cplusplus
}
#endif

#endif  // GH_SCRIPT_H
