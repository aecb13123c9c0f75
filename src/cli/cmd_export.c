/* spak export: a trained model of text for other programs, as the folder that transformers saves GPT-2 in.
 *
 * The folder appears whole or not at all. Everything that can be refused is refused before anything is written; the
 * files are then written into FOLDER.spak-tmp-PID, beside its place, and one rename puts them there. rename replaces an
 * empty folder and nothing else, so that files which appear there meanwhile are not lost. What an export that was
 * killed has left behind is removed by the next one to the same place.
 *
 * transformers has no tokenizer whose tokens are single bytes in an order of the file's own. One with GPT-2's two files
 * and no merges comes near, but adds <|endoftext|>, a token that the model has no row for. So the characters are data:
 * chars.json, in the form that checkpoints hold them in, which `spak sample FOLDER` reads. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "cli/cli.h"
#include "cli/lm.h"
#include "nn/hf.h"

static const char usage[] =
    "usage: spak export CHECKPOINT FOLDER\n"
    "\n"
    "Writes a model of text that has GPT-2's form (learned positions, LayerNorm, one loop) for transformers:\n"
    "GPT2LMHeadModel.from_pretrained(FOLDER). `spak sample` and `spak eval --text` take FOLDER too.\n"
    "CHECKPOINT: a file of `spak train`, or its folder, whose newest is taken.\n"
    "FOLDER: a new or empty one. It gets\n"
    "  model.safetensors  the parameters in single precision, without the optimiser's state\n"
    "  config.json        the model's shape\n"
    "  chars.json         the characters: token i is the byte at index i (from 0) of `bytes`. transformers does not\n"
    "                     read it: encode text and decode tokens by it\n";

/* --- the place --- */

static bool check_empty(const char *path, spak_error *err) {
    DIR *dir = opendir(path);
    if (!dir) return spak_fail_errno(err, "%s: cannot list this folder", path);
    const struct dirent *entry;
    do entry = readdir(dir);
    while (entry && (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")));
    const bool empty = !entry;
    closedir(dir);
    return empty || spak_fail(err, "%s: expected a new or empty folder, and this one is not empty; name another", path);
}

/* *place (spak_free): the folder's name, without slashes at its end; of one that exists, where links lead to. */
static bool find_place(const char *folder, char **place, spak_error *err) {
    struct stat st;
    char *followed = NULL;
    *place = NULL;
    if (lstat(folder, &st) == 0) {
        if (!(followed = realpath(folder, NULL))) return spak_fail_errno(err, "%s: cannot follow this link", folder);
        if (stat(followed, &st) == 0 && !S_ISDIR(st.st_mode)) {
            free(followed);
            return spak_fail(err, "%s: expected a new or empty folder, found a file; name another", folder);
        }
    }
    *place = spak_strdup(followed ? followed : folder);
    free(followed);
    if (!*place) return spak_fail_oom(err);
    for (size_t n = strlen(*place); n > 1 && (*place)[n - 1] == '/'; n--) (*place)[n - 1] = 0;
    if (!spak_exists(*place) || check_empty(*place, err)) return true;
    spak_free(*place);
    *place = NULL;
    return false;
}

/* Folders that killed exports to this place have left beside it. */
static void sweep_beside(const char *place) {
    spak_str parent = {0}, mark = {0};
    char **names = NULL;
    size_t count = 0;
    const char *slash = strrchr(place, '/'), *base = slash ? slash + 1 : place;
    spak_str_append(&parent, slash ? place : "./", slash ? (size_t)(base - place) : 2);
    spak_str_printf(&mark, "%s" SPAK_TEMPORARY, base);
    if (!parent.oom && !mark.oom && spak_list_dir(parent.data, &names, &count, NULL))
        for (size_t i = 0; i < count; i++) {
            spak_str left = {0};
            spak_str_printf(&left, "%s%s", parent.data, names[i]);
            if (!left.oom && spak_starts_with(names[i], mark.data)) spak_sweep_temporaries(left.data);
            spak_str_free(&left);
        }
    spak_names_free(names, count);
    spak_str_free(&parent);
    spak_str_free(&mark);
}

/* --- its files --- */

static bool write_chars(const nn_chars *chars, const char *folder, spak_error *err) {
    spak_str path = {0}, text = {0};
    json_t *json = nn_chars_json(chars);
    spak_str_printf(&path, "%s/%s", folder, CLI_CHARS);
    bool good = (json || spak_fail_oom(err)) && spak_json_canonical(json, &text, err);
    spak_str_putc(&text, '\n');
    good = good && spak_str_ok(&path, err) && spak_str_ok(&text, err) &&
           spak_write_file(path.data, text.data, text.len, err);
    json_decref(json);
    spak_str_free(&path);
    spak_str_free(&text);
    return good;
}

static bool write_whole(const nn_model *model, const nn_chars *chars, const char *place, spak_error *err) {
    spak_str beside = {0};
    spak_str_printf(&beside, "%s" SPAK_TEMPORARY "%ld", place, (long)getpid());
    bool good = spak_str_ok(&beside, err);
    if (good) {
        good = nn_hf_export(model, beside.data, err) && write_chars(chars, beside.data, err);
        if (good && rename(beside.data, place) != 0)
            good = spak_fail_errno(err, "%s: cannot put the new folder there; name another", place);
        if (good)
            spak_sync_parent(place);
        else
            spak_remove_tree(beside.data);
    }
    spak_str_free(&beside);
    return good;
}

static bool export_lm(const cli_lm *lm, const char *folder, spak_error *err) {
    nn_model *model = NULL;
    char *place = NULL;
    if (!lm->trained)
        return spak_fail(err, "%s: this is the form of transformers already; copy the folder instead", lm->path);
    if (lm->config.task != NN_TASK_TEXT)
        return spak_fail(err, "%s: a model of additions; only models of text can be exported", lm->path);
    bool good = find_place(folder, &place, err) && cli_lm_model(lm, 1, 1, 0, 1, &model, err);
    if (good) {
        sweep_beside(place);
        good = write_whole(model, &lm->chars, place, err) || spak_fail_context(err, "exporting %s", lm->path);
    }
    if (good) {
        size_t count, numbers;
        nn_model_params(model, &count, &numbers);
        printf("%s: the %zu parameters of %s\n", folder, numbers, lm->path);
        printf("%s/%s: the %zu characters; transformers has no tokenizer for them\n", folder, CLI_CHARS,
               lm->chars.count);
    }
    nn_model_free(model);
    spak_free(place);
    return good;
}

int cli_export(int argc, char **argv) {
    cli_lm lm = {0};
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--help")) return fputs(usage, stdout), CLI_OK;
    for (int i = 1; i < argc; i++)
        if (argv[i][0] == '-') return cli_wrong(argv[i], "no such option"), cli_usage(usage);
    if (argc != 3 || !*argv[1] || !*argv[2]) return cli_usage(usage);
    spak_error err = {0};
    const bool good = cli_lm_open(argv[1], &lm, &err) && export_lm(&lm, argv[2], &err);
    cli_lm_close(&lm);
    return good ? CLI_OK : cli_error(&err);
}
