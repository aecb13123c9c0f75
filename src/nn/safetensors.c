/* Reading and writing safetensors. The header of a stranger's file is believed in nothing: every number in it is
 * checked against the file's size before memory is taken or an offset is used, and afterwards the tensors, sorted by
 * where they begin, must cover the data section from its first byte to its last. Data is read by pread in pieces, not
 * mapped: a file that shrinks while it is read gives an error and not a signal, and alignment is of no concern. Writing
 * goes through spak_writer: the file appears whole, or not at all. */
#include "nn/safetensors.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "nn/dtype.h"

enum { LENGTH_BYTES = 8, PIECE = 1 << 16 };
static const uint64_t MAX_HEADER = 100000000; /* as the reference implementation has it */
static const char AGAIN[] = "the file is damaged or cut off: fetch or write it again";

struct nn_safetensors {
    char *path;
    int fd;
    json_t *header; /* holds the names */
    nn_tensor *tensors;
    size_t count;
    struct nn_safetensors **shards; /* the files that hold the tensors; NULL: this one */
    size_t num_shards;
};

const char *nn_tensor_shape(const nn_tensor *tensor, char text[200]) {
    size_t len = 0;
    for (size_t i = 0; i < tensor->rank; i++)
        len += (size_t)snprintf(text + len, 200 - len, "%s%zu", i ? ", " : "[", tensor->shape[i]);
    snprintf(text + len, 200 - len, "%s", tensor->rank ? "]" : "[]");
    return text;
}

const char *nn_tensor_shown(const char *name, char text[100]) {
    size_t len = strlen(name), kept = len < 99 ? len : 96;
    while (kept < len && kept && ((unsigned char)name[kept] & 0xc0) == 0x80) kept--; /* no half characters */
    for (size_t i = 0; i < kept; i++) text[i] = (unsigned char)name[i] < ' ' || name[i] == 0x7f ? '?' : name[i];
    strcpy(text + kept, kept < len ? "..." : "");
    return text;
}

/* --- the header --- */

static bool fail_tensor(const nn_safetensors *file, const char *name, spak_error *err, const char *expected,
                        const char *found) {
    char shown[100];
    return spak_fail(err, "%s: tensor `%s`: expected %s, found %s; %s", file->path, nn_tensor_shown(name, shown),
                     expected, found, AGAIN);
}

/* What stands in the JSON, for a message. */
static const char *found_json(const json_t *value, char text[100]) {
    char *dumped = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    nn_tensor_shown(value ? dumped ? dumped : "another value" : "nothing", text);
    spak_free(dumped);
    return text;
}

static bool read_count(const json_t *value, uint64_t *out) {
    if (!json_is_integer(value) || json_integer_value(value) < 0) return false;
    *out = (uint64_t)json_integer_value(value);
    return true;
}

static bool read_dtype(const nn_safetensors *file, const json_t *value, nn_tensor *t, spak_error *err) {
    char found[100];
    const char *name = json_string_value(value);
    for (int d = 0; name && d < NN_NUM_DTYPES; d++)
        if (!strcmp(name, nn_dtype_name((nn_dtype)d))) {
            t->dtype = (nn_dtype)d;
            return true;
        }
    return fail_tensor(file, t->name, err, "a `dtype` of the format (F32, BF16, ...)", found_json(value, found));
}

static bool read_shape(const nn_safetensors *file, const json_t *value, nn_tensor *t, spak_error *err) {
    char found[100];
    uint64_t bytes = nn_dtype_bytes(t->dtype), size = 0;
    bool ok = json_is_array(value) && json_array_size(value) <= NN_TENSOR_RANK, empty = false;
    for (size_t i = 0; ok && i < json_array_size(value); i++) {
        ok = read_count(json_array_get(value, i), &size);
        t->shape[t->rank++] = ok ? (size_t)size : 0;
        empty = empty || size == 0;
        if (ok && size && __builtin_mul_overflow(bytes, size, &bytes)) ok = false;
    }
    t->count = empty ? 0 : (size_t)(bytes / nn_dtype_bytes(t->dtype));
    return ok || fail_tensor(file, t->name, err, "a `shape` of at most 8 sizes whose product fits 64 bits",
                             found_json(value, found));
}

static bool read_offsets(const nn_safetensors *file, const json_t *value, uint64_t data_bytes, nn_tensor *t,
                         spak_error *err) {
    char found[100], expected[300], shape[200];
    uint64_t begin, end, bytes = t->count * nn_dtype_bytes(t->dtype);
    if (json_array_size(value) != 2 || !read_count(json_array_get(value, 0), &begin) ||
        !read_count(json_array_get(value, 1), &end) || begin > end || end > data_bytes) {
        snprintf(expected, sizeof expected, "`data_offsets` [begin, end] with begin <= end <= %llu, the bytes of data",
                 (unsigned long long)data_bytes);
        return fail_tensor(file, t->name, err, expected, found_json(value, found));
    }
    t->offset = begin;
    if (end - begin == bytes) return true;
    snprintf(expected, sizeof expected, "%llu bytes for the shape %s of %s", (unsigned long long)bytes,
             nn_tensor_shape(t, shape), nn_dtype_name(t->dtype));
    snprintf(found, sizeof found, "%llu", (unsigned long long)(end - begin));
    return fail_tensor(file, t->name, err, expected, found);
}

static bool read_metadata(const nn_safetensors *file, const json_t *metadata, spak_error *err) {
    const char *key;
    json_t *value;
    char found[100];
    if (!json_is_object(metadata))
        return fail_tensor(file, "__metadata__", err, "an object of strings", found_json(metadata, found));
    json_object_foreach((json_t *)metadata, key, value) {
        if (!json_is_string(value))
            return fail_tensor(file, "__metadata__", err, "strings only", found_json(value, found));
    }
    return true;
}

static int by_offset(const void *a, const void *b) {
    const nn_tensor *x = a, *y = b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    if ((x->count == 0) != (y->count == 0))
        return x->count == 0 ? -1 : 1; /* an empty one lies before what begins there */
    return strcmp(x->name, y->name);
}

/* Tensors, by where they begin: the next begins where the last one ends. */
static bool check_cover(const nn_safetensors *file, uint64_t data_bytes, spak_error *err) {
    uint64_t end = 0;
    char expected[100], found[100], shown[100];
    for (size_t i = 0; i < file->count; i++) {
        const nn_tensor *t = &file->tensors[i];
        if (t->offset != end) {
            snprintf(expected, sizeof expected, "data from byte %llu on, where the one before ends",
                     (unsigned long long)end);
            snprintf(found, sizeof found, "%llu (%s)", (unsigned long long)t->offset,
                     t->offset < end ? "they overlap" : "a hole");
            return fail_tensor(file, t->name, err, expected, found);
        }
        end += t->count * nn_dtype_bytes(t->dtype);
    }
    if (end == data_bytes) return true;
    return spak_fail(err, "%s: expected %llu bytes of data, up to the end of the last tensor `%s`, found %llu; %s",
                     file->path, (unsigned long long)end,
                     file->count ? nn_tensor_shown(file->tensors[file->count - 1].name, shown) : "",
                     (unsigned long long)data_bytes, AGAIN);
}

static bool read_tensors(nn_safetensors *file, uint64_t data_at, uint64_t data_bytes, spak_error *err) {
    const char *name;
    json_t *value;
    char found[100];
    if (!json_is_object(file->header))
        return spak_fail(err, "%s: expected a JSON object as header, found %s; %s", file->path,
                         found_json(file->header, found), AGAIN);
    if (!(file->tensors = spak_calloc(json_object_size(file->header), sizeof *file->tensors)))
        return spak_fail_oom(err);
    json_object_foreach(file->header, name, value) {
        if (!strcmp(name, "__metadata__")) {
            if (!read_metadata(file, value, err)) return false;
            continue;
        }
        nn_tensor *t = &file->tensors[file->count++];
        t->name = name;
        if (!json_is_object(value))
            return fail_tensor(file, name, err, "an object with `dtype`, `shape` and `data_offsets`",
                               found_json(value, found));
        if (!read_dtype(file, json_object_get(value, "dtype"), t, err) ||
            !read_shape(file, json_object_get(value, "shape"), t, err) ||
            !read_offsets(file, json_object_get(value, "data_offsets"), data_bytes, t, err))
            return false;
    }
    if (file->count) qsort(file->tensors, file->count, sizeof *file->tensors, by_offset);
    if (!check_cover(file, data_bytes, err)) return false;
    for (size_t i = 0; i < file->count; i++) file->tensors[i].offset += data_at;
    return true;
}

/* --- opening --- */

static bool read_at(const nn_safetensors *file, uint64_t at, void *to, size_t n, spak_error *err) {
    for (char *next = to; n;) {
        ssize_t got = pread(file->fd, next, n, (off_t)at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return spak_fail_errno(err, "%s: cannot read at byte %llu", file->path, (unsigned long long)at);
        if (got == 0)
            return spak_fail(err,
                             "%s: expected %zu more bytes at byte %llu, found the end: the file has changed; "
                             "open it again",
                             file->path, n, (unsigned long long)at);
        next += got;
        at += (uint64_t)got;
        n -= (size_t)got;
    }
    return true;
}

static bool read_header(nn_safetensors *file, uint64_t size, spak_error *err) {
    unsigned char raw[LENGTH_BYTES];
    uint64_t len;
    if (size < LENGTH_BYTES)
        return spak_fail(err,
                         "%s: expected a safetensors file, which begins with 8 bytes of header length, found %llu "
                         "bytes in all; %s",
                         file->path, (unsigned long long)size, AGAIN);
    if (!read_at(file, 0, raw, sizeof raw, err)) return false;
    memcpy(&len, raw, sizeof len);
    uint64_t most = size - LENGTH_BYTES < MAX_HEADER ? size - LENGTH_BYTES : MAX_HEADER;
    if (len > most)
        return spak_fail(err,
                         "%s: expected a header of at most %llu bytes (%s), found a length of %llu: this is no "
                         "safetensors file, or it is cut off",
                         file->path, (unsigned long long)most,
                         most == MAX_HEADER ? "the format's limit" : "the rest of the file", (unsigned long long)len);
    char *text = spak_malloc((size_t)len + 1);
    if (!text) return spak_fail_oom(err);
    spak_str name = {0};
    spak_str_printf(&name, "%s (header)", file->path);
    bool ok = spak_str_ok(&name, err) && read_at(file, LENGTH_BYTES, text, (size_t)len, err) &&
              spak_json_parse(name.data, text, (size_t)len, &file->header, err) &&
              read_tensors(file, LENGTH_BYTES + len, size - LENGTH_BYTES - len, err);
    spak_str_free(&name);
    spak_free(text);
    return ok;
}

bool nn_safetensors_open(const char *path, nn_safetensors **out, spak_error *err) {
    *out = NULL;
    nn_safetensors *file = spak_calloc(1, sizeof *file);
    if (!file) return spak_fail_oom(err);
    struct stat st;
    file->fd = spak_open_read(path, err);
    bool ok = file->fd >= 0;
    if (ok && !(file->path = spak_strdup(path))) ok = spak_fail_oom(err);
    if (ok && (fstat(file->fd, &st) != 0 || !S_ISREG(st.st_mode)))
        ok = spak_fail(err, "%s: expected a regular file, found a pipe; store it in a file first", path);
    ok = ok && read_header(file, (uint64_t)st.st_size, err);
    if (ok)
        *out = file;
    else
        nn_safetensors_close(file);
    return ok;
}

static bool list_shards(nn_safetensors *file, spak_error *err) {
    size_t count = 0;
    for (size_t i = 0; i < file->num_shards; i++) count += file->shards[i]->count;
    if (!(file->tensors = spak_calloc(count, sizeof *file->tensors))) return spak_fail_oom(err);
    for (size_t i = 0; i < file->num_shards; i++)
        for (size_t j = 0; j < file->shards[i]->count; j++) {
            file->tensors[file->count] = file->shards[i]->tensors[j];
            file->tensors[file->count++].shard = i;
        }
    return true;
}

bool nn_safetensors_join(const char *path, nn_safetensors *const *files, size_t count, nn_safetensors **joined,
                         spak_error *err) {
    *joined = NULL;
    nn_safetensors *file = spak_calloc(1, sizeof *file);
    nn_safetensors **shards = spak_calloc(count, sizeof *shards);
    if (!file || !shards) {
        for (size_t i = 0; i < count; i++) nn_safetensors_close(files[i]);
        spak_free(shards);
        spak_free(file);
        return spak_fail_oom(err);
    }
    for (size_t i = 0; i < count; i++) shards[i] = files[i];
    *file = (nn_safetensors){.fd = -1, .shards = shards, .num_shards = count};
    if (((file->path = spak_strdup(path)) || spak_fail_oom(err)) && list_shards(file, err)) {
        *joined = file;
        return true;
    }
    nn_safetensors_close(file);
    return false;
}

void nn_safetensors_close(nn_safetensors *file) {
    if (!file) return;
    for (size_t i = 0; i < file->num_shards; i++) nn_safetensors_close(file->shards[i]);
    spak_free(file->shards);
    if (file->fd >= 0) close(file->fd);
    json_decref(file->header);
    spak_free(file->tensors);
    spak_free(file->path);
    spak_free(file);
}

const char *nn_safetensors_path(const nn_safetensors *file) { return file->path; }

const nn_tensor *nn_safetensors_list(const nn_safetensors *file, size_t *count) {
    *count = file->count;
    return file->tensors;
}

const nn_tensor *nn_safetensors_find(const nn_safetensors *file, const char *name) {
    for (size_t i = 0; i < file->count; i++)
        if (!strcmp(file->tensors[i].name, name)) return &file->tensors[i];
    return NULL;
}

const json_t *nn_safetensors_all_metadata(const nn_safetensors *file) {
    return json_object_get(file->header, "__metadata__");
}

const char *nn_safetensors_metadata(const nn_safetensors *file, const char *key) {
    return spak_json_str(nn_safetensors_all_metadata(file), key, NULL);
}

/* --- data --- */

static const nn_safetensors *holder(const nn_safetensors *file, const nn_tensor *t) {
    return file->shards ? file->shards[t->shard] : file;
}

bool nn_tensor_raw(nn_safetensors *file, const nn_tensor *t, size_t at, size_t n, void *to, spak_error *err) {
    char shown[100];
    size_t bytes = nn_dtype_bytes(t->dtype);
    if (at > t->count || n > t->count - at)
        return spak_fail(err, "%s: tensor `%s` has %zu elements, not %zu from %zu on", file->path,
                         nn_tensor_shown(t->name, shown), t->count, n, at);
    return read_at(holder(file, t), t->offset + (uint64_t)at * bytes, to, n * bytes, err);
}

bool nn_tensor_f64(nn_safetensors *file, const nn_tensor *t, size_t at, size_t n, double *to, spak_error *err) {
    unsigned char piece[PIECE];
    if (t->dtype > NN_BF16)
        return fail_tensor(holder(file, t), t->name, err, "numbers of F64, F32, F16 or BF16", nn_dtype_name(t->dtype));
    size_t most = PIECE / nn_dtype_bytes(t->dtype);
    for (size_t done = 0, now; done < n; done += now) {
        now = n - done < most ? n - done : most;
        if (!nn_tensor_raw(file, t, at + done, now, piece, err)) return false;
        nn_dtype_to_f64(t->dtype, piece, now, to + done);
    }
    return true;
}

bool nn_tensor_finite(const nn_safetensors *file, const nn_tensor *t, const double *x, size_t n, spak_error *err) {
    char shown[100];
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return spak_fail(err, "%s: tensor `%s` holds %s: nothing can be computed with it; take another file",
                             file->path, nn_tensor_shown(t->name, shown), isnan(x[i]) ? "NaN" : "infinity");
    return true;
}

/* --- writing --- */

struct nn_safetensors_writer {
    spak_writer *out;
    char *path;
    struct part {
        nn_dtype dtype;
        size_t count;
    } * parts;
    size_t num_parts, part, done; /* done: elements of parts[part] */
};

/* jansson keeps the order in which members were set: that of the list. */
static bool put_entry(const nn_tensor *t, uint64_t begin, uint64_t end, json_t *header, spak_error *err) {
    json_t *entry = json_object(), *shape = json_array();
    bool ok = entry && shape;
    for (size_t i = 0; ok && i < t->rank; i++)
        ok = json_array_append_new(shape, json_integer((json_int_t)t->shape[i])) == 0;
    ok = ok && json_object_set_new(entry, "dtype", json_string(nn_dtype_name(t->dtype))) == 0;
    ok = ok && json_object_set(entry, "shape", shape) == 0;
    ok = ok && json_object_set_new(entry, "data_offsets", json_pack("[I,I]", (json_int_t)begin, (json_int_t)end)) == 0;
    json_decref(shape);
    ok = ok && json_object_set(header, t->name, entry) == 0;
    json_decref(entry);
    return ok || spak_fail_oom(err);
}

/* The header, padded with blanks so that the data begins at a multiple of 8 bytes. */
static bool make_header(const nn_tensor *tensors, size_t count, const json_t *metadata, json_t *header, spak_str *text,
                        spak_error *err) {
    uint64_t at = 0;
    if (metadata && json_object_set(header, "__metadata__", (json_t *)metadata) != 0) return spak_fail_oom(err);
    for (size_t i = 0; i < count; i++) {
        uint64_t bytes = nn_dtype_bytes(tensors[i].dtype);
        for (size_t d = 0; d < tensors[i].rank; d++) bytes *= tensors[i].shape[d];
        if (json_object_get(header, tensors[i].name))
            return spak_fail(err, "two tensors are called `%s`; give each a name of its own", tensors[i].name);
        if (spak_first_bad_utf8(tensors[i].name, strlen(tensors[i].name)) < strlen(tensors[i].name))
            return spak_fail(err, "the name of tensor number %zu is not UTF-8, which JSON needs", i);
        if (!put_entry(&tensors[i], at, at + bytes, header, err)) return false;
        at += bytes;
    }
    char *dumped = json_dumps(header, JSON_COMPACT);
    if (!dumped) return spak_fail_oom(err);
    uint64_t len = (strlen(dumped) + 7) / 8 * 8;
    spak_str_append(text, (const char *)&len, sizeof len);
    spak_str_puts(text, dumped);
    while (text->len < LENGTH_BYTES + len && !text->oom) spak_str_putc(text, ' ');
    spak_free(dumped);
    return spak_str_ok(text, err);
}

static bool note_parts(nn_safetensors_writer *writer, const nn_tensor *tensors, size_t count, spak_error *err) {
    if (!(writer->parts = spak_calloc(count, sizeof *writer->parts))) return spak_fail_oom(err);
    writer->num_parts = count;
    for (size_t i = 0; i < count; i++) {
        writer->parts[i] = (struct part){tensors[i].dtype, 1};
        for (size_t d = 0; d < tensors[i].rank; d++) writer->parts[i].count *= tensors[i].shape[d];
    }
    return true;
}

bool nn_safetensors_create(const char *path, const nn_tensor *tensors, size_t count, const json_t *metadata,
                           nn_safetensors_writer **out, spak_error *err) {
    *out = NULL;
    nn_safetensors_writer *writer = spak_calloc(1, sizeof *writer);
    json_t *header = json_object();
    spak_str text = {0};
    bool ok = (writer && header && (writer->path = spak_strdup(path))) || spak_fail_oom(err);
    ok = ok && note_parts(writer, tensors, count, err);
    if (ok && !make_header(tensors, count, metadata, header, &text, err)) ok = spak_fail_context(err, "%s", path);
    ok = ok && spak_writer_open(path, &writer->out, err) && spak_writer_put(writer->out, text.data, text.len, err);
    spak_str_free(&text);
    json_decref(header);
    if (ok)
        *out = writer;
    else
        nn_safetensors_abandon(writer);
    return ok;
}

static void writer_free(nn_safetensors_writer *writer) {
    spak_free(writer->parts);
    spak_free(writer->path);
    spak_free(writer);
}

static void next_part(nn_safetensors_writer *writer) {
    while (writer->part < writer->num_parts && writer->done == writer->parts[writer->part].count) {
        writer->part++;
        writer->done = 0;
    }
}

bool nn_safetensors_put_f64(nn_safetensors_writer *writer, const double *x, size_t n, spak_error *err) {
    unsigned char piece[PIECE];
    next_part(writer);
    struct part *part = writer->part < writer->num_parts ? &writer->parts[writer->part] : NULL;
    if (n && (!part || n > part->count - writer->done || part->dtype > NN_BF16))
        return spak_fail(err, "%s: %zu numbers were put where tensor number %zu has no room for so many of this type",
                         writer->path, n, writer->part);
    size_t most = part ? PIECE / nn_dtype_bytes(part->dtype) : 0;
    for (size_t done = 0, now; done < n; done += now) {
        now = n - done < most ? n - done : most;
        nn_dtype_from_f64(part->dtype, x + done, now, piece);
        if (!spak_writer_put(writer->out, piece, now * nn_dtype_bytes(part->dtype), err)) return false;
    }
    writer->done += n;
    return true;
}

bool nn_safetensors_finish(nn_safetensors_writer *writer, spak_error *err) {
    next_part(writer);
    if (writer->part < writer->num_parts) {
        spak_fail(err, "%s: tensor number %zu has %zu of its %zu elements; the file is not written", writer->path,
                  writer->part, writer->done, writer->parts[writer->part].count);
        nn_safetensors_abandon(writer);
        return false;
    }
    bool ok = spak_writer_commit(writer->out, err);
    writer_free(writer);
    return ok;
}

void nn_safetensors_abandon(nn_safetensors_writer *writer) {
    if (!writer) return;
    spak_writer_abandon(writer->out);
    writer_free(writer);
}
