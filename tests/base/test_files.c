/* Files and hashes: a write happens or does not. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../tap.h"
#include "base/alloc.h"
#include "base/fs.h"
#include "base/hash.h"

static void content_is(const char *path, const char *want, const char *name) {
    spak_str text = {0};
    spak_error err = {0};
    if (!spak_read_file(path, &text, &err)) printf("# %s\n", err.message);
    is_str(spak_str_text(&text), want, "%s", name);
    spak_str_free(&text);
}

/* Files in the folder, temporary ones too. */
static size_t files_in(const char *folder) {
    char **names = NULL;
    size_t count = 0;
    spak_list_dir(folder, &names, &count, NULL);
    spak_names_free(names, count);
    return count;
}

static void test_write(void) {
    spak_error err = {0};
    ok(spak_write_file("new/deep/a.txt", "one", 3, &err), "write makes folders: %s", err.message);
    content_is("new/deep/a.txt", "one", "and the file");
    ok(spak_write_file("new/deep/a.txt", "", 0, &err), "an empty file");
    content_is("new/deep/a.txt", "", "is empty");
    ok(spak_write_file("new/deep/a.txt", "old", 3, &err), "old content");
    is_int(files_in("new/deep"), 1, "nothing is left beside it");

    struct rlimit before, small;
    getrlimit(RLIMIT_FSIZE, &before);
    small = before;
    small.rlim_cur = 1000;
    signal(SIGXFSZ, SIG_IGN);
    char big[5000];
    memset(big, 'x', sizeof big);
    setrlimit(RLIMIT_FSIZE, &small);
    bool written = spak_write_file("new/deep/a.txt", big, sizeof big, &err);
    bool created = spak_write_file("new/deep/b.txt", big, sizeof big, NULL);
    setrlimit(RLIMIT_FSIZE, &before);
    ok(!written && strstr(err.message, "new/deep/a.txt") && strstr(err.message, strerror(EFBIG)), "a full disk: %s",
       err.message);
    content_is("new/deep/a.txt", "old", "leaves the old file");
    ok(!created && !spak_exists("new/deep/b.txt"), "and makes no new one");
    is_int(files_in("new/deep"), 1, "and no temporary one");

    ok(mkdir("new/folder", 0777) == 0 && !spak_write_file("new/folder", "x", 1, &err), "a folder in its place: %s",
       err.message);
    is_int(files_in("new"), 2, "leaves no temporary file");
    ok(!spak_write_file("new/deep/a.txt/below", "x", 1, &err), "below a file: %s", err.message);
    spak_alloc_fail_after(0);
    bool without = spak_write_file("new/deep/a.txt", "x", 1, &err);
    spak_alloc_fail_after(-1);
    ok(!without && strstr(err.message, "memory"), "without memory: %s", err.message);
    content_is("new/deep/a.txt", "old", "nothing happened");
}

static void test_writer(void) {
    spak_error err = {0};
    spak_writer *writer;
    spak_write_file("pieces/a", "old", 3, &err);
    ok(spak_writer_open("pieces/a", &writer, &err) && spak_writer_put(writer, "one ", 4, &err) &&
           spak_writer_put(writer, "", 0, &err) && spak_writer_put(writer, "two", 3, &err),
       "in pieces: %s", err.message);
    content_is("pieces/a", "old", "nothing is seen before the end");
    ok(spak_writer_commit(writer, &err), "put into place: %s", err.message);
    content_is("pieces/a", "one two", "all of it");
    ok(spak_writer_open("pieces/a", &writer, &err) && spak_writer_put(writer, "three", 5, &err), "once more");
    spak_writer_abandon(writer);
    spak_writer_abandon(NULL);
    content_is("pieces/a", "one two", "abandoned: nothing has happened");
    is_int(files_in("pieces"), 1, "and nothing is left beside it");
    ok(!spak_writer_open("pieces", &writer, &err) && !writer, "a folder in its place: %s", err.message);
    ok(spak_writer_open("moved/a", &writer, &err) && rename("moved", "away") == 0 && !spak_writer_commit(writer, &err),
       "a folder that is gone at the end: %s", err.message);
}

static void test_hasher(void) {
    spak_error err = {0};
    char whole[SPAK_SHA256_HEX + 1], pieces[SPAK_SHA256_HEX + 1], text[1000];
    spak_hasher *hasher;
    for (size_t i = 0; i < sizeof text; i++) text[i] = (char)(i * 7);
    ok(spak_sha256(text, sizeof text, whole, &err) && spak_hasher_begin(&hasher, &err), "a hash: %s", err.message);
    for (size_t at = 0; at < sizeof text; at += 100) spak_hasher_put(hasher, text + at, 100);
    ok(spak_hasher_end(hasher, pieces, &err), "in pieces: %s", err.message);
    is_str(pieces, whole, "is the same");
}

static void test_write_over(void) {
    spak_error err = {0};
    struct stat st;
    ok(spak_write_file("kept.sh", "old", 3, &err) && chmod("kept.sh", 0750) == 0, "a file with permissions of its own");
    ok(spak_write_file("kept.sh", "new", 3, &err) && stat("kept.sh", &st) == 0, "is replaced");
    is_int(st.st_mode & 07777, 0750, "and keeps them");
    ok(mkdir("links", 0777) == 0 && symlink("../kept.sh", "links/to") == 0, "a link to it");
    ok(spak_write_file("links/to", "through", 7, &err) && lstat("links/to", &st) == 0 && S_ISLNK(st.st_mode),
       "stays a link: %s", err.message);
    content_is("kept.sh", "through", "and its target is written");
    is_int(files_in("links"), 1, "with nothing beside the link");
    ok(symlink("nowhere", "links/lost") == 0 && !spak_write_file("links/lost", "x", 1, &err) &&
           strstr(err.message, "links/lost"),
       "a link that leads nowhere: %s", err.message);
    ok(mkfifo("fifo", 0666) == 0 && !spak_write_file("fifo", "x", 1, &err) && strstr(err.message, "regular file"),
       "a pipe is not replaced: %s", err.message);
}

static void test_if_changed(void) {
    spak_error err = {0};
    struct stat one, two;
    spak_write_file("same.txt", "abc", 3, &err);
    struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    utimensat(AT_FDCWD, "same.txt", old, 0);
    stat("same.txt", &one);
    ok(spak_write_if_changed("same.txt", "abc", 3, &err) && stat("same.txt", &two) == 0, "the same bytes");
    ok(one.st_ino == two.st_ino && two.st_mtim.tv_sec == 1000, "leave the file and its time stamp alone");
    ok(spak_write_if_changed("same.txt", "abd", 3, &err) && stat("same.txt", &two) == 0 && two.st_mtim.tv_sec > 1000,
       "other bytes are written");
    content_is("same.txt", "abd", "as they are");
    ok(spak_write_if_changed("same.txt", "ab", 2, &err), "fewer bytes too");
    content_is("same.txt", "ab", "as they are");
    ok(spak_write_if_changed("newer.txt", "n", 1, &err), "a new file");
    content_is("newer.txt", "n", "is made");
    ok(spak_write_if_changed("none.txt", "", 0, &err) && spak_exists("none.txt"), "an empty new file is made");
}

static void test_folders(void) {
    spak_error err = {0};
    ok(spak_make_dirs("a/b//c/", &err) && spak_exists("a/b/c"), "folders: %s", err.message);
    ok(spak_make_dirs("a/b/c", &err), "again");
    ok(spak_make_dirs(".", &err) && spak_make_dirs("/", &err), "those that are there");
    spak_write_file("file", "x", 1, &err);
    ok(!spak_make_dirs("file/x/y", &err) && strstr(err.message, "file"), "through a file: %s", err.message);
    ok(!spak_make_dirs("file", &err) && strstr(err.message, "no folder"), "in a file's place: %s", err.message);
    ok(spak_make_parent_dirs("p/q/file", &err) && spak_exists("p/q") && !spak_exists("p/q/file"), "parents only");
    ok(spak_make_parent_dirs("bare", &err) && spak_make_parent_dirs("/bare", &err), "none needed");

    const char *made[] = {"list/b", "list/a.txt", "list/a", "list/Z", "list/.hidden", "list/\xc3\xa9", "list/a-b"};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) spak_write_file(made[i], "", 0, &err);
    char **names, joined[200] = "";
    size_t count;
    ok(spak_list_dir("list", &names, &count, &err), "list: %s", err.message);
    for (size_t i = 0; i < count; i++) strcat(strcat(joined, names[i]), " ");
    is_str(joined, "Z a a-b a.txt b \xc3\xa9 ", "sorted by byte, without dot files");
    spak_names_free(names, count);
    ok(!spak_list_dir("absent", &names, &count, &err) && !names && count == 0, "no folder: %s", err.message);
    long n = 0;
    bool listed = false;
    for (; !listed && n < 100; n++) {
        spak_alloc_fail_after(n);
        listed = spak_list_dir("list", &names, &count, &err);
        spak_alloc_fail_after(-1);
        if (!listed && (names || count)) break;
    }
    ok(listed && n == 8 && count == 6, "each of its %ld allocations may fail", n - 1);
    if (listed) spak_names_free(names, count);
}

static void test_read(void) {
    spak_error err = {0};
    spak_str text = {0};
    spak_str_puts(&text, "before ");
    spak_write_file("r.txt", "after", 5, &err);
    ok(spak_read_file("r.txt", &text, &err) && strcmp(text.data, "before after") == 0, "reading appends");
    ok(!spak_read_file("absent", &text, &err) && strstr(err.message, "absent: cannot open: No such"), "%s",
       err.message);
    ok(!spak_read_file(".", &text, &err), "a folder: %s", err.message);
    char hex[SPAK_SHA256_HEX + 1];
    alarm(20); /* a reader that waits for a writer would hang here */
    ok(spak_exists("fifo") && !spak_read_file("fifo", &text, &err) && strstr(err.message, "found a pipe"), "%s",
       err.message);
    ok(!spak_sha256_file("fifo", hex, &err) && strstr(err.message, "found a pipe"), "nor is it hashed");
    ok(!spak_read_file("/dev/zero", &text, &err) && strstr(err.message, "found a device"), "%s", err.message);
    int ends[2];
    char name[32];
    ok(pipe(ends) == 0 && write(ends[1], "piped", 5) == 5 && close(ends[1]) == 0, "an open pipe");
    snprintf(name, sizeof name, "/dev/fd/%d", ends[0]);
    spak_str_clear(&text);
    ok(spak_read_file(name, &text, &err) && strcmp(text.data, "piped") == 0, "that was named on purpose is read");
    close(ends[0]);
    alarm(0);
    spak_str_free(&text);
    int fd = open("huge", O_WRONLY | O_CREAT, 0666);
    ok(ftruncate(fd, (off_t)1 << 31) == 0, "2 GiB of nothing");
    close(fd);
    spak_alloc_fail_after(3);
    bool read = spak_read_file("huge", &text, &err);
    spak_alloc_fail_after(-1);
    ok(!read && strstr(err.message, "memory") && text.len < 1 << 22, "memory that runs out ends the reading: %s",
       err.message);
    spak_str_free(&text);
}

static void hash_is(const char *text, size_t len, const char *want, const char *name) {
    char hex[SPAK_SHA256_HEX + 1] = "", file_hex[SPAK_SHA256_HEX + 1] = "";
    spak_error err = {0};
    spak_sha256(text, len, hex, &err);
    is_str(hex, want, "%s", name);
    spak_write_file("hashed", text, len, &err);
    ok(spak_sha256_file("hashed", file_hex, &err) && strcmp(file_hex, want) == 0, "  and of a file with these bytes");
}

/* The vectors of FIPS 180-4's examples. */
static void test_hash(void) {
    hash_is("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "SHA-256 of nothing");
    hash_is("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "of abc");
    hash_is("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1", "of two blocks");
    char *million = malloc(1000000);
    memset(million, 'a', 1000000);
    hash_is(million, 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0", "of a million a");
    free(million);
    char hex[SPAK_SHA256_HEX + 1] = "", self[SPAK_SHA256_HEX + 1] = "", path[4096] = "";
    spak_error err = {0};
    ok(!spak_sha256_file("absent", hex, &err) && strstr(err.message, "absent"), "no file: %s", err.message);
    ok(!spak_sha256_file(".", hex, &err), "a folder: %s", err.message);
    ok(readlink("/proc/self/exe", path, sizeof path - 1) > 0 && spak_sha256_file(path, hex, &err) &&
           spak_sha256_self(self, &err) && strcmp(hex, self) == 0,
       "this program's own");
    ok(spak_sha256_self(hex, &err) && strcmp(hex, self) == 0, "and again");
}

/* A process that was killed while it wrote leaves its temporary file; a sweep takes it, and no living process's. */
static void test_sweep(void) {
    char dir[] = "/tmp/spak-sweep-XXXXXX", dead[128], drawn[128], alive[128], other[4][128], command[160];
    char folder[128], inside[160], living[128], link[160];
    spak_error err = {0};
    pid_t child = fork();
    if (child == 0) _exit(0);
    waitpid(child, NULL, 0);
    if (!mkdtemp(dir)) return (void)ok(false, "a folder to work in");
    snprintf(dead, sizeof dead, "%s/deep/x.json.spak-tmp-%ld", dir, (long)child);
    snprintf(drawn, sizeof drawn, "%s/deep/x.spak-tmp-%ld.svg", dir, (long)child);
    snprintf(alive, sizeof alive, "%s/deep/x.json.spak-tmp-%ld", dir, (long)getpid());
    snprintf(folder, sizeof folder, "%s/deep/program.spak-tmp-%ld", dir, (long)child);
    snprintf(inside, sizeof inside, "%s/a/b", folder);
    snprintf(link, sizeof link, "%s/out", folder);
    snprintf(living, sizeof living, "%s/program.spak-tmp-%ld/a", dir, (long)getpid());
    const char *const alike[] = {"notes.tmp-", "notes.spak-tmp-x", ".spak-tmp-", "notes.spak-tmp-"};
    const char *const ending[] = {"", "", "", ".txt"};
    for (size_t i = 0; i < 4; i++)
        snprintf(other[i], sizeof other[i], "%s/%s%ld%s", dir, alike[i], (long)child, ending[i]);
    bool made = spak_write_file(dead, "x", 1, &err) && spak_write_file(drawn, "x", 1, &err) &&
                spak_write_file(alive, "x", 1, &err);
    for (size_t i = 0; i < 4; i++) made = made && spak_write_file(other[i], "x", 1, &err);
    made = made && spak_write_file(inside, "x", 1, &err) && spak_write_file(living, "x", 1, &err) &&
           symlink(alive, link) == 0;
    ok(made, "nine files and a link: %s", err.message);
    spak_sweep_temporaries(dir);
    ok(!spak_exists(dead), "the file of a process that is gone is removed");
    ok(spak_exists(alive), "the file of a living process stays");
    ok(!spak_exists(drawn), "and its half a drawing");
    ok(!spak_exists(folder), "and its folder, with all that is in it");
    ok(spak_exists(living), "the folder of a living process stays");
    for (size_t i = 0; i < 4; i++) ok(spak_exists(other[i]), "a name that only looks alike stays: %s", other[i]);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    ok(system(command) == 0, "cleaned up");
}

int main(void) {
    char folder[] = "/tmp/spak-files-XXXXXX", command[64];
    if (!mkdtemp(folder) || chdir(folder) != 0) return 1;
    test_write();
    test_writer();
    test_hasher();
    test_write_over();
    test_if_changed();
    test_folders();
    test_read();
    test_hash();
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command) != 0) printf("# cannot remove %s\n", folder);
    test_sweep();
    return done_testing();
}
