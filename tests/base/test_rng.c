/* Random streams against published vectors, stored ones from CPython, and python3 itself where it is present. */
#include <stdint.h>
#include <stdlib.h>

#include "../tap.h"
#include "base/rng.h"
#include "mt_vectors.h"

/* The vectors of the Random123 distribution (kat_vectors): counter words 0..3, key words 0..1, output. */
static void test_philox_vectors(void) {
    static const struct {
        uint32_t counter[4], key[2], want[4];
    } vectors[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        const uint32_t *c = vectors[i].counter, *k = vectors[i].key;
        uint32_t out[4];
        spak_philox(k[0] | (uint64_t)k[1] << 32, c[2] | (uint64_t)c[3] << 32, c[0] | (uint64_t)c[1] << 32, out);
        ok(memcmp(out, vectors[i].want, sizeof out) == 0, "Philox4x32-10, vector %zu", i);
    }
}

enum { MANY = 1 << 20 };

static void test_fills(float *x) {
    size_t wrong = 0;
    spak_philox_fill_uniform(x, 1003, 0, 1, 5, 9);
    for (size_t i = 0; i < 1003; i++) wrong += x[i] != spak_philox_uniform(5, 9, i);
    is_int(wrong, 0, "the uniform fill is the element function");
    spak_philox_fill_normal(x, 1003, 0, 1, 5, 9);
    for (size_t i = 0; i < 1003; i++) wrong += x[i] != spak_philox_normal(5, 9, i);
    is_int(wrong, 0, "the normal fill is the element function");
    for (size_t i = 0; i + 4 <= 1003; i += 4) {
        float four[4];
        spak_philox_normals(5, 9, i / 4, four);
        wrong += memcmp(four, x + i, sizeof four) != 0;
    }
    is_int(wrong, 0, "and so are the normals of a block");
    x[1002] = -7;
    spak_philox_fill_normal(x, 1002, 0, 1, 5, 9);
    ok(x[1002] == -7, "a fill writes n elements and no more");
    spak_philox_fill_uniform(x, MANY, 1e6f, 1e6f + 1, 1, 1);
    size_t outside = 0;
    for (size_t i = 0; i < MANY; i++) outside += !(x[i] >= 1e6f && x[i] < 1e6f + 1);
    is_int(outside, 0, "uniform stays below its upper end, where the type is coarse too");
    int same = 0;
    for (uint64_t i = 0; i < 1000; i++) {
        same += spak_philox_uniform(1, 0, i) == spak_philox_uniform(2, 0, i);
        same += spak_philox_uniform(1, 0, i) == spak_philox_uniform(1, 1, i);
        same += spak_philox_uniform(1, 0, i) == spak_philox_uniform(1, 0, i + (1ull << 40));
    }
    ok(same <= 2, "other seeds, streams and far indices give other numbers");
}

/* Sample moments; the tolerances are five standard errors of each, from n = 2^20. */
static void test_moments(float *x) {
    double sum = 0, square = 0, cube = 0, fourth = 0, lag = 0, n = MANY, se = 1 / sqrt(n);
    spak_philox_fill_uniform(x, MANY, 0, 1, 123, 0);
    double least = 1, most = 0;
    for (size_t i = 0; i < MANY; i++) {
        double d = x[i] - 0.5;
        sum += d;
        square += d * d;
        if (i) lag += d * (x[i - 1] - 0.5);
        least = fmin(least, x[i]);
        most = fmax(most, x[i]);
    }
    ok(least >= 0 && most < 1 && least < 1e-5 && most > 1 - 1e-5, "uniform covers [0, 1)");
    is_near(sum / n, 0, 5 * se / sqrt(12), "mean 1/2");
    is_near(square / n, 1.0 / 12, 5 * se / sqrt(180), "variance 1/12");
    is_near(lag / n, 0, 5 * se / 12, "neighbours are not correlated");
    sum = square = lag = 0;
    spak_philox_fill_normal(x, MANY, 3, 2, 123, 0);
    for (size_t i = 0; i < MANY; i++) {
        double d = (x[i] - 3) / 2;
        sum += d;
        square += d * d;
        cube += d * d * d;
        fourth += d * d * d * d;
        if (i) lag += d * (x[i - 1] - 3) / 2;
    }
    is_near(sum / n, 0, 5 * se, "normal: mean");
    is_near(square / n, 1, 5 * se * sqrt(2), "variance");
    is_near(cube / n, 0, 5 * se * sqrt(15), "no skew");
    is_near(fourth / n, 3, 5 * se * sqrt(96), "fourth moment 3");
    is_near(lag / n, 0, 5 * se, "the two of a Box-Muller pair are not correlated");
    size_t not_finite = 0;
    for (size_t i = 0; i < MANY; i++) not_finite += !isfinite(x[i]);
    is_int(not_finite, 0, "all finite");
}

static const double weights[5] = {1, 0, 2.5, 4, 0.5};

static void test_mt_vectors(void) {
    static const int bits[6] = {1, 7, 32, 33, 53, 64};
    for (size_t v = 0; v < sizeof mt_vectors / sizeof *mt_vectors; v++) {
        const struct mt_vector *want = &mt_vectors[v];
        unsigned long long seed = want->seed;
        spak_mt mt;
        spak_mt_seed(&mt, want->seed);
        int wrong = 0;
        for (int i = 0; i < 5; i++) wrong += spak_mt_random(&mt) != want->random[i];
        is_int(wrong, 0, "seed %llu: random", seed);
        for (int i = 0; i < 5; i++) wrong += spak_mt_gauss(&mt, 10, 3) != want->gauss[i];
        is_int(wrong, 0, "seed %llu: gauss, pairs kept", seed);
        for (int i = 0; i < 6; i++) wrong += spak_mt_getrandbits(&mt, bits[i]) != want->bits[i];
        is_int(wrong, 0, "seed %llu: getrandbits", seed);
        size_t items[12];
        for (size_t i = 0; i < 12; i++) items[i] = i;
        spak_mt_shuffle(&mt, items, 12);
        ok(memcmp(items, want->shuffled, sizeof items) == 0, "seed %llu: shuffle", seed);
        for (int i = 0; i < 6; i++) wrong += spak_mt_choice_weighted(&mt, weights, 5) != want->chosen[i];
        is_int(wrong, 0, "seed %llu: choices", seed);
        for (int i = 0; i < 4; i++) wrong += spak_mt_below(&mt, 1000003) != want->below[i];
        is_int(wrong, 0, "seed %llu: below", seed);
    }
    spak_mt mt;
    spak_mt_seed(&mt, 9);
    size_t one[1] = {5};
    spak_mt_shuffle(&mt, one, 1);
    spak_mt_shuffle(&mt, one, 0);
    is_int(one[0], 5, "one item, or none, shuffles to itself");
    is_int(spak_mt_below(&mt, 1), 0, "below 1 there is 0");
}

/* Compares with python3 on seeds that no stored vector has, past several renewals of the state. */
static void test_mt_live(void) {
    if (system("python3 -c pass 2>/dev/null") != 0) {
        skip_test("no python3 here to compare with");
        return;
    }
    FILE *python = popen(
        "python3 -c '\n"
        "import random\n"
        "for seed in range(1000, 1030):\n"
        "    r = random.Random(seed * 2**33 + seed)\n"
        "    for i in range(300): print(r.random().hex(), r.gauss(-1, 0.5).hex())\n"
        "    l = list(range(200)); r.shuffle(l); print(*l)\n"
        "    for i in range(20): print(r.choices(range(5), [1, 0, 2.5, 4, 0.5])[0], r.getrandbits(61))'",
        "r");
    if (!ok(python != NULL, "python3 runs")) return;
    long wrong = 0, compared = 0;
    for (uint64_t seed = 1000; seed < 1030; seed++) {
        spak_mt mt;
        spak_mt_seed(&mt, seed * (1ull << 33) + seed);
        double u, g;
        for (int i = 0; i < 300; i++, compared++) {
            if (fscanf(python, "%la %la", &u, &g) != 2) break;
            double mine = spak_mt_random(&mt);
            wrong += mine != u || spak_mt_gauss(&mt, -1, 0.5) != g;
        }
        size_t items[200], item;
        for (size_t i = 0; i < 200; i++) items[i] = i;
        spak_mt_shuffle(&mt, items, 200);
        for (size_t i = 0; i < 200; i++, compared++) wrong += fscanf(python, "%zu", &item) != 1 || item != items[i];
        unsigned long long word;
        for (int i = 0; i < 20; i++, compared++) {
            if (fscanf(python, "%zu %llu", &item, &word) != 2) break;
            size_t chosen = spak_mt_choice_weighted(&mt, weights, 5);
            wrong += chosen != item || spak_mt_getrandbits(&mt, 61) != word;
        }
    }
    pclose(python);
    is_int(compared, 30 * 520, "python3 printed its numbers");
    is_int(wrong, 0, "and they are ours, bit for bit");
}

int main(void) {
    float *x = malloc(MANY * sizeof *x);
    if (!x) return 1;
    test_philox_vectors();
    test_fills(x);
    test_moments(x);
    test_mt_vectors();
    test_mt_live();
    free(x);
    return done_testing();
}
