/* GPT-2 in safetensors as others name and lay it out: nanoGPT's checkpoints and those of transformers. */
#ifndef SPAK_NN_HF_H
#define SPAK_NN_HF_H

#include "nn/nn.h"

/* The shape of the model in a file, or in a folder's model.safetensors or, where that is cut into shards, the files
 * that its model.safetensors.index.json names: from the tensors' shapes, and from config.json beside it (transformers)
 * or the metadata `config` (experiments/peers/pt_to_safetensors.py) where there is one. The number of heads stands in
 * no shape: without these two `heads` says it, else it is 0 or must agree. dropout is 0. Errors name the file, and the
 * tensor or member that is missing, unknown or of another shape. */
bool nn_hf_config(const char *path, size_t heads, nn_config *config, spak_error *err);

/* Its values into a model of that configuration. Every parameter must be there, and nothing else. After an
 * error the values are undefined. */
bool nn_hf_import(const char *path, nn_model *model, spak_error *err);

/* FOLDER/model.safetensors and FOLDER/config.json, for transformers' GPT2LMHeadModel.from_pretrained(FOLDER). A model
 * that GPT-2 cannot express is an error that names the member; biases that it lacks are written as zeros. */
bool nn_hf_export(const nn_model *model, const char *folder, spak_error *err);

#endif
