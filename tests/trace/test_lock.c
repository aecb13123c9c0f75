/* The lock file: what it pins, and every way in which an archive can differ from it. */
#include <sys/stat.h>

#include "trace_test.h"

static void fill(void) {
    spak_error err = {0};
    if (system("rm -rf arc") != 0) return;
    make_trace("arc/b.jsonl", 2, &err);
    make_trace("arc/b/z.jsonl", 3, &err);
    make_trace("arc/a/deep/er.jsonl", 1, &err);
    make_trace("arc/p.jsonl", 4, &err);
    if (system("gzip arc/p.jsonl && echo text > arc/notes.txt && mkdir arc/.hidden && echo x > arc/.hidden/h.jsonl") !=
        0)
        return;
    if (!trace_lock_write("arc/LOCK", &err)) printf("# %s\n", err.message);
}

static void differs(const char *change, const char *part) {
    spak_error err = {0};
    size_t traces = 7;
    fill();
    bool changed = system(change) == 0;
    ok(changed && !trace_lock_check("arc/LOCK", &traces, &err) && strstr(err.message, part) && traces == 0, "%s: %s",
       change, err.message);
}

static void test_write(void) {
    spak_error err = {0};
    size_t traces = 0;
    fill();
    spak_str text = slurp("arc/LOCK");
    const char *order[] = {"  1  a/deep/er.jsonl\n", "  2  b.jsonl\n", "  3  b/z.jsonl\n", "  4  p.jsonl.gz\n"};
    const char *from = spak_str_text(&text);
    for (size_t i = 0; i < 4 && from; i++) from = strstr(from, order[i]);
    ok(from && !from[strlen(order[3])], "paths in order with their records, and nothing else");
    spak_str_free(&text);
    ok(trace_lock_check("arc/LOCK", &traces, &err) && traces == 4, "an archive as pinned: %s", err.message);
    struct stat before, after;
    stat("arc/LOCK", &before);
    usleep(20000);
    ok(trace_lock_write("arc/LOCK", &err) && stat("arc/LOCK", &after) == 0 && before.st_ino == after.st_ino,
       "an unchanged lock is not written again");
    ok(chdir("arc") == 0 && trace_lock_check("LOCK", &traces, &err) && traces == 4, "a bare name: %s", err.message);
    ok(chdir("..") == 0, "back");
    ok(system("mkdir -p none") == 0 && trace_lock_write("none/LOCK", &err) &&
           trace_lock_check("none/LOCK", &traces, &err) && traces == 0,
       "an archive without traces: %s", err.message);
    ok(!trace_lock_check("none/ABSENT", &traces, &err) && strstr(err.message, "ABSENT"), "no lock: %s", err.message);
}

static void test_differences(void) {
    differs("rm arc/b.jsonl", "not in the folder");
    differs("rm arc/p.jsonl.gz", "not in the folder");
    differs("cp arc/b.jsonl arc/c.jsonl", "arc/LOCK:5: c.jsonl lies in the folder and is not listed");
    differs("cp arc/b.jsonl arc/zz.jsonl", "zz.jsonl lies in the folder and is not listed");
    differs("head -n 2 arc/b/z.jsonl > t && mv t arc/b/z.jsonl", "expected 3 records");
    differs("sed -i '$s/\"i\":1/\"i\":5/' arc/b.jsonl", "arc/LOCK:3: b.jsonl: expected 2 records");
    differs("sed -i '1s/\"i\":0/\"i\":5/' arc/b.jsonl", "broken chain");
    differs("printf x >> arc/b.jsonl", "torn last line of 1 bytes");
    differs("sed -i '$d' arc/LOCK", "p.jsonl.gz lies in the folder");
    differs("sed -i 's/^\\(.\\{64\\}\\)  3  /\\1  4  /' arc/LOCK", "expected 4 records");
    differs("sed -i '3s/^..../0000/' arc/LOCK", "with head 0000");
    differs("sed -i '3s/  2  / 2 /' arc/LOCK", "arc/LOCK:3: expected \"HEAD");
    differs("sed -i '3s/  b.jsonl/  ..\\/b.jsonl/' arc/LOCK", "below this folder");
    differs("sed -i '3s/  b.jsonl/  a\\/..\\/b.jsonl/' arc/LOCK", "below this folder");
    differs("sed -i '3s/  b.jsonl/  \\/b.jsonl/' arc/LOCK", "below this folder");
    differs("sed -i '3{p}' arc/LOCK", "sorted order");
    differs("sed -i '3{h;d};4{p;x}' arc/LOCK", "arc/LOCK:3");
    differs("echo '<<<<<<< ours' >> arc/LOCK", "arc/LOCK:6: expected \"HEAD");
    differs("printf %s \"$(cat arc/LOCK)\" > t && mv t arc/LOCK", "newline at the end");
    differs(": > arc/LOCK", "a/deep/er.jsonl lies in the folder");
}

static void test_bad_archive(void) {
    spak_error err = {0};
    fill();
    spak_str before = slurp("arc/LOCK");
    if (system("printf x >> arc/b.jsonl") != 0) return;
    ok(!trace_lock_write("arc/LOCK", &err) && strstr(err.message, "torn"), "a torn trace is not pinned: %s",
       err.message);
    if (system("sed -i '1s/0/1/' arc/b.jsonl") != 0) return;
    ok(!trace_lock_write("arc/LOCK", &err) && strstr(err.message, "arc/b.jsonl:"), "nor a damaged one: %s",
       err.message);
    spak_str after = slurp("arc/LOCK");
    is_str(spak_str_text(&after), spak_str_text(&before), "and the old lock stays");
    spak_str_free(&after);
    spak_str_free(&before);
    fill();
    if (system("ln -s .. arc/loop && ln -s b.jsonl arc/link.jsonl") != 0) return;
    size_t traces;
    ok(trace_lock_write("arc/LOCK", &err) && trace_lock_check("arc/LOCK", &traces, &err) && traces == 5,
       "a link to a folder is not entered, one to a trace is a trace: %s", err.message);
    spill("arc/bad\nname.jsonl", "", 0);
    ok(!trace_lock_write("arc/LOCK", &err) && strstr(err.message, "line break"), "a line break in a name");
}

int main(void) {
    if (!make_scratch()) return 1;
    test_write();
    test_differences();
    test_bad_archive();
    remove_scratch();
    return done_testing();
}
