/* GPT-2's byte-pair encoding: the ids of the library `tokenizers` for awkward texts (fixtures/make_bpe.py), every byte
 * back again, and files that are none. */
#include "base/rng.h"
#include "files.h"
#include "nn/bpe.h"

static char vocab[4200], merges[4200], cases[4200];

static nn_bpe *load(void) {
    spak_error err = {0};
    nn_bpe *bpe = NULL;
    ok(nn_bpe_load(vocab, merges, &bpe, &err), "loaded: %s", err.message);
    return bpe;
}

static size_t from_hex(const char *hex, char *bytes) {
    size_t len = strlen(hex) / 2;
    for (size_t i = 0; i < len; i++) {
        unsigned byte;
        sscanf(hex + 2 * i, "%2x", &byte);
        bytes[i] = (char)byte;
    }
    return len;
}

static bool is_case(const nn_bpe *bpe, const json_t *test) {
    static char text[4000];
    spak_error err = {0};
    int32_t *ids;
    size_t count, len = from_hex(spak_json_str(test, "hex", ""), text);
    const json_t *want = json_object_get(test, "ids");
    spak_str back = {0};
    bool good = nn_bpe_encode(bpe, text, len, true, &ids, &count, &err) && count == json_array_size(want);
    for (size_t i = 0; good && i < count; i++) good = ids[i] == json_integer_value(json_array_get(want, i));
    good = good && nn_bpe_decode(bpe, ids, count, &back, &err) && back.len == len &&
           !memcmp(spak_str_text(&back), text, len);
    spak_str_free(&back);
    spak_free(ids);
    return good;
}

static void test_cases(const nn_bpe *bpe) {
    json_t *list = NULL, *test;
    spak_error err = {0};
    size_t i, wrong = 0;
    ok(spak_json_load(cases, &list, &err), "cases: %s", err.message);
    json_array_foreach(list, i, test) {
        if (is_case(bpe, test)) continue;
        if (wrong++ < 5) printf("# wrong: %s\n", spak_json_str(test, "hex", ""));
    }
    ok(i > 250 && wrong == 0, "%zu texts have the ids of the library, and come back (%zu do not)", i, wrong);
    json_decref(list);
}

/* Pieces, with a bar between. */
static void is_pieces(size_t number, const char *text, size_t len, const char *want) {
    spak_str got = {0};
    for (size_t at = 0, piece; at < len; at += piece) {
        piece = nn_bpe_piece(text + at, len - at);
        spak_str_printf(&got, "%s", at ? "|" : "");
        spak_str_append(&got, text + at, piece);
    }
    ok(!strcmp(spak_str_text(&got), want), "pieces of text number %zu", number);
    spak_str_free(&got);
}

static void test_pieces(void) {
    static const char *const texts[][2] = {
        {"it's we'll they've", "it|'s| we|'ll| they|'ve"},
        {"'rex 're", "'re|x| '|re"},
        {"IT'S", "IT|'|S"},
        {"a1b 22", "a|1|b| 22"},
        {"a   b", "a|  | b"},
        {"a  \n", "a|  \n"},
        {"a\n\nb", "a|\n|\n|b"},
        {"!'s", "!'|s"},
        {"x\xc2\xb2 \xe2\x85\xa7", "x|\xc2\xb2| \xe2\x85\xa7"},
        {"\xe6\xbc\xa2\xe3\x80\x82", "\xe6\xbc\xa2|\xe3\x80\x82"},
        {"\xc2\xa0\xc2\xa0x", "\xc2\xa0|\xc2\xa0|x"},
        {"e\xcc\x81", "e|\xcc\x81"},
        {"1\xe6xx", "1|\xe6|xx"},
        {"1\xed\xa0\x80\xf5yyy", "1|\xed\xa0\x80\xf5|yyy"},
        {"a\xff\x80 \xc3", "a|\xff\x80| \xc3"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        is_pieces(i, texts[i][0], strlen(texts[i][0]), texts[i][1]);
}

static void test_any_bytes(const nn_bpe *bpe) {
    spak_error err = {0};
    size_t wrong = 0;
    for (uint64_t round = 0; round < 2000; round++) {
        char text[64];
        uint32_t r[4];
        spak_philox(9, round, 1000, r);
        size_t len = r[0] % sizeof text, count;
        for (size_t i = 0; i < len; i++) {
            spak_philox(9, round, i, r);
            text[i] = r[1] & 1 ? (char)r[0] : "e \n'th1\xe6\xbc\xa2"[r[0] % 10];
        }
        int32_t *ids;
        spak_str back = {0};
        wrong += !nn_bpe_encode(bpe, text, len, false, &ids, &count, &err) ||
                 !nn_bpe_decode(bpe, ids, count, &back, &err) || back.len != len ||
                 memcmp(spak_str_text(&back), text, len) != 0;
        spak_free(ids);
        spak_str_free(&back);
    }
    is_int(wrong, 0, "2000 random texts, most of them no UTF-8, come back");
}

static void test_special(const nn_bpe *bpe) {
    spak_error err = {0};
    int32_t *ids;
    size_t count;
    const char *text = "<|endoftext|>";
    is_int(nn_bpe_end_of_text(bpe), 0, "the end of a text");
    ok(nn_bpe_encode(bpe, text, strlen(text), true, &ids, &count, &err) && count == 1 && ids[0] == 0, "is one token");
    spak_free(ids);
    ok(nn_bpe_encode(bpe, text, strlen(text), false, &ids, &count, &err) && count > 5, "or text like any other");
    spak_free(ids);
    spak_str back = {0};
    ok(!nn_bpe_decode(bpe, (int32_t[]){1, INT32_MAX}, 2, &back, &err) && strstr(err.message, "number 1"),
       "an id outside: %s", err.message);
    ok(!nn_bpe_decode(bpe, (int32_t[]){-1}, 1, &back, &err), "a negative one: %s", err.message);
    spak_str_free(&back);
}

/* A megabyte without a break takes n log n steps; with n^2 it would take an hour. */
static void test_long(const nn_bpe *bpe) {
    spak_error err = {0};
    size_t len = 1 << 20, count;
    char *text = spak_malloc(len);
    int32_t *ids;
    spak_str back = {0};
    for (size_t i = 0; i < len; i++) text[i] = "thethe he ab"[i % 6];
    bool encoded = nn_bpe_encode(bpe, text, len, true, &ids, &count, &err);
    ok(encoded && count < len, "a megabyte of letters: %zu tokens", count);
    ok(nn_bpe_decode(bpe, ids, count, &back, &err) && back.len == len && !memcmp(back.data, text, len), "and back");
    spak_free(ids);
    spak_str_free(&back);
    memset(text, ' ', len);
    encoded = nn_bpe_encode(bpe, text, len, true, &ids, &count, &err);
    ok(encoded && count < len, "of blanks: %zu tokens", count);
    spak_free(ids);
    spak_free(text);
}

/* In "abcd", bc merges first. Then a and bc may merge, but bc and d are more urgent, though not so urgent as a and b
 * were: the pair that is no more must not lend its rank to the one in its place. */
static void test_order(void) {
    spak_error err = {0};
    json_t *tokens = NULL;
    nn_bpe *bpe = NULL;
    int32_t *ids = NULL;
    size_t count = 0;
    static const char *const more[] = {"bc", "ab", "bcd", "abc"};
    static const char order[] = "b c\na b\nbc d\na bc\n";
    spak_str text = {0};
    spak_json_load(vocab, &tokens, &err);
    for (size_t i = 0; i < 4; i++)
        if (!json_object_get(tokens, more[i]))
            json_object_set_new(tokens, more[i], json_integer((json_int_t)json_object_size(tokens)));
    spak_json_canonical(tokens, &text, &err);
    spak_write_file("order.json", text.data, text.len, &err);
    spak_write_file("order.txt", order, strlen(order), &err);
    ok(nn_bpe_load("order.json", "order.txt", &bpe, &err) && nn_bpe_encode(bpe, "abcd", 4, true, &ids, &count, &err),
       "another encoding: %s", err.message);
    ok(count == 2 && ids[0] == spak_json_int(tokens, "a", -1) && ids[1] == spak_json_int(tokens, "bcd", -1),
       "the more urgent pair first");
    json_decref(tokens);
    spak_str_free(&text);
    spak_free(ids);
    nn_bpe_free(bpe);
}

static void refused(const char *vocab_text, const char *merges_text, const char *const *words) {
    spak_error err = {0};
    nn_bpe *bpe;
    spak_write_file("v.json", vocab_text, strlen(vocab_text), &err);
    spak_write_file("m.txt", merges_text, strlen(merges_text), &err);
    bool loaded = nn_bpe_load(vocab_text[0] ? "v.json" : vocab, "m.txt", &bpe, &err);
    ok(!loaded && !bpe && names(err.message, words), "%s", err.message);
    nn_bpe_free(bpe);
}
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_bad_files(void) {
    spak_error err = {0};
    nn_bpe *bpe;
    refused("[1]", "", WORDS("v.json", "vocab.json?"));
    refused("{", "", WORDS("v.json", "JSON"));
    refused("{}", "", WORDS("v.json"));
    refused("{\"a\": 0, \"b\": 0}", "", WORDS("v.json", "\"a\"", "\"b\"", "same id 0"));
    refused("{\"a\": 0, \"b\": 2}", "", WORDS("v.json", "\"b\"", "0 to 1"));
    refused("{\"a\": 0, \"b\": -1}", "", WORDS("v.json", "\"b\""));
    refused("{\"a\": 0, \"b\": \"1\"}", "", WORDS("v.json", "\"b\""));
    refused("{\"a\": 0, \"\": 1}", "", WORDS("v.json", "id 1", "empty"));
    refused("{\"a\": 0, \"b c\": 1}", "", WORDS("v.json", "b c", "no byte"));
    refused("{\"a\": 0, \"\xe2\x96\x81x\": 1}", "", WORDS("v.json", "id 1", "no byte"));
    refused("{\"a\": 0, \"\xc5\x84\": 1}", "", WORDS("v.json", "no byte"));
    refused("{\"a\": 0, \"b\": 1}", "", WORDS("v.json", "0x00 has no token"));
    refused("", "#version: 0.2\nh e\nh\n", WORDS("m.txt:3", "one blank", "\"h\""));
    refused("", "h e r\n", WORDS("m.txt:1", "one blank"));
    refused("", " he\n", WORDS("m.txt:1"));
    refused("", "he \n", WORDS("m.txt:1"));
    refused("", "h e\n\nh e\n", WORDS("m.txt:3", "before"));
    refused("", "h \xe2\x96\x81\n", WORDS("m.txt:1", "no byte"));
    refused("", "h e\r\n", WORDS("m.txt:1", "no byte"));
    refused("", "Q Q\n", WORDS("m.txt:1", "what the two make"));
    refused("", "QQ e\n", WORDS("m.txt:1", "the first"));
    refused("", "e QQ\n", WORDS("m.txt:1", "the second"));
    ok(!nn_bpe_load("absent", merges, &bpe, &err) && strstr(err.message, "absent"), "no vocabulary: %s", err.message);
    ok(!nn_bpe_load(vocab, "absent", &bpe, &err) && strstr(err.message, "absent"), "no merges: %s", err.message);
}

static void test_memory(void) {
    long n = 0, wrong = 0;
    bool done = false;
    for (; !done && n < 20000; n += 1 + n / 20) {
        spak_error err = {0};
        nn_bpe *bpe;
        int32_t *ids = NULL;
        size_t count;
        spak_alloc_fail_after(n);
        done = nn_bpe_load(vocab, merges, &bpe, &err) && nn_bpe_encode(bpe, "the text", 8, true, &ids, &count, &err);
        spak_alloc_fail_after(-1);
        wrong += !done && (!strstr(err.message, "memory") || ids);
        if (!done && wrong == 1) printf("# %ld: %s\n", n, err.message);
        spak_free(ids);
        nn_bpe_free(bpe);
    }
    ok(done && wrong == 0, "allocations up to %ld may fail", n);
}

int main(void) {
    enter_scratch();
    snprintf(vocab, sizeof vocab, "%s/tests/nn/fixtures/bpe-vocab.json", root);
    snprintf(merges, sizeof merges, "%s/tests/nn/fixtures/bpe-merges.txt", root);
    snprintf(cases, sizeof cases, "%s/tests/nn/fixtures/bpe-cases.json", root);
    nn_bpe *bpe = load();
    if (bpe) {
        test_cases(bpe);
        test_any_bytes(bpe);
        test_special(bpe);
        test_long(bpe);
    }
    test_pieces();
    test_order();
    test_bad_files();
    test_memory();
    nn_bpe_free(bpe);
    leave_scratch();
    return done_testing();
}
