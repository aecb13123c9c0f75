/* What is asserted before a model of additions trains: batches are looked at as text, by code that shares nothing with
 * the code that writes them. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "nn/addition.h"
#include "nn/members.h"

/* --- reading a task --- */

static const char *const LAYOUTS[] = {"single", "packed", "blanks", "one_pass", NULL};

#define AT(field) offsetof(nn_addition, field)
static const nn_member members[] = {
    {"layout", NN_WORD, AT(layout), 0, 0, LAYOUTS},
    {"most_digits", NN_SIZE, AT(most_digits), 1, NN_ADD_MOST_DIGITS, NULL},
    {"bridge_share", NN_DOUBLE, AT(bridge_share), 0, 1, NULL},
    {"chain_share", NN_DOUBLE, AT(chain_share), 0, 1, NULL},
    {"packed_len", NN_SIZE, AT(packed_len), 8, 1 << 16, NULL},
    {"slots", NN_SIZE, AT(slots), 2, NN_ADD_MOST_DIGITS, NULL},
    {"most_offset", NN_SIZE, AT(most_offset), 0, 1 << 15, NULL},
    {"reversed", NN_FLAG, AT(reversed), 0, 0, NULL},
    {"mask_operands", NN_FLAG, AT(mask_operands), 0, 0, NULL},
};
enum { MEMBERS = sizeof members / sizeof *members };
_Static_assert(sizeof(nn_add_layout) == sizeof(int), "enums are read as int");

static bool read_protocol(const char *text, nn_addition *task, spak_error *err) {
    const bool published = text && strcmp(text, "published") == 0;
    if (!published && !(text && strcmp(text, "clean") == 0))
        return spak_fail(err, "task.protocol: expected \"clean\" or \"published\"");
    task->bridge_share = published ? 0.3 : 0;
    return true;
}

static bool read_one(const char *key, const json_t *value, nn_addition *task, spak_error *err) {
    if (strcmp(key, "kind") == 0) return true; /* which task it is; the caller has looked at it */
    if (strcmp(key, "protocol") == 0) return read_protocol(json_string_value(value), task, err);
    const nn_member *m = nn_member_find(members, MEMBERS, key);
    if (m) return nn_member_read(m, value, task, err) || spak_fail_context(err, "task.%s", key);
    return spak_fail(err,
                     "task.%s is no member of an addition task: it has layout, protocol, most_digits, bridge_share, "
                     "chain_share, packed_len, slots, most_offset, reversed and mask_operands",
                     key);
}

bool nn_addition_read(const json_t *json, nn_addition *task, spak_error *err) {
    *task = (nn_addition){.most_digits = 4, .packed_len = 64, .slots = 13, .reversed = true, .mask_operands = true};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)json, key, value) if (!read_one(key, value, task, err)) return false;
    if (task->layout == NN_ADD_BLANKS && task->slots < task->most_digits + 1)
        return spak_fail(err, "task.slots: a sum of operands of %zu digits needs %zu slots, not %zu", task->most_digits,
                         task->most_digits + 1, task->slots);
    if (task->layout == NN_ADD_BLANKS && task->bridge_share > 0 && task->slots < task->most_digits + 3)
        return spak_fail(err, "task.slots: the published protocol's sums need %zu slots, not %zu",
                         task->most_digits + 3, task->slots);
    if (task->bridge_share > 0 && task->most_digits + 2 > NN_ADD_MOST_DIGITS)
        return spak_fail(err, "task.most_digits: with bridge problems at most %d", NN_ADD_MOST_DIGITS - 2);
    if (!task->reversed && task->layout != NN_ADD_SINGLE && task->layout != NN_ADD_PACKED)
        return spak_fail(err, "task.reversed: only the layouts single and packed can be written highest digit first");
    return true;
}

json_t *nn_addition_json(const nn_addition *task) { return nn_members_json(members, MEMBERS, task); }

/* --- a row as text --- */

static const char GLYPHS[] = "0123456789+=\n?_";

bool nn_add_rows_show(const nn_add_rows *r, size_t row, spak_str *out) {
    bool open = false;
    for (size_t t = 0; t < r->len; t++) {
        const int32_t token = r->tokens[row * r->len + t];
        const char glyph = token >= 0 && token < NN_ADD_VOCAB ? GLYPHS[token] : '!';
        /* A target belongs to the next token; where the token asks for itself, to this one. */
        const bool asks = r->targets[row * r->len + t] >= 0;
        if (token == NN_ADD_ASK && asks != open) spak_str_putc(out, (open = asks) ? '[' : ']');
        if (glyph == '\n')
            spak_str_puts(out, "\\n");
        else
            spak_str_putc(out, glyph);
        if (token != NN_ADD_ASK && asks != open) spak_str_putc(out, (open = asks) ? '[' : ']');
    }
    if (open) spak_str_putc(out, ']');
    return !out->oom;
}

/* --- masks --- */

typedef struct scan {
    const nn_addition *task;
    const int32_t *tokens, *targets;
    size_t len;
    int number[3][NN_ADD_MOST_DIGITS + 2]; /* a, b, c as they stand, blanks left out */
    size_t digits[3];
} scan;

/* Whether a + b = c, with the digits of each in the order of the row; c may be cut off at the row's end. */
static bool sum_is_right(const scan *s, bool whole) {
    int carry = 0;
    const bool up = s->task->reversed;
    if (!whole && !up) return true; /* the lowest digits are the ones that are missing */
    for (size_t i = 0; i < s->digits[2]; i++) {
        int sum = carry;
        for (int k = 0; k < 2; k++)
            if (i < s->digits[k]) sum += s->number[k][up ? i : s->digits[k] - 1 - i];
        if (s->number[2][up ? i : s->digits[2] - 1 - i] != sum % 10) return false;
        carry = sum / 10;
    }
    size_t longest = s->digits[0] > s->digits[1] ? s->digits[0] : s->digits[1];
    return !whole || (carry == 0 && s->digits[2] >= longest);
}

/* One problem from token t on. Sets *end behind it. Wrong targets or sums: false, *what says which. */
static bool scan_problem(scan *s, size_t t, size_t *end, const char **what) {
    int part = 0;
    bool whole = false, one_pass = s->task->layout == NN_ADD_ONE_PASS, blanks = s->task->layout == NN_ADD_BLANKS;
    s->digits[0] = s->digits[1] = s->digits[2] = 0;
    for (; t < s->len && !whole; t++) {
        const int32_t token = s->tokens[t], target = s->targets[t];
        const int32_t next = t + 1 < s->len ? s->tokens[t + 1] : target; /* past the end there is only the target */
        const bool answers = token == NN_ADD_EQUALS || part == 2;
        if (!blanks && token == NN_ADD_BLANK) break;
        whole = token == NN_ADD_END;
        bool wants = one_pass ? token == NN_ADD_ASK : answers && !whole;
        if (!one_pass && !s->task->mask_operands)
            wants = !whole || (t + 1 < s->len && s->tokens[t + 1] != NN_ADD_BLANK);
        if (!wants && target >= 0) return *what = "a token outside the answer has a target", false;
        if (wants && target < 0) return *what = "a token of the answer has no target", false;
        if (wants && !one_pass && target != next) return *what = "a target is not the token that follows", false;
        if (token == NN_ADD_PLUS || token == NN_ADD_EQUALS) part++;
        const int32_t digit = one_pass && token == NN_ADD_ASK ? target : token;
        if (digit >= 0 && digit < 10 && s->digits[part] <= NN_ADD_MOST_DIGITS)
            s->number[part][s->digits[part]++] = digit;
    }
    /* The last target may be a digit of the answer that the row has no room for. */
    const int32_t last = s->targets[s->len - 1];
    if (t == s->len && part == 2 && !whole && !one_pass && last >= 0 && last < 10) s->number[2][s->digits[2]++] = last;
    *end = t;
    const bool cut = t == s->len && s->task->layout == NN_ADD_PACKED && !whole;
    if (cut && part < 2) return true;
    if (part != 2) return *what = "a problem is not a + b = c", false;
    if (!sum_is_right(s, !cut)) return *what = "the sum is wrong", false;
    return true;
}

static bool check_row(const nn_addition *task, const nn_add_rows *r, size_t row, const char **what) {
    scan s = {.task = task, .tokens = r->tokens + row * r->len, .targets = r->targets + row * r->len, .len = r->len};
    size_t t = 0;
    if (!scan_problem(&s, 0, &t, what)) return false;
    while (task->layout == NN_ADD_PACKED && t < s.len && s.tokens[t] != NN_ADD_BLANK)
        if (!scan_problem(&s, t, &t, what)) return false;
    for (; t < s.len; t++)
        if (s.targets[t] >= 0) return *what = "a blank has a target", false;
    return true;
}

bool nn_add_rows_check(const nn_addition *task, const nn_add_rows *r, spak_error *why) {
    for (size_t row = 0; row < r->rows; row++) {
        const char *what = NULL;
        if (check_row(task, r, row, &what)) continue;
        spak_str text = {0};
        nn_add_rows_show(r, row, &text);
        spak_fail(why, "row %zu of the batch, \"%s\": %s", row, spak_str_text(&text), what);
        spak_str_free(&text);
        return false;
    }
    return true;
}

/* --- the format --- */

bool nn_addition_same_format(const nn_addition *train, const nn_addition *test, spak_error *why) {
    const nn_problem p = {3,         2,      3,
                          {3, 2, 1}, {9, 8}, {2, 1, 2}}; /* 123 + 89 = 212: no digit order reads like another */
    const nn_addition *tasks[2] = {train, test};
    nn_add_rows *rows[2] = {NULL, NULL};
    spak_str text[2] = {{0}, {0}};
    bool ran = true;
    for (int i = 0; i < 2 && ran; i++) {
        ran = nn_add_rows_new(1, nn_addition_test_len(tasks[i], 3), &rows[i], why);
        if (!ran) break;
        (i ? nn_addition_test_rows : nn_addition_rows_of)(tasks[i], &p, 1, rows[i]);
        ran = nn_add_rows_show(rows[i], 0, &text[i]) || spak_fail_oom(why);
    }
    bool same = ran && strcmp(text[0].data, text[1].data) == 0 &&
                memcmp(rows[0]->tokens, rows[1]->tokens, 5 * rows[0]->len * sizeof(int32_t)) == 0;
    if (ran && !same)
        spak_fail(why,
                  "training writes a problem as \"%s\", evaluation as \"%s\": a model would be judged in a format "
                  "that it never saw",
                  text[0].data, text[1].data);
    for (int i = 0; i < 2; i++) {
        nn_add_rows_free(rows[i]);
        spak_str_free(&text[i]);
    }
    return same;
}
