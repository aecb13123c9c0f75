/* The trial, from the call to the result, on a GPU that is pretended: the oracles' kernels run on the emulator, the
 * kernels under trial are plain loops, right or wrong; a shell script plays PyTorch. */
#include "trial_right.h"

#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/spak-test-XXXXXX";
static void fails_with(plant wrong, const char *what, const char *more, const char *reason) {
    spak_error err;
    pretend.plant = wrong;
    json_t *r = trial(CASUAL, more, ALONE, &err);
    const char *why = spak_json_str(r, "reason", "");
    ok(r && !strcmp(spak_json_str(r, "status", ""), "failed") && !spak_json_bool(r, "correct", true) &&
           strstr(why, reason),
       "%s: %s", what, r ? why : err.message);
    json_decref(r);
    pretend.plant = RIGHT;
}

static void wrong_ones(void) {
    fails_with(DROPS_A_KEY, "a key left out", "{}", "equal scores, integers in V: O(");
    fails_with(FORGETS_MASK, "a mask forgotten", "{}", "equal scores");
    fails_with(LEAVES_A_ROW, "a row that nobody wrote", "{}", "nan");
    fails_with(WRONG_LSE, "an LSE that is off", "{}", "LSE(");
    fails_with(OTHER_BITS, "other bits each time", "{}", "other bits");
    pretend.later = 5;
    fails_with(WRONG_LATER, "wrong in the timed loop", "{}", "after the timed loop");
    fails_with(DK_WITHOUT_SCALE, "dK without the scale", "{\"pass\": \"backward\"}", "dK");
    fails_with(LEAVES_A_ROW, "dQ not written", "{\"pass\": \"backward\"}", "dQ");
    fails_with(OTHER_BITS, "backward, other bits", "{\"pass\": \"backward\", \"deterministic\": true}", "other bits");
    pretend.launch_ms = 1e-9;
    fails_with(RIGHT, "faster than light", "{}", "faster than the hardware can");
    pretend.launch_ms = 1;
}

static void bad_calls(void) {
    spak_error err;
    ok(!trial(CASUAL, "{\"inputs\": \"odd\"}", ALONE, &err) && strstr(err.message, "'odd' is none of normal"), "%s",
       err.message);
    ok(!trial(CASUAL, "{\"peer\": \"jax\"}", ALONE, &err) && strstr(err.message, "'jax' is none of default"), "%s",
       err.message);
    ok(!trial(CASUAL, "{\"head_dim\": 40}", ALONE, &err) && strstr(err.message, "head_dim"), "%s", err.message);
    pretend.plant = OTHER_BITS;
    json_t *r = trial(CASUAL, "{\"pass\": \"backward\"}", ALONE, &err);
    ok(!strcmp(spak_json_str(r, "status", ""), "ok") && !spak_json_bool(r, "bitwise_equal", true),
       "other bits are no failure where nobody promised the same");
    json_decref(r);
    pretend.plant = RIGHT;
}

/* --- the peer --- */

static void write_file(const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
    chmod(path, 0755);
}

/* Answers as experiments/peers/sdpa_gpu_torch.py does. The trial starts one peer a process, so that what it is to do
 * next stands in a file, "mode": right, wrong, refuses, dies. */
static const char SCRIPT[] =
    "#!/bin/sh\n"
    "cd \"$(dirname \"$0\")\"\n"
    "while read -r line; do\n"
    "  echo \"$line\" >>asked\n"
    "  mode=$(cat mode)\n"
    "  case $line in\n"
    "  *about*) echo '{\"peer\": \"PyTorch of a test\"}' ;;\n"
    "  *problem*) if [ $mode = refuses ]; then echo '{\"error\": \"no such backend\"}'; else\n"
    "      q=$(echo \"$line\" | sed 's/.*\"q\":\"\\([^\"]*\\)\".*/\\1/'); wc -c <\"$q\" >q_bytes\n"
    "      echo '{\"backend\": \"CUDNN_ATTENTION\", \"graph\": true, \"launches\": 1}'; fi ;;\n"
    "  *outputs*) o=$(echo \"$line\" | sed 's/.*\"o\":\"\\([^\"]*\\)\".*/\\1/')\n"
    "      if [ $mode = wrong ]; then tr '\\000-\\377' '\\101' <right >\"$o\"; else cp right \"$o\"; fi\n"
    "      echo '{\"outputs\": [\"o\"]}' ;;\n"
    "  *samples*) [ $mode = dies ] && { echo 'out of memory' >&2; exit 7; }\n"
    "      n=$(echo \"$line\" | sed 's/[^0-9]//g'); l=2.5\n"
    "      while [ $n -gt 1 ]; do l=\"$l, 2.5\"; n=$((n - 1)); done\n"
    "      echo \"{\\\"time_ms\\\": [$l]}\" ;;\n"
    "  *forget*) echo '{}' ;;\n"
    "  esac\n"
    "done\n";

static void with_peer(void) {
    spak_error err;
    char python[256], right[256];
    const char *options = "{\"samples\": 12, \"min_sample_ms\": 0}",
               *unchecked = "{\"samples\": 12, \"min_sample_ms\": 0, \"check\": false}";
    snprintf(python, sizeof python, "%s/python", folder);
    snprintf(right, sizeof right, "%s/right", folder);
    write_file("python", SCRIPT);
    setenv("SPAK_PYTHON", python, 1);
    pretend.o_file = right;
    write_file("mode", "right");
    json_t *r = trial(CASUAL, "{}", options, &err);
    is_str(spak_json_str(r, "peer", ""), "PyTorch of a test", "the peer's name");
    is_str(spak_json_str(json_object_get(r, "peer_ran"), "backend", ""), "CUDNN_ATTENTION", "what it ran");
    is_int(json_array_size(json_object_get(r, "peer_time_ms")), 12, "a sample for each of ours");
    is_near(spak_json_num(r, "ratio", 0), 2.5, 1e-9, "the ratio of pairs");
    ok(spak_json_num(json_object_get(r, "peer_errors"), "o", 1) < 0.01, "its error on the same inputs");
    if (*err.message || !json_object_get(r, "ratio"))
        printf("# %s %s\n", err.message, spak_json_str(r, "peer_reason", ""));
    json_decref(r);
    char text[64] = "", path[256];
    snprintf(path, sizeof path, "%s/q_bytes", folder);
    FILE *file = fopen(path, "r");
    ok(file && fgets(text, sizeof text, file) && atoi(text) == 2 * 2 * 8 * 32, "it was handed all of Q");
    if (file) fclose(file);

    const struct {
        const char *mode, *reason;
    } bad[] = {{"refuses", "no such backend"}, {"wrong", "its output is wrong"}, {"dies", "status 7: out of memory"}};
    for (int i = 0; i < 3; i++) {
        write_file("mode", bad[i].mode);
        r = trial(CASUAL, "{}", i == 1 ? options : unchecked, &err);
        const char *why = spak_json_str(r, "peer_reason", "");
        ok(r && !strcmp(spak_json_str(r, "status", ""), "ok") && json_is_null(json_object_get(r, "peer")) &&
               !json_object_get(r, "ratio") && json_array_size(json_object_get(r, "time_ms")) == 12 &&
               strstr(why, bad[i].reason),
           "a peer that %s is none, and ours is measured alone: %s", bad[i].mode, why);
        json_decref(r);
    }
    r = trial(CASUAL, "{}", unchecked, &err);
    ok(r && strstr(spak_json_str(r, "peer_reason", ""), "status 7"), "nor is it one for the next trial");
    json_decref(r);
    is_int(pretend.bytes, 0, "all memory is given back");
    pretend.o_file = NULL;
}

int main(void) {
    if (!mkdtemp(folder)) return 1;
    is_right("causal, grouped", "{}");
    is_right("backward", "{\"pass\": \"backward\", \"deterministic\": true}");
    wrong_ones();
    bad_calls();
    with_peer();
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command)) printf("# %s stays\n", folder);
    return done_testing();
}
