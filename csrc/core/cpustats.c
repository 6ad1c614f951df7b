// cpustats.c: CPU time by class. See cpustats.h.

#include "cpustats.h"

void
gh_cpu_idle(gh_heap *h, double until, double ps)
{
    gh_cpu_stats *s = &h->cpu;
    if (until > s->seen_ns) {
        s->idle_late += (until - s->seen_ns) * ps;
        s->seen_ns = until;
    }
}

void
gh_cpu_mutator(gh_heap *h, int32_t ps)
{
    if (h->opt.mode == GH_MODE_STW) {
        gh_cpu_idle(h, h->clock_ns, h->procs - ps);
    }
}

void
gh_cpu_total(gh_heap *h)
{
    gh_cpu_stats *s = &h->cpu;
    s->total_late += (h->clock_ns - s->total_ns) * h->procs;
    s->total_ns = h->clock_ns;
}

void
gh_cpu_pause(gh_heap *h, int64_t stopping, int64_t ns)
{
    gh_cpu_stats *s = &h->cpu;
    s->pause += (double)ns * h->procs;
    s->gc += (double)ns * h->procs;
    s->seen_ns = h->clock_ns;
    gh_time_histogram_record(&h->stopping_gc, stopping);
    gh_time_histogram_record(&h->stopped_gc, ns);
}

void
gh_cpu_other_stop(gh_heap *h)
{
    int64_t stopping = 0, stopped = 0;
    if (h->concurrent) {
        stopping = h->conc.stood_ns - h->conc.stop_ns;
        stopped = gh_nanotime() - h->conc.stop_ns;
    }
    gh_time_histogram_record(&h->stopping_other, stopping);
    gh_time_histogram_record(&h->stopped_other, stopped);
}

double
gh_cpu_end_cycle(gh_heap *h, const gh_cycle *rec)
{
    gh_cpu_stats *s = &h->cpu;
    gh_scavenger *scav = &h->scavenger;
    gh_cpu_total(h);
    s->total = s->total_late;
    s->assist += (double)rec->assist_ns;
    s->dedicated += (double)rec->background_ns;
    s->idle_mark += (double)rec->idle_ns;
    s->gc += (double)(rec->assist_ns + rec->background_ns + rec->idle_ns);
    s->seen_ns = h->clock_ns;

    const double background = (double)scav->background_ns;
    s->scav_assist += (double)scav->assist_ns;
    s->scav_background += background;
    scav->assist_ns = 0;
    scav->background_ns = 0;
    // The background runs on Ps that are idle, if there are any.
    s->idle += s->idle_late > background ? s->idle_late - background : 0;
    s->idle_late = 0;
    s->user = s->total
              - (s->gc + s->scav_assist + s->scav_background + s->idle);
    return s->total > 0 ? (s->gc - s->idle_mark) / s->total : 0;
}
