/* A system with what it inherits. Files are told apart by their real path, so that a cycle is found however its links
 * are written; a file that is reached twice by different ways (a diamond) counts once, at its shortest distance. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "dsl/dsl_internal.h"

enum { MAX_FILES = 256 };

typedef struct source {
    char *path, *real;
    char sha256[SPAK_SHA256_HEX + 1];
    int distance;
    bool open; /* on the way from the root to the file being read: meeting it again is a cycle */
    json_t *meaning;
    const json_t *system; /* borrowed from meaning; NULL when the file has none */
} source;

typedef struct loader {
    source files[MAX_FILES];
    int count;
} loader;

static bool load(loader *l, const char *path, int distance, const char *from, spak_error *err);

static bool first_error(const dsl_doc *doc, spak_error *err) {
    for (size_t i = 0; i < doc->diagnostic_count; i++) {
        const dsl_diagnostic *d = &doc->diagnostics[i];
        if (d->severity == DSL_ERROR)
            return spak_fail(err, "%s:%u:%u: %s (%zu %s in this file)", doc->file, d->line, d->column, d->message,
                             doc->error_count, doc->error_count == 1 ? "error" : "errors");
    }
    return spak_fail(err, "%s: %zu errors", doc->file, doc->error_count);
}

static bool read_source(source *s, spak_error *err) {
    dsl_doc *doc;
    if (!dsl_parse_file(s->path, &doc, err)) return false;
    bool ok = doc->error_count ? first_error(doc, err)
                               : spak_sha256(doc->text, doc->len, s->sha256, err) && dsl_meaning(doc, &s->meaning, err);
    dsl_free(doc);
    if (ok) s->system = dsl_block(s->meaning, "system", NULL, 0);
    return ok;
}

/* other, as written in the file path, relative to that file's folder. */
static char *beside(const char *path, const char *other) {
    const char *slash = strrchr(path, '/');
    spak_str joined = {0};
    if (slash && other[0] != '/') spak_str_append(&joined, path, (size_t)(slash - path + 1));
    spak_str_puts(&joined, other);
    char *result = joined.oom ? NULL : spak_strdup(spak_str_text(&joined));
    spak_str_free(&joined);
    return result;
}

static bool load_parent(loader *l, int child, const json_t *value, int distance, spak_error *err) {
    const char *file = dsl_text(value, NULL);
    if (!file)
        return spak_fail(err, "%s: 'inherits' expects \"file.dsl\" or a list of such names", l->files[child].path);
    char *path = beside(l->files[child].path, file);
    if (!path) return spak_fail_oom(err);
    bool ok = load(l, path, distance, l->files[child].path, err);
    spak_free(path);
    return ok;
}

static bool load_parents(loader *l, int child, const json_t *block, int distance, spak_error *err) {
    const json_t *value;
    for (size_t i = 0; (value = dsl_value_at(block, "inherits", i)); i++) {
        if (!json_is_array(value)) {
            if (!load_parent(l, child, value, distance, err)) return false;
            continue;
        }
        for (size_t k = 0; k < json_array_size(value); k++)
            if (!load_parent(l, child, json_array_get(value, k), distance, err)) return false;
    }
    return true;
}

/* real is taken over. */
static bool load_new(loader *l, const char *path, char *real, int distance, spak_error *err) {
    if (l->count == MAX_FILES) {
        free(real);
        return spak_fail(err, "%s: more than %d files inherited", path, MAX_FILES);
    }
    int at = l->count++;
    source *s = &l->files[at];
    *s = (source){.path = spak_strdup(path), .real = real, .distance = distance, .open = true};
    if (!s->path) return spak_fail_oom(err);
    if (!read_source(s, err)) return false;
    if (!load_parents(l, at, s->meaning, distance + 1, err)) return false;
    if (s->system && !load_parents(l, at, s->system, distance + 1, err)) return false;
    s->open = false;
    return true;
}

static bool load(loader *l, const char *path, int distance, const char *from, spak_error *err) {
    char *real = realpath(path, NULL);
    if (!real) {
        return from ? spak_fail_errno(err, "%s: inherits '%s', which cannot be opened", from, path)
                    : spak_fail_errno(err, "%s: cannot open", path);
    }
    for (int i = 0; i < l->count; i++) {
        source *s = &l->files[i];
        if (strcmp(s->real, real)) continue;
        free(real);
        if (s->open)
            return spak_fail(err, "%s: inherits '%s', which inherits it again: a cycle; remove one link", from,
                             s->path);
        if (distance < s->distance) s->distance = distance;
        return true;
    }
    return load_new(l, path, real, distance, err);
}

/* --- the result --- */

static bool is_knowledge(const json_t *item) {
    const char *kind = spak_json_str(item, "kind", "");
    return !strcmp(kind, "fact") || !strcmp(kind, "rule") || !strcmp(kind, "invariant") || !strcmp(kind, "hint");
}

/* The item that takes the place of this one from the file origin: it comes from a nearer file. Borrowed, or NULL. */
static json_t *overriding(const json_t *knowledge, const json_t *item, const char *origin) {
    const char *name = spak_json_str(item, "name", NULL);
    if (!name) return NULL;
    for (size_t i = 0; i < json_array_size(knowledge); i++) {
        json_t *other = json_array_get(knowledge, i);
        if (!strcmp(spak_json_str(other, "name", ""), name) &&
            !strcmp(spak_json_str(other, "kind", ""), spak_json_str(item, "kind", "")) &&
            strcmp(spak_json_str(other, "origin", ""), origin))
            return other;
    }
    return NULL;
}

static bool add_item(json_t *knowledge, const json_t *item, const source *s) {
    json_t *nearer = overriding(knowledge, item, s->path);
    if (nearer)
        return json_object_get(nearer, "overrides") || !json_object_set_new(nearer, "overrides", json_string(s->path));
    json_t *copy = json_deep_copy(item);
    bool ok = copy && !json_object_set_new(copy, "origin", json_string(s->path)) &&
              !json_object_set_new(copy, "inherited", json_boolean(s->distance > 0)) &&
              !json_array_append(knowledge, copy);
    json_decref(copy);
    return ok;
}

static bool add_knowledge(json_t *knowledge, const json_t *block, const source *s, int depth) {
    const json_t *body = json_object_get(block, "body"), *item;
    for (size_t i = 0; i < json_array_size(body); i++) {
        item = json_array_get(body, i);
        const char *kind = spak_json_str(item, "kind", "");
        if (depth < 2 && (!strcmp(kind, "knowledge") || item == s->system)) {
            if (!add_knowledge(knowledge, item, s, depth + 1)) return false;
        } else if (is_knowledge(item) && !add_item(knowledge, item, s)) {
            return false;
        }
    }
    return true;
}

/* Nearest first; files of one distance in the order of reading. */
static void sort_by_distance(loader *l) {
    for (int i = 1; i < l->count; i++) {
        source moved = l->files[i];
        int k = i;
        for (; k > 0 && l->files[k - 1].distance > moved.distance; k--) l->files[k] = l->files[k - 1];
        l->files[k] = moved;
    }
}

static bool put_result(loader *l, json_t *out) {
    const source *own = &l->files[0];
    json_t *inherits = json_array(), *knowledge = json_array();
    bool ok = !json_object_set_new(out, "inherits", inherits);
    ok = !json_object_set_new(out, "knowledge", knowledge) && ok; /* both always: each call takes its value over */
    json_t *name = json_object_get(own->system, "name");
    ok = ok && !json_object_set_new(out, "file", json_string(own->path)) &&
         !json_object_set_new(out, "sha256", json_string(own->sha256)) && !json_object_set(out, "name", name) &&
         !json_object_set(out, "front_matter", json_object_get(own->meaning, "front_matter")) &&
         !json_object_set(out, "body", json_object_get(own->system, "body"));
    for (int i = 0; ok && i < l->count; i++) {
        const source *s = &l->files[i];
        ok = add_knowledge(knowledge, s->meaning, s, 0);
        if (!i || !ok) continue;
        json_t *file = json_object();
        ok = file && !json_object_set_new(file, "file", json_string(s->path)) &&
             !json_object_set_new(file, "sha256", json_string(s->sha256)) && !json_array_append(inherits, file);
        json_decref(file);
    }
    return ok;
}

bool dsl_load_system(const char *path, json_t **system, spak_error *err) {
    *system = NULL;
    loader *l = spak_calloc(1, sizeof *l);
    if (!l) return spak_fail_oom(err);
    bool ok = load(l, path, 0, NULL, err);
    if (ok && !l->files[0].system) ok = spak_fail(err, "%s: holds no block `system name { ... }`", path);
    if (ok) {
        sort_by_distance(l);
        json_t *out = json_object();
        ok = out && put_result(l, out);
        if (ok)
            *system = out;
        else {
            json_decref(out);
            spak_fail_oom(err);
        }
    }
    for (int i = 0; i < l->count; i++) {
        spak_free(l->files[i].path);
        free(l->files[i].real);
        json_decref(l->files[i].meaning);
    }
    spak_free(l);
    return ok;
}
