// script.c: from the text of a script to its program. See script.h.

#include "script.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "script_program.h"

#define MAX_FIELDS 64u
#define MAX_LOOPS  64u

typedef struct field {
    const char *p;
    uint32_t len, column;
} field;

typedef struct parser {
    gh_script *s;
    gh_script_error *err;
    gh_script_status status;  // of the first error
    uint32_t line;
    field f[MAX_FIELDS];
    uint32_t nf;
    uint32_t loops[MAX_LOOPS];
    uint32_t nloops;
    bool version_seen, ops_seen;
    bool paced;  // cycles may begin by themselves
} parser;

void
gh_script_error_set(const char *source, size_t len, uint32_t line,
                    uint32_t column, gh_script_error *err, const char *format,
                    va_list args)
{
    memset(err, 0, sizeof(*err));
    err->line = (int)line;
    err->column = (int)column;
    vsnprintf(err->message, sizeof(err->message), format, args);
    const char *p = source, *end = source + len;
    for (uint32_t i = 1; i < line && p < end; i++) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        p = nl == NULL ? end : nl + 1;
    }
    const char *start = p;
    while (p < end && (*p == ' ' || *p == '\t')) {
        p++;
    }
    if (column == 0) {
        err->column = (int)(p - start) + 1;
    }
    size_t n = 0;
    while (p + n < end && p[n] != '\n' && p[n] != '\r'
           && n < sizeof(err->text) - 1) {
        n++;
    }
    memcpy(err->text, p, n);
}

__attribute__((format(printf, 4, 5))) static bool
fail(parser *p, gh_script_status st, uint32_t column, const char *format, ...)
{
    if (p->status == GH_SCRIPT_OK) {
        p->status = st;
        va_list args;
        va_start(args, format);
        gh_script_error_set(p->s->text, p->s->len, p->line, column, p->err,
                            format, args);
        va_end(args);
    }
    return false;
}

// grow_array makes room for one more element.
static bool
grow_array(parser *p, void *array, uint32_t n, uint32_t *cap, size_t size)
{
    if (n < *cap) {
        return true;
    }
    const uint32_t want = *cap == 0 ? 16 : *cap * 2;
    void *mem = want < *cap ? NULL
                            : realloc(*(void **)array, (size_t)want * size);
    if (mem == NULL) {
        return fail(p, GH_SCRIPT_NOMEM, 0, "out of memory");
    }
    *(void **)array = mem;
    *cap = want;
    return true;
}

#define GROW(p, array, n, cap) grow_array(p, &(array), n, &(cap), sizeof(*(array)))

// ---- names -----------------------------------------------------------------------

static uint64_t
hash_text(const char *t, size_t len)
{
    uint64_t h = 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < len; i++) {
        h = (h ^ (unsigned char)t[i]) * 0x100000001b3u;
        h ^= h >> 29;
    }
    return h;
}

static uint32_t *
name_place(gh_names *names, const char *t, size_t len, uint64_t hash)
{
    uint32_t i = (uint32_t)hash & (names->index_cap - 1);
    for (;; i = (i + 1) & (names->index_cap - 1)) {
        const uint32_t id = names->index[i];
        if (id == 0) {
            return &names->index[i];
        }
        const gh_name *n = &names->name[id - 1];
        if (n->hash == hash && n->len == len && memcmp(n->text, t, len) == 0) {
            return &names->index[i];
        }
    }
}

static uint32_t
find_name(gh_names *names, const char *t, size_t len)
{
    if (names->index_cap == 0) {
        return GH_NONE;
    }
    const uint32_t id = *name_place(names, t, len, hash_text(t, len));
    return id == 0 ? GH_NONE : id - 1;
}

// add_name returns the number of a text, GH_NONE without memory.
static uint32_t
add_name(parser *p, gh_names *names, const char *t, size_t len)
{
    if (names->n * 2 >= names->index_cap) {
        const uint32_t cap = names->index_cap == 0 ? 64 : names->index_cap * 2;
        uint32_t *index = calloc(cap, sizeof(*index));
        if (index == NULL) {
            fail(p, GH_SCRIPT_NOMEM, 0, "out of memory");
            return GH_NONE;
        }
        free(names->index);
        names->index = index;
        names->index_cap = cap;
        for (uint32_t i = 0; i < names->n; i++) {
            const gh_name *n = &names->name[i];
            *name_place(names, n->text, n->len, n->hash) = i + 1;
        }
    }
    const uint64_t hash = hash_text(t, len);
    uint32_t *place = name_place(names, t, len, hash);
    if (*place != 0) {
        return *place - 1;
    }
    if (!GROW(p, names->name, names->n, names->cap)) {
        return GH_NONE;
    }
    char *copy = malloc(len + 1);
    if (copy == NULL) {
        fail(p, GH_SCRIPT_NOMEM, 0, "out of memory");
        return GH_NONE;
    }
    memcpy(copy, t, len);
    copy[len] = 0;
    names->name[names->n] = (gh_name){copy, len, hash};
    *place = ++names->n;
    return names->n - 1;
}

static void
free_names(gh_names *names)
{
    for (uint32_t i = 0; i < names->n; i++) {
        free(names->name[i].text);
    }
    free(names->name);
    free(names->index);
}

// ---- numbers and expressions ---------------------------------------------------------

static bool
is(const field *f, const char *word)
{
    return strlen(word) == f->len && memcmp(f->p, word, f->len) == 0;
}

// read_number reads digits only; *used is their number.
static bool
read_number(const char *t, size_t len, int64_t *out, size_t *used)
{
    uint64_t v = 0;
    size_t i = 0;
    for (; i < len && isdigit((unsigned char)t[i]); i++) {
        const uint64_t d = (uint64_t)(t[i] - '0');
        if (v > ((uint64_t)INT64_MAX - d) / 10) {
            return false;
        }
        v = v * 10 + d;
    }
    *out = (int64_t)v;
    *used = i;
    return i > 0;
}

static bool
plain_number(parser *p, const field *f, const char *what, int64_t lo,
             int64_t hi, int64_t *out)
{
    size_t used;
    if (!read_number(f->p, f->len, out, &used) || used != f->len) {
        return fail(p, GH_SCRIPT_SYNTAX, f->column, "%s: want a number, not %.*s",
                    what, (int)f->len, f->p);
    }
    if (*out < lo || *out > hi) {
        return fail(p, GH_SCRIPT_SYNTAX, f->column,
                    "%s %lld is outside %lld..%lld", what, (long long)*out,
                    (long long)lo, (long long)hi);
    }
    return true;
}

// value is an expression being built: linear and not yet emitted, or code that
// starts at `start` of the program's expression code.
typedef struct value {
    bool linear;
    int64_t c0, c1;
    uint32_t var, start;
} value;

typedef struct eparser {
    parser *p;
    const char *t;
    size_t len, i;
    uint32_t column;
    int depth;
} eparser;

static bool
emit_at(eparser *e, uint32_t at, gh_expr_op op)
{
    gh_script *s = e->p->s;
    if (!GROW(e->p, s->expr, s->nexpr, s->expr_cap)) {
        return false;
    }
    memmove(&s->expr[at + 1], &s->expr[at],
            (s->nexpr - at) * sizeof(s->expr[0]));
    s->expr[at] = op;
    s->nexpr++;
    return true;
}

static bool
emit_value(eparser *e, value *v, uint32_t at)
{
    if (v->linear) {
        v->linear = false;
        v->start = at;
        return emit_at(e, at, (gh_expr_op){GH_EXPR_LIN, v->var, v->c0, v->c1});
    }
    return true;
}

static int64_t
wrap(uint64_t v)
{
    return (int64_t)v;
}

// fold computes linear op linear where the result is linear.
static bool
fold(value *l, char op, const value *r)
{
    if (!l->linear || !r->linear) {
        return false;
    }
    const bool lc = l->c1 == 0, rc = r->c1 == 0;
    switch (op) {
    case '+':
    case '-': {
        if (!lc && !rc && l->var != r->var) {
            return false;
        }
        const uint64_t k = op == '+' ? 1 : (uint64_t)-1;
        if (lc) {
            l->var = r->var;
        }
        l->c0 = wrap((uint64_t)l->c0 + k * (uint64_t)r->c0);
        l->c1 = wrap((uint64_t)l->c1 + k * (uint64_t)r->c1);
        return true;
    }
    case '*':
        if (!lc && !rc) {
            return false;
        }
        if (lc) {
            const int64_t k = l->c0;
            *l = *r;
            l->c0 = wrap((uint64_t)l->c0 * (uint64_t)k);
            l->c1 = wrap((uint64_t)l->c1 * (uint64_t)k);
        } else {
            l->c0 = wrap((uint64_t)l->c0 * (uint64_t)r->c0);
            l->c1 = wrap((uint64_t)l->c1 * (uint64_t)r->c0);
        }
        return true;
    default:
        if (!lc || !rc || r->c0 == 0 || r->c0 == -1) {
            return false;
        }
        l->c0 = op == '/' ? l->c0 / r->c0 : l->c0 % r->c0;
        return true;
    }
}

static bool
combine(eparser *e, value *l, char op, value *r)
{
    if (fold(l, op, r)) {
        return true;
    }
    gh_script *s = e->p->s;
    const bool had_code = !r->linear;
    const uint32_t at = had_code ? r->start : s->nexpr;
    if (!emit_value(e, l, at) || !emit_value(e, r, s->nexpr)) {
        return false;
    }
    const gh_expr_code code = op == '+'   ? GH_EXPR_ADD
                              : op == '-' ? GH_EXPR_SUB
                              : op == '*' ? GH_EXPR_MUL
                              : op == '/' ? GH_EXPR_DIV
                                          : GH_EXPR_MOD;
    return emit_at(e, s->nexpr, (gh_expr_op){code, 0, 0, 0});
}

static bool parse_sum(eparser *e, value *out);

static bool
parse_atom(eparser *e, value *out)
{
    const char c = e->i < e->len ? e->t[e->i] : 0;
    const uint32_t column = e->column + (uint32_t)e->i;
    if (c == '(') {
        if (++e->depth > GH_EXPR_NEST) {
            return fail(e->p, GH_SCRIPT_SYNTAX, column,
                        "parentheses nest deeper than %d", GH_EXPR_NEST);
        }
        e->i++;
        if (!parse_sum(e, out)) {
            return false;
        }
        if (e->i >= e->len || e->t[e->i] != ')') {
            return fail(e->p, GH_SCRIPT_SYNTAX, e->column + (uint32_t)e->i,
                        "missing )");
        }
        e->i++;
        e->depth--;
        return true;
    }
    if (c == '$') {
        size_t j = e->i + 1;
        while (j < e->len && islower((unsigned char)e->t[j])) {
            j++;
        }
        const uint32_t id =
            find_name(&e->p->s->vars, e->t + e->i + 1, j - e->i - 1);
        if (id == GH_NONE) {
            return fail(e->p, GH_SCRIPT_SYNTAX, column, "unknown variable %.*s",
                        (int)(j - e->i), e->t + e->i);
        }
        e->i = j;
        *out = (value){.linear = true, .c1 = 1, .var = id + 1};
        return true;
    }
    size_t used;
    int64_t n;
    if (!read_number(e->t + e->i, e->len - e->i, &n, &used)) {
        return fail(e->p, GH_SCRIPT_SYNTAX, column,
                    "want a number, $variable or ( in the expression %.*s",
                    (int)e->len, e->t);
    }
    e->i += used;
    *out = (value){.linear = true, .c0 = n};
    return true;
}

static bool
parse_product(eparser *e, value *out)
{
    if (!parse_atom(e, out)) {
        return false;
    }
    while (e->i < e->len
           && (e->t[e->i] == '*' || e->t[e->i] == '/' || e->t[e->i] == '%')) {
        const char op = e->t[e->i++];
        value r;
        if (!parse_atom(e, &r) || !combine(e, out, op, &r)) {
            return false;
        }
    }
    return true;
}

static bool
parse_sum(eparser *e, value *out)
{
    if (!parse_product(e, out)) {
        return false;
    }
    while (e->i < e->len && (e->t[e->i] == '+' || e->t[e->i] == '-')) {
        const char op = e->t[e->i++];
        value r;
        if (!parse_product(e, &r) || !combine(e, out, op, &r)) {
            return false;
        }
    }
    return true;
}

static bool
parse_expr(parser *p, const char *t, size_t len, uint32_t column, gh_expr *out)
{
    eparser e = {.p = p, .t = t, .len = len, .column = column};
    value v;
    if (!parse_sum(&e, &v)) {
        return false;
    }
    if (e.i != len) {
        return fail(p, GH_SCRIPT_SYNTAX, column + (uint32_t)e.i,
                    "bad expression %.*s", (int)len, t);
    }
    *out = (gh_expr){.column = column};
    if (v.linear) {
        out->c0 = v.c0;
        out->c1 = v.c1;
        out->var = v.c1 == 0 ? 0 : v.var;
        return true;
    }
    out->code = v.start + 1;
    return emit_at(&e, p->s->nexpr, (gh_expr_op){GH_EXPR_END, 0, 0, 0});
}

static bool
field_expr(parser *p, uint32_t i, gh_expr *out)
{
    return parse_expr(p, p->f[i].p, p->f[i].len, p->f[i].column, out);
}

// slot_field splits SLOT.FIELD at the first dot.
static bool
slot_field(parser *p, uint32_t i, gh_expr *slot, gh_expr *word)
{
    const field *f = &p->f[i];
    const char *dot = memchr(f->p, '.', f->len);
    if (dot == NULL) {
        return fail(p, GH_SCRIPT_SYNTAX, f->column, "want SLOT.FIELD");
    }
    const uint32_t n = (uint32_t)(dot - f->p);
    return parse_expr(p, f->p, n, f->column, slot)
           && parse_expr(p, dot + 1, f->len - n - 1, f->column + n + 1, word);
}

// ---- masks -----------------------------------------------------------------------------

bool
gh_mask_has_pointer(const gh_script *s, uint32_t mask, uint64_t words)
{
    const gh_mask *m = &s->mask[mask];
    if (m->all) {
        return words > 0;
    }
    for (size_t i = 0; i < m->n; i++) {
        if (s->range[m->first + i].lo < words) {
            return true;
        }
    }
    return false;
}

static bool
parse_range(parser *p, const char *t, size_t len, uint32_t column)
{
    gh_script *s = p->s;
    int64_t v[3] = {0, 0, 1};
    size_t used, i;
    if (!read_number(t, len, &v[0], &used)) {
        goto bad;
    }
    i = used;
    v[1] = v[0];
    if (i < len && t[i] == '-') {
        if (!read_number(t + i + 1, len - i - 1, &v[1], &used)) {
            goto bad;
        }
        i += 1 + used;
    }
    if (i < len && t[i] == '/') {
        if (!read_number(t + i + 1, len - i - 1, &v[2], &used) || v[2] == 0) {
            goto bad;
        }
        i += 1 + used;
    }
    if (i != len) {
        goto bad;
    }
    if (!GROW(p, s->range, s->nrange, s->range_cap)) {
        return false;
    }
    if (v[0] <= v[1]) {
        s->range[s->nrange++] = (gh_mask_range){(uint64_t)v[0], (uint64_t)v[1],
                                                (uint64_t)v[2]};
        s->mask[s->nmask - 1].n++;
    }
    return true;
bad:
    return fail(p, GH_SCRIPT_SYNTAX, column, "bad mask %.*s", (int)len, t);
}

static bool
parse_mask(parser *p, const char *t, size_t len, uint32_t column, uint32_t *out)
{
    gh_script *s = p->s;
    const uint32_t known = find_name(&s->mask_names, t, len);
    if (known != GH_NONE) {
        *out = known;
        return true;
    }
    const uint32_t id = add_name(p, &s->mask_names, t, len);
    if (id == GH_NONE || !GROW(p, s->mask, s->nmask, s->mask_cap)) {
        return false;
    }
    s->mask[s->nmask++] = (gh_mask){.first = s->nrange};
    *out = id;
    if (len == 4 && memcmp(t, "none", 4) == 0) {
        return true;
    }
    if (len == 3 && memcmp(t, "all", 3) == 0) {
        s->mask[id].all = true;
        return true;
    }
    for (size_t i = 0; i <= len;) {
        const char *comma = memchr(t + i, ',', len - i);
        const size_t n = comma == NULL ? len - i : (size_t)(comma - t) - i;
        if (!parse_range(p, t + i, n, column + (uint32_t)i)) {
            return false;
        }
        i += n + 1;
    }
    return true;
}

// ---- lines --------------------------------------------------------------------------------

// keyed finds field KEY=VALUE from field number from on.
static bool
keyed(const parser *p, uint32_t from, const char *key, field *out)
{
    const size_t n = strlen(key);
    for (uint32_t i = from; i < p->nf; i++) {
        const field *f = &p->f[i];
        if (f->len > n && memcmp(f->p, key, n) == 0 && f->p[n] == '=') {
            *out = (field){f->p + n + 1, f->len - (uint32_t)n - 1,
                           f->column + (uint32_t)n + 1};
            return true;
        }
    }
    return false;
}

static bool
want_fields(parser *p, uint32_t lo, uint32_t hi)
{
    if (p->nf < lo || p->nf > hi) {
        return fail(p, GH_SCRIPT_SYNTAX, p->f[0].column,
                    "%.*s takes %u to %u fields, not %u", (int)p->f[0].len,
                    p->f[0].p, lo - 1, hi - 1, p->nf - 1);
    }
    return true;
}

static bool
set_text(parser *p, char **out)
{
    const char *from = p->nf > 1 ? p->f[1].p : "";
    size_t len = 0;
    if (p->nf > 1) {
        len = (size_t)(p->f[p->nf - 1].p + p->f[p->nf - 1].len - from);
    }
    char *copy = malloc(len + 1);
    if (copy == NULL) {
        return fail(p, GH_SCRIPT_NOMEM, 0, "out of memory");
    }
    memcpy(copy, from, len);
    copy[len] = 0;
    free(*out);
    *out = copy;
    return true;
}

static bool
parse_type(parser *p)
{
    gh_script *s = p->s;
    field f;
    int64_t size;
    if (!want_fields(p, 4, 4)
        || !plain_number(p, &p->f[2], "type size", 0, GH_SCRIPT_MAX_TYPE,
                         &size)) {
        return false;
    }
    if (!keyed(p, 3, "ptr", &f)) {
        return fail(p, GH_SCRIPT_SYNTAX, p->f[3].column, "want ptr=MASK");
    }
    uint32_t mask;
    if (!parse_mask(p, f.p, f.len, f.column, &mask)) {
        return false;
    }
    if (size % 8 != 0 && gh_mask_has_pointer(s, mask, (uint64_t)size / 8)) {
        return fail(p, GH_SCRIPT_SYNTAX, p->f[2].column,
                    "size %lld of a type with pointers is no multiple of 8",
                    (long long)size);
    }
    const uint32_t name = add_name(p, &s->type_names, p->f[1].p, p->f[1].len);
    if (name == GH_NONE || !GROW(p, s->type, s->ntype, s->type_cap)) {
        return false;
    }
    s->type[s->ntype++] = (gh_script_type){(uint64_t)size, mask, name};
    return true;
}

// find_type: the last type declared under the name.
static bool
find_type(parser *p, uint32_t i, uint32_t *out)
{
    gh_script *s = p->s;
    const uint32_t name = find_name(&s->type_names, p->f[i].p, p->f[i].len);
    for (uint32_t t = s->ntype; name != GH_NONE && t-- > 0;) {
        if (s->type[t].name == name) {
            *out = t;
            return true;
        }
    }
    return fail(p, GH_SCRIPT_SYNTAX, p->f[i].column, "unknown type %.*s",
                (int)p->f[i].len, p->f[i].p);
}

static bool
parse_dist(parser *p, const field *f, gh_dist *out)
{
    gh_script *s = p->s;
    const char *colon = memchr(f->p, ':', f->len);
    if (colon == NULL) {
        goto bad;
    }
    const size_t kind = (size_t)(colon - f->p);
    const char *t = colon + 1;
    const size_t len = f->len - kind - 1;
    if (kind == 4 && memcmp(f->p, "list", 4) == 0) {
        *out = (gh_dist){GH_DIST_LIST, s->nlist, 0};
        for (size_t i = 0; i <= len;) {
            int64_t v;
            size_t used;
            if (!read_number(t + i, len - i, &v, &used)
                || (i + used < len && t[i + used] != ',')) {
                goto bad;
            }
            if (!GROW(p, s->list, s->nlist, s->list_cap)) {
                return false;
            }
            s->list[s->nlist++] = (uint64_t)v;
            out->n++;
            i += used + 1;
        }
        return true;
    }
    const bool log = kind == 3 && memcmp(f->p, "log", 3) == 0;
    if (!log && !(kind == 1 && f->p[0] == 'u')) {
        goto bad;
    }
    int64_t a, b;
    size_t n, n2;
    if (!read_number(t, len, &a, &n) || n >= len || t[n] != '-'
        || !read_number(t + n + 1, len - n - 1, &b, &n2) || n + 1 + n2 != len
        || b < a || (log && b > 46)) {
        goto bad;
    }
    *out = (gh_dist){log ? GH_DIST_LOG : GH_DIST_UNIFORM, (uint64_t)a,
                     (uint64_t)(b - a) + 1};
    return true;
bad:
    return fail(p, GH_SCRIPT_SYNTAX, f->column, "bad distribution %.*s",
                (int)f->len, f->p);
}

static bool
parse_random(parser *p, gh_op *op)
{
    gh_script *s = p->s;
    if (!want_fields(p, 4, MAX_FIELDS)
        || !GROW(p, s->random, s->nrandom, s->random_cap)) {
        return false;
    }
    gh_random r = {0};
    field f;
    int64_t n;
    if (!field_expr(p, 1, &op->a) || !field_expr(p, 2, &op->b)) {
        return false;
    }
    static const char *const need[] = {"sizes", "base", "live"};
    for (int i = 0; i < 3; i++) {
        if (!keyed(p, 3, need[i], &f)) {
            return fail(p, GH_SCRIPT_SYNTAX, p->f[0].column, "random needs %s=",
                        need[i]);
        }
        if (!(i == 0 ? parse_dist(p, &f, &r.dist)
                     : parse_expr(p, f.p, f.len, f.column,
                                  i == 1 ? &r.base : &r.live))) {
            return false;
        }
    }
    if (keyed(p, 3, "scan", &f)) {
        if (!plain_number(p, &f, "scan", 0, 100, &n)) {
            return false;
        }
        r.scan_percent = (uint64_t)n;
    }
    if (keyed(p, 3, "link", &f)) {
        if (!plain_number(p, &f, "link", 0, 100, &n)) {
            return false;
        }
        r.link_percent = (uint64_t)n;
    }
    if (!keyed(p, 3, "mask", &f)) {
        f = (field){"0", 1, p->f[0].column};
    }
    if (!parse_mask(p, f.p, f.len, f.column, &r.mask)) {
        return false;
    }
    op->x = s->nrandom;
    s->random[s->nrandom++] = r;
    return true;
}

static bool
parse_rand(parser *p, gh_op *op, bool link)
{
    gh_script *s = p->s;
    gh_random r = {0};
    if (!want_fields(p, link ? 6 : 5, link ? 6 : 5)
        || !GROW(p, s->random, s->nrandom, s->random_cap)
        || !field_expr(p, 1, &op->a)) {
        return false;
    }
    const bool ok = link ? field_expr(p, 2, &op->b) && field_expr(p, 3, &r.base)
                               && field_expr(p, 4, &r.live)
                               && field_expr(p, 5, &r.words)
                         : field_expr(p, 2, &r.base) && field_expr(p, 3, &op->b)
                               && field_expr(p, 4, &r.live);
    op->x = s->nrandom;
    s->random[s->nrandom++] = r;
    return ok;
}

static bool
label(parser *p, gh_op *op)
{
    op->x = add_name(p, &p->s->labels, p->f[1].p, p->f[1].len);
    return op->x != GH_NONE;
}

// parse_op: fields of an operation. The caller appends op.
static bool
parse_op(parser *p, gh_op *op)
{
    gh_script *s = p->s;
    const field *w = &p->f[0];
    if (is(w, "alloc")) {
        if (!want_fields(p, 4, 4) || !field_expr(p, 1, &op->a)
            || !field_expr(p, 2, &op->b)) {
            return false;
        }
        field f;
        if (is(&p->f[3], "noscan")) {
            op->code = GH_OP_ALLOC;
            return true;
        }
        if (!keyed(p, 3, "ptrs", &f)) {
            return fail(p, GH_SCRIPT_SYNTAX, p->f[3].column,
                        "want noscan or ptrs=MASK");
        }
        op->code = GH_OP_ALLOC_PTRS;
        op->cache = s->ncache++;
        return parse_mask(p, f.p, f.len, f.column, &op->mask);
    }
    if (is(w, "alloctype")) {
        op->code = GH_OP_ALLOC_TYPE;
        return want_fields(p, 3, 3) && field_expr(p, 1, &op->a)
               && find_type(p, 2, &op->x);
    }
    if (is(w, "allocarray")) {
        op->code = GH_OP_ALLOC_ARRAY;
        return want_fields(p, 4, 4) && field_expr(p, 1, &op->a)
               && find_type(p, 2, &op->x) && field_expr(p, 3, &op->b);
    }
    if (is(w, "drop")) {
        op->code = GH_OP_DROP;
        return want_fields(p, 2, 2) && field_expr(p, 1, &op->a);
    }
    if (is(w, "fin")) {
        op->code = GH_OP_FIN;
        return want_fields(p, 2, 2) && field_expr(p, 1, &op->a);
    }
    if (is(w, "store")) {
        if (!want_fields(p, 3, 3) || !slot_field(p, 1, &op->a, &op->b)) {
            return false;
        }
        op->code = is(&p->f[2], "nil") ? GH_OP_STORE_NIL : GH_OP_STORE;
        return op->code == GH_OP_STORE_NIL || field_expr(p, 2, &op->c);
    }
    if (is(w, "load")) {
        op->code = GH_OP_LOAD;
        return want_fields(p, 3, 3) && field_expr(p, 1, &op->a)
               && slot_field(p, 2, &op->b, &op->c);
    }
    if (is(w, "repeat")) {
        op->code = GH_OP_REPEAT;
        if (!want_fields(p, 3, 3)) {
            return false;
        }
        for (uint32_t i = 0; i < p->f[1].len; i++) {
            if (!islower((unsigned char)p->f[1].p[i])) {
                return fail(p, GH_SCRIPT_SYNTAX, p->f[1].column + i,
                            "a variable is made of the letters a-z");
            }
        }
        if (p->nloops == MAX_LOOPS) {
            return fail(p, GH_SCRIPT_SYNTAX, w->column,
                        "loops nest deeper than %u", MAX_LOOPS);
        }
        // Its count may use an outer loop's variable, not its own before the
        // name exists; so the name comes after the expression.
        if (!field_expr(p, 2, &op->a)) {
            return false;
        }
        const uint32_t id = add_name(p, &s->vars, p->f[1].p, p->f[1].len);
        if (id == GH_NONE) {
            return false;
        }
        op->var = id + 1;
        p->loops[p->nloops++] = s->nop;
        return true;
    }
    if (is(w, "end")) {
        op->code = GH_OP_END;
        if (!want_fields(p, 1, 1)) {
            return false;
        }
        if (p->nloops == 0) {
            return fail(p, GH_SCRIPT_SYNTAX, w->column, "end without repeat");
        }
        op->x = p->loops[--p->nloops];
        op->var = s->op[op->x].var;
        s->op[op->x].x = s->nop;
        return true;
    }
    if (is(w, "gc")) {
        op->code = GH_OP_GC;
        return want_fields(p, 1, 1);
    }
    if (is(w, "freeos")) {
        op->code = GH_OP_FREEOS;
        return want_fields(p, 1, 1);
    }
    if (is(w, "gogc")) {
        op->code = GH_OP_GOGC;
        p->paced = true;
        if (!want_fields(p, 2, 2)) {
            return false;
        }
        if (is(&p->f[1], "off")) {
            op->a = (gh_expr){.c0 = -1, .column = p->f[1].column};
            return true;
        }
        return field_expr(p, 1, &op->a);
    }
    if (is(w, "memlimit")) {
        op->code = GH_OP_MEMLIMIT;
        p->paced = true;
        s->limited = true;
        if (!want_fields(p, 2, 2)) {
            return false;
        }
        if (is(&p->f[1], "off")) {
            op->a = (gh_expr){.c0 = INT64_MAX, .column = p->f[1].column};
            return true;
        }
        return field_expr(p, 1, &op->a);
    }
    if (is(w, "stats") || is(w, "peek")) {
        op->code = is(w, "stats") ? GH_OP_STATS : GH_OP_PEEK;
        return want_fields(p, 2, 2) && label(p, op);
    }
    if (is(w, "addr") || is(w, "addrhash")) {
        op->code = is(w, "addr") ? GH_OP_ADDR : GH_OP_ADDRHASH;
        return want_fields(p, 4, 4) && label(p, op) && field_expr(p, 2, &op->a)
               && field_expr(p, 3, &op->b);
    }
    if (is(w, "random")) {
        op->code = GH_OP_RANDOM;
        return parse_random(p, op);
    }
    if (is(w, "randlink")) {
        op->code = GH_OP_RANDLINK;
        return parse_rand(p, op, true);
    }
    if (is(w, "randdrop")) {
        op->code = GH_OP_RANDDROP;
        return parse_rand(p, op, false);
    }
    if (is(w, "onp")) {
        op->code = GH_OP_ONP;
        return want_fields(p, 2, 2) && field_expr(p, 1, &op->a);
    }
    if (is(w, "par")) {
        op->code = GH_OP_PAR;
        return want_fields(p, 4, 4) && field_expr(p, 1, &op->a)
               && field_expr(p, 2, &op->b) && field_expr(p, 3, &op->c);
    }
    return fail(p, GH_SCRIPT_SYNTAX, w->column, "unknown operation %.*s",
                (int)w->len, w->p);
}

static bool
parse_line(parser *p)
{
    gh_script *s = p->s;
    const field *w = &p->f[0];
    int64_t n;
    size_t used;
    if (!p->version_seen) {
        if (!is(w, "goheap-script") || p->nf != 2
            || !read_number(p->f[1].p, p->f[1].len, &n, &used)
            || used != p->f[1].len || n < 1) {
            return fail(p, GH_SCRIPT_SYNTAX, w->column,
                        "the first line must be: goheap-script 1");
        }
        if (n > 1) {
            return fail(p, GH_SCRIPT_REFUSED, p->f[1].column,
                        "goheap-script %lld is not supported in this version, "
                        "which reads goheap-script 1", (long long)n);
        }
        p->version_seen = true;
        return true;
    }
    if (is(w, "type")) {
        return parse_type(p);
    }
    const bool header = is(w, "title") || is(w, "lane") || is(w, "slots")
                        || is(w, "procs") || is(w, "gcmode")
                        || is(w, "goheap-script");
    if (header && (p->ops_seen || is(w, "goheap-script"))) {
        return fail(p, GH_SCRIPT_SYNTAX, w->column,
                    "header line %.*s after the first operation", (int)w->len,
                    w->p);
    }
    if (is(w, "title") || is(w, "lane")) {
        return set_text(p, is(w, "title") ? &s->title : &s->lane);
    }
    if (is(w, "slots")) {
        if (!want_fields(p, 2, 2)
            || !plain_number(p, &p->f[1], "slots", 0, GH_SCRIPT_MAX_SLOTS, &n)) {
            return false;
        }
        s->slots = (size_t)n;
        return true;
    }
    if (is(w, "procs")) {
        if (!want_fields(p, 2, 2)
            || !plain_number(p, &p->f[1], "procs", 1, GH_MAX_PROCS, &n)) {
            return false;
        }
        s->procs = (int)n;
        return true;
    }
    if (is(w, "gcmode")) {
        if (!want_fields(p, 2, 2) || !set_text(p, &s->gcmode)) {
            return false;
        }
        if (!is(&p->f[1], "stw") && !is(&p->f[1], "stw-mark")
            && !is(&p->f[1], "concurrent")) {
            return fail(p, GH_SCRIPT_SYNTAX, p->f[1].column,
                        "unknown gcmode %.*s", (int)p->f[1].len, p->f[1].p);
        }
        return true;
    }
    p->ops_seen = true;
    gh_op op = {.line = p->line};
    if (!parse_op(p, &op) || !GROW(p, s->op, s->nop, s->op_cap)) {
        return false;
    }
    s->op[s->nop++] = op;
    return true;
}

static bool
split(parser *p, const char *t, size_t len)
{
    p->nf = 0;
    const char *hash = memchr(t, '#', len);
    if (hash != NULL) {
        len = (size_t)(hash - t);
    }
    for (size_t i = 0; i < len;) {
        if (isspace((unsigned char)t[i])) {
            i++;
            continue;
        }
        size_t j = i;
        while (j < len && !isspace((unsigned char)t[j])) {
            j++;
        }
        if (p->nf == MAX_FIELDS) {
            // Only a title may be that long: its last field takes the rest.
            p->f[MAX_FIELDS - 1].len =
                (uint32_t)(t + j - p->f[MAX_FIELDS - 1].p);
        } else {
            p->f[p->nf++] = (field){t + i, (uint32_t)(j - i), (uint32_t)i + 1};
        }
        i = j;
    }
    return p->nf > 0;
}

static char *
copy_text(const char *t)
{
    char *copy = malloc(strlen(t) + 1);
    if (copy != NULL) {
        strcpy(copy, t);
    }
    return copy;
}

// set_mode says how our heap does what gcmode asks for. Where only `gc` begins
// cycles, nothing shows whether they run beside the program.
static void
set_mode(gh_script *s, bool paced)
{
    const bool beside = paced && strcmp(s->gcmode, "concurrent") == 0;
    s->mode = beside ? GH_MODE_VIRTUAL : GH_MODE_STW;
    s->eager_sweep = !beside && strcmp(s->gcmode, "stw-mark") != 0;
}

gh_script_status
gh_script_compile(const char *text, size_t len, const char *name,
                  gh_script **out, gh_script_error *err)
{
    memset(err, 0, sizeof(*err));
    gh_script *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return GH_SCRIPT_NOMEM;
    }
    s->text = malloc(len + 1);
    s->name = copy_text(name == NULL ? "" : name);
    s->title = copy_text("");
    s->lane = copy_text("");
    s->gcmode = copy_text("");
    s->procs = 1;
    s->slots = 1024;
    if (s->text == NULL || s->name == NULL || s->title == NULL
        || s->lane == NULL || s->gcmode == NULL) {
        gh_script_free(s);
        return GH_SCRIPT_NOMEM;
    }
    memcpy(s->text, text, len);
    s->text[len] = 0;
    s->len = len;
    parser p = {.s = s, .err = err};
    for (size_t i = 0; i < len && p.status == GH_SCRIPT_OK;) {
        const char *nl = memchr(s->text + i, '\n', len - i);
        const size_t n = nl == NULL ? len - i : (size_t)(nl - s->text) - i;
        p.line++;
        if (split(&p, s->text + i, n)) {
            (void)parse_line(&p);
        }
        i += n + 1;
    }
    if (p.status == GH_SCRIPT_OK && !p.version_seen) {
        p.line = 1;
        fail(&p, GH_SCRIPT_SYNTAX, 1, "the first line must be: goheap-script 1");
    }
    if (p.status == GH_SCRIPT_OK && p.nloops > 0) {
        p.line = s->op[p.loops[p.nloops - 1]].line;
        fail(&p, GH_SCRIPT_SYNTAX, 1, "repeat without end");
    }
    if (p.status != GH_SCRIPT_OK) {
        gh_script_free(s);
        return p.status;
    }
    set_mode(s, p.paced);
    if (s->name[0] == 0 && s->title[0] != 0) {
        char *copy = copy_text(s->title);
        if (copy != NULL) {
            free(s->name);
            s->name = copy;
        }
    }
    *out = s;
    return GH_SCRIPT_OK;
}

void
gh_script_free(gh_script *s)
{
    if (s == NULL) {
        return;
    }
    free_names(&s->labels);
    free_names(&s->vars);
    free_names(&s->mask_names);
    free_names(&s->type_names);
    free(s->op);
    free(s->expr);
    free(s->random);
    free(s->mask);
    free(s->range);
    free(s->list);
    free(s->type);
    free(s->text);
    free(s->name);
    free(s->title);
    free(s->lane);
    free(s->gcmode);
    free(s);
}

const char *
gh_script_title(const gh_script *s)
{
    return s->title;
}

const char *
gh_script_lane(const gh_script *s)
{
    return s->lane;
}

const char *
gh_script_gcmode(const gh_script *s)
{
    return s->gcmode;
}

int
gh_script_procs(const gh_script *s)
{
    return s->procs;
}

size_t
gh_script_slots(const gh_script *s)
{
    return s->slots;
}
