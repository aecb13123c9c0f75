/* Checkpoints: what a training run needs to go on bit for bit, in one safetensors file.
 *
 *     FOLDER/ckpt-00001000.safetensors    after 1000 steps
 *         tensors     the parameters by their names, then "adamw.m." and "adamw.v." before them, in the model's type
 *         metadata    format, step, config (JSON), trainer (the caller's), data_sha256, and a hash of each of the three
 *                     arrays and of the metadata itself
 *
 * A file appears whole or not at all, and older ones go only when the new one is there: a run that is killed at any
 * moment, or meets a full disk, finds the last complete one. */
#ifndef SPAK_NN_CHECKPOINT_H
#define SPAK_NN_CHECKPOINT_H

#include "base/hash.h"
#include "nn/nn.h"

typedef struct nn_checkpoint {
    uint64_t step;                         /* done so far */
    char data_sha256[SPAK_SHA256_HEX + 1]; /* of the data set that the run trains on */
    char *trainer;                         /* the caller's text, UTF-8: random streams, position in the data */
} nn_checkpoint;
void nn_checkpoint_free(nn_checkpoint *checkpoint); /* what load filled in */

/* Saves a training model (one with NaN or infinity in it is refused), then removes all but the `keep` (1 or more)
 * newest up to this step. Leftovers of killed processes go too. */
bool nn_checkpoint_save(const char *folder, const nn_model *model, const nn_checkpoint *checkpoint, size_t keep,
                        spak_error *err);

/* The newest whole checkpoint of a folder, every byte of it checked; *path (spak_free) is NULL when there is none.
 * `damaged` (may be NULL) says why a newer one was passed over, and is empty when none was. Fails when one cannot be
 * opened, or is of another version: it may be the run's whole work, and an older one is not it. */
bool nn_checkpoint_newest(const char *folder, char **path, spak_error *damaged, spak_error *err);

/* Fills the model (one that does not train: its values only) and *checkpoint. Refused: another configuration, naming
 * the first member that differs; another data set than data_sha256 (NULL: any); a damaged file. After an error about
 * the data's hash the model's numbers are undefined. */
bool nn_checkpoint_load(const char *path, nn_model *model, const char *data_sha256, nn_checkpoint *checkpoint,
                        spak_error *err);

#endif
