// rows.c: the events of a recording as rows. See rows.h.

#include "rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace.h"

#define PAGE_BYTES 8192u
#define MAX_PAGES  ((uint64_t)1 << 28)

// What an event takes from the columns, beside op, time and P.
typedef enum kind {
    K_NONE, K_OBJECT, K_TINY, K_FREE, K_SPAN, K_STACK, K_VALUE, K_UNKNOWN
} kind;

static const struct {
    const char *name;
    kind kind;
} kinds[] = {
    {"alloc", K_OBJECT}, {"exist", K_OBJECT}, {"tiny", K_TINY},
    {"free", K_FREE}, {"dead", K_FREE}, {"gc_begin", K_NONE},
    {"gc_end", K_NONE}, {"stw_begin", K_NONE}, {"stw_end", K_NONE},
    {"heap_goal", K_VALUE}, {"heap_live", K_VALUE}, {"gomaxprocs", K_VALUE},
    {"span_alloc", K_SPAN}, {"span_free", K_SPAN}, {"span_exist", K_SPAN},
    {"stack_alloc", K_STACK}, {"stack_free", K_STACK},
    {"stack_exist", K_STACK},
};

static const struct {
    const char *name, *enc_name;
    gh_enc enc;
} columns[GH_ROWS_COLUMNS] = {
    [GH_ROWS_OP] = {"ev.op", "u8", GH_ENC_U8},
    [GH_ROWS_T] = {"ev.t", "delta-svarint", GH_ENC_DELTA},
    [GH_ROWS_P] = {"ev.p", "u8", GH_ENC_U8},
    [GH_ROWS_SPANCLASS] = {"obj.spanclass", "u8", GH_ENC_U8},
    [GH_ROWS_PAGES] = {"obj.pages", "uvarint", GH_ENC_UVARINT},
    [GH_ROWS_TYPE] = {"obj.type", "uvarint", GH_ENC_UVARINT},
    [GH_ROWS_G] = {"obj.g", "delta-svarint", GH_ENC_DELTA},
    [GH_ROWS_TINY] = {"tiny.back", "uvarint", GH_ENC_UVARINT},
    [GH_ROWS_FREE] = {"free.back", "uvarint", GH_ENC_UVARINT},
    [GH_ROWS_SPAN_PAGES] = {"span.pages", "uvarint", GH_ENC_UVARINT},
    [GH_ROWS_STACK_ORDER] = {"stack.order", "uvarint", GH_ENC_UVARINT},
    [GH_ROWS_VAL] = {"val", "uvarint", GH_ENC_UVARINT},
};

const char *
gh_rows_column_name(int column)
{
    return columns[column].name;
}

const char *
gh_rows_column_enc(int column)
{
    return columns[column].enc_name;
}

typedef struct reader {
    gh_column col[GH_ROWS_COLUMNS];
    bool there[GH_ROWS_COLUMNS];
    gh_rows_error *err;
    size_t row;
} reader;

// value takes the next value of a column; GH_OK with *out unchanged if the file
// doesn't have the column.
static bool
value(reader *r, int c, int64_t *out)
{
    if (!r->there[c]) {
        return true;
    }
    gh_column *col = &r->col[c];
    uint64_t v = 0;
    bool ok = true;
    switch (col->enc) {
    case GH_ENC_U8: v = gh_column_u8(col); break;
    case GH_ENC_UVARINT: ok = gh_column_uvarint(col, &v); break;
    case GH_ENC_DELTA: ok = gh_column_delta(col, &v); break;
    }
    if (!ok || gh_column_overrun(col)) {
        r->err->column = c;
        r->err->offset = gh_column_offset(col);
        snprintf(r->err->message, sizeof(r->err->message),
                 ok ? "column %s ends at event %zu"
                    : "column %s holds a number of more than 64 bits, event %zu",
                 columns[c].name, r->row);
        return false;
    }
    *out = (int64_t)v;
    return true;
}

static bool
wrong(reader *r, int c, const char *what, int64_t v)
{
    r->err->column = c;
    r->err->offset = gh_column_offset(&r->col[c]);
    snprintf(r->err->message, sizeof(r->err->message), "event %zu: %s (%lld)",
             r->row, what, (long long)v);
    return false;
}

static bool
object(reader *r, int64_t *size, int64_t *type, int64_t *g, size_t ntypes)
{
    int64_t sc = 0, pages = 0;
    *type = 0;
    if (!value(r, GH_ROWS_SPANCLASS, &sc)) {
        return false;
    }
    if ((uint64_t)sc >> 1 >= gh_num_size_classes()) {
        return wrong(r, GH_ROWS_SPANCLASS, "an impossible span class", sc);
    }
    if (sc >> 1 != 0) {
        *size = gh_size_class_get((uint32_t)sc >> 1).size;
    } else {
        if (!value(r, GH_ROWS_PAGES, &pages)) {
            return false;
        }
        if (pages < 0 || (uint64_t)pages > MAX_PAGES) {
            return wrong(r, GH_ROWS_PAGES, "an impossible number of pages", pages);
        }
        *size = pages * PAGE_BYTES;
    }
    if (!value(r, GH_ROWS_TYPE, type) || !value(r, GH_ROWS_G, g)) {
        return false;
    }
    return (uint64_t)*type < ntypes
           || wrong(r, GH_ROWS_TYPE, "no type of that number", *type);
}

static bool
rows(reader *r, const kind *kind_of, size_t n, size_t ntypes,
     const gh_rows_out *out, int64_t *sizes)
{
    int64_t nobj = 0;
    for (r->row = 0; r->row < n; r->row++) {
        const size_t i = r->row;
        int64_t op = 0, t = 0, p = 255, obj = -1, size = -1, type = -1, g = -1,
                v = -1, back = 0;
        if (!value(r, GH_ROWS_OP, &op) || !value(r, GH_ROWS_T, &t)
            || !value(r, GH_ROWS_P, &p)) {
            return false;
        }
        bool ok = true;
        switch (kind_of[op]) {
        case K_OBJECT:
            ok = object(r, &size, &type, &g, ntypes);
            obj = nobj++;
            sizes[obj] = size;
            break;
        case K_TINY:
        case K_FREE: {
            const int c = kind_of[op] == K_TINY ? GH_ROWS_TINY : GH_ROWS_FREE;
            ok = value(r, c, &back);
            if (ok && (back < 0 || back >= nobj)) {
                ok = wrong(r, c, "reaches back behind the first object", back);
            } else if (ok) {
                obj = nobj - 1 - back;
                size = sizes[obj];
            }
            break;
        }
        case K_SPAN: ok = value(r, GH_ROWS_SPAN_PAGES, &v); break;
        case K_STACK:
            ok = value(r, GH_ROWS_STACK_ORDER, &v);
            v = v > 0 && v < 63 ? (int64_t)1 << (v - 1) : 0;
            break;
        case K_VALUE: ok = value(r, GH_ROWS_VAL, &v); break;
        case K_NONE: break;
        case K_UNKNOWN: return wrong(r, GH_ROWS_OP, "of an unknown kind", op);
        }
        if (!ok) {
            return false;
        }
        out->t_ns[i] = t;
        out->op[i] = (int32_t)op;
        out->p[i] = p == 255 ? -1 : (int32_t)p;
        out->object[i] = obj;
        out->size[i] = size;
        out->type[i] = type > 0 ? (int32_t)type : -1;
        out->goroutine[i] = g;
        out->value[i] = v;
    }
    return true;
}

gh_status
gh_rows(const char *const *ops, size_t nops,
        const uint8_t *const data[GH_ROWS_COLUMNS],
        const size_t bytes[GH_ROWS_COLUMNS], size_t n, size_t ntypes,
        const gh_rows_out *out, gh_rows_error *err)
{
    *err = (gh_rows_error){.column = -1};
    kind kind_of[256];
    for (size_t i = 0; i < 256; i++) {
        kind_of[i] = K_UNKNOWN;
        for (size_t k = 0; i < nops && k < sizeof(kinds) / sizeof(kinds[0]); k++) {
            if (strcmp(kinds[k].name, ops[i]) == 0) {
                kind_of[i] = kinds[k].kind;
            }
        }
    }
    int64_t *sizes = malloc((n + 1) * sizeof(*sizes));
    if (sizes == NULL) {
        return GH_ERR_NOMEM;
    }
    reader r = {.err = err};
    gh_status st = GH_OK;
    for (int c = 0; c < GH_ROWS_COLUMNS && st == GH_OK; c++) {
        r.there[c] = data[c] != NULL;
        gh_column_init(&r.col[c], columns[c].enc);
        if (r.there[c]) {
            st = gh_column_feed(&r.col[c], data[c], bytes[c], true);
        }
    }
    if (st == GH_OK && !rows(&r, kind_of, n, ntypes, out, sizes)) {
        st = GH_ERR_INVAL;
    }
    for (int c = 0; c < GH_ROWS_COLUMNS; c++) {
        gh_column_fini(&r.col[c]);
    }
    free(sizes);
    return st;
}
