/* Problems of addition and the rows of tokens that hold them.
 *
 * Everything is a function of (seed, number): problem i of a stream draws from its own part of a Philox stream, so a
 * run that goes on at step s sees what it would have seen, and two machines see the same. A draw that falls into the
 * test quarter is thrown away and drawn again within that part. */
#include "nn/addition.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"

/* --- random numbers of one problem --- */

enum { STREAM_TRAIN = 0x41444431, STREAM_TEST = 0x41444432, STREAM_ROW = 0x41444433 };
enum { DRAWS_BITS = 20 }; /* blocks of four words that one problem may use, as a power of two */

typedef struct dice {
    uint64_t seed, stream, block;
    uint32_t word[4];
    int left;
} dice;

static dice dice_of(uint64_t seed, uint64_t stream, uint64_t problem) {
    return (dice){.seed = seed, .stream = stream, .block = problem << DRAWS_BITS};
}

static uint32_t roll(dice *d) {
    if (!d->left) {
        spak_philox(d->seed, d->stream, d->block++, d->word);
        d->left = 4;
    }
    return d->word[--d->left];
}

/* Uniform in 0..n - 1 (n < 2^16: the bias of the product is below 2^-16), and in [0, 1). */
static size_t below(dice *d, size_t n) { return (size_t)((uint64_t)roll(d) * n >> 32); }
static double uniform(dice *d) { return roll(d) * 0x1p-32; }

/* --- problems --- */

/* The digits of the sum; operands without leading zeros, but for the number 0. */
static void finish(nn_problem *p, nn_fault fault) {
    while (p->a_digits > 1 && p->a[p->a_digits - 1] == 0) p->a_digits--;
    while (p->b_digits > 1 && p->b[p->b_digits - 1] == 0) p->b_digits--;
    size_t longest = p->a_digits > p->b_digits ? p->a_digits : p->b_digits;
    int carry = 0;
    for (size_t i = 0; i < longest; i++) {
        int sum = (i < p->a_digits ? p->a[i] : 0) + (i < p->b_digits ? p->b[i] : 0) + carry;
        p->c[i] = (unsigned char)(sum % 10);
        carry = fault == NN_FAULT_CARRY_LOST && i > 0 ? 0 : sum / 10;
    }
    p->c_digits = longest;
    if (carry) p->c[p->c_digits++] = 1;
}

static bool carries_at(const nn_problem *p, size_t i, bool carry_in) {
    return (i < p->a_digits ? p->a[i] : 0) + (i < p->b_digits ? p->b[i] : 0) + (carry_in ? 1 : 0) >= 10;
}

size_t nn_problem_carries(const nn_problem *p) {
    size_t all = 0;
    bool carry = false;
    for (size_t i = 0; i < p->a_digits || i < p->b_digits; i++) {
        carry = carries_at(p, i, carry);
        all += carry;
    }
    return all;
}

/* FNV-1a over the digits, stirred (the finaliser of MurmurHash3), so that the last bits depend on all of them. */
static uint64_t hash_of(const nn_problem *p) {
    uint64_t h = 0xCBF29CE484222325u;
    for (size_t i = 0; i < p->a_digits; i++) h = (h ^ p->a[i]) * 0x100000001B3u;
    h = (h ^ 99) * 0x100000001B3u;
    for (size_t i = 0; i < p->b_digits; i++) h = (h ^ p->b[i]) * 0x100000001B3u;
    h = (h ^ h >> 33) * 0xFF51AFD7ED558CCDu;
    h = (h ^ h >> 33) * 0xC4CEB9FE1A85EC53u;
    return h ^ h >> 33;
}

bool nn_problem_is_test(const nn_problem *p) { return hash_of(p) % 4 == 0; }

/* A number below 10^digits, as the published generator draws it: it may come out shorter. */
static size_t draw_digits(dice *d, unsigned char *to, size_t most) {
    size_t n = 1 + below(d, most);
    for (size_t i = 0; i < n; i++) to[i] = (unsigned char)below(d, 10);
    return n;
}

/* Both operands of exactly n digits. A pair that has to sum to 9 at the top has no zero there. */
static void draw_exact(dice *d, size_t n, double p_carry, double p_nine, nn_problem *p) {
    p->a_digits = p->b_digits = n;
    for (size_t i = 0; i < n; i++) {
        size_t least = i + 1 == n && n > 1 ? 1 : 0, a = least + below(d, 10 - least), b = least + below(d, 10 - least);
        if (i == 0 && p_carry > 0) {
            bool carry = uniform(d) < p_carry;
            while ((a + b >= 10) != carry) a = least + below(d, 10 - least), b = least + below(d, 10 - least);
        } else if (i > 0 && uniform(d) < p_nine) {
            a = least + below(d, 10 - 2 * least), b = 9 - a;
        }
        p->a[i] = (unsigned char)a, p->b[i] = (unsigned char)b;
    }
}

static const double CHAIN_CARRY = 0.63, CHAIN_NINE = 0.9;

static void draw_once(const nn_addition *task, dice *d, nn_problem *p) {
    if (task->chain_share > 0 && uniform(d) < task->chain_share) {
        draw_exact(d, 1 + below(d, task->most_digits), CHAIN_CARRY, CHAIN_NINE, p);
    } else {
        size_t most = task->most_digits;
        if (task->bridge_share > 0 && uniform(d) < task->bridge_share) most += 1 + below(d, 2);
        p->a_digits = draw_digits(d, p->a, most);
        p->b_digits = draw_digits(d, p->b, most);
    }
    finish(p, task->fault);
}

void nn_addition_draw(const nn_addition *task, uint64_t seed, uint64_t i, nn_problem *p) {
    dice d = dice_of(seed, STREAM_TRAIN, i);
    do {
        draw_once(task, &d, p);
    } while (task->fault != NN_FAULT_TEST_LEAKS && nn_problem_is_test(p));
}

/* --- test sets --- */

static const char *const SETS[] = {"random", "chains", "full_chains"};

const char *nn_add_set_name(nn_add_set set) { return SETS[set]; }

bool nn_add_set_parse(const char *name, nn_add_set *set) {
    for (int i = 0; i < 3; i++)
        if (strcmp(name, SETS[i]) == 0) {
            *set = (nn_add_set)i;
            return true;
        }
    return false;
}

/* A set of the hashes that were seen, open addressing; 0 marks an empty place. */
static bool add_new(uint64_t *seen, size_t size, uint64_t hash) {
    if (!hash) hash = 1;
    for (size_t at = hash & (size - 1);; at = (at + 1) & (size - 1)) {
        if (seen[at] == hash) return false;
        if (!seen[at]) {
            seen[at] = hash;
            return true;
        }
    }
}

bool nn_addition_test_set(nn_add_set set, size_t digits, uint64_t seed, size_t n, nn_problem *p, size_t *found,
                          spak_error *err) {
    *found = 0;
    if (digits < 1 || digits > NN_ADD_MOST_DIGITS)
        return spak_fail(err, "operands of %zu digits: from 1 to %d are possible", digits, NN_ADD_MOST_DIGITS);
    size_t size = 16;
    while (size < 4 * n) size *= 2;
    uint64_t *seen = spak_calloc(size, sizeof *seen);
    if (!seen) return spak_fail_oom(err);
    /* Where there are few such problems, most draws repeat one: enough of them find all but surely. */
    const uint64_t draws = 64 * (uint64_t)n + 65536;
    for (uint64_t i = 0; i < draws && *found < n; i++) {
        dice d = dice_of(seed, STREAM_TEST + 16 * (uint64_t)set + 256 * (uint64_t)digits, i);
        nn_problem *next = &p[*found];
        draw_exact(&d, digits,
                   set == NN_ADD_FULL_CHAINS ? 1
                   : set == NN_ADD_CHAINS    ? CHAIN_CARRY
                                             : 0,
                   set == NN_ADD_FULL_CHAINS ? 1
                   : set == NN_ADD_CHAINS    ? CHAIN_NINE
                                             : 0,
                   next);
        finish(next, NN_SOUND);
        if (nn_problem_is_test(next) && add_new(seen, size, hash_of(next))) ++*found;
    }
    spak_free(seen);
    return true;
}

/* --- rows --- */

static size_t longest_operand(const nn_addition *task) { return task->most_digits + (task->bridge_share > 0 ? 2 : 0); }

static size_t row_len(const nn_addition *task, size_t digits) {
    switch (task->layout) {
        case NN_ADD_BLANKS: return 3 * task->slots + 1; /* a + b = c, and what predicts the last slot */
        case NN_ADD_ONE_PASS: return 3 * digits + 3;    /* a + b = and n + 1 questions */
        default: return 3 * digits + 3;                 /* a + b = c, whose last token has nothing to predict */
    }
}

size_t nn_addition_train_len(const nn_addition *task) {
    return task->layout == NN_ADD_PACKED ? task->packed_len : row_len(task, longest_operand(task));
}

size_t nn_addition_test_len(const nn_addition *task, size_t digits) { return row_len(task, digits); }

bool nn_add_rows_new(size_t rows, size_t len, nn_add_rows **out, spak_error *err) {
    nn_add_rows *r = spak_calloc(1, sizeof *r);
    const size_t n = rows * len;
    int32_t *memory = r ? spak_malloc((6 * n + 1) * sizeof *memory) : NULL;
    if (!memory) {
        spak_free(r);
        return spak_fail_oom(err);
    }
    *r = (nn_add_rows){rows, len, memory, memory + n, memory + 2 * n, memory + 3 * n, memory + 4 * n, memory + 5 * n};
    *out = r;
    return true;
}

void nn_add_rows_free(nn_add_rows *r) {
    if (!r) return;
    spak_free(r->tokens);
    spak_free(r);
}

nn_batch nn_add_rows_batch(const nn_add_rows *r) {
    return (nn_batch){.batch = r->rows,
                      .len = r->len,
                      .tokens = r->tokens,
                      .targets = r->targets,
                      .index = r->index,
                      .kinds = r->kinds,
                      .segments = r->segments};
}

/* Writes a row token by token; what does not fit is cut off. A token that is written is the target of the one before
 * it when that one asks for it. */
typedef struct pen {
    const nn_addition *task;
    nn_add_rows *rows;
    size_t base, at; /* of the row; tokens written */
    int segment, owner, offset;
    bool asking; /* the token before this one has a target */
} pen;

static void put(pen *w, int token, size_t index, bool answer) {
    nn_add_rows *r = w->rows;
    if (w->asking && w->at > 0 && w->at <= r->len) {
        const size_t asks = w->base + w->at - 1;
        if (w->task->fault != NN_FAULT_TARGETS_LATE)
            r->targets[asks] = token;
        else if (w->at < r->len)
            r->targets[asks + 1] = token;
        r->owner[asks] = w->owner;
    }
    if (w->at < r->len) {
        const size_t at = w->base + w->at;
        r->tokens[at] = token;
        r->index[at] = index ? (int32_t)index + w->offset : 0;
        r->kinds[at] = answer;
        r->segments[at] = w->segment;
    }
    w->at++;
}

static void clear_row(nn_add_rows *r, size_t base) {
    for (size_t i = base; i < base + r->len; i++) {
        r->tokens[i] = NN_ADD_BLANK;
        r->targets[i] = r->segments[i] = r->owner[i] = -1;
        r->index[i] = r->kinds[i] = 0;
    }
}

static void put_number(pen *w, const unsigned char *digits, size_t n, bool answer) {
    for (size_t i = 0; i < n; i++) {
        size_t at = w->task->reversed ? i : n - 1 - i;
        put(w, digits[at], at + 1, answer);
    }
}

/* a + b = c and the end. */
static void write_plain(pen *w, const nn_problem *p) {
    const bool all = !w->task->mask_operands || w->task->fault == NN_FAULT_OPERANDS_LEARNED;
    w->asking = all;
    put_number(w, p->a, p->a_digits, false);
    put(w, NN_ADD_PLUS, 0, false);
    put_number(w, p->b, p->b_digits, false);
    put(w, NN_ADD_EQUALS, 0, true);
    w->asking = true;
    put_number(w, p->c, p->c_digits, true);
    put(w, NN_ADD_END, 0, true);
    w->asking = false;
}

static size_t longest(const nn_problem *p) { return p->a_digits > p->b_digits ? p->a_digits : p->b_digits; }
static int digit(const unsigned char *digits, size_t n, size_t i) { return i < n ? digits[i] : 0; }

static void write_one_pass(pen *w, const nn_problem *p) {
    const size_t n = longest(p);
    for (size_t i = 0; i < n; i++) put(w, digit(p->a, p->a_digits, i), i + 1, false);
    put(w, NN_ADD_PLUS, 0, false);
    for (size_t i = 0; i < n; i++) put(w, digit(p->b, p->b_digits, i), i + 1, false);
    put(w, NN_ADD_EQUALS, 0, true);
    for (size_t i = 0; i <= n; i++) {
        put(w, NN_ADD_ASK, i + 1, true);
        const size_t at = w->base + w->at - 1;
        if (w->at <= w->rows->len) {
            w->rows->targets[at] = digit(p->c, p->c_digits, i);
            w->rows->owner[at] = w->owner;
        }
    }
}

/* Which of `slots` slots hold the n + 1 digits of the numbers: an even choice, in order. Returns for each slot the
 * digit's index from 1, or 0. */
static void choose_slots(dice *d, size_t slots, size_t wanted, size_t *index) {
    for (size_t s = 0, next = 1; s < slots; s++) {
        bool take = below(d, slots - s) < wanted - (next - 1);
        index[s] = take ? next++ : 0;
    }
}

static void put_slots(pen *w, const size_t *index, const unsigned char *digits, size_t n, bool answer) {
    for (size_t s = 0; s < w->task->slots; s++)
        put(w, index[s] ? digit(digits, n, index[s] - 1) : NN_ADD_BLANK, index[s], answer);
}

static void write_blanks(pen *w, const nn_problem *p, dice *d) {
    size_t index[NN_ADD_MOST_DIGITS + 1];
    choose_slots(d, w->task->slots, longest(p) + 1, index);
    put_slots(w, index, p->a, p->a_digits, false);
    put(w, NN_ADD_PLUS, 0, false);
    put_slots(w, index, p->b, p->b_digits, false);
    put(w, NN_ADD_EQUALS, 0, true);
    w->asking = true;
    put_slots(w, index, p->c, p->c_digits, true);
    w->asking = false;
}

static void write_problem(pen *w, const nn_problem *p, dice *d) {
    switch (w->task->layout) {
        case NN_ADD_ONE_PASS: write_one_pass(w, p); break;
        case NN_ADD_BLANKS: write_blanks(w, p, d); break;
        default: write_plain(w, p);
    }
}

void nn_addition_train_rows(const nn_addition *task, uint64_t seed, uint64_t step, nn_add_rows *r) {
    /* A packed row holds fewer problems than tokens: its problems have numbers of their own. */
    const size_t in_row = task->layout == NN_ADD_PACKED ? task->packed_len : 1;
    for (size_t row = 0; row < r->rows; row++) {
        const uint64_t number = (step * r->rows + row) * in_row;
        dice d = dice_of(seed, STREAM_ROW, number);
        pen w = {.task = task, .rows = r, .base = row * r->len};
        w.offset = task->most_offset ? (int)below(&d, task->most_offset + 1) : 0;
        clear_row(r, w.base);
        for (size_t i = 0; i < in_row && w.at < r->len; i++) {
            nn_problem p;
            nn_addition_draw(task, seed, number + i, &p);
            w.segment = task->fault == NN_FAULT_ONE_SEGMENT ? 0 : (int)i;
            w.owner = (int)(row * in_row + i);
            write_problem(&w, &p, &d);
        }
    }
}

void nn_addition_rows_of(const nn_addition *task, const nn_problem *p, size_t n, nn_add_rows *r) {
    for (size_t row = 0; row < r->rows; row++) {
        pen w = {.task = task, .rows = r, .base = row * r->len, .owner = (int)row};
        clear_row(r, w.base);
        if (row >= n) continue;
        dice d = dice_of(hash_of(&p[row]), STREAM_ROW, 0);
        write_problem(&w, &p[row], &d);
    }
}

void nn_addition_test_rows(const nn_addition *task, const nn_problem *p, size_t n, nn_add_rows *r) {
    nn_addition as = *task;
    if (task->fault == NN_FAULT_TEST_NOT_REVERSED) as.reversed = !as.reversed;
    nn_addition_rows_of(&as, p, n, r);
}
