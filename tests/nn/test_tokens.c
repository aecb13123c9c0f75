/* Characters as tokens. */
#include "files.h"
#include "nn/tokens.h"

static void test_text(void) {
    spak_error err = {0};
    nn_chars chars;
    const char text[] = "First Citizen:\nBefore";
    int32_t ids[64];
    spak_str back = {0};
    ok(nn_chars_learn(text, strlen(text), &chars, &err), "learned: %s", err.message);
    char sorted[257] = "";
    memcpy(sorted, chars.bytes, chars.count);
    is_str(sorted, "\n :BCFefinorstz", "sorted, each once");
    ok(nn_chars_encode(&chars, "text", text, strlen(text), ids, &err) && ids[0] == 5 && ids[5] == 1 && ids[14] == 0,
       "encoded");
    ok(nn_chars_decode(&chars, ids, strlen(text), &back, &err), "decoded: %s", err.message);
    is_str(back.data, text, "the same text");
    ok(!nn_chars_encode(&chars, "play.txt", "First\nBe!", 9, ids, &err) && strstr(err.message, "play.txt:2:3") &&
           strstr(err.message, "'!'") && strstr(err.message, "offset 8"),
       "a character that is not there: %s", err.message);
    ok(!nn_chars_encode(&chars, "x", "\xc3\xa9", 2, ids, &err) && strstr(err.message, "x:1:1: the byte 0xc3"),
       "nor is this byte: %s", err.message);
    ok(!nn_chars_decode(&chars, (int32_t[]){0, 15}, 2, &back, &err) && strstr(err.message, "number 1 is 15"),
       "a token too large: %s", err.message);
    ok(!nn_chars_decode(&chars, (int32_t[]){-1}, 1, &back, &err) && strstr(err.message, "-1"), "a negative one: %s",
       err.message);
    ok(!nn_chars_learn("", 0, &chars, &err), "nothing to learn from: %s", err.message);
    spak_str_free(&back);
}

static void test_all_bytes(void) {
    spak_error err = {0};
    char all[256];
    int32_t ids[256];
    size_t wrong = 0;
    nn_chars chars, read;
    for (int i = 0; i < 256; i++) all[i] = (char)(255 - i);
    ok(nn_chars_learn(all, 256, &chars, &err) && chars.count == 256, "all bytes, NUL too");
    ok(nn_chars_encode(&chars, "all", all, 256, ids, &err), "encoded");
    for (int i = 0; i < 256; i++) wrong += ids[i] != 255 - i;
    is_int(wrong, 0, "each by its rank");
    json_t *json = nn_chars_json(&chars);
    ok(nn_chars_read(json, &read, &err) && !memcmp(&read, &chars, sizeof read), "through JSON: %s", err.message);
    json_decref(json);
    nn_chars_learn("hello", 5, &chars, &err);
    json = nn_chars_json(&chars);
    spak_str text = {0};
    spak_json_canonical(json, &text, &err);
    is_str(text.data, "{\"bytes\":[101,104,108,111],\"kind\":\"characters\"}", "in JSON");
    spak_str_free(&text);
    json_decref(json);
}

static void test_bad_json(void) {
    static const char *const bad[] = {"{}",
                                      "[]",
                                      "{\"kind\": \"bpe\", \"bytes\": [1]}",
                                      "{\"kind\": \"characters\"}",
                                      "{\"kind\": \"characters\", \"bytes\": []}",
                                      "{\"kind\": \"characters\", \"bytes\": [1, 1]}",
                                      "{\"kind\": \"characters\", \"bytes\": [2, 1]}",
                                      "{\"kind\": \"characters\", \"bytes\": [256]}",
                                      "{\"kind\": \"characters\", \"bytes\": [-1]}",
                                      "{\"kind\": \"characters\", \"bytes\": [\"a\"]}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        spak_error err = {0};
        json_t *json;
        nn_chars chars;
        spak_json_parse("bad", bad[i], strlen(bad[i]), &json, &err);
        ok(!nn_chars_read(json, &chars, &err) && strstr(err.message, "tokenizer"), "%s: %s", bad[i], err.message);
        json_decref(json);
    }
}

int main(void) {
    spak_json_init();
    test_text();
    test_all_bytes();
    test_bad_json();
    return done_testing();
}
