// script_json.c: the result of a script as JSON. See script.h.
//
// Keys and their meaning are the language's (tests/oracle/SCHEMA.md). Counters
// and gauges are differences to the baseline, but for those listed as absolute;
// -1 stands for "no limit".

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "script.h"
#include "script_program.h"

typedef struct writer {
    char *buf;
    size_t len, cap;
    bool failed;
    bool first;  // no comma before the next element
} writer;

static void
put_raw(writer *w, const char *t, size_t n)
{
    if (w->failed) {
        return;
    }
    if (w->len + n + 1 > w->cap) {
        size_t cap = w->cap == 0 ? 65536 : w->cap * 2;
        while (cap < w->len + n + 1) {
            cap *= 2;
        }
        char *buf = realloc(w->buf, cap);
        if (buf == NULL) {
            w->failed = true;
            return;
        }
        w->buf = buf;
        w->cap = cap;
    }
    memcpy(w->buf + w->len, t, n);
    w->len += n;
    w->buf[w->len] = 0;
}

static void
put(writer *w, const char *t)
{
    put_raw(w, t, strlen(t));
}

static void
comma(writer *w)
{
    if (!w->first) {
        put(w, ",");
    }
    w->first = false;
}

static void
string(writer *w, const char *t)
{
    put(w, "\"");
    for (; *t != 0; t++) {
        const unsigned char c = (unsigned char)*t;
        char esc[8];
        if (c == '"' || c == '\\') {
            snprintf(esc, sizeof(esc), "\\%c", c);
        } else if (c < 0x20) {
            snprintf(esc, sizeof(esc), "\\u%04x", c);
        } else {
            snprintf(esc, sizeof(esc), "%c", c);
        }
        put(w, esc);
    }
    put(w, "\"");
}

static void
key(writer *w, const char *k)
{
    comma(w);
    string(w, k);
    put(w, ":");
}

static void
open_with(writer *w, const char *bracket)
{
    put(w, bracket);
    w->first = true;
}

static void
close_with(writer *w, const char *bracket)
{
    put(w, bracket);
    w->first = false;
}

static void
number(writer *w, int64_t v)
{
    char t[32];
    snprintf(t, sizeof(t), "%" PRId64, v);
    put(w, t);
}

static void
item(writer *w, int64_t v)
{
    comma(w);
    number(w, v);
}

static void
pair(writer *w, const char *k, int64_t v)
{
    key(w, k);
    number(w, v);
}

// diff writes a difference, absolute a figure of which all-ones means none.
static void
diff(writer *w, const char *k, uint64_t a, uint64_t b)
{
    pair(w, k, (int64_t)(a - b));
}

static void
absolute(writer *w, const char *k, uint64_t v)
{
    pair(w, k, v > (uint64_t)1 << 60 ? -1 : (int64_t)v);
}

static void
pacer(writer *w, const gh_pacer_stats *a, const gh_pacer_stats *b)
{
    key(w, "pacer");
    open_with(w, "{");
    diff(w, "heap_live", a->heap_live, b->heap_live);
    absolute(w, "heap_marked", a->heap_marked);
    diff(w, "heap_scan", a->heap_scan, b->heap_scan);
    absolute(w, "triggered", a->triggered);
    absolute(w, "heap_goal", a->heap_goal);
    absolute(w, "trigger", a->trigger);
    absolute(w, "gcpercent_goal", a->gc_percent_goal);
    diff(w, "last_heap_scan", a->last_heap_scan, b->last_heap_scan);
    absolute(w, "last_stack_scan", a->last_stack_scan);
    absolute(w, "globals_scan", a->globals_scan);
    absolute(w, "max_stack_scan", a->max_stack_scan);
    absolute(w, "runway", a->runway);
    absolute(w, "sweep_min_trigger", a->sweep_min_trigger);
    diff(w, "heap_inuse", a->heap_inuse, b->heap_inuse);
    diff(w, "heap_free", a->heap_free, b->heap_free);
    diff(w, "heap_released", a->heap_released, b->heap_released);
    diff(w, "total_alloc", a->total_alloc, b->total_alloc);
    diff(w, "total_free", a->total_free, b->total_free);
    diff(w, "mapped_ready", a->mapped_ready, b->mapped_ready);
    pair(w, "cons_mark_ppm", (int64_t)(a->cons_mark * 1e6));
    absolute(w, "heap_minimum", a->heap_minimum);
    diff(w, "scav_eager", a->scav_eager, b->scav_eager);
    diff(w, "scav_bg", a->scav_bg, b->scav_bg);
    absolute(w, "scav_gcpercent_goal", a->scav_gc_percent_goal);
    close_with(w, "}");
}

static void
spans(writer *w, const gh_counts *a, const gh_counts *b)
{
    key(w, "spans");
    open_with(w, "{");
    for (unsigned i = 0; i < 136; i++) {
        const int64_t v[4] = {(int64_t)(a->spans[i] - b->spans[i]),
                              (int64_t)(a->pages[i] - b->pages[i]),
                              (int64_t)(a->objects[i] - b->objects[i]),
                              (int64_t)(a->free[i] - b->free[i])};
        if ((v[0] | v[1] | v[2] | v[3]) == 0) {
            continue;
        }
        char k[16];
        snprintf(k, sizeof(k), "%u%c", i / 2, i % 2 != 0 ? 'n' : 's');
        key(w, k);
        open_with(w, "[");
        for (int j = 0; j < 4; j++) {
            item(w, v[j]);
        }
        close_with(w, "]");
    }
    close_with(w, "}");
}

static void
mem(writer *w, const gh_snap *a, const gh_snap *b)
{
    key(w, "mem");
    open_with(w, "{");
    diff(w, "TotalAlloc", a->total_alloc, b->total_alloc);
    diff(w, "Mallocs", a->mallocs, b->mallocs);
    diff(w, "Frees", a->frees, b->frees);
    diff(w, "HeapAlloc", a->heap_alloc, b->heap_alloc);
    diff(w, "HeapSys", a->heap_sys, b->heap_sys);
    diff(w, "HeapIdle", a->heap_idle, b->heap_idle);
    diff(w, "HeapInuse", a->heap_inuse, b->heap_inuse);
    diff(w, "HeapReleased", a->heap_released, b->heap_released);
    diff(w, "HeapObjects", a->heap_objects, b->heap_objects);
    diff(w, "StackInuse", a->stack_inuse, b->stack_inuse);
    diff(w, "StackSys", a->stack_sys, b->stack_sys);
    diff(w, "Sys", a->sys, b->sys);
    diff(w, "MSpanInuse", a->mspan_inuse, b->mspan_inuse);
    diff(w, "MSpanSys", a->mspan_sys, b->mspan_sys);
    diff(w, "MCacheInuse", a->mcache_inuse, b->mcache_inuse);
    diff(w, "GCSys", a->gc_sys, b->gc_sys);
    diff(w, "OtherSys", a->other_sys, b->other_sys);
    pair(w, "NumGC", (int64_t)a->num_gc - (int64_t)b->num_gc);
    pair(w, "NumForcedGC",
         (int64_t)a->num_forced_gc - (int64_t)b->num_forced_gc);
    close_with(w, "}");
    absolute(w, "NextGC", a->next_gc);
}

static void
by_class(writer *w, const gh_counts *a, const gh_counts *b)
{
    key(w, "by_class");
    open_with(w, "{");
    for (unsigned i = 0; i < 68; i++) {
        const int64_t m = (int64_t)(a->small_alloc[i] - b->small_alloc[i]);
        const int64_t f = (int64_t)(a->small_free[i] - b->small_free[i]);
        if ((m | f) == 0) {
            continue;
        }
        char k[16];
        snprintf(k, sizeof(k), "%u", i);
        key(w, k);
        open_with(w, "[");
        item(w, m);
        item(w, f);
        close_with(w, "]");
    }
    close_with(w, "}");
    key(w, "large");
    open_with(w, "{");
    diff(w, "allocs", a->large_alloc_count, b->large_alloc_count);
    diff(w, "alloc_bytes", a->large_alloc, b->large_alloc);
    diff(w, "frees", a->large_free_count, b->large_free_count);
    diff(w, "free_bytes", a->large_free, b->large_free);
    close_with(w, "}");
    diff(w, "tiny_allocs", a->tiny, b->tiny);
}

// figures are the sums that runtime/metrics publishes.
typedef struct figures {
    uint64_t free, objects_bytes, unused, allocs, frees, alloc_bytes,
        free_bytes;
} figures;

static figures
figures_of(const gh_snap *s)
{
    const gh_counts *c = &s->counts;
    figures f = {
        .free = c->committed - c->in_heap - c->in_stacks - c->in_workbufs,
        .objects_bytes = s->after.total_alloc - s->after.total_free,
        .allocs = c->large_alloc_count,
        .frees = c->large_free_count,
        .alloc_bytes = s->total_alloc,
        .free_bytes = s->total_alloc - s->heap_alloc,
    };
    f.unused = c->in_heap - f.objects_bytes;
    for (unsigned i = 0; i < 68; i++) {
        f.allocs += c->small_alloc[i];
        f.frees += c->small_free[i];
    }
    return f;
}

static void
metrics(writer *w, const gh_snap *a, const gh_snap *b)
{
    const figures f = figures_of(a), g = figures_of(b);
    const uint64_t na = a->num_gc, nb = b->num_gc;
    const uint64_t fa = a->num_forced_gc, fb = b->num_forced_gc;
    key(w, "metrics");
    open_with(w, "{");
    diff(w, "/memory/classes/heap/free:bytes", f.free, g.free);
    diff(w, "/memory/classes/heap/objects:bytes", f.objects_bytes,
         g.objects_bytes);
    diff(w, "/memory/classes/heap/released:bytes", a->counts.released,
         b->counts.released);
    diff(w, "/memory/classes/heap/stacks:bytes", a->counts.in_stacks,
         b->counts.in_stacks);
    diff(w, "/memory/classes/heap/unused:bytes", f.unused, g.unused);
    diff(w, "/memory/classes/metadata/mspan/inuse:bytes", a->mspan_inuse,
         b->mspan_inuse);
    diff(w, "/memory/classes/total:bytes", a->sys, b->sys);
    diff(w, "/gc/heap/allocs:bytes", f.alloc_bytes, g.alloc_bytes);
    diff(w, "/gc/heap/allocs:objects", f.allocs, g.allocs);
    diff(w, "/gc/heap/frees:bytes", f.free_bytes, g.free_bytes);
    diff(w, "/gc/heap/frees:objects", f.frees, g.frees);
    absolute(w, "/gc/heap/goal:bytes", a->after.heap_goal);
    absolute(w, "/gc/heap/live:bytes", a->after.heap_marked);
    diff(w, "/gc/heap/objects:objects", f.allocs - f.frees, g.allocs - g.frees);
    diff(w, "/gc/heap/tiny/allocs:objects", a->counts.tiny, b->counts.tiny);
    diff(w, "/gc/cycles/automatic:gc-cycles", na - fa, nb - fb);
    diff(w, "/gc/cycles/forced:gc-cycles", fa, fb);
    diff(w, "/gc/cycles/total:gc-cycles", na, nb);
    absolute(w, "/gc/scan/globals:bytes", a->after.globals_scan);
    diff(w, "/gc/scan/heap:bytes", a->after.heap_scan, b->after.heap_scan);
    absolute(w, "/gc/scan/stack:bytes", a->after.last_stack_scan);
    pair(w, "/gc/gogc:percent", a->gogc);
    close_with(w, "}");
}

static void
snapshot(writer *w, const gh_snap *a, const gh_snap *b)
{
    open_with(w, "{");
    pair(w, "allocs", (int64_t)a->allocs);
    pacer(w, &a->pacer, &b->pacer);
    spans(w, &a->counts, &b->counts);
    pair(w, "unswept", (int64_t)a->counts.unswept);
    diff(w, "workbuf_bytes", a->counts.in_workbufs, b->counts.in_workbufs);
    diff(w, "stack_bytes", a->counts.in_stacks, b->counts.in_stacks);
    if (a->full) {
        mem(w, a, b);
        by_class(w, &a->counts, &b->counts);
        metrics(w, a, b);
    }
    close_with(w, "}");
}

// label_name writes the label, with #2, #3 ... when it is met again. seen
// counts by label number.
static void
label_name(const gh_script *s, uint32_t label, uint32_t *seen, char *buf,
           size_t cap)
{
    const uint32_t n = ++seen[label];
    if (n == 1) {
        snprintf(buf, cap, "%s", s->labels.name[label].text);
    } else {
        snprintf(buf, cap, "%s#%u", s->labels.name[label].text, n);
    }
}

static void
class_name(const gh_addr_entry *e, char *buf, size_t cap)
{
    if (e->off == UINT64_MAX) {
        buf[0] = 0;
    } else {
        snprintf(buf, cap, "%u%c:%u", e->spanclass / 2u,
                 e->spanclass % 2 != 0 ? 'n' : 's', e->nelems);
    }
}

enum { COL_OFF, COL_DELTA, COL_SPAN, COL_IDX, COL_PAGE, NCOLS };

static void
addresses(writer *w, const gh_script_run *r, const gh_addr_record *rec)
{
    static const char *const names[NCOLS] = {"off", "delta", "span", "idx",
                                             "page"};
    const gh_addr_entry *e = &r->entry[rec->first];
    const size_t n = (size_t)rec->n;
    int64_t *span = malloc((n + 1) * sizeof(*span));
    uint64_t *base = malloc((n + 1) * sizeof(*base));
    if (span == NULL || base == NULL) {
        w->failed = true;
        free(span);
        free(base);
        return;
    }
    // Spans are numbered in the order of their first appearance.
    size_t nspans = 0;
    for (size_t i = 0; i < n; i++) {
        span[i] = -1;
        if (e[i].off == UINT64_MAX) {
            continue;
        }
        size_t j = nspans;
        while (j > 0 && base[j - 1] != e[i].span_base) {
            j--;
        }
        if (j == 0) {
            base[nspans++] = e[i].span_base;
            j = nspans;
        }
        span[i] = (int64_t)j - 1;
    }
    for (int col = 0; col < NCOLS; col++) {
        key(w, names[col]);
        open_with(w, "[");
        uint64_t prev = 0;
        bool have = false;
        for (size_t i = 0; i < n; i++) {
            const bool nil = e[i].off == UINT64_MAX;
            int64_t v = -1;
            switch (col) {
            case COL_OFF: v = nil ? -1 : (int64_t)(e[i].off & 8191); break;
            case COL_DELTA:
                v = nil || !have ? 0 : (int64_t)(e[i].off - prev);
                break;
            case COL_SPAN: v = span[i]; break;
            case COL_IDX: v = nil ? -1 : (int64_t)e[i].index; break;
            default: v = nil ? -1 : (int64_t)e[i].span_base / 8192; break;
            }
            item(w, v);
            if (!nil) {
                prev = e[i].off;
                have = true;
            }
        }
        close_with(w, "]");
    }
    char first[32], name[32];
    bool same = n > 0;
    for (size_t i = 0; i < n; i++) {
        class_name(&e[i], name, sizeof(name));
        if (i == 0) {
            strcpy(first, name);
        }
        same = same && strcmp(first, name) == 0;
    }
    key(w, "cls");
    if (same) {
        string(w, first);
    } else {
        open_with(w, "[");
        for (size_t i = 0; i < n; i++) {
            class_name(&e[i], name, sizeof(name));
            comma(w);
            string(w, name);
        }
        close_with(w, "]");
    }
    free(span);
    free(base);
}

static void
hashes(writer *w, const gh_addr_record *rec)
{
    char t[20];
    key(w, "hash");
    snprintf(t, sizeof(t), "%016" PRIx64, rec->hash);
    string(w, t);
    key(w, "order_hash");
    snprintf(t, sizeof(t), "%016" PRIx64, rec->order_hash);
    string(w, t);
    pair(w, "span_switches", (int64_t)rec->switches);
}

static void
event(writer *w, const gh_log_event *e, const gh_pacer_stats *b)
{
    const gh_pacer_stats *p = &e->pacer;
    comma(w);
    open_with(w, "{");
    key(w, "ev");
    string(w, e->end ? "end" : "start");
    pair(w, "at", (int64_t)e->allocs);
    if (!e->end) {
        if (p->triggered < (uint64_t)1 << 60) {
            pair(w, "triggered", (int64_t)p->triggered);
        }
    } else {
        pair(w, "live", (int64_t)p->heap_live);
        pair(w, "marked", (int64_t)p->heap_marked);
        absolute(w, "goal", p->heap_goal);
        absolute(w, "trigger", p->trigger);
        diff(w, "scan", p->last_heap_scan, b->last_heap_scan);
        pair(w, "stack", (int64_t)p->last_stack_scan);
        pair(w, "globals", (int64_t)p->globals_scan);
        diff(w, "inuse", p->heap_inuse, b->heap_inuse);
        diff(w, "free", p->heap_free, b->heap_free);
        diff(w, "released", p->heap_released, b->heap_released);
        absolute(w, "runway", p->runway);
    }
    close_with(w, "}");
}

static void
baseline(writer *w, const gh_script_run *r)
{
    const gh_snap *b = &r->base;
    key(w, "baseline");
    open_with(w, "{");
    pair(w, "ballast_objects", 0);
    pair(w, "filled_pages", 0);
    pair(w, "free_slots", 0);
    pair(w, "heap_marked", (int64_t)b->pacer.heap_marked);
    pair(w, "heap_live", (int64_t)b->pacer.heap_live);
    pair(w, "stack_scan", (int64_t)b->pacer.last_stack_scan);
    pair(w, "globals_scan", (int64_t)b->pacer.globals_scan);
    pair(w, "last_heap_scan", (int64_t)b->pacer.last_heap_scan);
    pair(w, "num_gc", b->num_gc);
    pair(w, "base_live", (int64_t)gh_script_base_live(r->s));
    pair(w, "mapped_ready", (int64_t)b->pacer.mapped_ready);
    pair(w, "heap_inuse", (int64_t)b->pacer.heap_inuse);
    pair(w, "heap_free", (int64_t)b->pacer.heap_free);
    pair(w, "heap_released", (int64_t)b->pacer.heap_released);
    pair(w, "heap_alloc", (int64_t)b->heap_alloc);
    pair(w, "sys", (int64_t)b->sys);
    pair(w, "unswept", (int64_t)b->counts.unswept);
    close_with(w, "}");
}

gh_status
gh_script_run_json(gh_script_run *r, char **json, size_t *len)
{
    const gh_script *s = r->s;
    writer w = {.first = true};
    uint32_t *seen = calloc((size_t)s->labels.n + 1, sizeof(*seen));
    size_t longest = 0;
    for (uint32_t i = 0; i < s->labels.n; i++) {
        longest = s->labels.name[i].len > longest ? s->labels.name[i].len
                                                  : longest;
    }
    char *name = malloc(longest + 16);
    if (seen == NULL || name == NULL) {
        free(seen);
        free(name);
        return GH_ERR_NOMEM;
    }
    open_with(&w, "{");
    pair(&w, "schema", 1);
    const char *const texts[][2] = {
        {"script", s->name}, {"title", s->title}, {"lane", s->lane},
        {"go", GH_GO_VERSION}, {"gcmode", s->gcmode}};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        key(&w, texts[i][0]);
        string(&w, texts[i][1]);
    }
    pair(&w, "procs", s->procs);
    pair(&w, "slots", (int64_t)s->slots);
    pair(&w, "allocs", (int64_t)r->allocs);
    baseline(&w, r);

    key(&w, "stats");
    open_with(&w, "{");
    for (size_t i = 0; i < r->nsnap; i++) {
        label_name(s, r->snap[i].label, seen, name, longest + 16);
        key(&w, name);
        snapshot(&w, &r->snap[i], &r->base);
    }
    close_with(&w, "}");
    memset(seen, 0, s->labels.n * sizeof(*seen));
    key(&w, "stats_order");
    open_with(&w, "[");
    for (size_t i = 0; i < r->nsnap; i++) {
        label_name(s, r->snap[i].label, seen, name, longest + 16);
        comma(&w);
        string(&w, name);
    }
    close_with(&w, "]");
    memset(seen, 0, s->labels.n * sizeof(*seen));
    key(&w, "addr");
    open_with(&w, "{");
    for (size_t i = 0; i < r->nrecord; i++) {
        const gh_addr_record *rec = &r->record[i];
        label_name(s, rec->label, seen, name, longest + 16);
        key(&w, name);
        open_with(&w, "{");
        pair(&w, "n", rec->n);
        pair(&w, "gcs", (int64_t)rec->gcs);
        if (rec->hashed) {
            hashes(&w, rec);
        } else {
            addresses(&w, r, rec);
        }
        close_with(&w, "}");
    }
    close_with(&w, "}");
    key(&w, "gc_log");
    if (r->nevent == 0) {
        put(&w, "null");  // as the reference writes a list it never began
    } else {
        open_with(&w, "[");
        for (size_t i = 0; i < r->nevent; i++) {
            event(&w, &r->event[i], &r->base.pacer);
        }
        close_with(&w, "]");
    }
    pair(&w, "gc_log_dropped", (int64_t)r->events_dropped);
    pair(&w, "onp_failures", 0);
    close_with(&w, "}");
    put(&w, "\n");
    free(seen);
    free(name);
    if (w.failed) {
        free(w.buf);
        return GH_ERR_NOMEM;
    }
    *json = w.buf;
    *len = w.len;
    return GH_OK;
}
