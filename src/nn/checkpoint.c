/* One walk serves saving, checking and loading: over the three arrays (values, mean, square), in each over the
 * parameters in their order, in pieces that fit on the stack. The hash of an array is taken over its bytes in the file,
 * so that checking needs no model, and it stands in the header, before the data; saving therefore walks twice over the
 * model, once for the hashes and once to write. */
#include "nn/checkpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "nn/dtype.h"
#include "nn/model.h"
#include "nn/safetensors.h"

enum { PIECE = 4096, NUM_ARRAYS = 3, NAME_BYTES = 128, MOST_STEPS = 1000000000 };
static const char FORMAT[] = "spak-checkpoint-1";

static const struct {
    nn_array array;
    const char *prefix, *hash; /* before the parameters' names; in the metadata */
} ARRAYS[NUM_ARRAYS] = {
    {NN_VALUES, "", "values_sha256"}, {NN_MEAN, "adamw.m.", "mean_sha256"}, {NN_SQUARE, "adamw.v.", "square_sha256"}};

static nn_tensor tensor_of(const nn_param *p, int array, nn_dtype dtype, char name[NAME_BYTES]) {
    nn_tensor t = {.name = name, .dtype = dtype, .rank = p->matrix ? 2 : 1, .shape = {p->matrix ? p->rows : p->cols}};
    if (p->matrix) t.shape[1] = p->cols;
    t.count = p->rows * p->cols;
    snprintf(name, NAME_BYTES, "%s%s", ARRAYS[array].prefix, p->name);
    return t;
}

/* --- saving --- */

static nn_dtype dtype_of(const nn_model *model) { return model->ops->elem == 8 ? NN_F64 : NN_F32; }

/* A run that has diverged must not push its last good state out of the folder. */
static bool check_finite(const nn_param *p, int array, const double *x, size_t n, spak_error *err) {
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return spak_fail(err,
                             "`%s%s` holds %s: the run has diverged, and this state is not saved; go on from an "
                             "earlier checkpoint, or begin again with a lower rate",
                             ARRAYS[array].prefix, p->name, isnan(x[i]) ? "NaN" : "infinity");
    return true;
}

/* An array's bytes as they go into the file: into the hash, or the file, or both NULL for neither. */
static bool walk_model(const nn_model *model, int array, spak_hasher *hasher, nn_safetensors_writer *out,
                       spak_error *err) {
    double piece[PIECE];
    unsigned char bytes[PIECE * sizeof(double)];
    nn_dtype dtype = dtype_of(model);
    for (size_t i = 0; i < model->num_params; i++) {
        const nn_param *p = &model->params[i];
        for (size_t at = 0, n, all = p->rows * p->cols; at < all; at += n) {
            n = all - at < PIECE ? all - at : PIECE;
            nn_model_get(model, ARRAYS[array].array, p->at + at, n, piece);
            if (!check_finite(p, array, piece, n, err)) return false;
            if (out && !nn_safetensors_put_f64(out, piece, n, err)) return false;
            if (!hasher) continue;
            nn_dtype_from_f64(dtype, piece, n, bytes);
            spak_hasher_put(hasher, bytes, n * nn_dtype_bytes(dtype));
        }
    }
    return true;
}

static bool put_string(json_t *object, const char *key, const char *text, spak_error *err) {
    if (spak_first_bad_utf8(text, strlen(text)) < strlen(text))
        return spak_fail(err, "the checkpoint's `%s` is not UTF-8", key);
    return spak_json_set(object, key, json_string(text), err);
}

static bool hash_metadata(const json_t *metadata, char hex[SPAK_SHA256_HEX + 1], spak_error *err) {
    spak_str text = {0};
    json_t *hashed = json_copy((json_t *)metadata);
    if (hashed) json_object_del(hashed, "metadata_sha256");
    bool ok = (hashed || spak_fail_oom(err)) && spak_json_canonical(hashed, &text, err) &&
              spak_sha256(text.data, text.len, hex, err);
    json_decref(hashed);
    spak_str_free(&text);
    return ok;
}

static bool put_config(json_t *metadata, const nn_config *config, spak_error *err) {
    spak_str text = {0};
    json_t *json = nn_config_json(config);
    bool ok = (json || spak_fail_oom(err)) && spak_json_canonical(json, &text, err) &&
              put_string(metadata, "config", spak_str_text(&text), err);
    json_decref(json);
    spak_str_free(&text);
    return ok;
}

static bool make_metadata(const nn_model *model, const nn_checkpoint *c, json_t *metadata, spak_error *err) {
    char hex[SPAK_SHA256_HEX + 1], step[32];
    snprintf(step, sizeof step, "%" PRIu64, c->step);
    bool ok = put_string(metadata, "format", FORMAT, err) && put_string(metadata, "step", step, err) &&
              put_config(metadata, &model->config, err) &&
              put_string(metadata, "trainer", c->trainer ? c->trainer : "", err) &&
              put_string(metadata, "data_sha256", c->data_sha256, err);
    for (int a = 0; ok && a < NUM_ARRAYS; a++) {
        spak_hasher *hasher;
        if (!spak_hasher_begin(&hasher, err)) return false;
        ok = walk_model(model, a, hasher, NULL, err);
        ok = spak_hasher_end(hasher, hex, ok ? err : NULL) && ok && put_string(metadata, ARRAYS[a].hash, hex, err);
    }
    return ok && hash_metadata(metadata, hex, err) && put_string(metadata, "metadata_sha256", hex, err);
}

static bool write_checkpoint(const char *path, const nn_model *model, const json_t *metadata, spak_error *err) {
    size_t count = model->num_params;
    nn_safetensors_writer *out = NULL;
    nn_tensor *list = spak_calloc(NUM_ARRAYS * count, sizeof *list);
    char(*names)[NAME_BYTES] = spak_calloc(NUM_ARRAYS * count, sizeof *names);
    bool ok = (list && names) || spak_fail_oom(err);
    for (size_t i = 0; ok && i < NUM_ARRAYS * count; i++)
        list[i] = tensor_of(&model->params[i % count], (int)(i / count), dtype_of(model), names[i]);
    ok = ok && nn_safetensors_create(path, list, NUM_ARRAYS * count, metadata, &out, err);
    for (int a = 0; ok && a < NUM_ARRAYS; a++) ok = walk_model(model, a, NULL, out, err);
    if (ok)
        ok = nn_safetensors_finish(out, err);
    else
        nn_safetensors_abandon(out);
    spak_free(names);
    spak_free(list);
    return ok;
}

/* --- the folder --- */

static bool step_of(const char *name, uint64_t *step) {
    char again[64];
    if (!spak_starts_with(name, "ckpt-")) return false;
    *step = strtoull(name + strlen("ckpt-"), NULL, 10);
    snprintf(again, sizeof again, "ckpt-%08" PRIu64 ".safetensors", *step);
    return !strcmp(name, again);
}

static int newest_first(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

static char *path_of(const char *folder, uint64_t step) {
    spak_str path = {0};
    spak_str_printf(&path, "%s/ckpt-%08" PRIu64 ".safetensors", folder, step);
    if (!path.oom) return path.data;
    spak_str_free(&path);
    return NULL;
}

/* The steps of a folder's checkpoints by their names, newest first; *steps: spak_free. */
static bool list_steps(const char *folder, uint64_t **steps, size_t *count, spak_error *err) {
    char **names;
    size_t num_names;
    *steps = NULL;
    *count = 0;
    if (!spak_exists(folder)) return true;
    if (!spak_list_dir(folder, &names, &num_names, err)) return false;
    bool ok = (*steps = spak_calloc(num_names, sizeof **steps)) || spak_fail_oom(err);
    for (size_t i = 0; ok && i < num_names; i++) *count += step_of(names[i], &(*steps)[*count]);
    if (*count) qsort(*steps, *count, sizeof **steps, newest_first);
    spak_names_free(names, num_names);
    return ok;
}

/* One of a later step stays: it is of a run that this one did not go on from, or is damaged, and is not ours to judge.
 */
static bool prune(const char *folder, uint64_t step, size_t keep, spak_error *err) {
    uint64_t *steps;
    size_t count, kept = 0;
    bool ok = list_steps(folder, &steps, &count, err);
    for (size_t i = 0; ok && i < count; i++) {
        if (steps[i] > step || kept++ < (keep ? keep : 1)) continue;
        char *path = path_of(folder, steps[i]);
        if (!path) ok = spak_fail_oom(err);
        if (ok && unlink(path) != 0 && errno != ENOENT) ok = spak_fail_errno(err, "%s: cannot remove", path);
        spak_free(path);
    }
    spak_free(steps);
    return ok;
}

bool nn_checkpoint_save(const char *folder, const nn_model *model, const nn_checkpoint *checkpoint, size_t keep,
                        spak_error *err) {
    if (!model->training)
        return spak_fail(err, "%s: a model that does not train has no optimiser state to save; make it for training",
                         folder);
    if (spak_exists(folder)) spak_sweep_temporaries(folder);
    char *path = path_of(folder, checkpoint->step);
    json_t *metadata = json_object();
    bool ok = (path && metadata) || spak_fail_oom(err);
    ok = ok && make_metadata(model, checkpoint, metadata, err) && write_checkpoint(path, model, metadata, err) &&
         prune(folder, checkpoint->step, keep, err);
    json_decref(metadata);
    spak_free(path);
    return ok;
}

/* --- reading --- */

typedef struct reader {
    nn_safetensors *file;
    nn_config config;
    nn_param *params;
    size_t count;
    const nn_tensor *tensors; /* array number a begins at a * count */
    bool other_format;        /* whole, but of another version of this program */
} reader;

static void reader_close(reader *r) {
    nn_safetensors_close(r->file);
    spak_free(r->params);
}

static bool metadata_of(const reader *r, const char *key, const char **text, spak_error *err) {
    *text = nn_safetensors_metadata(r->file, key);
    return *text ||
           spak_fail(err, "%s: expected the metadata `%s` of a checkpoint, found none; it was not written as one",
                     nn_safetensors_path(r->file), key);
}

static bool same_text(const reader *r, const char *what, const char *expected, const char *found, spak_error *err) {
    return !strcmp(expected, found) || spak_fail(err, "%s: %s: expected %s, found %s; take another checkpoint",
                                                 nn_safetensors_path(r->file), what, expected, found);
}

static bool check_metadata(reader *r, spak_error *err) {
    const char *format, *hash;
    char found[SPAK_SHA256_HEX + 1];
    if (!metadata_of(r, "format", &format, err) || !metadata_of(r, "metadata_sha256", &hash, err) ||
        !hash_metadata(nn_safetensors_all_metadata(r->file), found, err) ||
        !same_text(r, "the metadata's SHA-256 (the header is damaged)", hash, found, err))
        return false;
    r->other_format = strcmp(format, FORMAT) != 0; /* and its metadata is whole: it is what it says */
    return same_text(r, "the format", FORMAT, format, err);
}

static bool read_config(reader *r, spak_error *err) {
    const char *text;
    json_t *json = NULL;
    bool ok = metadata_of(r, "config", &text, err) && nn_config_preset("gpt2", &r->config, err) &&
              spak_json_parse("the configuration", text, strlen(text), &json, err) &&
              nn_config_read(json, &r->config, err);
    json_decref(json);
    return ok || spak_fail_context(err, "%s", nn_safetensors_path(r->file));
}

/* The tensors are those that a model of the configuration has, in their order. */
static bool check_tensors(reader *r, spak_error *err) {
    size_t tensors, numbers;
    char name[NAME_BYTES], expected[200], found[200], shown[100];
    if (!nn_params_list(&r->config, &r->params, &r->count, &numbers, err)) return false;
    r->tensors = nn_safetensors_list(r->file, &tensors);
    if (tensors != NUM_ARRAYS * r->count)
        return spak_fail(err, "%s: expected %zu tensors for its configuration, found %zu; take another checkpoint",
                         nn_safetensors_path(r->file), NUM_ARRAYS * r->count, tensors);
    for (size_t i = 0; i < tensors; i++) {
        const nn_tensor *t = &r->tensors[i];
        nn_tensor want = tensor_of(&r->params[i % r->count], (int)(i / r->count), t->dtype, name);
        nn_tensor_shape(&want, expected);
        if (t->dtype > NN_F32 || t->dtype != r->tensors[0].dtype || strcmp(t->name, name) != 0 ||
            strcmp(nn_tensor_shape(t, found), expected) != 0)
            return spak_fail(err,
                             "%s: expected tensor number %zu to be `%s`, %s of %s, found `%s`, %s of %s; take "
                             "another checkpoint",
                             nn_safetensors_path(r->file), i, name, expected,
                             r->tensors[0].dtype == NN_F64 ? "F64" : "F32", nn_tensor_shown(t->name, shown),
                             nn_tensor_shape(t, found), nn_dtype_name(t->dtype));
    }
    return true;
}

static bool reader_open(const char *path, reader *r, spak_error *err) {
    *r = (reader){0};
    if (nn_safetensors_open(path, &r->file, err) && check_metadata(r, err) && read_config(r, err) &&
        check_tensors(r, err))
        return true;
    reader_close(r);
    return false;
}

/* Reads an array, checks its hash and that its numbers are numbers, and puts it into the model, when there is one. */
static bool read_array(const reader *r, int array, nn_model *model, spak_error *err) {
    unsigned char bytes[PIECE * sizeof(double)];
    double piece[PIECE];
    char found[SPAK_SHA256_HEX + 1];
    const char *hash;
    spak_hasher *hasher;
    spak_error not_finite = {0};
    if (!metadata_of(r, ARRAYS[array].hash, &hash, err) || !spak_hasher_begin(&hasher, err)) return false;
    bool ok = true;
    for (size_t i = 0; ok && i < r->count; i++) {
        const nn_tensor *t = &r->tensors[(size_t)array * r->count + i];
        for (size_t at = 0, n; ok && at < t->count; at += n) {
            n = t->count - at < PIECE ? t->count - at : PIECE;
            if (!(ok = nn_tensor_raw(r->file, t, at, n, bytes, err))) break;
            spak_hasher_put(hasher, bytes, n * nn_dtype_bytes(t->dtype));
            nn_dtype_to_f64(t->dtype, bytes, n, piece);
            if (!*not_finite.message) nn_tensor_finite(r->file, t, piece, n, &not_finite);
            if (model) nn_model_put(model, ARRAYS[array].array, r->params[i].at + at, n, piece);
        }
    }
    bool hashed = spak_hasher_end(hasher, found, ok ? err : NULL);
    return ok && hashed && same_text(r, ARRAYS[array].hash, hash, found, err) &&
           (!*not_finite.message || spak_fail(err, "%s", not_finite.message));
}

/* *damaged: its content is wrong. A file that cannot be opened, one of another version and no memory say nothing about
 * it, and are no reason to take an older one. */
static bool verify(const char *path, bool *damaged, spak_error *err) {
    reader r;
    spak_error oom;
    *damaged = false;
    const int fd = spak_open_read(path, err);
    if (fd < 0) return false;
    close(fd);
    bool ok = reader_open(path, &r, err);
    const bool other_format = r.other_format;
    if (ok) {
        for (int a = 0; ok && a < NUM_ARRAYS; a++) ok = read_array(&r, a, NULL, err);
        reader_close(&r);
    }
    spak_fail_oom(&oom);
    *damaged = !ok && !other_format && !spak_ends_with(err->message, oom.message);
    return ok;
}

bool nn_checkpoint_newest(const char *folder, char **path, spak_error *damaged, spak_error *err) {
    uint64_t *steps;
    size_t count;
    spak_error why = {0};
    *path = NULL;
    if (damaged) damaged->message[0] = 0;
    bool ok = list_steps(folder, &steps, &count, err);
    for (size_t i = 0; ok && !*path && i < count; i++) {
        char *candidate = path_of(folder, steps[i]);
        bool is_damaged = false;
        if (candidate && verify(candidate, &is_damaged, &why)) {
            *path = candidate;
            break;
        }
        if (!candidate)
            ok = spak_fail_oom(err);
        else if (!is_damaged)
            ok = spak_fail(err, "%s", why.message);
        else if (damaged && !damaged->message[0])
            *damaged = why;
        spak_free(candidate);
    }
    spak_free(steps);
    return ok;
}

/* --- loading --- */

static bool same_config(const reader *r, const nn_config *model, spak_error *err) {
    json_t *in_file = nn_config_json(&r->config), *in_model = nn_config_json(model), *value;
    const char *key;
    bool ok = (in_file && in_model) || spak_fail_oom(err);
    json_object_foreach(in_file, key, value) {
        if (!ok) break;
        spak_str a = {0}, b = {0};
        ok = spak_json_canonical(value, &a, err) && spak_json_canonical(json_object_get(in_model, key), &b, err);
        if (ok && strcmp(a.data, b.data) != 0)
            ok = spak_fail(err,
                           "%s: the checkpoint's configuration has `%s` %s, the model's has %s; go on with that "
                           "configuration, or start anew in another folder",
                           nn_safetensors_path(r->file), key, a.data, b.data);
        spak_str_free(&a);
        spak_str_free(&b);
    }
    json_decref(in_file);
    json_decref(in_model);
    return ok;
}

static bool read_progress(const reader *r, const char *data_sha256, nn_checkpoint *c, spak_error *err) {
    const char *step, *data, *trainer;
    if (!metadata_of(r, "step", &step, err) || !metadata_of(r, "data_sha256", &data, err) ||
        !metadata_of(r, "trainer", &trainer, err))
        return false;
    if (data_sha256 && !same_text(r, "the data set's SHA-256", data, data_sha256, err)) return false;
    char *end;
    c->step = strtoull(step, &end, 10);
    if (*step < '0' || *step > '9' || *end || c->step > MOST_STEPS)
        return spak_fail(err,
                         "%s: step: expected a whole number from 0 to %d, found \"%.40s\"; take another checkpoint",
                         nn_safetensors_path(r->file), MOST_STEPS, step);
    snprintf(c->data_sha256, sizeof c->data_sha256, "%s", data);
    return (c->trainer = spak_strdup(trainer)) || spak_fail_oom(err);
}

bool nn_checkpoint_load(const char *path, nn_model *model, const char *data_sha256, nn_checkpoint *checkpoint,
                        spak_error *err) {
    reader r;
    *checkpoint = (nn_checkpoint){0};
    if (!reader_open(path, &r, err)) return false;
    bool ok = read_progress(&r, data_sha256, checkpoint, err); /* other data may have made another vocabulary */
    ok = ok && same_config(&r, &model->config, err);
    ok = ok &&
         same_text(&r, "the type of numbers", nn_dtype_name(dtype_of(model)), nn_dtype_name(r.tensors[0].dtype), err);
    for (int a = 0; ok && a < (model->training ? NUM_ARRAYS : 1); a++) ok = read_array(&r, a, model, err);
    reader_close(&r);
    if (!ok) nn_checkpoint_free(checkpoint);
    return ok;
}

void nn_checkpoint_free(nn_checkpoint *checkpoint) {
    spak_free(checkpoint->trainer);
    *checkpoint = (nn_checkpoint){0};
}
