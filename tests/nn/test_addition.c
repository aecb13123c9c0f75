/* The problems of addition: what is drawn, how it is written, and that the gates see what is wrong. */
#include <stdlib.h>
#include <string.h>

#include "../tap.h"
#include "base/alloc.h"
#include "nn/addition.h"

static nn_addition task_of(const char *json) {
    nn_addition task;
    spak_error err = {""};
    json_error_t where;
    json_t *value = json_loads(json, 0, &where);
    if (!value || !nn_addition_read(value, &task, &err)) printf("# %s: %s\n", json, err.message);
    json_decref(value);
    return task;
}

static nn_problem problem_of(const char *a, const char *b) {
    nn_problem p = {0};
    p.a_digits = strlen(a), p.b_digits = strlen(b);
    for (size_t i = 0; i < p.a_digits; i++) p.a[i] = (unsigned char)(a[p.a_digits - 1 - i] - '0');
    for (size_t i = 0; i < p.b_digits; i++) p.b[i] = (unsigned char)(b[p.b_digits - 1 - i] - '0');
    return p;
}

static unsigned long long number(const unsigned char *digits, size_t n) {
    unsigned long long x = 0;
    while (n) x = 10 * x + digits[--n];
    return x;
}

static void test_draws(void) {
    nn_addition clean = task_of("{}"), published = task_of("{\"protocol\": \"published\"}");
    size_t wrong = 0, kept = 0, leading = 0, by_length[NN_ADD_MOST_DIGITS] = {0}, bridge = 0;
    enum { N = 20000 };
    for (uint64_t i = 0; i < N; i++) {
        nn_problem p, q;
        nn_addition_draw(&clean, 7, i, &p);
        wrong += number(p.a, p.a_digits) + number(p.b, p.b_digits) != number(p.c, p.c_digits);
        leading += (p.a_digits > 1 && !p.a[p.a_digits - 1]) || (p.c_digits > 1 && !p.c[p.c_digits - 1]);
        kept += nn_problem_is_test(&p);
        by_length[p.a_digits > p.b_digits ? p.a_digits : p.b_digits]++;
        nn_addition_draw(&published, 7, i, &q);
        bridge += q.a_digits > 4 || q.b_digits > 4;
    }
    is_int((long long)wrong, 0, "every sum is right");
    is_int((long long)leading, 0, "no number begins with a zero");
    is_int((long long)kept, 0, "no test problem is drawn in training");
    ok(by_length[5] == 0 && by_length[4] > N / 3 && by_length[1] > N / 40,
       "1 to 4 digits, most of them 4: %zu %zu %zu %zu", by_length[1], by_length[2], by_length[3], by_length[4]);
    /* Bridge: 0.3 of the problems; the longer operand has more than 4 digits unless both draws stay below:
     * 1 - mean((4/5)^2, (4/6)^2) = 0.458, less 1 in 10 that lose a leading zero at 5 digits. */
    ok(bridge > 0.3 * 0.40 * N && bridge < 0.3 * 0.50 * N, "published: %zu of %d have more than 4 digits", bridge, N);
    nn_problem a, b, c;
    nn_addition_draw(&clean, 7, 11, &a);
    nn_addition_draw(&clean, 7, 11, &b);
    nn_addition_draw(&clean, 8, 11, &c);
    ok(memcmp(a.a, b.a, a.a_digits) == 0 && a.a_digits == b.a_digits, "the same number, the same problem");
    ok(number(a.a, a.a_digits) != number(c.a, c.a_digits) || number(a.b, a.b_digits) != number(c.b, c.b_digits),
       "another seed, another problem");
}

static void test_carries(void) {
    nn_problem p = problem_of("999", "1"), q = problem_of("5555", "5055");
    is_int((long long)nn_problem_carries(&p), 3, "999 + 1 carries three times");
    is_int((long long)nn_problem_carries(&q), 3, "5555 + 5055: three columns carry");
}

static void test_sets(void) {
    enum { N = 2000 };
    static nn_problem p[N];
    size_t found;
    spak_error err = {""};
    for (size_t digits = 1; digits <= 128; digits = digits < 4 ? digits + 1 : digits * 4) {
        ok(nn_addition_test_set(NN_ADD_RANDOM, digits, 1, N, p, &found, &err), "%zu digits: %zu problems %s", digits,
           found, err.message);
        size_t bad = 0, twice = 0;
        for (size_t i = 0; i < found; i++) {
            bad += p[i].a_digits != digits || p[i].b_digits != digits || !nn_problem_is_test(&p[i]);
            for (size_t j = 0; digits == 2 && j < i; j++)
                twice += memcmp(p[i].a, p[j].a, digits) == 0 && memcmp(p[i].b, p[j].b, digits) == 0;
        }
        is_int((long long)bad, 0, "of that length, and all of the test quarter");
        if (digits == 1) {
            size_t all = 0;
            for (int a = 0; a < 10; a++)
                for (int b = 0; b < 10; b++) {
                    nn_problem one = {.a_digits = 1, .b_digits = 1, .a = {(unsigned char)a}, .b = {(unsigned char)b}};
                    all += nn_problem_is_test(&one);
                }
            is_int((long long)found, (long long)all, "all that there are of one digit");
        }
        if (digits == 2) is_int((long long)twice, 0, "no problem twice");
        if (digits > 2) is_int((long long)found, N, "as many as asked for");
    }
    ok(nn_addition_test_set(NN_ADD_FULL_CHAINS, 12, 1, N, p, &found, &err) && found == N, "full chains");
    size_t broken = 0, carried = 0;
    for (size_t i = 0; i < found; i++) broken += nn_problem_carries(&p[i]) != 12;
    is_int((long long)broken, 0, "each carries through all columns");
    ok(nn_addition_test_set(NN_ADD_CHAINS, 12, 1, N, p, &found, &err) && found == N, "made chains");
    for (size_t i = 0; i < found; i++) carried += p[i].a[0] + p[i].b[0] >= 10;
    ok(carried > 0.58 * N && carried < 0.68 * N, "a carry enters below in 0.63 of them: %zu of %d", carried, N);
    ok(!nn_addition_test_set(NN_ADD_RANDOM, 129, 1, N, p, &found, &err) && strstr(err.message, "128"), "%s",
       err.message);
}

static void shows(const char *json, const char *a, const char *b, size_t digits, const char *want) {
    nn_addition task = task_of(json);
    nn_problem p = problem_of(a, b);
    /* c by hand, as test sets have it */
    unsigned long long sum = number(p.a, p.a_digits) + number(p.b, p.b_digits);
    for (p.c_digits = 0; sum || !p.c_digits; sum /= 10) p.c[p.c_digits++] = (unsigned char)(sum % 10);
    nn_add_rows *rows;
    spak_error err = {""};
    if (!nn_add_rows_new(1, nn_addition_test_len(&task, digits), &rows, &err)) return;
    nn_addition_test_rows(&task, &p, 1, rows);
    spak_str text = {0};
    nn_add_rows_show(rows, 0, &text);
    is_str(text.data, want, "%s", json);
    ok(nn_add_rows_check(&task, rows, &err), "its masks are right %s", err.message);
    spak_str_free(&text);
    nn_add_rows_free(rows);
}

static void test_layouts(void) {
    shows("{}", "123", "89", 3, "321+98=[212\\n]_");
    shows("{\"reversed\": false}", "123", "89", 3, "123+89=[212\\n]_");
    shows("{\"mask_operands\": false}", "123", "89", 3, "3[21+98=212\\n]_");
    shows("{\"layout\": \"one_pass\"}", "123", "89", 3, "321+980=[????]");
    shows("{\"layout\": \"blanks\", \"slots\": 3, \"most_digits\": 2}", "45", "67", 2, "540+760=[21]");
}

/* Every layout and protocol, many batches: what is written passes the check that shares no code with it. */
static void test_batches(void) {
    static const char *const tasks[] = {"{}",
                                        "{\"protocol\": \"published\"}",
                                        "{\"layout\": \"packed\"}",
                                        "{\"layout\": \"packed\", \"protocol\": \"published\"}",
                                        "{\"layout\": \"blanks\", \"most_offset\": 5}",
                                        "{\"layout\": \"one_pass\", \"chain_share\": 0.3}",
                                        "{\"mask_operands\": false}",
                                        "{\"reversed\": false}",
                                        "{\"layout\": \"packed\", \"reversed\": false, \"mask_operands\": false}"};
    for (size_t k = 0; k < sizeof tasks / sizeof *tasks; k++) {
        nn_addition task = task_of(tasks[k]);
        nn_add_rows *rows;
        spak_error err = {""};
        if (!ok(nn_add_rows_new(64, nn_addition_train_len(&task), &rows, &err), "rows")) continue;
        bool good = true;
        for (uint64_t step = 0; step < 30 && good; step++) {
            nn_addition_train_rows(&task, 3, step, rows);
            good = nn_add_rows_check(&task, rows, &err);
        }
        ok(good, "%s: batches are right %s", tasks[k], err.message);
        nn_add_rows_free(rows);
    }
}

/* Faults in a batch, one at a time: each is seen. */
static void test_check_sees(void) {
    static const char *const tasks[] = {"{}", "{\"layout\": \"packed\"}", "{\"layout\": \"blanks\"}",
                                        "{\"layout\": \"one_pass\"}"};
    for (size_t k = 0; k < sizeof tasks / sizeof *tasks; k++) {
        nn_addition task = task_of(tasks[k]);
        nn_add_rows *rows;
        spak_error err = {""};
        if (!ok(nn_add_rows_new(4, nn_addition_train_len(&task), &rows, &err), "rows")) continue;
        size_t missed[3] = {0};
        for (size_t t = 0; t < rows->len; t++) {
            nn_addition_train_rows(&task, 3, 0, rows);
            int32_t *target = &rows->targets[rows->len + t], old = *target;
            *target = old < 0 ? 3 : -1;
            missed[0] += nn_add_rows_check(&task, rows, &err);
            *target = old < 0 ? old : (old + 1) % 10;
            missed[1] += old >= 0 && nn_add_rows_check(&task, rows, &err);
            *target = old;
            int32_t *token = &rows->tokens[rows->len + t], digit = *token;
            if (digit > 9) continue;
            *token = (digit + 1) % 10;
            /* In a packed row the last sum may be cut before the digit that would show it. */
            if (task.layout != NN_ADD_PACKED || t + 24 < rows->len) missed[2] += nn_add_rows_check(&task, rows, &err);
        }
        is_int((long long)missed[0], 0, "%s: a target too many or too few is seen", tasks[k]);
        is_int((long long)missed[1], 0, "a wrong target is seen");
        is_int((long long)missed[2], 0, "a wrong digit is seen: %s", err.message);
        nn_add_rows_free(rows);
    }
}

static void test_format(void) {
    nn_addition a = task_of("{}"), b = task_of("{\"reversed\": false}"), c = task_of("{\"layout\": \"one_pass\"}");
    spak_error err = {""};
    ok(nn_addition_same_format(&a, &a, &err), "the same format");
    ok(!nn_addition_same_format(&a, &b, &err) && strstr(err.message, "321+98=[212") &&
           strstr(err.message, "123+89=[212"),
       "%s", err.message);
    ok(!nn_addition_same_format(&a, &c, &err), "%s", err.message);
}

static void refused(const char *json, const char *what) {
    nn_addition task;
    spak_error err = {""};
    json_error_t where;
    json_t *value = json_loads(json, 0, &where);
    ok(!nn_addition_read(value, &task, &err) && strstr(err.message, what), "%s: %s", json, err.message);
    json_decref(value);
}

static void test_refusals(void) {
    refused("{\"layout\": \"diagonal\"}", "task.layout");
    refused("{\"protocol\": 3}", "task.protocol");
    refused("{\"most_digits\": 0}", "task.most_digits");
    refused("{\"most_digits\": 2.5}", "task.most_digits");
    refused("{\"chain_share\": 1.5}", "task.chain_share");
    refused("{\"digits\": 4}", "task.digits");
    refused("{\"layout\": \"blanks\", \"slots\": 4}", "task.slots");
    refused("{\"layout\": \"blanks\", \"slots\": 5, \"protocol\": \"published\"}", "task.slots");
    refused("{\"layout\": \"one_pass\", \"reversed\": false}", "task.reversed");
}

int main(void) {
    spak_json_init();
    test_draws();
    test_carries();
    test_sets();
    test_layouts();
    test_batches();
    test_check_sees();
    test_format();
    test_refusals();
    return done_testing();
}
