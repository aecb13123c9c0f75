/* The peer: PyTorch's scaled_dot_product_attention, in a process of its own on
 * the same GPU (experiments/peers/sdpa_gpu_torch.py has the questions and
 * answers).
 *
 * It is started at the first trial that wants it and serves all others of the
 * process. Set 0's inputs are handed over as files, and its outputs come back
 * so, and are held against the same oracles as ours: a peer that is wrong is no
 * peer, and its error on the same inputs is known. Its other sets are random,
 * and all of them are where the inputs take more than MOST_BYTES.
 *
 * SPAK_PYTHON names the interpreter (python3); "none": no peer. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/str.h"
#include "device/peer_program.h"
#include "fmha/gpu/trial.h"

typedef fmha_gpu_trial_state state;

static const double START_S = 180, PREPARE_S = 180, SAMPLES_S = 120;
/* What is wrong: of an output, elements this many times further off than the
 * bound, which is derived for our kernels. The peer's backward pass starts from
 * an O and an LSE of its own, and where what is left of a sum is small single
 * elements of its dQ were seen at 17; there the error of the whole tensor,
 * relative to its norm, counts: 16 bits make 0.003, another mask 0.1. */
static const double WRONG = 4, WRONG_NORM = 0.02;
static const size_t CHUNK = (size_t)16 << 20;
static const size_t MOST_BYTES = (size_t)1 << 30;

/* --- its process --- */

static dev_peer *server; /* NULL: not started, or there is none */
static json_t *about;    /* {"peer": "PyTorch 2.11.0, cuDNN 9.19", ...} */
static spak_error no_server;

static bool ask(const json_t *question, double timeout_s, json_t **answer,
                spak_error *why) {
    bool ok =
        question && dev_peer_ask(server, question, timeout_s, answer, why);
    if (!question) spak_fail_oom(why);
    return ok;
}

/* The peer's description, asked for once a process; NULL with the reason. */
static const json_t *meet(spak_error *why) {
    static bool tried;
    const char *python = getenv("SPAK_PYTHON");
    if (!python || !*python) python = "python3";
    if (!tried && !strcmp(python, "none")) {
        spak_fail(&no_server, "SPAK_PYTHON says that there is none");
    } else if (!tried) {
        char *argv[] = {(char *)python, "-u",
                        "experiments/peers/sdpa_gpu_torch.py", NULL};
        json_t *question = json_pack("{s:b}", "about", 1);
        if (!dev_peer_start(argv, &server, &no_server))
            spak_fail_context(&no_server,
                              "PyTorch is measured by python3 with torch "
                              "(SPAK_PYTHON names the interpreter)");
        else
            ask(question, START_S, &about, &no_server);
        json_decref(question);
    }
    tried = true;
    if (!about) spak_fail(why, "%s", no_server.message);
    return about;
}

const char *fmha_gpu_peer(void) {
    spak_error why = {0};
    if (!dev_gpu_get(NULL)) return NULL;
    const json_t *it = meet(&why);
    return it ? spak_json_str(it, "peer", NULL) : NULL;
}

/* --- files --- */

/* A folder of this trial alone. */
static bool make_folder(spak_str *folder, spak_error *err) {
    const char *base = getenv("TMPDIR");
    spak_str_printf(folder, "%s/spak-peer-XXXXXX",
                    base && *base ? base : "/tmp");
    if (!spak_str_ok(folder, err)) return false;
    return mkdtemp(folder->data) ||
           spak_fail_errno(err, "cannot make a folder for the peer");
}

static void path_of(const spak_str *folder, const char *name, spak_str *path) {
    spak_str_clear(path);
    spak_str_printf(path, "%s/%s", spak_str_text(folder), name);
}

static void remove_folder(const state *t, const spak_str *folder) {
    fmha_gpu_tensor tensor[FMHA_GPU_TENSORS];
    const int count = fmha_gpu_trial_tensors(t, &t->set[0].x, tensor);
    spak_str path = {0};
    for (int i = 0; i < count; i++) {
        path_of(folder, tensor[i].name, &path);
        if (!path.oom) unlink(path.data);
    }
    if (folder->data) rmdir(folder->data);
    spak_str_free(&path);
}

/* The GPU's memory to a file, or (in) a file to the GPU's memory. */
static bool carry(dev_gpu *gpu, const char *path, dev_ptr at, size_t bytes,
                  bool in, spak_error *err) {
    void *chunk = spak_malloc(CHUNK);
    FILE *file = chunk ? fopen(path, in ? "rb" : "wb") : NULL;
    const char *name = strrchr(path, '/'); /* the rest is this machine's */
    name = name ? name + 1 : path;
    bool ok = chunk ? file || spak_fail_errno(err, "the file of %s", name)
                    : spak_fail_oom(err);
    for (size_t done = 0, now; ok && done < bytes; done += now) {
        now = bytes - done < CHUNK ? bytes - done : CHUNK;
        if (!in) ok = dev_gpu_download(gpu, chunk, at + done, now, err);
        size_t moved = !ok  ? 0
                       : in ? fread(chunk, 1, now, file)
                            : fwrite(chunk, 1, now, file);
        if (ok && moved != now)
            ok = spak_fail_errno(err, "the file of %s: %zu of %zu bytes", name,
                                 done + moved, bytes);
        if (ok && in) ok = dev_gpu_upload(gpu, at + done, chunk, now, err);
    }
    if (file && fclose(file) && ok)
        ok = spak_fail_errno(err, "the file of %s", name);
    spak_free(chunk);
    return ok;
}

/* {"q": path, ...} of the inputs, or of the outputs; inputs are written. */
static json_t *files_of(state *t, const spak_str *folder, bool outputs,
                        spak_error *err) {
    fmha_gpu_tensor tensor[FMHA_GPU_TENSORS];
    const int count = fmha_gpu_trial_tensors(t, &t->set[0].x, tensor);
    json_t *files = json_object();
    spak_str path = {0};
    bool ok = files || spak_fail_oom(err);
    for (int i = 0; ok && i < count; i++) {
        if (tensor[i].output != outputs) continue;
        path_of(folder, tensor[i].name, &path);
        ok =
            spak_str_ok(&path, err) &&
            spak_json_set(files, tensor[i].name, json_string(path.data), err) &&
            (outputs || carry(t->gpu, path.data, tensor[i].at, tensor[i].bytes,
                              false, err));
    }
    spak_str_free(&path);
    if (ok) return files;
    json_decref(files);
    return NULL;
}

/* --- one problem --- */

/* Whether its files are worth their time. */
static bool handed_over(const state *t) {
    fmha_gpu_tensor tensor[FMHA_GPU_TENSORS];
    const int count = fmha_gpu_trial_tensors(t, &t->set[0].x, tensor);
    size_t bytes = 0;
    for (int i = 0; i < count; i++) bytes += tensor[i].bytes;
    return bytes <= MOST_BYTES;
}

static json_t *problem_question(state *t, const spak_str *folder,
                                spak_error *err) {
    json_t *files =
        handed_over(t) ? files_of(t, folder, false, err) : json_object();
    if (!files) return NULL;
    json_t *problem = fmha_gpu_problem_json(&t->problem);
    json_object_set_new(problem, "scale",
                        json_real((double)fmha_gpu_scale(&t->problem)));
    json_t *question =
        json_pack("{s:o, s:o, s:s, s:i, s:I, s:b, s:f}", "problem", problem,
                  "inputs", files, "backend", t->backend, "sets", t->sets,
                  "seed", (json_int_t)t->seed, "flush", t->options.flush,
                  "min_sample_ms", t->options.min_sample_ms);
    if (!question) spak_fail_oom(err);
    return question;
}

/* Its outputs of set 0 against the oracles; *why when they are wrong. */
static bool check_outputs(state *t, const spak_str *folder, json_t *result,
                          spak_error *why, bool *good, spak_error *err) {
    fmha_gpu_buffers x = fmha_gpu_trial_others(t, 0);
    fmha_gpu_tensor tensor[FMHA_GPU_TENSORS];
    const int count = fmha_gpu_trial_tensors(t, &x, tensor);
    oracle_fmha_verdict v;
    json_t *question = json_object(), *answer = NULL;
    json_t *files = files_of(t, folder, true, err);
    *good = files && spak_json_set(question, "outputs", files, err) &&
            ask(question, SAMPLES_S, &answer, why);
    json_decref(question);
    json_decref(answer);
    if (!files) return false;
    spak_str path = {0};
    for (int i = 0; *good && i < count; i++) {
        if (!tensor[i].output) continue;
        path_of(folder, tensor[i].name, &path);
        *good = carry(t->gpu, spak_str_text(&path), tensor[i].at,
                      tensor[i].bytes, true, why);
    }
    spak_str_free(&path);
    if (!*good) return true;
    if (!fmha_gpu_is_backward(t)) x.lse = t->set[0].x.lse; /* ours, checked */
    if (!fmha_gpu_trial_check(t, &x, false, 0, &v, err)) return false;
    const double worst = fmax(v.worst, v.worst_all);
    const double norm = fmax(v.error[0], fmax(v.error[1], v.error[2]));
    *good = isfinite(worst) &&
            (fmha_gpu_is_backward(t) ? norm <= WRONG_NORM : worst <= WRONG);
    if (!*good) spak_fail(why, "its output is wrong: %s", v.text);
    if (isfinite(worst))
        json_object_set_new(result, "peer_error_over_bound", json_real(worst));
    fmha_gpu_put_errors(t, &v, "peer_errors", result);
    return true;
}

static bool hand_over(state *t, const spak_str *folder, json_t *result,
                      bool *good, spak_error *err) {
    json_t *question = problem_question(t, folder, err);
    *good = question && ask(question, PREPARE_S, &t->peer, &t->peer_reason);
    json_decref(question);
    if (!question) return false;
    return !*good || !t->options.check || !handed_over(t) ||
           check_outputs(t, folder, result, &t->peer_reason, good, err);
}

bool fmha_gpu_trial_put_peer(const state *t, json_t *result, spak_error *err) {
    if (!t->options.peer) return true;
    if (!t->peer)
        return spak_json_set(result, "peer", json_null(), err) &&
               spak_json_set(result, "peer_reason",
                             json_string(t->peer_reason.message), err);
    return spak_json_set(result, "peer",
                         json_string(spak_json_str(about, "peer", "PyTorch")),
                         err) &&
           spak_json_set(result, "peer_ran", json_incref(t->peer), err);
}

bool fmha_gpu_trial_meet_peer(state *t, json_t *result, spak_error *err) {
    spak_str folder = {0};
    bool ok = true, good = false;
    if (!t->options.peer) return true;
    if (meet(&t->peer_reason)) {
        ok = dev_gpu_sync(t->gpu, err) && make_folder(&folder, err) &&
             hand_over(t, &folder, result, &good, err);
        remove_folder(t, &folder);
        spak_str_free(&folder);
    }
    if (!good) fmha_gpu_trial_leave_peer(t);
    return ok;
}

bool fmha_gpu_trial_peer_samples(state *t, int count, double *ms,
                                 spak_error *err) {
    spak_error *why = &t->peer_reason;
    json_t *question = json_pack("{s:i}", "samples", count), *answer = NULL;
    if (!dev_gpu_sync(t->gpu, err)) return json_decref(question), false;
    bool good = ask(question, SAMPLES_S, &answer, why);
    const json_t *list = json_object_get(answer, "time_ms");
    if (good && json_array_size(list) != (size_t)count)
        good = spak_fail(why, "it was asked for %d samples and gave %zu", count,
                         json_array_size(list));
    for (int i = 0; good && i < count; i++) {
        ms[i] = json_number_value(json_array_get(list, (size_t)i));
        if (!(ms[i] > 0)) good = spak_fail(why, "its times are no times");
    }
    json_decref(question);
    json_decref(answer);
    if (!good) fmha_gpu_trial_leave_peer(t);
    return true;
}

void fmha_gpu_trial_leave_peer(state *t) {
    json_t *question = json_pack("{s:b}", "forget", 1), *answer = NULL;
    spak_error why = {0};
    if (about && question)
        dev_peer_ask(server, question, SAMPLES_S, &answer, &why);
    json_decref(question);
    json_decref(answer);
    json_decref(t->peer);
    t->peer = NULL;
}
