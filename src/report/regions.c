/* The marked regions of the sources:
 *
 *     //> name
 *     ...
 *     //< name
 *
 * with `//` in C and CUDA, `--` in Lua, `#` in the Makefile, shell and gnuplot, `//` or `#` in the DSL. A marker stands
 * alone on its line. Regions nest but do not cross. What a chapter shows is the very text that is compiled: the common
 * indent is taken off, inner markers are left out, nothing else is touched. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "report/internal.h"

enum { MAX_NESTING = 16, MAX_DEPTH = 12 };

typedef struct open_region {
    char name[64];
    size_t line, text_at; /* line of the marker; offset of the text after it */
} open_region;

static const char *const *leaders(const char *file) {
    static const char *const c[] = {"//", NULL}, *const lua[] = {"--", NULL}, *const hash[] = {"#", NULL},
                             *const dsl[] = {"//", "#", NULL};
    static const char *const c_ends[] = {".c", ".h", ".cu", ".cuh"}, *const hash_ends[] = {"Makefile", ".sh", ".gp"};
    for (size_t i = 0; i < sizeof c_ends / sizeof *c_ends; i++)
        if (spak_ends_with(file, c_ends[i])) return c;
    for (size_t i = 0; i < sizeof hash_ends / sizeof *hash_ends; i++)
        if (spak_ends_with(file, hash_ends[i])) return hash;
    if (spak_ends_with(file, ".lua")) return lua;
    if (spak_ends_with(file, ".dsl")) return dsl;
    return NULL;
}

/* '>' or '<' and the name when the line is a marker, else 0. */
static char marker(const char *const *leader, const char *line, size_t len, char name[64]) {
    while (len && isspace((unsigned char)*line)) line++, len--;
    while (len && isspace((unsigned char)line[len - 1])) len--;
    for (; *leader; leader++) {
        size_t lead = strlen(*leader);
        if (len < lead + 3 || strncmp(line, *leader, lead) != 0) continue;
        char mark = line[lead];
        size_t from = lead + 1;
        if ((mark != '>' && mark != '<') || line[from] != ' ') continue;
        while (from < len && line[from] == ' ') from++;
        size_t name_len = len - from;
        bool good = name_len > 0 && name_len < 64;
        for (size_t i = from; good && i < len; i++) good = isalnum((unsigned char)line[i]) || line[i] == '_';
        if (!good) continue;
        memcpy(name, line + from, name_len);
        name[name_len] = '\0';
        return mark;
    }
    return 0;
}

static size_t line_end(const char *text) { return strcspn(text, "\n"); }

/* Columns in characters; a tab goes to the next multiple of eight. */
static size_t columns(const char *line, size_t len) {
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (line[i] == '\t')
            n += 8 - n % 8;
        else
            n += ((unsigned char)line[i] & 0xc0) != 0x80;
    }
    return n;
}

static bool is_blank(const char *line, size_t len) { return strspn(line, " \t\r") >= len; }

/* Dedents text[0..len) into region->text and measures it. */
static bool take_text(rep_region *region, const char *const *leader, const char *text, size_t len, spak_error *err) {
    size_t indent = (size_t)-1;
    char name[64];
    for (int pass = 0; pass < 2; pass++) {
        spak_str taken = {0};
        for (size_t at = 0; at < len;) {
            size_t n = line_end(text + at);
            const char *line = text + at;
            at += n + 1;
            if (marker(leader, line, n, name)) continue;
            if (pass == 0) {
                size_t own = strspn(line, " ");
                if (!is_blank(line, n) && own < indent) indent = own;
                continue;
            }
            size_t cut = is_blank(line, n) ? n : indent;
            spak_str_append(&taken, line + cut, n - cut);
            spak_str_putc(&taken, '\n');
            size_t width = columns(line + cut, n - cut);
            if (width > region->width) region->width = width;
            region->lines++;
        }
        if (pass == 1) region->text = taken.oom ? NULL : spak_strdup(spak_str_text(&taken));
        spak_str_free(&taken);
    }
    return region->text ? true : spak_fail_oom(err);
}

static bool add(const char *file, const open_region *open, size_t last, const char *const *leader, const char *text,
                size_t len, rep_regions *regions, spak_error *err) {
    rep_region *grown = spak_realloc(regions->at, (regions->count + 1) * sizeof *grown);
    if (!grown) return spak_fail_oom(err);
    regions->at = grown;
    rep_region *region = &regions->at[regions->count];
    memset(region, 0, sizeof *region);
    region->first = open->line + 1;
    region->last = last;
    region->file = spak_strdup(file);
    region->name = spak_strdup(open->name);
    regions->count++;
    if (!region->file || !region->name) return spak_fail_oom(err);
    return take_text(region, leader, text, len, err);
}

static void measure(const rep_region *region, rep_problems *problems) {
    if (region->lines == 0) rep_problem(problems, region->file, region->first, "region '%s' is empty", region->name);
    if (region->width > REP_REGION_WIDTH)
        rep_problem(problems, region->file, region->first, "region '%s' is %zu columns wide, more than %d",
                    region->name, region->width, REP_REGION_WIDTH);
    if (region->lines > REP_REGION_LINES)
        rep_problem(problems, region->file, region->first, "region '%s' has %zu lines, more than %d; cut it in two",
                    region->name, region->lines, REP_REGION_LINES);
}

bool rep_regions_scan(const char *file, const char *text, rep_regions *regions, rep_problems *problems,
                      spak_error *err) {
    const char *const *leader = leaders(file);
    open_region open[MAX_NESTING];
    size_t depth = 0, line = 0;
    if (!leader) return true;
    for (size_t at = 0; text[at]; line++) {
        size_t n = line_end(text + at), begin = at;
        char name[64], mark = marker(leader, text + at, n, name);
        at += n + (text[at + n] == '\n');
        if (mark == '>') {
            bool twice = rep_regions_find(regions, file, name) != NULL;
            for (size_t i = 0; i < depth; i++) twice = twice || !strcmp(open[i].name, name);
            if (twice) rep_problem(problems, file, line + 1, "region '%s' stands in this file twice", name);
            if (depth == MAX_NESTING)
                return spak_fail(err, "%s:%zu: regions nest deeper than %d", file, line + 1, MAX_NESTING);
            open_region *now = &open[depth++];
            snprintf(now->name, sizeof now->name, "%s", name);
            now->line = line + 1;
            now->text_at = at;
        } else if (mark == '<' && depth == 0) {
            rep_problem(problems, file, line + 1, "region '%s' ends but never began", name);
        } else if (mark == '<') {
            const open_region *top = &open[depth - 1];
            if (strcmp(top->name, name) != 0) {
                rep_problem(problems, file, line + 1, "mis-nested: '%s' ends while '%s' (line %zu) is open", name,
                            top->name, top->line);
            }
            depth--;
            if (!add(file, top, line, leader, text + top->text_at, begin - top->text_at, regions, err)) return false;
            measure(&regions->at[regions->count - 1], problems);
        }
    }
    while (depth > 0) {
        depth--;
        rep_problem(problems, file, open[depth].line, "region '%s' is never closed", open[depth].name);
    }
    return true;
}

static bool read_one(const char *root, const char *path, rep_regions *regions, rep_problems *problems,
                     spak_error *err) {
    spak_str full = {0}, text = {0};
    rep_path(&full, root, path);
    bool good = spak_str_ok(&full, err) && spak_read_file(full.data, &text, err) &&
                rep_regions_scan(path, spak_str_text(&text), regions, problems, err);
    spak_str_free(&full);
    spak_str_free(&text);
    return good;
}

static bool read_folder(const char *root, const char *dir, int depth, rep_regions *regions, rep_problems *problems,
                        spak_error *err) {
    spak_str full = {0};
    char **names = NULL;
    size_t count = 0;
    rep_path(&full, root, dir);
    bool good = spak_str_ok(&full, err);
    if (good && spak_exists(full.data)) good = spak_list_dir(full.data, &names, &count, err);
    for (size_t i = 0; good && i < count; i++) {
        spak_str path = {0};
        struct stat info;
        spak_str_printf(&path, "%s/%s", dir, names[i]);
        spak_str_clear(&full);
        rep_path(&full, root, spak_str_text(&path));
        good = spak_str_ok(&full, err);
        if (good && !stat(full.data, &info)) {
            if (S_ISDIR(info.st_mode) && depth < MAX_DEPTH) {
                good = read_folder(root, path.data, depth + 1, regions, problems, err);
            } else if (S_ISREG(info.st_mode) && leaders(path.data)) {
                good = read_one(root, path.data, regions, problems, err);
            }
        }
        spak_str_free(&path);
    }
    spak_names_free(names, count);
    spak_str_free(&full);
    return good;
}

bool rep_regions_read(const char *root, rep_regions *regions, rep_problems *problems, spak_error *err) {
    static const char *const folders[] = {"src", "kernels", "experiments", "dsl"};
    static const char *const files[] = {"Makefile", "reproduce.sh"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        if (!read_folder(root, folders[i], 0, regions, problems, err)) return false;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        spak_str full = {0};
        rep_path(&full, root, files[i]);
        bool there = !full.oom && spak_exists(full.data);
        spak_str_free(&full);
        if (there && !read_one(root, files[i], regions, problems, err)) return false;
    }
    return true;
}

rep_region *rep_regions_find(rep_regions *regions, const char *file, const char *name) {
    for (size_t i = 0; i < regions->count; i++)
        if (!strcmp(regions->at[i].name, name) && !strcmp(regions->at[i].file, file)) return &regions->at[i];
    return NULL;
}

void rep_regions_free(rep_regions *regions) {
    for (size_t i = 0; i < regions->count; i++) {
        spak_free(regions->at[i].file);
        spak_free(regions->at[i].name);
        spak_free(regions->at[i].text);
    }
    spak_free(regions->at);
    memset(regions, 0, sizeof *regions);
}
