/* spak device: this machine's processor and GPU, as `hardware` blocks of the language. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "cli/cli.h"
#include "device/device.h"
#include "device/gpu.h"

static const char usage[] =
    "usage: spak device [--measure] [--json]\n"
    "\n"
    "Prints this machine's processor and, when there is one, its GPU as `hardware` blocks in the language, or as "
    "JSON.\n"
    "Without a GPU it says why there is none; that is no failure.\n"
    "    --measure    also how fast the GPU's memory is copied: bytes read and written, the median of many copies "
    "with\n"
    "                 quartiles, and the clocks, power and temperature before and after\n"
    "\n"
    "SPAK_GPU=N picks a GPU, SPAK_GPU=none pretends that there is none. Exit status: 0 done, 1 a measurement or the\n"
    "output failed, 2 wrong usage.\n";

enum { SAMPLES = 51 };

/* --- what is known --- */

/* Adds "copy_bandwidth_gb_s": {"median", "q1", "q3", "samples", "bytes"} and the states around it. */
static bool measure(dev_gpu *gpu, json_t *hw, spak_error *err) {
    double rate[SAMPLES];
    size_t bytes;
    json_t *before = NULL, *after = NULL;
    bool ok = dev_gpu_state(gpu, &before, err) && dev_gpu_copy_bandwidth(gpu, rate, SAMPLES, &bytes, err) &&
              dev_gpu_state(gpu, &after, err);
    if (ok) {
        dev_spread s = dev_spread_of(rate, SAMPLES);
        ok = spak_json_set(hw, "copy_bandwidth_gb_s",
                           json_pack("{s:f, s:f, s:f, s:i, s:I}", "median", s.median, "q1", s.q1, "q3", s.q3, "samples",
                                     SAMPLES, "bytes", (json_int_t)bytes),
                           err) &&
             spak_json_set(hw, "before", json_incref(before), err) &&
             spak_json_set(hw, "after", json_incref(after), err);
    }
    json_decref(before);
    json_decref(after);
    return ok;
}

/* {"cpu": {...}, "gpu": {...} or null, "why_no_gpu": text} */
static bool collect(bool measured, json_t **out, spak_error *err) {
    json_t *machine = json_object(), *cpu = NULL, *gpu = NULL;
    spak_error why = {0};
    bool ok = machine || spak_fail_oom(err);
    ok = ok && dev_describe(&cpu, err) && spak_json_set(machine, "cpu", json_incref(cpu), err);
    dev_gpu *device = ok ? dev_gpu_get(&why) : NULL;
    if (device) {
        ok = dev_gpu_describe(&gpu, err) && (!measured || measure(device, gpu, err));
        if (ok) json_object_del(gpu, "host"); /* stands there already */
        ok = ok && spak_json_set(machine, "gpu", json_incref(gpu), err);
    } else {
        ok = ok && spak_json_set(machine, "gpu", json_null(), err) &&
             spak_json_set(machine, "why_no_gpu", json_string(why.message), err);
    }
    json_decref(cpu);
    json_decref(gpu);
    if (!ok) json_decref(machine);
    *out = ok ? machine : NULL;
    return ok;
}

/* --- as text --- */

static void put_string(spak_str *out, const char *text) {
    spak_str_putc(out, '"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') spak_str_putc(out, '\\');
        spak_str_putc(out, (unsigned char)*text < ' ' ? ' ' : *text);
    }
    spak_str_putc(out, '"');
}

static void put_value(spak_str *out, const json_t *value) {
    char number[32];
    size_t i;
    json_t *item;
    if (json_is_string(value)) put_string(out, json_string_value(value));
    if (json_is_integer(value)) spak_str_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    if (json_is_real(value)) {
        spak_number_text(json_real_value(value), number);
        spak_str_puts(out, number);
    }
    if (json_is_array(value)) {
        spak_str_putc(out, '[');
        json_array_foreach((json_t *)value, i, item) {
            if (i) spak_str_puts(out, ", ");
            put_value(out, item);
        }
        spak_str_putc(out, ']');
    }
}

static void put_members(spak_str *out, const json_t *object, int depth) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value) {
        if (depth == 1 && !strcmp(key, "id")) continue;                  /* the block's name */
        if (json_is_object(value) && !json_object_size(value)) continue; /* nothing could be read */
        spak_str_printf(out, "%*s%s", 4 * depth, "", key);
        if (json_is_object(value)) {
            spak_str_puts(out, " {\n");
            put_members(out, value, depth + 1);
            spak_str_printf(out, "%*s}\n", 4 * depth, "");
        } else {
            spak_str_puts(out, ": ");
            put_value(out, value);
            spak_str_putc(out, '\n');
        }
    }
}

static void put_hardware(spak_str *out, const json_t *hw) {
    spak_str_puts(out, "hardware ");
    put_string(out, spak_json_str(hw, "id", "unknown"));
    spak_str_puts(out, " {\n");
    put_members(out, hw, 1);
    spak_str_puts(out, "}\n");
}

/* The reason is a comment, in one line whatever it holds. */
static void put_reason(spak_str *out, const char *why) {
    spak_str_puts(out, "\n// no GPU: ");
    for (; *why; why++) spak_str_putc(out, *why == '\n' ? ' ' : *why);
    spak_str_putc(out, '\n');
}

static bool print(const json_t *machine, bool as_json, spak_error *err) {
    spak_str out = {0};
    const json_t *gpu = json_object_get(machine, "gpu");
    bool ok = true;
    if (as_json) {
        ok = spak_json_canonical(machine, &out, err);
        spak_str_putc(&out, '\n');
    } else {
        spak_str_puts(&out, "---\ntitle: \"This machine\"\n---\n\n");
        put_hardware(&out, json_object_get(machine, "cpu"));
        if (json_is_object(gpu))
            put_hardware(&out, gpu);
        else
            put_reason(&out, spak_json_str(machine, "why_no_gpu", ""));
    }
    ok = ok && spak_str_ok(&out, err);
    if (ok) fputs(spak_str_text(&out), stdout);
    spak_str_free(&out);
    return ok;
}

int cli_device(int argc, char **argv) {
    bool measured = false, as_json = false;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help")) return fputs(usage, stdout), CLI_OK;
        if (!strcmp(argv[i], "--measure"))
            measured = true;
        else if (!strcmp(argv[i], "--json"))
            as_json = true;
        else
            return cli_stray(argv[i], "takes no arguments"), cli_usage(usage);
    }
    spak_error err = {0};
    json_t *machine = NULL;
    bool ok = collect(measured, &machine, &err) && print(machine, as_json, &err);
    json_decref(machine);
    return ok ? CLI_OK : cli_error(&err);
}
