/* Opening what was trained, here or elsewhere. */
#include "cli/lm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "nn/checkpoint.h"
#include "nn/hf.h"

static bool is_folder(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool holds(const char *folder, const char *name) {
    spak_str file = {0};
    spak_str_printf(&file, "%s/%s", folder, name);
    const bool found = !file.oom && spak_exists(file.data);
    spak_str_free(&file);
    return found;
}

static bool load_chars(const char *path, nn_chars *chars, spak_error *err) {
    json_t *json = NULL;
    if (!spak_json_load(path, &json, err)) return false;
    const bool good = nn_chars_read(json, chars, err) || spak_fail_context(err, "%s", path);
    json_decref(json);
    return good;
}

/* A model may have more than its tokenizer: nanoGPT rounds their number up. */
static bool enough_tokens(const cli_lm *lm, const char *vocab, spak_error *err) {
    const size_t tokens = lm->bpe ? nn_bpe_vocab(lm->bpe) : lm->chars.count;
    return tokens <= lm->config.model.vocab ||
           spak_fail(err, "%s: %zu tokens, but the model beside it has %zu; are the two of one model?", vocab, tokens,
                     lm->config.model.vocab);
}

static bool open_gpt2(cli_lm *lm, spak_error *err) {
    spak_str vocab = {0}, merges = {0};
    const bool chars = holds(lm->path, CLI_CHARS);
    spak_str_printf(&vocab, "%s/%s", lm->path, chars ? CLI_CHARS : "vocab.json");
    spak_str_printf(&merges, "%s/merges.txt", lm->path);
    const bool good =
        spak_str_ok(&vocab, err) && spak_str_ok(&merges, err) &&
        (chars ? load_chars(vocab.data, &lm->chars, err) : nn_bpe_load(vocab.data, merges.data, &lm->bpe, err)) &&
        nn_hf_config(lm->path, 0, &lm->config.model, err) && enough_tokens(lm, vocab.data, err);
    spak_str_free(&vocab);
    spak_str_free(&merges);
    return good;
}

static bool is_gpt2(const char *folder) {
    return holds(folder, "model.safetensors") || holds(folder, "model.safetensors.index.json");
}

bool cli_newest(const char *folder, char **path, spak_error *err) {
    spak_error damaged;
    if (!nn_checkpoint_newest(folder, path, &damaged, err)) return false;
    if (!*damaged.message) return true;
    if (!*path)
        return spak_fail(err,
                         "%s holds checkpoints, and none can be read; move them away, or choose another folder: %s",
                         folder, damaged.message);
    fprintf(stderr, "spak: passed over a damaged checkpoint: %s\n", damaged.message);
    return true;
}

bool cli_lm_open(const char *path, cli_lm *lm, spak_error *err) {
    *lm = (cli_lm){.trained = true};
    bool good = true;
    if (!is_folder(path) || is_gpt2(path)) {
        lm->trained = !is_folder(path);
        lm->path = spak_strdup(path);
        good = lm->path || spak_fail_oom(err);
    } else {
        good = cli_newest(path, &lm->path, err) &&
               (lm->path || spak_fail(err,
                                      "%s: this folder holds no checkpoint and no model.safetensors; `spak train` "
                                      "writes checkpoints to DIR/NAME",
                                      path));
    }
    good = good && (lm->trained ? nn_trained_read(lm->path, &lm->config, &lm->chars, err) : open_gpt2(lm, err));
    if (!good) cli_lm_close(lm);
    return good;
}

void cli_lm_close(cli_lm *lm) {
    spak_free(lm->path);
    nn_bpe_free(lm->bpe);
    *lm = (cli_lm){0};
}

bool cli_lm_model(const cli_lm *lm, size_t batch, size_t len, size_t most_loops, int threads, nn_model **model,
                  spak_error *err) {
    if (!len) len = lm->config.model.context;
    if (lm->trained) return nn_trained_model(lm->path, batch, len, most_loops, threads, model, err);
    if (!nn_model_new(&lm->config.model, &nn_cpu, threads, batch, len, most_loops, false, model, err)) return false;
    if (nn_hf_import(lm->path, *model, err)) return true;
    nn_model_free(*model);
    *model = NULL;
    return false;
}

bool cli_lm_encode(const cli_lm *lm, const char *name, const char *text, size_t len, int32_t **ids, size_t *count,
                   spak_error *err) {
    if (lm->bpe) return nn_bpe_encode(lm->bpe, text, len, true, ids, count, err);
    *count = len;
    *ids = spak_malloc(len * sizeof **ids);
    return (*ids || spak_fail_oom(err)) && nn_chars_encode(&lm->chars, name, text, len, *ids, err);
}

static bool number(const char **text, size_t *value) {
    char *end;
    if (**text < '0' || **text > '9') return false;
    const unsigned long long x = strtoull(*text, &end, 10);
    *value = (size_t)x;
    *text = end;
    return x >= 1 && x <= 1u << 20;
}

bool cli_numbers(const char *text, size_t *numbers, size_t most, size_t *count) {
    for (*count = 0;; text++) {
        size_t first, last;
        if (!number(&text, &first)) return false;
        last = first;
        if (*text == '-' && (text++, !number(&text, &last))) return false;
        for (size_t i = first; i <= last; i++) {
            if (*count == most) return false;
            numbers[(*count)++] = i;
        }
        if (!*text) return *count > 0;
        if (*text != ',') return false;
    }
}
