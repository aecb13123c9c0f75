/* GPT-2's byte-level byte-pair encoding, from the usual vocab.json and merges.txt (Radford et al., "Language models are
 * unsupervised multitask learners", 2019, and its code; Sennrich et al., "Neural machine translation of rare words with
 * subword units", 2016, for the merging). Any bytes can be encoded, and decode gives the same bytes back. */
#ifndef SPAK_NN_BPE_H
#define SPAK_NN_BPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

typedef struct nn_bpe nn_bpe;

/* vocab: {"token": id}, ids 0, 1, 2 ..., a token for each byte among them; merges: one pair a line, the most urgent
 * first, after an optional line "#version". Errors name the file and the line or the token. */
bool nn_bpe_load(const char *vocab, const char *merges, nn_bpe **bpe, spak_error *err);
void nn_bpe_free(nn_bpe *bpe); /* NULL is fine */

size_t nn_bpe_vocab(const nn_bpe *bpe);        /* number of tokens */
int32_t nn_bpe_end_of_text(const nn_bpe *bpe); /* the id of <|endoftext|>; -1 where there is none */

/* *ids (spak_free) and their number. specials: "<|endoftext|>" in the text becomes its one token, where the vocabulary
 * has it; else it is text like any other. Bytes that are no UTF-8 count as neither letter, number nor space. */
bool nn_bpe_encode(const nn_bpe *bpe, const char *text, size_t len, bool specials, int32_t **ids, size_t *count,
                   spak_error *err);
/* Appends the bytes of n tokens. Fails on an id outside the vocabulary. */
bool nn_bpe_decode(const nn_bpe *bpe, const int32_t *ids, size_t n, spak_str *text, spak_error *err);

/* The length of the piece that a text (len >= 1) begins with: merges do not cross pieces. By GPT-2's expression
 *     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * with the classes of Unicode 16. */
size_t nn_bpe_piece(const char *text, size_t len);

#endif
