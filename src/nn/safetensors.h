/* Tensors in a file, in the safetensors format: 8 bytes of header length (little-endian), a header in JSON, the data.
 *
 *     {"__metadata__": {"format": "pt"}, "wte.weight": {"dtype": "F32", "shape": [65, 384], "data_offsets": [0,
 * 99840]}}
 *
 * Source: the format's description in the README of Hugging Face's safetensors. What it leaves open is refused: tensors
 * cover the data section exactly, without holes or overlaps, in any order of names. */
#ifndef SPAK_NN_SAFETENSORS_H
#define SPAK_NN_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"

/* The first four are numbers and can be converted; the others are read as bytes. */
typedef enum nn_dtype {
    NN_F64,
    NN_F32,
    NN_F16,
    NN_BF16,
    NN_I64,
    NN_I32,
    NN_I16,
    NN_I8,
    NN_U64,
    NN_U32,
    NN_U16,
    NN_U8,
    NN_BOOL,
    NN_F8_E4M3,
    NN_F8_E5M2,
    NN_NUM_DTYPES
} nn_dtype;
const char *nn_dtype_name(nn_dtype dtype); /* "BF16" */
size_t nn_dtype_bytes(nn_dtype dtype);     /* of one element */

enum { NN_TENSOR_RANK = 8 };

typedef struct nn_tensor {
    const char *name;
    nn_dtype dtype;
    size_t rank, shape[NN_TENSOR_RANK];
    size_t count;    /* elements: the product of the shape */
    uint64_t offset; /* of its first byte in the file */
    size_t shard;    /* number of the file that holds it, where there are several */
} nn_tensor;

/* --- reading: the header is checked and kept, data is read when asked for --- */

typedef struct nn_safetensors nn_safetensors;

/* Errors name the file, the tensor, what was expected and what was found. */
bool nn_safetensors_open(const char *path, nn_safetensors **file, spak_error *err);

/* Tensors in several files ("shards") beside an index, model.safetensors.index.json, read as if they were one file:
 *
 *     {"metadata": ..., "weight_map": {"wte.weight": "model-00001-of-00002.safetensors", ...}}
 *
 * The index and the shards must say the same: each tensor lies in the shard that the index names, and nowhere else.
 * Shards are named without a folder: an index cannot reach out of its own. All stay open until the close. Their
 * metadata is not read. */
bool nn_safetensors_open_index(const char *path, nn_safetensors **file, spak_error *err);

/* Several files as one, called `path` in messages; their tensors' names must differ. Takes the files over, also when it
 * fails. */
bool nn_safetensors_join(const char *path, nn_safetensors *const *files, size_t count, nn_safetensors **joined,
                         spak_error *err);
void nn_safetensors_close(nn_safetensors *file); /* NULL is fine */

const char *nn_safetensors_path(const nn_safetensors *file);
const nn_tensor *nn_safetensors_list(const nn_safetensors *file, size_t *count);    /* in the order of their data */
const nn_tensor *nn_safetensors_find(const nn_safetensors *file, const char *name); /* NULL: there is none */
const char *nn_safetensors_metadata(const nn_safetensors *file, const char *key);   /* NULL: there is none */

const json_t *nn_safetensors_all_metadata(const nn_safetensors *file); /* an object of strings, or NULL */

/* Elements at..at + n, as doubles, or as they stand. */
bool nn_tensor_f64(nn_safetensors *file, const nn_tensor *tensor, size_t at, size_t n, double *to, spak_error *err);
bool nn_tensor_raw(nn_safetensors *file, const nn_tensor *tensor, size_t at, size_t n, void *to, spak_error *err);

/* Numbers of a tensor that were read: fails on NaN and infinity, naming the file and the tensor. */
bool nn_tensor_finite(const nn_safetensors *file, const nn_tensor *tensor, const double *x, size_t n, spak_error *err);

/* "[50257, 768]" for messages; `text` needs 200 bytes. */
const char *nn_tensor_shape(const nn_tensor *tensor, char text[200]);
/* A name for messages: without control characters, and not longer than 99 bytes. */
const char *nn_tensor_shown(const char *name, char text[100]);

/* --- writing: declared at first, then put in that order; nothing has happened until finish (see spak_writer) --- */

typedef struct nn_safetensors_writer nn_safetensors_writer;

/* Of each tensor: name, dtype, rank and shape. metadata: strings by name, or NULL. */
bool nn_safetensors_create(const char *path, const nn_tensor *tensors, size_t count, const json_t *metadata,
                           nn_safetensors_writer **writer, spak_error *err);
/* The next n elements, rounded to nearest even into the type of their tensor, which may not end among them. */
bool nn_safetensors_put_f64(nn_safetensors_writer *writer, const double *x, size_t n, spak_error *err);
/* Frees the writer; fails when elements are missing. abandon(NULL) is fine. */
bool nn_safetensors_finish(nn_safetensors_writer *writer, spak_error *err);
void nn_safetensors_abandon(nn_safetensors_writer *writer);

#endif
