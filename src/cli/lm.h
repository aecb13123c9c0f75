/* What `spak sample`, `spak eval` and `spak export` share: a model from a checkpoint, and how its tokens are written.
 */
#ifndef SPAK_CLI_LM_H
#define SPAK_CLI_LM_H

#include "base/str.h"
#include "nn/bpe.h"
#include "nn/train.h"

typedef struct cli_lm {
    char *path;             /* of the checkpoint */
    bool trained;           /* by `spak train`, so that `config` says how; else GPT-2 of a folder */
    nn_train_config config; /* of the run */
    nn_chars chars;         /* of text, where there is no `bpe` */
    nn_bpe *bpe;
} cli_lm;

#define CLI_CHARS "chars.json" /* of an exported model: nn_chars_json */

/* path: a checkpoint, a folder of checkpoints (the newest is taken), or a folder with GPT-2's config.json,
 * model.safetensors (or its shards and their index), and either chars.json or vocab.json and merges.txt. Reads what it
 * is; the model is made by cli_lm_model. */
bool cli_lm_open(const char *path, cli_lm *lm, spak_error *err);
/* The newest checkpoint that can be read; a newer one that is damaged is named on standard error. *path (spak_free) is
 * NULL when there is none; that there are some and all are damaged is an error. */
bool cli_newest(const char *folder, char **path, spak_error *err);
void cli_lm_close(cli_lm *lm);

/* A model for batches up to batch x len (0: its context), and so many loops (0: the configuration's). */
bool cli_lm_model(const cli_lm *lm, size_t batch, size_t len, size_t most_loops, int threads, nn_model **model,
                  spak_error *err);

/* *ids (spak_free) and their number. name: of the text, for messages. */
bool cli_lm_encode(const cli_lm *lm, const char *name, const char *text, size_t len, int32_t **ids, size_t *count,
                   spak_error *err);

/* "1,2,5-8": at most `most` numbers from 1 on; false when it is none of that. */
bool cli_numbers(const char *text, size_t *numbers, size_t most, size_t *count);

#endif
