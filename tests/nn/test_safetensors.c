/* safetensors: what is written is read back; what a hostile file says is refused, with a reason. */
#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>

#include "base/rng.h"
#include "files.h"
#include "nn/dtype.h"
#include "nn/safetensors.h"

static const char PATH[] = "t.safetensors";

static const nn_tensor TENSORS[] = {
    {.name = "a.weight", .dtype = NN_F32, .rank = 2, .shape = {3, 5}},
    {.name = "empty", .dtype = NN_F32, .rank = 2, .shape = {0, 7}},
    {.name = "scalar", .dtype = NN_F64, .rank = 0},
    {.name = "h\xc3\xa9 \"q\"", .dtype = NN_BF16, .rank = 1, .shape = {4}},
    {.name = "half", .dtype = NN_F16, .rank = 1, .shape = {4}},
};

static bool write_sample(const char *path, spak_error *err) {
    nn_safetensors_writer *writer;
    json_t *metadata = json_pack("{s:s, s:s}", "format", "pt", "text", "line\nnext");
    double x[15], pi = 3.141592653589793;
    for (int i = 0; i < 15; i++) x[i] = (double)((float)i / 7);
    bool ok = nn_safetensors_create(path, TENSORS, 5, metadata, &writer, err);
    json_decref(metadata);
    if (!ok) return false;
    ok = nn_safetensors_put_f64(writer, x, 4, err) && nn_safetensors_put_f64(writer, x + 4, 11, err) &&
         nn_safetensors_put_f64(writer, &pi, 1, err) && nn_safetensors_put_f64(writer, x, 4, err) &&
         nn_safetensors_put_f64(writer, (double[]){1, -2, 65504, 1e-7}, 4, err);
    if (ok) return nn_safetensors_finish(writer, err);
    nn_safetensors_abandon(writer);
    return false;
}

static void test_round_trip(void) {
    spak_error err = {0};
    nn_safetensors *file = NULL;
    ok(write_sample(PATH, &err), "written: %s", err.message);
    if (!ok(nn_safetensors_open(PATH, &file, &err), "opened: %s", err.message)) return;
    size_t count;
    const nn_tensor *list = nn_safetensors_list(file, &count);
    is_int(count, 5, "tensors");
    is_str(list[0].name, "a.weight", "in the order of their data");
    is_str(nn_safetensors_metadata(file, "text"), "line\nnext", "metadata");
    ok(!nn_safetensors_metadata(file, "absent") && !nn_safetensors_find(file, "absent"), "what is absent");
    const nn_tensor *a = nn_safetensors_find(file, "a.weight"), *s = nn_safetensors_find(file, "scalar"),
                    *b = nn_safetensors_find(file, TENSORS[3].name), *h = nn_safetensors_find(file, "half");
    char text[200];
    is_str(nn_tensor_shape(a, text), "[3, 5]", "shape");
    is_str(nn_tensor_shape(s, text), "[]", "of a scalar");
    double x[15] = {0}, d[4] = {0};
    ok(nn_tensor_f64(file, a, 0, 15, x, &err) && x[14] == 2 && x[3] == (double)(3.0f / 7), "floats come back");
    ok(nn_tensor_f64(file, a, 13, 2, d, &err) && d[0] == (double)(13.0f / 7), "and a part of them, as doubles");
    ok(nn_tensor_f64(file, s, 0, 1, d, &err) && d[0] == 3.141592653589793, "a double comes back");
    ok(nn_tensor_f64(file, b, 0, 4, x, &err) && x[1] == 0.142578125, "BF16 is rounded");
    ok(nn_tensor_f64(file, h, 0, 4, d, &err) && d[2] == 65504 && d[1] == -2 && d[3] == ldexp(2, -24), "F16 too");
    ok(!nn_tensor_f64(file, a, 13, 3, x, &err) && strstr(err.message, "15 elements"), "past the end: %s", err.message);
    ok(!nn_tensor_f64(file, a, SIZE_MAX, 3, x, &err), "far past the end");
    nn_safetensors_close(file);
    ok(truncate(PATH, 8) == 0 && !nn_safetensors_open(PATH, &file, &err) && !file, "cut to 8 bytes: %s", err.message);
}

static void test_shrinking(void) {
    spak_error err = {0};
    nn_safetensors *file = NULL;
    double x[15];
    struct stat st;
    write_sample("shrinks", &err);
    nn_safetensors_open("shrinks", &file, &err);
    const nn_tensor *a = nn_safetensors_find(file, "a.weight");
    ok(stat("shrinks", &st) == 0 && truncate("shrinks", (off_t)a->offset + 8) == 0 &&
           !nn_tensor_f64(file, a, 0, 15, x, &err) && strstr(err.message, "has changed"),
       "a file that shrinks under the reader: %s", err.message);
    nn_safetensors_close(file);
}

/* Every F16 and BF16 there is survives the way to double and back; halves are rounded to even. */
static void test_small_floats(void) {
    for (int kind = 0; kind < 2; kind++) {
        nn_dtype dtype = kind ? NN_BF16 : NN_F16;
        int lost = 0, rounded = 0, nan = 0, wrong = 0;
        double last = 0;
        for (uint32_t bits = 0; bits < 65536; bits++) {
            uint16_t in = (uint16_t)bits, out;
            double x;
            nn_dtype_to_f64(dtype, (unsigned char *)&in, 1, &x);
            nn_dtype_from_f64(dtype, &x, 1, (unsigned char *)&out);
            lost += isnan(x) ? 0 : in != out;
            nan += isnan(x) && (out & 0x7fff) <= (kind ? 0x7f80 : 0x7c00);
            if (kind && !isnan(x)) {
                uint32_t wide = bits << 16;
                wrong += memcmp(&wide, &(float){(float)x}, 4) != 0;
            }
            if (in && in < (kind ? 0x7f80 : 0x7c00)) { /* half way between two neighbours: to the even one */
                double middle = (last + x) / 2;
                nn_dtype_from_f64(dtype, &middle, 1, (unsigned char *)&out);
                rounded += out != (in & 1 ? in - 1 : in);
                middle = nextafter(middle, INFINITY);
                nn_dtype_from_f64(dtype, &middle, 1, (unsigned char *)&out);
                rounded += out != in;
            }
            last = x;
        }
        is_int(lost + nan + wrong, 0, "%s: all values come back, NaN as NaN", nn_dtype_name(dtype));
        is_int(rounded, 0, "%s: to nearest even", nn_dtype_name(dtype));
    }
    uint16_t out[3];
    nn_dtype_from_f64(NN_F16, (double[]){65519.999, 65520, -1e300}, 3, (unsigned char *)out);
    ok(out[0] == 0x7bff && out[1] == 0x7c00 && out[2] == 0xfc00, "F16 overflows where half of the next unit begins");
}

/* Offsets beyond 32 bits, in a file that is mostly a hole. */
static void test_large(void) {
    spak_error err = {0};
    nn_safetensors *file = NULL;
    const char header[] = "{\"a\":{\"dtype\":\"F32\",\"shape\":[1500000000],\"data_offsets\":[0,6000000000]}}";
    double x[2] = {1, 1};
    float last = 7;
    put_raw("large", strlen(header), header, strlen(header), "", 0);
    FILE *out = fopen("large", "r+b");
    bool made =
        out && fseeko(out, (off_t)(8 + strlen(header) + 5999999996), SEEK_SET) == 0 && fwrite(&last, 4, 1, out) == 1;
    if (out) fclose(out);
    ok(made && nn_safetensors_open("large", &file, &err), "6 GB: %s", err.message);
    ok(file && nn_tensor_f64(file, nn_safetensors_find(file, "a"), 1499999998, 2, x, &err) && x[0] == 0 && x[1] == 7,
       "its last numbers: %s", err.message);
    nn_safetensors_close(file);
    unlink("large");
}

/* --- hostile files --- */

static const struct hostile {
    const char *what, *header, *words[5]; /* with 8 bytes of data */
} HOSTILE[] = {
    {"no JSON", "{\"a\"", {"t.safetensors", "JSON"}},
    {"no object", "[1]", {"t.safetensors", "[1]"}},
    {"no UTF-8", "{\"\xff\": 1}", {"t.safetensors", "byte 0xff"}},
    {"a NUL in a name", "{\"a\\u0000\": 1}", {"t.safetensors", "NUL"}},
    {"more after the header", "{} x", {"t.safetensors", "end of file expected"}},
    {"a name twice",
     "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
     "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
     {"t.safetensors", "duplicate", "\"a\""}},
    {"a tensor that is a number", "{\"a\": 7}", {"`a`", "expected an object", "found 7"}},
    {"no type", "{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", {"`a`", "dtype", "found nothing"}},
    {"an unknown type", "{\"a\":{\"dtype\":\"F31\",\"shape\":[2],\"data_offsets\":[0,8]}}", {"`a`", "F31"}},
    {"no shape", "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", {"`a`", "shape", "found nothing"}},
    {"a negative size", "{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", {"`a`", "found [-2]"}},
    {"a broken size", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}", {"`a`", "found [2.0]"}},
    {"NaN", "{\"a\":{\"dtype\":\"F32\",\"shape\":[NaN],\"data_offsets\":[0,8]}}", {"t.safetensors", "NaN"}},
    {"a size as text", "{\"a\":{\"dtype\":\"F32\",\"shape\":[\"2\"],\"data_offsets\":[0,8]}}", {"`a`", "[\"2\"]"}},
    {"a size too large for JSON",
     "{\"a\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,8]}}",
     {"t.safetensors", "too big integer"}},
    {"a product that overflows",
     "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,8]}}",
     {"`a`", "fits 64 bits"}},
    {"a product that overflows to the right one",
     "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,2,2,2],\"data_offsets\":[0,0]}}",
     {"`a`", "fits 64 bits"}},
    {"rank 9",
     "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}",
     {"`a`", "at most 8"}},
    {"no offsets", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", {"`a`", "data_offsets", "found nothing"}},
    {"one offset", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8]}}", {"`a`", "found [8]"}},
    {"backward offsets", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", {"`a`", "found [8,0]"}},
    {"a negative offset", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", {"`a`", "found [-8,0]"}},
    {"offsets outside", "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", {"`a`", "<= 8", "[0,16]"}},
    {"offsets far outside",
     "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[9223372036854775800,9223372036854775807]}}",
     {"`a`", "<= 8"}},
    {"too few bytes",
     "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}",
     {"`a`", "expected 8 bytes", "found 4", "[2] of F32"}},
    {"too many bytes",
     "{\"a\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,8]}}",
     {"`a`", "expected 4 bytes", "[2] of F16", "found 8"}},
    {"a hole before",
     "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
     {"`a`", "from byte 0", "a hole"}},
    {"a hole between",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[5],\"data_offsets\":[3,8]}}",
     {"`b`", "from byte 2", "found 3 (a hole)"}},
    {"an overlap",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[5],\"data_offsets\":[0,5]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}}",
     {"`b`", "from byte 5", "found 4 (they overlap)"}},
    {"twice the same bytes",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]}}",
     {"`b`", "overlap"}},
    {"an empty one inside another",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[4,4]}}",
     {"`b`", "overlap"}},
    {"data that belongs to none",
     "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
     {"expected 4 bytes of data", "`a`", "found 8"}},
    {"data without tensors", "{}", {"expected 0 bytes of data", "found 8"}},
    {"metadata that is a list", "{\"__metadata__\": []}", {"`__metadata__`", "an object of strings"}},
    {"metadata that is a number", "{\"__metadata__\": {\"a\": 1}}", {"`__metadata__`", "strings only", "found 1"}},
};

static void test_hostile(void) {
    spak_error err;
    nn_safetensors *file;
    for (size_t i = 0; i < sizeof HOSTILE / sizeof *HOSTILE; i++) {
        const struct hostile *h = &HOSTILE[i];
        size_t len = strlen(h->header);
        put_raw(PATH, len, h->header, len, "12345678", 8);
        err.message[0] = 0;
        bool opened = nn_safetensors_open(PATH, &file, &err);
        ok(!opened && !file && names(err.message, h->words), "%s: %s", h->what, err.message);
        nn_safetensors_close(file);
    }
    put_raw(PATH, UINT64_MAX, "{}", 2, "", 0);
    ok(!nn_safetensors_open(PATH, &file, &err) && strstr(err.message, "18446744073709551615"),
       "a header of 2^64 - 1: %s", err.message);
    put_raw(PATH, 3, "{}", 2, "", 0);
    ok(!nn_safetensors_open(PATH, &file, &err) && strstr(err.message, "at most 2 bytes"), "longer than the file: %s",
       err.message);
    put_raw(PATH, 100000001, "{}", 2, "", 0);
    ok(truncate(PATH, 200000000) == 0 && !nn_safetensors_open(PATH, &file, &err) && strstr(err.message, "100000000") &&
           strstr(err.message, "limit"),
       "a header over 100 MB: %s", err.message);
    char nested[100001];
    memset(nested, '[', sizeof nested);
    put_raw(PATH, sizeof nested, nested, sizeof nested, "", 0);
    ok(!nn_safetensors_open(PATH, &file, &err) && strstr(err.message, "depth"), "100001 lists: %s", err.message);
    put_raw(PATH, 2, "{}", 2, "", 0);
    ok(nn_safetensors_open(PATH, &file, &err), "no tensors at all are fine: %s", err.message);
    nn_safetensors_close(file);
    ok(!nn_safetensors_open("absent", &file, &err) && strstr(err.message, "absent"), "no file: %s", err.message);
    ok(!nn_safetensors_open(".", &file, &err) && strstr(err.message, "folder"), "a folder: %s", err.message);
}

/* Without the sync of spak_write_file: there are thousands of them. */
static void put_bytes(const char *path, const char *bytes, size_t len) {
    FILE *out = fopen(path, "wb");
    if (!out || fwrite(bytes, 1, len, out) != len || fclose(out) != 0) perror(path);
}

static void test_cut_anywhere(void) {
    spak_error err = {0};
    spak_str text = {0};
    nn_safetensors *file;
    write_sample("whole", &err);
    spak_read_file("whole", &text, &err);
    size_t opened = 0, dumb = 0;
    for (size_t len = 0; len < text.len; len++) {
        put_bytes(PATH, text.data, len);
        err.message[0] = 0;
        opened += nn_safetensors_open(PATH, &file, &err);
        dumb += !strstr(err.message, PATH);
        nn_safetensors_close(file);
    }
    ok(text.len > 300 && opened == 0 && dumb == 0, "cut at each of %zu bytes: an error that names the file", text.len);
    spak_str_putc(&text, 0);
    spak_write_file(PATH, text.data, text.len, &err);
    ok(!nn_safetensors_open(PATH, &file, &err), "a byte more: %s", err.message);
    spak_str_free(&text);
}

/* A file with flipped bytes opens or does not; what opens can be read to its last element. */
static void test_fuzz(void) {
    spak_error err = {0};
    spak_str text = {0};
    nn_safetensors *file;
    spak_read_file("whole", &text, &err);
    size_t opened = 0, read = 0, tensors = 0;
    uint64_t header;
    memcpy(&header, text.data, 8);
    for (uint64_t round = 0; round < 3000; round++) {
        uint32_t r[4];
        char kept[4];
        size_t at[4], flips = 1 + round % 4;
        for (size_t i = 0; i < flips; i++) {
            spak_philox(7, round, i, r);
            at[i] = r[0] % (size_t)(8 + header);
            kept[i] = text.data[at[i]];
            text.data[at[i]] = r[1] & 1 ? (char)r[2] : (char)(kept[i] ^ (1 << r[2] % 8));
        }
        put_bytes(PATH, text.data, text.len);
        while (flips--) text.data[at[flips]] = kept[flips];
        if (!nn_safetensors_open(PATH, &file, &err)) continue;
        opened++;
        size_t count;
        const nn_tensor *list = nn_safetensors_list(file, &count);
        for (size_t i = 0; i < count; i++, tensors++) {
            char bytes[128];
            read += list[i].count * nn_dtype_bytes(list[i].dtype) <= sizeof bytes &&
                    nn_tensor_raw(file, &list[i], 0, list[i].count, bytes, &err);
        }
        nn_safetensors_close(file);
    }
    ok(opened > 10 && opened < 2000, "of 3000 files with flipped bytes in the header %zu open", opened);
    is_int(read, tensors, "and all their tensors can be read");
    spak_str_free(&text);
}

static void test_writer(void) {
    spak_error err = {0};
    nn_safetensors_writer *writer;
    double x[15] = {0};
    char **listed;
    size_t count;
    spak_write_file("out/w", "old", 3, &err);
    nn_safetensors_create("out/w", TENSORS, 1, NULL, &writer, &err);
    ok(nn_safetensors_put_f64(writer, x, 14, &err) && !nn_safetensors_finish(writer, &err) &&
           strstr(err.message, "14 of its 15"),
       "a number too few: %s", err.message);
    nn_safetensors_create("out/w", TENSORS, 1, NULL, &writer, &err);
    ok(nn_safetensors_put_f64(writer, x, 10, &err) && !nn_safetensors_put_f64(writer, x, 6, &err), "one too many: %s",
       err.message);
    nn_safetensors_abandon(writer);
    nn_tensor twice[2] = {TENSORS[0], TENSORS[0]};
    ok(!nn_safetensors_create("out/w", twice, 2, NULL, &writer, &err) && !writer && strstr(err.message, "a.weight"),
       "a name twice: %s", err.message);
    twice[1].name = "\xff";
    ok(!nn_safetensors_create("out/w", twice, 2, NULL, &writer, &err) && strstr(err.message, "UTF-8"), "no UTF-8: %s",
       err.message);
    struct rlimit before, small;
    getrlimit(RLIMIT_FSIZE, &before);
    small = before;
    small.rlim_cur = 300;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    bool written = write_sample("out/w", &err);
    setrlimit(RLIMIT_FSIZE, &before);
    ok(!written && names(err.message, (const char *[]){"out/w", "disk full", NULL}), "a full disk: %s", err.message);
    ok(spak_list_dir("out", &listed, &count, &err) && count == 1, "nothing is left beside it");
    spak_names_free(listed, count);
    spak_str text = {0};
    spak_read_file("out/w", &text, &err);
    is_str(text.data, "old", "and the old file is still there after all this");
    spak_str_free(&text);
}

/* Every allocation fails once. */
static void test_memory(void) {
    spak_error err;
    nn_safetensors *file = NULL;
    long n = 0, wrong = 0;
    for (bool done = false; !done && n < 1000; n++) {
        err.message[0] = 0;
        spak_alloc_fail_after(n);
        done = write_sample("memory", &err) && nn_safetensors_open("memory", &file, &err);
        spak_alloc_fail_after(-1);
        wrong += !done && (file || !strstr(err.message, "memory"));
    }
    ok(n > 50 && n < 1000 && wrong == 0, "each of %ld allocations may fail (%s)", n - 1, err.message);
    nn_safetensors_close(file);
}

int main(void) {
    enter_scratch();
    test_round_trip();
    test_shrinking();
    test_small_floats();
    test_large();
    test_hostile();
    test_cut_anywhere();
    test_fuzz();
    test_writer();
    test_memory();
    leave_scratch();
    return done_testing();
}
