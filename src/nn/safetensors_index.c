/* A model in several safetensors files, with an index beside them that says which tensor lies where. The index says
 * nothing that the shards' own headers do not say, so it is used for one thing, the names of the shards, and then held
 * against them: each tensor of a shard must be mapped to that shard, which leaves no tensor in two of them, and is then
 * crossed off the map, where nothing may remain. A shard is a plain name in the index's folder: a
 * stranger's index opens no file elsewhere. */
#include <string.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "nn/safetensors.h"

static const char AGAIN[] = "fetch the folder's files again";

typedef struct shards {
    const char *path; /* of the index */
    json_t *index;
    json_t *map;            /* of the index: shard by tensor */
    json_t *names;          /* shards seen, each with null: a set */
    nn_safetensors **files; /* in the order of `names` */
    size_t count;
} shards;

static bool read_map(shards *s, spak_error *err) {
    if (!spak_json_load(s->path, &s->index, err)) return false;
    s->map = json_object_get(s->index, "weight_map");
    return (json_is_object(s->map) && json_object_size(s->map) > 0) ||
           spak_fail(err, "%s: expected `weight_map`, an object that names a file for each tensor; %s", s->path, AGAIN);
}

static bool is_plain(const char *name) {
    return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static bool name_shards(shards *s, spak_error *err) {
    const char *tensor;
    json_t *value;
    char shown[100], file[100];
    if (!(s->names = json_object())) return spak_fail_oom(err);
    json_object_foreach(s->map, tensor, value) {
        const char *name = json_string_value(value);
        if (!name)
            return spak_fail(err, "%s: tensor `%s`: expected the name of a file, found another type of value; %s",
                             s->path, nn_tensor_shown(tensor, shown), AGAIN);
        if (!is_plain(name))
            return spak_fail(err, "%s: tensor `%s`: expected a file of the index's own folder, found the path `%s`",
                             s->path, nn_tensor_shown(tensor, shown), nn_tensor_shown(name, file));
        if (!spak_json_set(s->names, name, json_null(), err)) return false;
    }
    return true;
}

static bool open_shard(shards *s, const char *name, spak_error *err) {
    const char *slash = strrchr(s->path, '/');
    spak_str path = {0};
    spak_str_append(&path, s->path, slash ? (size_t)(slash - s->path) + 1 : 0);
    spak_str_puts(&path, name);
    bool ok = spak_str_ok(&path, err);
    if (ok && !nn_safetensors_open(path.data, &s->files[s->count], err))
        ok = spak_fail_context(err, "a shard that %s names", s->path);
    s->count += ok;
    spak_str_free(&path);
    return ok;
}

/* Each tensor of this shard is mapped to it. Those found are crossed off: their value becomes true. */
static bool check_shard(const shards *s, nn_safetensors *file, const char *name, spak_error *err) {
    size_t count;
    char shown[100], mapped[100];
    const nn_tensor *t = nn_safetensors_list(file, &count);
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_object_get(s->map, t[i].name);
        const char *told = json_string_value(value);
        if (told && !strcmp(told, name)) {
            if (!spak_json_set(s->map, t[i].name, json_true(), err)) return false;
            continue;
        }
        return spak_fail(err, "%s: tensor `%s` lies here, but `weight_map` of %s says %s; %s",
                         nn_safetensors_path(file), nn_tensor_shown(t[i].name, shown), s->path,
                         told    ? nn_tensor_shown(told, mapped)
                         : value ? "another file, where it lies too"
                                 : "nothing of it",
                         AGAIN);
    }
    return true;
}

static bool check_complete(const shards *s, spak_error *err) {
    const char *tensor;
    json_t *value;
    char shown[100], file[100];
    json_object_foreach(s->map, tensor, value) {
        if (!json_is_true(value))
            return spak_fail(err, "%s: `weight_map` says that tensor `%s` lies in %s, where it is not; %s", s->path,
                             nn_tensor_shown(tensor, shown), nn_tensor_shown(json_string_value(value), file), AGAIN);
    }
    return true;
}

static bool open_shards(shards *s, spak_error *err) {
    const char *name;
    json_t *value;
    if (!(s->files = spak_calloc(json_object_size(s->names), sizeof *s->files))) return spak_fail_oom(err);
    json_object_foreach(s->names, name, value) {
        if (!open_shard(s, name, err) || !check_shard(s, s->files[s->count - 1], name, err)) return false;
    }
    return check_complete(s, err);
}

bool nn_safetensors_open_index(const char *path, nn_safetensors **file, spak_error *err) {
    shards s = {.path = path};
    *file = NULL;
    bool ok = read_map(&s, err) && name_shards(&s, err) && open_shards(&s, err);
    if (ok)
        ok = nn_safetensors_join(path, s.files, s.count, file, err);
    else
        for (size_t i = 0; i < s.count; i++) nn_safetensors_close(s.files[i]);
    spak_free(s.files);
    json_decref(s.names);
    json_decref(s.index);
    return ok;
}
