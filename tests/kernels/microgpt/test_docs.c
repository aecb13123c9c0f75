/* Names: what counts as one, in which order they come, and what a step reads of each. */
#include <string.h>

#include "../../tap.h"
#include "microgpt/microgpt.h"

static microgpt_start *start_of(const char *text, size_t size, uint64_t seed) {
    microgpt_start *start = NULL;
    spak_error err = {""};
    ok(microgpt_start_text(text, size, seed, MICROGPT_SOUND, &start, &err), "%zu bytes %s", size, err.message);
    return start;
}

static bool name_is(const microgpt_start *start, size_t step, const char *want) {
    size_t length;
    const char *name = microgpt_docs_get(start->docs, step, &length);
    return length == strlen(want) && memcmp(name, want, length) == 0;
}

/* Python: random.seed(42), then shuffle of the list of the letters a to l. After the last name comes the first again.
 */
static void test_order(void) {
    static const char letters[] = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\n", order[] = "hfcijgldeabk";
    microgpt_start *start = start_of(letters, sizeof letters - 1, 42);
    int wrong = 0;
    for (size_t step = 0; start && step < 40; step++) {
        char want[] = {order[step % 12], '\0'};
        wrong += !name_is(start, step, want);
    }
    ok(wrong == 0, "40 steps on 12 names, in Python's order, three times over: %d are wrong", wrong);
    microgpt_start_free(start);
    start = start_of("bo\n", 3, 1);
    ok(start && name_is(start, 0, "bo") && name_is(start, 1, "bo") && name_is(start, 999, "bo"), "one name, each time");
    microgpt_start_free(start);
}

/* The training takes the names in that order, too: its losses are those of steps made by hand. */
static void test_training_order(void) {
    static const char *const names[] = {"anna", "bo", "cy"};
    microgpt_start *start = start_of("anna\nbo\ncy\n", 11, 3);
    microgpt_config config = {MICROGPT_EXACT, DEV_ISA_PORTABLE};
    microgpt_model model = {0};
    spak_error err = {""};
    double trained[8], by_hand[8];
    size_t at[3] = {0};
    if (!start || !ok(microgpt_model_new(&config, MICROGPT_SOUND, &model, &err), "a model %s", err.message)) return;
    for (size_t step = 0; step < 3; step++)
        for (size_t i = 0; i < 3; i++)
            if (name_is(start, step, names[i])) at[step] = i;
    ok(at[0] != at[1] && at[1] != at[2] && at[2] != at[0], "each name once");
    microgpt_set(&model, start->params);
    microgpt_train(&model, start->docs, 8, trained);
    microgpt_set(&model, start->params);
    for (int step = 0; step < 8; step++) {
        microgpt_doc doc;
        const char *name = names[at[step % 3]];
        microgpt_doc_of(name, strlen(name), &doc);
        by_hand[step] = microgpt_step(&model, &doc, step, 8);
    }
    ok(!memcmp(trained, by_hand, sizeof trained), "eight steps on three names");
    microgpt_model_free(&model);
    microgpt_start_free(start);
}

/* How many names a text holds: the first one comes again after so many, and not before. */
static void counts(const char *text, size_t size, size_t want, const char *what) {
    microgpt_start *start = start_of(text, size, 1);
    size_t count = 0, length;
    const char *first = start ? microgpt_docs_get(start->docs, 0, &length) : NULL;
    while (first && count < 20 && microgpt_docs_get(start->docs, ++count, &length) != first) continue;
    is_int(count, want, "%s", what);
    microgpt_start_free(start);
}

static void test_lines(void) {
    static const char blanks[] = "\n\r\n \t\n\vanna\f\r\n\n  bo \ncy";
    counts(blanks, sizeof blanks - 1, 3, "blank lines are no names, and the last line needs no end");
    counts("a\nb", 3, 2, "two lines, one end");
    counts("a\nb\n", 4, 2, "two lines, two ends");
    counts("a\nbcd", 3, 2, "what lies behind the text's end is not read");
    counts("a", 1, 1, "one letter");
    microgpt_start *start = start_of(blanks, sizeof blanks - 1, 1);
    int found = 0;
    for (size_t i = 0; start && i < 3; i++)
        found += name_is(start, i, "anna") || name_is(start, i, "bo") || name_is(start, i, "cy");
    is_int(found, 3, "without the white space around them");
    microgpt_start_free(start);
}

static void refused(const char *text, size_t size, const char *expected) {
    microgpt_start *start;
    spak_error err = {""};
    ok(!microgpt_start_text(text, size, 1, MICROGPT_SOUND, &start, &err) && !start && strstr(err.message, expected),
       "error: %s", err.message);
}

static void test_letters(void) {
    counts("abcdefghijklmnopqrstuvwxyz", 26, 1, "a to z are letters");
    refused("ann\nZoe\n", 8, "line 2: expected a name in letters a to z, found the byte 0x5A");
    refused("ann\n\n\nb`\n", 9, "line 4: expected a name in letters a to z, found the byte 0x60");
    refused("b{", 2, "line 1: expected a name in letters a to z, found the byte 0x7B");
    refused("a b\n", 4, "0x20");
    refused("a\0b\n", 4, "0x00");
    refused("zo\xc3\xab\n", 5, "0xC3");
    refused("", 0, "expected names, one a line, found none");
    refused("\n \n", 3, "expected names, one a line, found none");
}

/* Names of every length about the context's: begun by one token and ended by the same, as far as there is room. */
static void test_tokens(void) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
    for (size_t length = 1; length <= 20; length++) {
        microgpt_doc doc;
        size_t n = length < MICROGPT_CONTEXT ? length + 1 : MICROGPT_CONTEXT, wrong = 0;
        memset(&doc, 0x55, sizeof doc);
        microgpt_doc_of(letters + 3, length, &doc);
        for (size_t t = 0; t <= n; t++) {
            int want = t == 0 || t == length + 1 ? MICROGPT_BOS : letters[3 + t - 1] - 'a';
            wrong += doc.tokens[t] != want;
        }
        for (size_t t = n + 1; t <= MICROGPT_CONTEXT; t++) wrong += doc.tokens[t] != 0x55555555;
        ok(doc.n == n && wrong == 0, "%zu letters are %zu positions; %zu tokens are wrong", length, doc.n, wrong);
    }
}

int main(void) {
    test_order();
    test_training_order();
    test_lines();
    test_letters();
    test_tokens();
    return done_testing();
}
