/* Regions of the sources: taken as they are, and every way to mark them wrongly. */
#include "../tap.h"
#include "help.h"
#include "report/internal.h"

static void finds(const char *file, const char *text, const char *want) {
    rep_regions regions = {0};
    rep_problems problems = {0};
    spak_error err = {0};
    bool good = rep_regions_scan(file, text, &regions, &problems, &err);
    const char *got = spak_str_text(&problems.text);
    if (!ok(good && problems.count == 1 && strstr(got, want), "caught: %s", want))
        printf("# %d %zu %s %s\n", good, problems.count, got, err.message);
    rep_regions_free(&regions);
    rep_problems_free(&problems);
}

static void takes(const char *file, const char *text, const char *name, const char *want, size_t first, size_t last) {
    rep_regions regions = {0};
    rep_problems problems = {0};
    spak_error err = {0};
    bool good = rep_regions_scan(file, text, &regions, &problems, &err) && problems.count == 0;
    rep_region *region = rep_regions_find(&regions, file, name);
    ok(good && region, "%s has %s %s", file, name, spak_str_text(&problems.text));
    is_str(region ? region->text : "", want, "its text");
    ok(region && region->first == first && region->last == last, "its lines");
    rep_regions_free(&regions);
    rep_problems_free(&problems);
}

int main(void) {
    takes("a.c", "x\n//> one\n    int a;\n\n        int b;\n//< one\ny\n", "one", "int a;\n\n    int b;\n", 3, 5);
    takes("a.lua", "--> one\nlocal x\n--< one\n", "one", "local x\n", 2, 2);
    takes("Makefile", "#> one\na: b\n\tc\n#< one\n", "one", "a: b\n\tc\n", 2, 3);
    takes("a.dsl", "  //> one\n  a: 1\n  //< one\n", "one", "a: 1\n", 2, 2);
    takes("a.c", "//> out\na\n//> in\nb\n//< in\nc\n//< out\n", "out", "a\nb\nc\n", 2, 6);
    takes("a.c", "//> out\na\n//> in\nb\n//< in\nc\n//< out\n", "in", "b\n", 4, 4);
    takes("a.c", "//> one\ncode(); //> no marker\n * //> two\n//< one\n", "one", "code(); //> no marker\n * //> two\n",
          2, 3);

    finds("a.c", "//> one\nx\n", "a.c:1: region 'one' is never closed");
    finds("a.c", "x\n//< one\n", "a.c:2: region 'one' ends but never began");
    finds("a.c", "//> one\nx\n//< one\n//> one\ny\n//< one\n", "a.c:4: region 'one' stands in this file twice");
    finds("a.c", "//> one\n//< one\n", "region 'one' is empty");
    rep_regions regions = {0};
    rep_problems problems = {0};
    spak_error err = {0};
    rep_regions_scan("a.c", "//> one\nx\n//> two\ny\n//< one\nz\n//< two\n", &regions, &problems, &err);
    ok(strstr(spak_str_text(&problems.text), "a.c:5: mis-nested: 'one' ends while 'two' (line 3) is open"),
       "caught: regions that cross");
    rep_regions_free(&regions);
    rep_problems_free(&problems);

    char wide[400] = "//> one\n    ";
    memset(wide + strlen(wide), 'x', 81);
    strcat(wide, "\n//< one\n");
    finds("a.c", wide, "a.c:2: region 'one' is 81 columns wide, more than 80");
    char *line = strchr(wide, 'x'); /* one column less */
    memmove(line, line + 1, strlen(line));
    rep_regions_scan("a.c", wide, &regions, &problems, &err);
    is_int(problems.count, 0, "80 columns after the indent is taken off are right");
    rep_regions_free(&regions);
    spak_str text = {0};
    spak_str_puts(&text, "//> one\n");
    for (int i = 0; i < 61; i++) spak_str_puts(&text, "ä\n");
    spak_str_puts(&text, "//< one\n");
    finds("a.c", text.data, "region 'one' has 61 lines, more than 60");
    spak_str_free(&text);
    rep_problems_free(&problems);
    return done_testing();
}
