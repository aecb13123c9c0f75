/* Tensors in several files: what an index joins is what the one file held, and an index that says anything but what
 * lies in its shards is refused. */
#include <math.h>
#include <sys/wait.h>

#include "cli/lm.h"
#include "files.h"
#include "nn/bpe.h"
#include "nn/hf.h"
#include "nn/safetensors.h"

static const char WHOLE[] = "whole/model.safetensors", INDEX[] = "cut/model.safetensors.index.json";
enum { SHARDS = 3, CONTEXT = 7 };

static nn_model *make(const nn_config *c) {
    spak_error err = {0};
    nn_model *model = NULL;
    if (!nn_model_new(c, &nn_oracle, 1, 1, CONTEXT, 0, false, &model, &err)) ok(false, "a model: %s", err.message);
    return model;
}

static void copy(const char *from, const char *to) {
    spak_str text = {0};
    spak_error err = {0};
    if (!spak_read_file(from, &text, &err) || !spak_write_file(to, text.data, text.len, &err))
        ok(false, "copied: %s", err.message);
    spak_str_free(&text);
}

/* GPT-2 in one file, with the tokenizer of the fixtures, as whole/. */
static void make_whole(void) {
    spak_error err = {0};
    nn_config c;
    nn_bpe *bpe = NULL;
    char vocab[4200], merges[4200];
    snprintf(vocab, sizeof vocab, "%s/tests/nn/fixtures/bpe-vocab.json", root);
    snprintf(merges, sizeof merges, "%s/tests/nn/fixtures/bpe-merges.txt", root);
    nn_config_preset("gpt2", &c, &err);
    if (!nn_bpe_load(vocab, merges, &bpe, &err)) ok(false, "%s", err.message);
    c.vocab = nn_bpe_vocab(bpe), c.context = CONTEXT, c.layers = 2, c.heads = c.kv_heads = 2, c.width = 6,
    c.hidden = 20;
    nn_bpe_free(bpe);
    nn_model *model = make(&c);
    nn_model_init(model, 7);
    if (!nn_hf_export(model, "whole", &err)) ok(false, "%s", err.message);
    nn_model_free(model);
    copy(vocab, "whole/vocab.json");
    copy(merges, "whole/merges.txt");
}

/* What a planted fault changes of a folder in shards: one more copy of a tensor, or one that is left out. */
typedef struct fault {
    const char *twice, *without;
} fault;

static const char *shard_name(size_t shard, char name[64]) {
    snprintf(name, 64, "model-%05zu-of-%05d.safetensors", shard + 1, SHARDS);
    return name;
}

/* Tensor number i lies in shard i % SHARDS; what is twice lies in the next one too. */
static bool in_shard(const nn_tensor *t, size_t i, size_t shard, const fault *f) {
    if (f->without && !strcmp(t->name, f->without)) return false;
    return i % SHARDS == shard || (f->twice && !strcmp(t->name, f->twice) && (i + 1) % SHARDS == shard);
}

static void write_shard(nn_safetensors *whole, size_t shard, const fault *f) {
    nn_tensor list[100];
    const nn_tensor *from[100];
    size_t count, n = 0;
    char name[64], path[80];
    spak_error err = {0};
    nn_safetensors_writer *out;
    const nn_tensor *all = nn_safetensors_list(whole, &count);
    for (size_t i = 0; i < count; i++)
        if (in_shard(&all[i], i, shard, f)) list[n] = all[i], from[n++] = &all[i];
    snprintf(path, sizeof path, "cut/%s", shard_name(shard, name));
    if (!nn_safetensors_create(path, list, n, NULL, &out, &err)) ok(false, "%s", err.message);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < from[i]->count; j++) {
            double x;
            nn_tensor_f64(whole, from[i], j, 1, &x, &err);
            nn_safetensors_put_f64(out, &x, 1, &err);
        }
    if (!nn_safetensors_finish(out, &err)) ok(false, "%s", err.message);
}

static void write_index(const json_t *index) {
    spak_str text = {0};
    spak_error err = {0};
    if (!spak_json_canonical(index, &text, &err) || !spak_write_file(INDEX, text.data, text.len, &err))
        ok(false, "the index: %s", err.message);
    spak_str_free(&text);
}

/* whole/ in shards, as cut/, with its index (json_decref). */
static json_t *cut(const fault *f) {
    spak_error err = {0};
    nn_safetensors *whole;
    size_t count;
    char name[64];
    json_t *map = json_object();
    if (!nn_safetensors_open(WHOLE, &whole, &err)) ok(false, "%s", err.message);
    const nn_tensor *all = nn_safetensors_list(whole, &count);
    for (size_t i = 0; i < count; i++) spak_json_set(map, all[i].name, json_string(shard_name(i % SHARDS, name)), &err);
    for (size_t i = 0; i < SHARDS; i++) write_shard(whole, i, f);
    nn_safetensors_close(whole);
    json_t *index = json_pack("{s:{s:i}, s:o}", "metadata", "total_size", 1, "weight_map", map);
    write_index(index);
    copy("whole/config.json", "cut/config.json");
    copy("whole/vocab.json", "cut/vocab.json");
    copy("whole/merges.txt", "cut/merges.txt");
    return index;
}

static void test_same(void) {
    spak_error err = {0};
    json_decref(cut(&(fault){0}));
    nn_safetensors *whole = NULL, *file = NULL;
    size_t count, wrong = 0, joined;
    ok(nn_safetensors_open(WHOLE, &whole, &err) && nn_safetensors_open_index(INDEX, &file, &err), "opened: %s",
       err.message);
    const nn_tensor *all = nn_safetensors_list(whole, &count);
    nn_safetensors_list(file, &joined);
    is_int(joined, count, "as many tensors as in the one file");
    for (size_t i = 0; i < count; i++) {
        const nn_tensor *t = nn_safetensors_find(file, all[i].name);
        for (size_t j = 0; t && t->count == all[i].count && j < t->count; j++) {
            double x = 1, y = 2;
            nn_tensor_f64(whole, &all[i], j, 1, &x, &err);
            nn_tensor_f64(file, t, j, 1, &y, &err);
            wrong += x != y;
        }
        wrong += !t || t->count != all[i].count;
    }
    is_int(wrong, 0, "with the same values");
    is_str(nn_safetensors_path(file), INDEX, "called by its index");
    ok(!nn_safetensors_metadata(file, "format"), "without metadata");
    nn_safetensors_close(whole);
    nn_safetensors_close(file);
}

/* As `spak sample FOLDER` opens it: the logits after a few tokens. */
static bool run_folder(const char *folder, double *logits, spak_error *err) {
    cli_lm lm;
    nn_model *model = NULL;
    int32_t tokens[] = {1, 10, 4, 4, 0};
    nn_batch batch = {.batch = 1, .len = 5, .tokens = tokens};
    if (!cli_lm_open(folder, &lm, err)) return false;
    bool good = cli_lm_model(&lm, 1, 0, 0, 1, &model, err) && nn_forward(model, &batch, NULL, err);
    if (good) nn_logits(model, 4, 1, logits);
    good = good && !lm.trained && lm.bpe;
    nn_model_free(model);
    cli_lm_close(&lm);
    return good;
}

static void test_model(void) {
    static double one[2000], many[2000];
    spak_error err = {0};
    ok(run_folder("whole", one, &err), "GPT-2 of one file: %s", err.message);
    ok(run_folder("cut", many, &err), "of shards: %s", err.message);
    ok(!memcmp(one, many, sizeof one) && one[0] != 0, "the same logits");
    spak_write_file("cut/vocab.json", "{}", 2, &err);
    ok(!run_folder("cut", many, &err), "a vocabulary without bytes: %s", err.message);
    copy("whole/vocab.json", "cut/vocab.json");
    copy(WHOLE, "cut/model.safetensors");
    spak_write_file(INDEX, "[]", 2, &err);
    err.message[0] = 0;
    ok(run_folder("cut", many, &err), "a whole file goes before an index: %s", err.message);
    unlink("cut/model.safetensors");
    json_decref(cut(&(fault){0}));
}

/* What the program writes; its status. */
static int run_spak(const char *arguments, spak_str *text) {
    const char *program = getenv("SPAK") ? getenv("SPAK") : "build/spak";
    char command[9000];
    snprintf(command, sizeof command, "'%s%s%s' %s >captured 2>errors", *program == '/' ? "" : root,
             *program == '/' ? "" : "/", program, arguments);
    const int status = system(command);
    text->len = 0;
    spak_read_file("captured", text, NULL);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_sample(void) {
    spak_str one = {0}, many = {0};
    is_int(run_spak("sample whole --prompt ab --tokens 12 --temperature 0", &one), 0, "sampled");
    is_int(run_spak("sample cut --prompt ab --tokens 12 --temperature 0", &many), 0, "of shards");
    ok(one.len > 10 && one.len == many.len && !memcmp(one.data, many.data, one.len), "the same text");
    is_int(run_spak("sample cut --prompt ab --tokens 12 --temperature 0 --no-cache", &many), 0, "without a cache");
    ok(one.len == many.len && !memcmp(one.data, many.data, one.len), "the same text, beyond the context");
    spak_str_free(&one);
    spak_str_free(&many);
}

/* The mean loss from logits in double precision, by its definition. */
static double mean_loss(const int32_t *ids, size_t n) {
    static double logits[2000];
    spak_error err = {0};
    nn_config c;
    if (!nn_hf_config("whole", 0, &c, &err)) ok(false, "%s", err.message);
    nn_model *model = make(&c);
    double sum = 0;
    if (!nn_hf_import("whole", model, &err)) ok(false, "%s", err.message);
    for (size_t i = 0; i + 1 < n; i++) {
        const size_t from = i / CONTEXT * CONTEXT;
        nn_batch seen = {.batch = 1, .len = i + 1 - from, .tokens = ids + from};
        if (!nn_forward(model, &seen, NULL, &err)) ok(false, "%s", err.message);
        nn_logits(model, i - from, 1, logits);
        double total = 0;
        for (size_t k = 0; k < c.vocab; k++) total += exp(logits[k]);
        sum += log(total) - logits[ids[i + 1]];
    }
    nn_model_free(model);
    return sum / (double)(n - 1);
}

static void test_eval(void) {
    static const char TEXT[] = "Loss is the mean over pieces: the last one is short.";
    spak_error err = {0};
    spak_str text = {0};
    nn_bpe *bpe = NULL;
    int32_t *ids = NULL;
    size_t n = 0;
    char expected[100];
    spak_write_file("text.txt", TEXT, strlen(TEXT), &err);
    ok(nn_bpe_load("whole/vocab.json", "whole/merges.txt", &bpe, &err) &&
           nn_bpe_encode(bpe, TEXT, strlen(TEXT), true, &ids, &n, &err),
       "encoded: %s", err.message);
    ok(n > 2 * CONTEXT && (n - 1) % CONTEXT != 0, "%zu tokens are more than two pieces, and a part of one", n);
    is_int(run_spak("eval cut --text text.txt", &text), 0, "evaluated");
    snprintf(expected, sizeof expected, "loss %.4f nats a token", mean_loss(ids, n));
    ok(strstr(spak_str_text(&text), expected), "%s, after log-softmax in double precision", expected);
    snprintf(expected, sizeof expected, "over %zu tokens", n - 1);
    ok(strstr(spak_str_text(&text), expected), "%s", expected);
    spak_write_file("text.txt", "a", 1, &err);
    is_int(run_spak("eval cut --text text.txt", &text), 1, "of one token nothing is predicted");
    is_int(run_spak("eval cut", &text), 1, "no text");
    is_int(run_spak("eval cut --text absent", &text), 1, "an absent text");
    is_int(run_spak("eval cut --text text.txt --digits 2", &text), 1, "an option of additions");
    nn_bpe_free(bpe);
    spak_free(ids);
    spak_str_free(&text);
}

/* More tokens in vocab.json than in the model: the model has no row for some of them. */
static void test_vocab(void) {
    spak_error err = {0};
    json_t *vocab = NULL;
    double logits[1];
    json_decref(cut(&(fault){0}));
    spak_json_load("whole/vocab.json", &vocab, &err);
    spak_json_set(vocab, "onemore", json_integer((json_int_t)json_object_size(vocab)), &err);
    json_dump_file(vocab, "cut/vocab.json", 0);
    json_decref(vocab);
    ok(!run_folder("cut", logits, &err) && strstr(err.message, "vocab.json: "), "too many tokens: %s", err.message);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void refused(const char *what, const char *const *words) {
    spak_error err = {0};
    nn_safetensors *file = (nn_safetensors *)1;
    ok(!nn_safetensors_open_index(INDEX, &file, &err) && !file && names(err.message, words), "%s: %s", what,
       err.message);
}

/* The index with another value for one tensor. */
static void mapped(const char *what, json_t *value, const char *word) {
    json_t *index = cut(&(fault){0});
    json_object_set_new(json_object_get(index, "weight_map"), "transformer.ln_f.weight", value);
    write_index(index);
    json_decref(index);
    refused(what, WORDS(INDEX, "transformer.ln_f.weight", word));
}

static void index_is(const char *text, size_t len, const char *word) {
    spak_write_file(INDEX, text, len, NULL);
    refused(word, WORDS(INDEX, word));
}

static void test_index(void) {
    mapped("a number", json_integer(3), "another type");
    mapped("null", json_null(), "another type");
    mapped("a path up", json_string("../whole/model.safetensors"), "`../whole/model.safetensors`");
    mapped("the folder above", json_string(".."), "`..`");
    mapped("a path from the root", json_string("/etc/passwd"), "own folder");
    mapped("a folder within", json_string("in/model.safetensors"), "own folder");
    mapped("no name", json_string(""), "own folder");
    mapped("another shard", json_string("model-00001-of-00003.safetensors"), "lies here");
    json_decref(cut(&(fault){0}));
    spak_str text = {0};
    spak_read_file(INDEX, &text, NULL);
    index_is(text.data, text.len / 2, "not valid JSON");
    spak_str_free(&text);
    index_is("", 0, "not valid JSON");
    index_is("[]", 2, "weight_map");
    index_is("{}", 2, "weight_map");
    index_is("{\"weight_map\": []}", 18, "weight_map");
    index_is("{\"weight_map\": {}}", 18, "weight_map");
    index_is("{\"weight_map\": {\"a\": \"b\", \"a\": \"c\"}}", 36, "duplicate");
    unlink(INDEX);
    refused("no index", WORDS(INDEX, "No such file"));
}

static void test_shards(void) {
    json_t *index;
    json_decref(cut(&(fault){.without = "transformer.ln_f.weight"}));
    refused("a tensor missing from its shard", WORDS(INDEX, "transformer.ln_f.weight", "where it is not"));
    json_decref(cut(&(fault){.twice = "transformer.ln_f.weight"}));
    refused("a tensor in two shards", WORDS(INDEX, "transformer.ln_f.weight", "lies here", "model-0000"));
    index = cut(&(fault){0});
    json_object_del(json_object_get(index, "weight_map"), "transformer.ln_f.weight");
    write_index(index);
    json_decref(index);
    refused("a tensor that the index lacks", WORDS(INDEX, "transformer.ln_f.weight", "nothing of it"));
    json_decref(cut(&(fault){0}));
    if (truncate("cut/model-00002-of-00003.safetensors", 700) != 0) ok(false, "truncated");
    refused("a shard cut off", WORDS(INDEX, "cut/model-00002-of-00003.safetensors"));
    unlink("cut/model-00002-of-00003.safetensors");
    refused("a shard missing", WORDS(INDEX, "cut/model-00002-of-00003.safetensors", "No such file"));
    spak_make_dirs("cut/model-00002-of-00003.safetensors", NULL);
    refused("a folder in its place", WORDS(INDEX, "cut/model-00002-of-00003.safetensors", "folder"));
    rmdir("cut/model-00002-of-00003.safetensors");
}

static int open_files(void) {
    int count = 0;
    for (int fd = 3; fd < 200; fd++) count += lseek(fd, 0, SEEK_CUR) >= 0;
    return count;
}

static void test_memory(void) {
    json_decref(cut(&(fault){0}));
    spak_error err;
    long n = 0, wrong = 0;
    const int before = open_files();
    for (bool done = false; !done && n < 5000; n++) {
        nn_safetensors *file = NULL;
        err.message[0] = 0;
        spak_alloc_fail_after(n);
        done = nn_safetensors_open_index(INDEX, &file, &err);
        spak_alloc_fail_after(-1);
        wrong += !done && (file || !strstr(err.message, "memory"));
        if (wrong == 1 && !done) printf("# %s\n", err.message);
        nn_safetensors_close(file);
    }
    ok(n > 50 && n < 5000 && wrong == 0, "allocations up to %ld may fail (%s)", n, err.message);
    is_int(open_files(), before, "every file is closed again");
}

int main(void) {
    enter_scratch();
    make_whole();
    test_same();
    test_model();
    test_sample();
    test_eval();
    test_vocab();
    test_index();
    test_shards();
    test_memory();
    leave_scratch();
    return done_testing();
}
