// gctrace.c: the lines that Go prints. See gctrace.h.

#include "gctrace.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgcscavenge.h"

typedef long long ll;
typedef unsigned long long ull;

// ---- gctrace ---------------------------------------------------------------------

// format_ms writes ns as Go's fmtNSAsMS does: whole milliseconds from 10 ms on,
// else three significant digits at most, cut and not rounded.
static void
format_ms(char *buf, size_t cap, int64_t ns)
{
    if (ns >= 10000000) {
        snprintf(buf, cap, "%lld", (long long)(ns / 1000000));
        return;
    }
    int64_t us = ns / 1000;
    if (us <= 0) {
        snprintf(buf, cap, "0");
        return;
    }
    int dec = 3;
    int64_t unit = 1000;
    while (us >= 100) {
        us /= 10;
        dec--;
        unit /= 10;
    }
    snprintf(buf, cap, "%lld.%0*lld", (long long)(us / unit), dec,
             (long long)(us % unit));
}

int
gh_cycle_format(const gh_cycle *c, char *buf, size_t cap)
{
    char clock[3][24], cpu[5][24];
    const int64_t t[3] = {c->mark_start_ns - c->start_ns,
                          c->mark_end_ns - c->mark_start_ns,
                          c->end_ns - c->mark_end_ns};
    const int64_t u[5] = {t[0] * c->procs, c->assist_ns, c->background_ns,
                          c->idle_ns, t[2] * c->procs};
    for (int i = 0; i < 3; i++) {
        format_ms(clock[i], sizeof(clock[i]), t[i]);
    }
    for (int i = 0; i < 5; i++) {
        format_ms(cpu[i], sizeof(cpu[i]), u[i]);
    }
    const long long ms = c->start_ns / 1000000;
    return snprintf(
        buf, cap,
        "gc %u @%lld.%03llds %d%%: %s+%s+%s ms clock, %s+%s/%s/%s+%s ms cpu, "
        "%llu->%llu->%llu MB, %llu MB goal, %llu MB stacks, %llu MB globals, "
        "%d P%s",
        c->n, ms / 1000, ms % 1000, (int)(c->gc_cpu_fraction * 100), clock[0],
        clock[1], clock[2], cpu[0], cpu[1], cpu[2], cpu[3], cpu[4],
        (unsigned long long)(c->heap_start >> 20),
        (unsigned long long)(c->heap_end >> 20),
        (unsigned long long)(c->heap_marked >> 20),
        (unsigned long long)(c->heap_goal >> 20),
        (unsigned long long)(c->stack_scan >> 20),
        (unsigned long long)(c->globals_scan >> 20), c->procs,
        c->forced ? " (forced)" : "");
}

// ---- all of them -----------------------------------------------------------------

int
gh_format_float(char *buf, size_t cap, double x)
{
    if (isnan(x) || isinf(x)) {
        return snprintf(buf, cap, isnan(x) ? "NaN" : x > 0 ? "+Inf" : "-Inf");
    }
    // The fewest digits that give x again.
    char e[40];
    int digits = 1;
    do {
        snprintf(e, sizeof(e), "%.*e", digits - 1, x);
    } while (strtod(e, NULL) != x && digits++ < 17);
    const int exponent = atoi(strchr(e, 'e') + 1);
    if (exponent < -4 || exponent >= 6) {
        return snprintf(buf, cap, "%s", e);
    }
    const int places = digits - 1 - exponent;
    return snprintf(buf, cap, "%.*f", places > 0 ? places : 0, x);
}

// out is a buffer that counts what it has no room for.
typedef struct out {
    char *buf;
    size_t cap, n;
} out;

static __attribute__((format(printf, 2, 3))) void
line(out *o, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *to = o->n < o->cap ? o->buf + o->n : NULL;
    const int n = vsnprintf(to, to == NULL ? 0 : o->cap - o->n, format, args);
    va_end(args);
    o->n += n > 0 ? (size_t)n : 0;
}

static void
pacer_begin(out *o, const gh_cycle *c)
{
    char ratio[40], fraction[40];
    gh_format_float(ratio, sizeof(ratio), c->pacer.assist_ratio);
    gh_format_float(fraction, sizeof(fraction), c->pacer.fractional);
    line(o, "pacer: assist ratio=%s (scan %llu MB in %llu->%llu MB) "
            "workers=%lld+%s\n",
         ratio, (ull)(c->pacer.heap_scan >> 20), (ull)(c->heap_start >> 20),
         (ull)(c->pacer.goal >> 20), (ll)c->pacer.dedicated, fraction);
}

static void
pacer_end(out *o, const gh_cycle *c)
{
    char cons_mark[40];
    gh_format_float(cons_mark, sizeof(cons_mark), c->pacer.old_cons_mark);
    line(o, "pacer: %d%% CPU (25 exp.) for %llu+%llu+%llu B work (%llu B exp.) "
            "in %llu B -> %llu B (\u2206goal %lld, cons/mark %s)\n",
         (int)(c->pacer.utilization * 100), (ull)c->scan_work,
         (ull)c->stack_scan, (ull)c->globals_scan, (ull)c->pacer.expected,
         (ull)c->trigger, (ull)c->heap_end,
         (ll)(c->heap_end - c->heap_goal), cons_mark);
}

static void
sweep_end(out *o, const gh_sweep_trace *s, unsigned what)
{
    char text[300];
    if ((what & GH_TRACE_PACER) != 0) {
        gh_format_float(text, sizeof(text), s->pages_per_byte);
        line(o, "pacer: sweep done at heap size %lluMB; allocated %lluMB during "
                "sweep; swept %llu pages at %s pages/byte\n",
             (ull)(s->heap_live >> 20), (ull)(s->allocated >> 20),
             (ull)s->pages, text);
    }
    if ((what & GH_TRACE_SCAV) != 0) {
        gh_scav_trace_format(&s->scav, text, sizeof(text));
        line(o, "%s\n", text);
    }
}

int
gh_cycle_trace(const gh_cycle *c, unsigned what, char *buf, size_t cap)
{
    out o = {.buf = buf, .cap = cap};
    char text[300];
    const gh_sweep_trace *s = &c->sweep;
    if (cap > 0) {
        buf[0] = 0;
    }
    if ((what & GH_TRACE_GC) != 0 && c->periodic) {
        line(&o, "GC forced\n");
    }
    if ((what & GH_TRACE_PACER) != 0) {
        pacer_begin(&o, c);
    }
    if ((what & GH_TRACE_PACER) != 0 && c->pacer.measured) {
        pacer_end(&o, c);
    }
    if (s->done && s->stopped) {
        sweep_end(&o, s, what);
    }
    if ((what & GH_TRACE_GC) != 0) {
        gh_cycle_format(c, text, sizeof(text));
        line(&o, "%s\n", text);
    }
    if (s->done && !s->stopped) {
        sweep_end(&o, s, what);
    }
    if ((what & GH_TRACE_SCAV) != 0 && s->forced.forced) {
        gh_scav_trace_format(&s->forced, text, sizeof(text));
        line(&o, "%s\n", text);
    }
    return (int)o.n;
}
