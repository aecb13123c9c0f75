#include "base/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

enum { BAR_WIDTH = 28 };
static const uint64_t REDRAW_NS = 100000000u, LINE_NS = 5000000000u;
static bool all_quiet;

bool spak_progress_quiet(bool quiet) {
    const bool was = all_quiet;
    all_quiet = quiet;
    return was;
}

static void draw(spak_progress *bar, const char *what, bool last) {
    uint64_t now = spak_now_ns();
    double elapsed_s = (double)(now - bar->begun_ns) * 1e-9;
    double share = bar->total > 0 ? (double)bar->done / (double)bar->total : 1.0;
    if (share > 1.0) share = 1.0;
    double left_s = share > 0 ? elapsed_s * (1 - share) / share : 0;
    if (bar->terminal) {
        char cells[BAR_WIDTH + 1];
        int full = (int)(share * BAR_WIDTH);
        memset(cells, '.', BAR_WIDTH);
        memset(cells, '#', (size_t)full);
        cells[BAR_WIDTH] = 0;
        fprintf(stderr, "\r%-10s [%s] %ld/%ld  %.0f s, about %.0f s left  %.48s\033[K", bar->label, cells, bar->done,
                bar->total, elapsed_s, left_s, what ? what : "");
        if (last) fputc('\n', stderr);
    } else {
        fprintf(stderr, "%s: %ld of %ld, %.0f s, about %.0f s left%s%s\n", bar->label, bar->done, bar->total, elapsed_s,
                left_s, what ? ": " : "", what ? what : "");
    }
    fflush(stderr);
    bar->shown_ns = now;
}

void spak_progress_begin(spak_progress *bar, const char *label, long total) {
    *bar = (spak_progress){.label = label, .total = total, .begun_ns = spak_now_ns(), .quiet = all_quiet};
    bar->terminal = isatty(STDERR_FILENO);
    bar->shown_ns = bar->begun_ns;
    if (!bar->quiet && bar->terminal) draw(bar, NULL, false);
}

void spak_progress_step(spak_progress *bar, const char *what) {
    bar->done++;
    uint64_t wait = bar->terminal ? REDRAW_NS : LINE_NS;
    if (!bar->quiet && spak_now_ns() - bar->shown_ns >= wait) draw(bar, what, false);
}

void spak_progress_end(spak_progress *bar) {
    if (!bar->quiet) draw(bar, NULL, true);
}
