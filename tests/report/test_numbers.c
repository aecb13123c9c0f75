/* The check on numbers typed by hand: what it must flag, what it must let pass, and how it is excused. */
#include "../tap.h"
#include "help.h"

static size_t problems_in(const char *text, size_t *escapes, char *first, size_t size) {
    rep_problems problems = {0};
    spak_error err = {0};
    if (!rep_check_numbers("x.md", text, strlen(text), &problems, escapes, &err)) printf("# %s\n", err.message);
    if (first) snprintf(first, size, "%s", spak_str_text(&problems.text));
    size_t count = problems.count;
    rep_problems_free(&problems);
    return count;
}

static void flags(const char *text, size_t want) {
    char first[400];
    char line[64];
    size_t got = problems_in(text, NULL, first, sizeof first);
    snprintf(line, sizeof line, "%s", text);
    for (char *c = line; *c; c++)
        if (*c == '\n' || *c == '#') *c = ' '; /* TAP reads lines, and a # as a directive */
    if (!ok(got == want, "%zu flagged in: %s", want, line)) printf("# got %zu: %s\n", got, first);
}

int main(void) {
    static const char *const bad[] = {
        "It is 42 times faster.",
        "It is 0.97 of the peer.",
        "It takes 12ms.",
        "It takes 12 ms.",
        "a speed-up of 2.64x",
        "from 61.90% to 80.00%, wait",
        "1,024 problems",
        "with 1e-5 error",
        "a 512x512 matrix",
        "a 128x128x32 tile",
        "a 1024×1024 matrix",
        "(quartiles 0.9-1.1)",
        "We reach `0.97` here.",
        "It took `12 ms` here.",
        "That is `95%` of it.",
        "That is ``1e-5`` of it.",
        "The span `66.8 TFLOP/s` is a number.",
        "The ratio is $0.97$.",
        "The ratio is $2.64\\times$ that.",
        "So $$95\\%$$ it is.",
        "## It is 3 times faster",
        "- an item with 7 things",
        "| a cell | 0.5 |",
        "> a quote of 99",
        "{{figure x \"A caption with 17 in it\"}}",
        "---\ntitle: \"Reaching 97 percent\"\n---\n",
        "A [link of 5](x.md) things",
        "**bold 3**",
        "Fig. 3 shows it",
        "a code `span over\nits line` and 4 things",
    };
    static const char *const good[] = {
        "No number at all, and forty-two in words.",
        "float32, AVX-512, GPT-2, Zen3, x86-64, C17, UTF-8, L2, sm_120 and fp16",
        "`x[12]`, `tile_m = 128`, `int a[3];` are code",
        "The bound is $2^{-24} k$ and $O(n^3)$ and $C_{ij} = \\sum_{p=0}^{k-1} A_{ip}$",
        "$$\nx_1 = 3 y\n$$\n",
        "See [the page](chapter-01.html#r12) and <https://example.org/v2/3>.",
        "See https://example.org/2026/11 for more.",
        "{{value matmul.ratio_1024 %.2f}} and {{verdict M1}}",
        "{{code kernels/matmul/ladder.c#step_2}}",
        "## 2.1 Tiling",
        "# 3 Results",
        "1. first\n2. second\n",
        "```\nfor (i = 0; i < 100; i++)\n```\n",
        "~~~ {.c}\n12\n~~~\n",
        "---\ntitle: x\ndate: 2026-11-21\n---\n",
        "A note.[^1]\n\n[^1]: It says so.",
        "[1]: https://example.org/12\n",
        "<!-- claims:begin -->\n| 0.97 |\n<!-- claims:end -->\n",
        "<!-- a comment of 12 words -->",
        "a tag <img width=\"12\"> here",
        "\\$ and \\1",
        "a 12-layer model",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        flags(bad[i], strstr(bad[i], "61.90") || strstr(bad[i], "×") ? 2 : 1);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) flags(good[i], 0);

    char first[400];
    problems_in("one\n\ntwo\nthree 12 here\n", NULL, first, sizeof first);
    ok(spak_starts_with(first, "x.md:4: number '12' typed by hand"), "the place is named: %.40s", first);
    size_t escapes = 0;
    is_int(problems_in("It takes 10 minutes. <!-- number: an estimate -->\nAnd 5 more.\n", &escapes, NULL, 0), 1,
           "an excuse holds for its own line");
    is_int(escapes, 1, "and is counted");
    is_int(problems_in("It takes 10 minutes. <!-- number: -->\n", NULL, NULL, 0), 2, "an excuse needs a reason");
    is_int(problems_in("No number. <!-- number: just in case -->\n", NULL, first, sizeof first), 1,
           "an excuse for nothing is a fault");
    ok(strstr(first, "excuses nothing"), "and says so");
    is_int(problems_in("<!-- x:begin -->\n1\n<!-- x:end -->\n2\n", NULL, first, sizeof first), 1,
           "after a generated part the check goes on");
    ok(spak_starts_with(first, "x.md:4:"), "at the right line");
    return done_testing();
}
