/* The canonical form: one text for one value, and back. */
#include <float.h>
#include <stdlib.h>
#include <unistd.h>

#include "../tap.h"
#include "base/alloc.h"
#include "base/json.h"
#include "base/rng.h"

static void canonical_is(const char *text, const char *want, const char *name) {
    spak_error err = {0};
    json_t *value = NULL;
    spak_str out = {0};
    bool good = spak_json_parse("test", text, strlen(text), &value, &err) && spak_json_canonical(value, &out, &err);
    if (!good) printf("# %s\n", err.message);
    is_str(spak_str_text(&out), want, "%s", name);
    json_decref(value);
    spak_str_free(&out);
}

static void test_forms(void) {
    canonical_is(" { \"b\" : 1 , \"a\" : [ true , null , false ] } ", "{\"a\":[true,null,false],\"b\":1}",
                 "no white space");
    canonical_is("{\"z\":{\"y\":1,\"x\":2},\"Z\":0,\"a\":{},\"\xc3\xa9\":[],\"\":1}",
                 "{\"\":1,\"Z\":0,\"a\":{},\"z\":{\"x\":2,\"y\":1},\"\xc3\xa9\":[]}",
                 "keys sorted by byte, at each level");
    canonical_is("{\"ab\":1,\"a\":2,\"abc\":3}", "{\"a\":2,\"ab\":1,\"abc\":3}", "a shorter key first");
    canonical_is("\"\\u0001\\n\\t\\\"\\\\\\/\\u007f\"", "\"\\u0001\\u000a\\u0009\\\"\\\\/\\u007f\"", "escapes");
    canonical_is("\"\\u00e9\\u20ac\\ud83d\\ude00\"", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"",
                 "UTF-8 stands for itself");
    canonical_is("[0, -0, 7, -9223372036854775808, 9223372036854775807]",
                 "[0,0,7,-9223372036854775808,9223372036854775807]", "integers");
    canonical_is("[0.1, 1.50, 100.0, -0.0, 0.0, 1e22, 1E5, 1e-7, 0.3333333333333333]",
                 "[0.1,1.5,1e+02,-0.0,0.0,1e+22,1e+05,1e-07,0.3333333333333333]", "reals stay reals");
}

/* The definition: the first of 1, 2, ... 17 digits whose text reads back. */
static void number_text_by_counting(double value, char out[32]) {
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(out, 32, "%.*g", digits, value);
        if (strtod(out, NULL) == value) break;
    }
    if (!strpbrk(out, ".e")) strcat(out, ".0");
}

static bool round_trips(double value) {
    char text[32], counted[32];
    spak_number_text(value, text);
    number_text_by_counting(value, counted);
    if (strcmp(text, counted) != 0) return false;
    double back = strtod(text, NULL);
    if (memcmp(&back, &value, sizeof value) != 0 || !strpbrk(text, ".e")) return false;
    char shorter[400]; /* no text with one digit less reads back */
    int digits = 0;
    bool leading = true;
    for (const char *c = text; *c && *c != 'e'; c++) {
        if (*c < '0' || *c > '9' || (leading && *c == '0')) continue;
        leading = false;
        digits++;
    }
    if (value == 0 || strstr(text, ".0") || digits < 2) return true;
    snprintf(shorter, sizeof shorter, "%.*g", digits - 1, value);
    return strtod(shorter, NULL) != value;
}

static void test_numbers(void) {
    static const double hard[] = {
        0.0,  -0.0,   DBL_MIN,     DBL_MAX,      DBL_TRUE_MIN,       -DBL_TRUE_MIN,           0.1,  1.0 / 3, 1e22,
        1e23, 5e-324, DBL_EPSILON, 123456789.0,  9007199254740993.0, 2.2250738585072011e-308, 1e15, 1e16,    1e17,
        0.5,  1e-5,   299792458.0, 6.02214076e23};
    int wrong = 0;
    for (size_t i = 0; i < sizeof hard / sizeof *hard; i++)
        if (!round_trips(hard[i])) printf("# %a does not round-trip\n", hard[i]), wrong++;
    is_int(wrong, 0, "hard doubles read back as themselves from their shortest text");
    spak_mt mt;
    spak_mt_seed(&mt, 2026);
    int tried = 0, denormals = 0;
    while (tried < 20000) {
        uint64_t bits = spak_mt_getrandbits(&mt, 64);
        if (tried % 10 == 0) bits &= 0x800fffffffffffffu; /* a denormal */
        double value;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value)) continue;
        tried++;
        denormals += fpclassify(value) == FP_SUBNORMAL;
        wrong += !round_trips(value);
    }
    is_int(wrong, 0, "so do %d random ones, %d of them denormal", tried, denormals);
    for (int i = 0; i < 20000; i++) { /* of few digits and any exponent */
        char text[40];
        snprintf(text, sizeof text, "%llde%d",
                 (long long)spak_mt_below(&mt, 10000000000000000) >> spak_mt_below(&mt, 52),
                 (int)spak_mt_below(&mt, 600) - 310);
        double value = strtod(text, NULL);
        if (isfinite(value)) wrong += !round_trips(value);
    }
    for (int e = -1074; e < 1024; e++) wrong += !round_trips(ldexp(1, e));
    is_int(wrong, 0, "and so do short decimals and powers of two");
}

static void test_stable(void) {
    spak_mt mt;
    spak_mt_seed(&mt, 3);
    int wrong = 0;
    for (int i = 0; i < 500; i++) {
        json_t *value = json_object(), *again = NULL;
        for (int k = 0; k < 12; k++) {
            char key[24];
            snprintf(key, sizeof key, "%llx", (unsigned long long)spak_mt_getrandbits(&mt, 12));
            json_object_set_new(value, key, k % 2 ? json_real(spak_mt_gauss(&mt, 0, 1e3)) : json_integer(k));
        }
        spak_str one = {0}, two = {0};
        spak_error err = {0};
        bool good = spak_json_canonical(value, &one, &err) && spak_json_parse("t", one.data, one.len, &again, &err) &&
                    spak_json_canonical(again, &two, &err) && strcmp(one.data, two.data) == 0 &&
                    json_equal(value, again);
        wrong += !good;
        spak_str_free(&one);
        spak_str_free(&two);
        json_decref(value);
        json_decref(again);
    }
    is_int(wrong, 0, "the canonical form of what it reads back as is itself");
}

static json_t *nested(int levels) {
    json_t *value = json_integer(1);
    for (int i = 0; i < levels; i++) value = json_pack("[o]", value);
    return value;
}

static void test_failures(void) {
    spak_error err = {0};
    spak_str out = {0};
    json_t *value = nested(200);
    ok(spak_json_canonical(value, &out, &err), "200 levels");
    json_decref(value);
    value = nested(201);
    ok(!spak_json_canonical(value, &out, &err) && strstr(err.message, "deeper than 200"), "not 201: %s", err.message);
    json_decref(value);
    ok(!spak_json_canonical(json_real((double)NAN), &out, &err) && strstr(err.message, "not finite"), "NaN: %s",
       err.message);
    ok(!spak_json_canonical(json_real((double)-INFINITY), &out, &err), "infinity: %s", err.message);
    spak_str_free(&out);
    value = NULL;
    const char *bad[] = {"", "{", "{\"a\":1,\"a\":2}", "[1,]", "NaN", "\"\xff\"", "1e999", "{} x", "\"\\u0000\""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err.message[0] = 0;
        ok(!spak_json_parse("file.json", bad[i], strlen(bad[i]), &value, &err) && !value &&
               strstr(err.message, "file.json:1:"),
           "refused: '%zu': %s", i, err.message);
    }
    ok(!spak_json_parse("f", "\n\n [1,\n  x]", 11, &value, &err) && strstr(err.message, "f:4:"), "line and column: %s",
       err.message);
    ok(!spak_json_load("/nonexistent.json", &value, &err) && strstr(err.message, "/nonexistent.json"), "no file: %s",
       err.message);
}

static void test_memory(void) {
    const char *text =
        "{\"key\":[1.25,2,\"a text that is long enough to outgrow the scanner's first buffer\",{\"x\":"
        "0.12345678901234566}],\"other\":12345678901234567}";
    spak_error err = {0};
    long n = 0, clean = 0;
    bool done = false;
    for (; !done && n < 500; n++) {
        json_t *value = NULL;
        spak_str out = {0};
        spak_alloc_fail_after(n);
        done = spak_json_parse("t", text, strlen(text), &value, &err) && spak_json_canonical(value, &out, &err);
        spak_alloc_fail_after(-1);
        if (done)
            is_str(spak_str_text(&out), text, "with memory, all of it is read");
        else
            clean += strstr(err.message, "out of memory") != NULL;
        json_decref(value);
        spak_str_free(&out);
    }
    ok(n > 10 && n < 500, "%ld allocations", n - 1);
    is_int(clean, n - 1, "each failure of one is an error about memory, never half a value (%s)", err.message);
}

static void test_lookups(void) {
    json_t *o =
        json_pack("{s:s, s:i, s:f, s:f, s:b, s:n}", "s", "text", "i", 7, "whole", 3.0, "half", 2.5, "b", 1, "n");
    is_str(spak_json_str(o, "s", "x"), "text", "string");
    is_str(spak_json_str(o, "i", "x"), "x", "a number is no string");
    is_near(spak_json_num(o, "i", 0), 7, 0, "an integer is a number");
    is_near(spak_json_num(o, "s", -1), -1, 0, "a string is none");
    is_int(spak_json_int(o, "whole", 0), 3, "a whole real is an integer");
    is_int(spak_json_int(o, "half", -1), -1, "a half is none");
    is_int(spak_json_int(o, "absent", -1), -1, "absent");
    ok(spak_json_bool(o, "b", false) && spak_json_bool(o, "n", true) && !spak_json_bool(NULL, "b", false), "booleans");
    json_decref(o);
}

int main(void) {
    spak_json_init();
    test_forms();
    test_numbers();
    test_stable();
    test_failures();
    test_memory();
    test_lookups();
    return done_testing();
}
