// rows.h: the events of a GHTRACE1 recording as rows, for people to look at.
//
// The whole columns are given at once and whole arrays come out: nothing for long
// recordings, which replay.h reads in pieces.
//
// Client of goheap.h: nothing of the core but its public interface is used.

#ifndef GH_ROWS_H
#define GH_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "goheap.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    GH_ROWS_OP, GH_ROWS_T, GH_ROWS_P, GH_ROWS_SPANCLASS, GH_ROWS_PAGES,
    GH_ROWS_TYPE, GH_ROWS_G, GH_ROWS_TINY, GH_ROWS_FREE, GH_ROWS_SPAN_PAGES,
    GH_ROWS_STACK_ORDER, GH_ROWS_VAL,
    GH_ROWS_COLUMNS
};

// gh_rows_column_name is a column's name in the file.
const char *gh_rows_column_name(int column);
const char *gh_rows_column_enc(int column);

// gh_rows_out are arrays of n elements, the caller's. -1: the event has none.
typedef struct gh_rows_out {
    int64_t *t_ns;
    int32_t *op;    // as in the file
    int32_t *p;
    int64_t *object;   // number of the object, from 0
    int64_t *size;     // of its slot
    int32_t *type;     // as in the file
    int64_t *goroutine;
    int64_t *value;    // pages of a span, bytes of a stack, or the value
} gh_rows_out;

typedef struct gh_rows_error {
    int column;       // -1: none in particular
    uint64_t offset;  // in its bytes
    char message[160];
} gh_rows_error;

// gh_rows decodes n events. A column that isn't there has data NULL: then its part
// of every row is -1. GH_ERR_INVAL: damaged, *err says where.
GH_NODISCARD gh_status gh_rows(const char *const *ops, size_t nops,
                               const uint8_t *const data[GH_ROWS_COLUMNS],
                               const size_t bytes[GH_ROWS_COLUMNS], size_t n,
                               size_t ntypes, const gh_rows_out *out,
                               gh_rows_error *err);

#ifdef __cplusplus
}
#endif

#endif  // GH_ROWS_H
