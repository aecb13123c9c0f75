/* Two tables do the work: from a token's bytes to its id, needed while loading only, and from a pair of ids to what it
 * merges into and how urgently (its line in merges.txt: a merge's rank). A piece of text begins as one token a byte, in
 * a doubly linked list; a heap holds the pairs that can merge, the lowest rank first and the leftmost of equal ones. A
 * pair that has changed since it entered the heap is thrown away when it comes up: its rank no longer fits. So a piece
 * of n bytes takes n log n steps, also when it is a megabyte of blanks.
 *
 * The files write bytes as printable characters: those of Latin-1 that are printable stand for themselves, the others,
 * in their order, for U+0100 on. */
#include "nn/bpe.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "base/json.h"

static const char END_OF_TEXT[] = "<|endoftext|>";
enum { NO_RANK = -1 };

typedef struct merge {
    uint32_t left, right;
    int32_t rank, merged; /* rank NO_RANK: an empty slot */
} merge;

struct nn_bpe {
    char *bytes;   /* of all tokens, one after the other */
    size_t *begin; /* of each token, and the end: count + 1 */
    size_t count;
    uint32_t *ids;   /* by hash of the bytes: id + 1, 0: empty */
    size_t id_slots; /* a power of two */
    merge *merges;   /* by hash of the pair */
    size_t merge_slots;
    int32_t of_byte[256], end_of_text;
};

/* --- tables --- */

static size_t slots_for(size_t count) {
    size_t slots = 16;
    while (slots < 2 * count) slots *= 2;
    return slots;
}

static uint64_t hash_bytes(const char *bytes, size_t len) { /* FNV-1a */
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < len; i++) hash = (hash ^ (unsigned char)bytes[i]) * 0x100000001b3;
    return hash ^ hash >> 32;
}

static int32_t id_of(const nn_bpe *b, const char *bytes, size_t len) {
    for (size_t at = hash_bytes(bytes, len) & (b->id_slots - 1); b->ids[at]; at = (at + 1) & (b->id_slots - 1)) {
        size_t id = b->ids[at] - 1;
        if (b->begin[id + 1] - b->begin[id] == len && !memcmp(b->bytes + b->begin[id], bytes, len)) return (int32_t)id;
    }
    return -1;
}

/* The slot of a pair, or the empty one where it would be. */
static merge *merge_of(const nn_bpe *b, uint32_t left, uint32_t right) {
    uint64_t hash = ((uint64_t)left << 32 | right) * 0x9e3779b97f4a7c15;
    for (size_t at = (hash >> 32) & (b->merge_slots - 1);; at = (at + 1) & (b->merge_slots - 1)) {
        merge *m = &b->merges[at];
        if (m->rank == NO_RANK || (m->left == left && m->right == right)) return m;
    }
}

/* --- bytes as characters --- */

static bool is_itself(int byte) {
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

/* Appends the bytes that the text's characters stand for; false on a character that stands for none. */
static bool append_bytes(const char *text, size_t len, spak_str *out) {
    unsigned char others[256];
    size_t num_others = 0;
    for (int byte = 0; byte < 256; byte++)
        if (!is_itself(byte)) others[num_others++] = (unsigned char)byte;
    for (size_t i = 0; i < len; i++) {
        unsigned char lead = (unsigned char)text[i];
        uint32_t code = lead;
        if (lead >= 0x80) { /* two bytes hold all that is needed, up to U+0143 */
            if (lead < 0xc2 || lead > 0xc5 || i + 1 == len || ((unsigned char)text[i + 1] & 0xc0) != 0x80) return false;
            code = (uint32_t)(lead & 0x1f) << 6 | ((unsigned char)text[++i] & 0x3f);
        }
        if (code < 256 ? !is_itself((int)code) : code - 256 >= num_others) return false;
        spak_str_putc(out, (char)(code < 256 ? code : others[code - 256]));
    }
    return true;
}

/* --- loading --- */

/* The vocabulary's tokens by their ids, which must be 0, 1, 2 ... */
static const char **tokens_by_id(const char *path, const json_t *json, spak_error *err) {
    size_t count = json_object_size(json);
    if (count == 0 || count > INT32_MAX) {
        spak_fail(err, "%s: expected a JSON object of tokens and their ids; is this a vocab.json?", path);
        return NULL;
    }
    const char **tokens = spak_calloc(count, sizeof *tokens), *token;
    bool ok = tokens || spak_fail_oom(err);
    json_t *value;
    json_object_foreach((json_t *)json, token, value) {
        if (!ok) break;
        json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
        if (id < 0 || (size_t)id >= count)
            ok = spak_fail(err, "%s: token \"%.60s\": expected an id from 0 to %zu, one for each token", path, token,
                           count - 1);
        else if (tokens[id])
            ok = spak_fail(err, "%s: tokens \"%.60s\" and \"%.60s\" have the same id %lld", path, tokens[id], token,
                           (long long)id);
        else
            tokens[id] = token;
    }
    if (ok) return tokens;
    spak_free(tokens);
    return NULL;
}

static bool store_tokens(nn_bpe *b, const char *path, const char *const *tokens, spak_error *err) {
    spak_str bytes = {0};
    b->id_slots = slots_for(b->count);
    b->ids = spak_calloc(b->id_slots, sizeof *b->ids);
    b->begin = spak_calloc(b->count + 1, sizeof *b->begin);
    bool ok = (b->ids && b->begin) || spak_fail_oom(err);
    for (size_t id = 0; ok && id < b->count; id++) {
        b->begin[id] = bytes.len;
        if (!*tokens[id] || !append_bytes(tokens[id], strlen(tokens[id]), &bytes))
            ok = spak_fail(err,
                           "%s: token \"%.60s\" (id %zu) is empty or holds a character that stands for no byte; "
                           "is this the vocabulary of a byte-level encoding?",
                           path, tokens[id], id);
        b->begin[id + 1] = bytes.len;
    }
    ok = ok && spak_str_ok(&bytes, err);
    b->bytes = bytes.data;
    for (size_t id = 0; ok && id < b->count; id++) {
        size_t len = b->begin[id + 1] - b->begin[id];
        size_t at = hash_bytes(b->bytes + b->begin[id], len) & (b->id_slots - 1);
        while (b->ids[at]) at = (at + 1) & (b->id_slots - 1);
        b->ids[at] = (uint32_t)id + 1;
    }
    return ok;
}

static bool load_vocab(nn_bpe *b, const char *path, spak_error *err) {
    json_t *json = NULL;
    if (!spak_json_load(path, &json, err)) return false;
    b->count = json_object_size(json);
    const char **tokens = tokens_by_id(path, json, err);
    bool ok = tokens && store_tokens(b, path, tokens, err);
    spak_free(tokens);
    json_decref(json);
    for (int byte = 0; ok && byte < 256; byte++)
        if ((b->of_byte[byte] = id_of(b, (char[]){(char)byte}, 1)) < 0)
            ok = spak_fail(err, "%s: the byte 0x%02x has no token; is this the vocabulary of a byte-level encoding?",
                           path, byte);
    if (ok) b->end_of_text = id_of(b, END_OF_TEXT, strlen(END_OF_TEXT));
    return ok;
}

/* One line, "left right". */
static bool read_merge(nn_bpe *b, const char *line, size_t len, int32_t rank, const char **why, spak_str *pair) {
    const char *blank = memchr(line, ' ', len);
    size_t left_len = blank ? (size_t)(blank - line) : 0;
    *why = "expected two tokens with one blank between them";
    if (!left_len || left_len + 1 == len || memchr(blank + 1, ' ', len - left_len - 1)) return false;
    *why = "a character stands for no byte";
    spak_str_clear(pair);
    if (!append_bytes(line, left_len, pair)) return false;
    size_t split = pair->len;
    if (!append_bytes(blank + 1, len - left_len - 1, pair)) return false;
    *why = "out of memory";
    if (pair->oom) return false;
    int32_t left = id_of(b, pair->data, split), right = id_of(b, pair->data + split, pair->len - split);
    int32_t merged = id_of(b, pair->data, pair->len);
    *why = left < 0    ? "the first token is not in the vocabulary"
           : right < 0 ? "the second token is not in the vocabulary"
                       : "what the two make is not in the vocabulary";
    if (left < 0 || right < 0 || merged < 0) return false;
    merge *m = merge_of(b, (uint32_t)left, (uint32_t)right);
    *why = "the pair has stood here before";
    if (m->rank != NO_RANK) return false;
    *m = (merge){(uint32_t)left, (uint32_t)right, rank, merged};
    return true;
}

static bool load_merges(nn_bpe *b, const char *path, spak_error *err) {
    spak_str text = {0}, pair = {0};
    if (!spak_read_file(path, &text, err)) return false;
    size_t lines = 1, number = 0;
    for (size_t i = 0; i < text.len; i++) lines += text.data[i] == '\n';
    b->merge_slots = slots_for(lines);
    b->merges = spak_malloc(b->merge_slots * sizeof *b->merges);
    bool ok = b->merges || spak_fail_oom(err);
    for (size_t i = 0; ok && i < b->merge_slots; i++) b->merges[i].rank = NO_RANK;
    for (size_t at = 0, end; ok && at < text.len; at = end + 1) {
        const char *line = text.data + at, *feed = memchr(line, '\n', text.len - at), *why;
        end = feed ? (size_t)(feed - text.data) : text.len;
        number++;
        if (end == at || (number == 1 && spak_starts_with(line, "#version"))) continue;
        if (!read_merge(b, line, end - at, (int32_t)number, &why, &pair))
            ok = spak_fail(err, "%s:%zu: %s, found \"%.*s\"; are vocabulary and merges of one encoding?", path, number,
                           why, end - at < 80 ? (int)(end - at) : 80, line);
    }
    spak_str_free(&pair);
    spak_str_free(&text);
    return ok;
}

bool nn_bpe_load(const char *vocab, const char *merges, nn_bpe **bpe, spak_error *err) {
    nn_bpe *b = spak_calloc(1, sizeof *b);
    *bpe = NULL;
    if (!b) return spak_fail_oom(err);
    if (load_vocab(b, vocab, err) && load_merges(b, merges, err)) {
        *bpe = b;
        return true;
    }
    nn_bpe_free(b);
    return false;
}

void nn_bpe_free(nn_bpe *b) {
    if (!b) return;
    spak_free(b->bytes);
    spak_free(b->begin);
    spak_free(b->ids);
    spak_free(b->merges);
    spak_free(b);
}

size_t nn_bpe_vocab(const nn_bpe *b) { return b->count; }
int32_t nn_bpe_end_of_text(const nn_bpe *b) { return b->end_of_text; }

/* --- encoding --- */

#define NONE UINT32_MAX

typedef struct node {
    uint32_t id, previous, next; /* NONE at the ends; id NONE: merged into another */
} node;

typedef struct candidate {
    int32_t rank;
    uint32_t at; /* of the left one */
} candidate;

typedef struct encoder {
    const nn_bpe *bpe;
    node *nodes;
    candidate *heap; /* three for each node: the pairs at first, and two for each merge */
    size_t capacity, heap_len;
    int32_t *ids;
    size_t count, ids_capacity;
} encoder;

static bool before(candidate a, candidate b) { return a.rank != b.rank ? a.rank < b.rank : a.at < b.at; }

static void push(encoder *e, uint32_t at) {
    const node *left = &e->nodes[at];
    if (at == NONE || left->next == NONE) return;
    candidate c = {merge_of(e->bpe, left->id, e->nodes[left->next].id)->rank, at};
    if (c.rank == NO_RANK) return;
    size_t i = e->heap_len++;
    for (; i && before(c, e->heap[(i - 1) / 2]); i = (i - 1) / 2) e->heap[i] = e->heap[(i - 1) / 2];
    e->heap[i] = c;
}

static candidate pop(encoder *e) {
    candidate top = e->heap[0], last = e->heap[--e->heap_len];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < e->heap_len; i = child) {
        if (child + 1 < e->heap_len && before(e->heap[child + 1], e->heap[child])) child++;
        if (!before(e->heap[child], last)) break;
        e->heap[i] = e->heap[child];
    }
    e->heap[i] = last;
    return top;
}

static void merge_at(encoder *e, candidate c) {
    node *left = &e->nodes[c.at];
    if (left->id == NONE || left->next == NONE) return;
    node *right = &e->nodes[left->next];
    const merge *m = merge_of(e->bpe, left->id, right->id);
    if (m->rank != c.rank) return; /* one of the two is another by now */
    left->id = (uint32_t)m->merged;
    left->next = right->next;
    right->id = NONE;
    if (left->next != NONE) e->nodes[left->next].previous = c.at;
    if (left->previous != NONE) push(e, left->previous);
    push(e, c.at);
}

static bool reserve(encoder *e, size_t len, spak_error *err) {
    if (e->ids_capacity - e->count < len) {
        size_t capacity = 2 * e->ids_capacity + len;
        int32_t *grown = spak_realloc(e->ids, capacity * sizeof *grown);
        if (!grown) return spak_fail_oom(err);
        e->ids = grown;
        e->ids_capacity = capacity;
    }
    if (e->capacity >= len) return true;
    spak_free(e->nodes);
    spak_free(e->heap);
    e->capacity = 2 * len;
    e->nodes = spak_malloc(e->capacity * sizeof *e->nodes);
    e->heap = spak_malloc(3 * e->capacity * sizeof *e->heap);
    return (e->nodes && e->heap) || spak_fail_oom(err);
}

static bool encode_piece(encoder *e, const char *text, size_t len, spak_error *err) {
    if (len > INT32_MAX) return spak_fail(err, "a piece of text of %zu bytes without a break cannot be encoded", len);
    if (!reserve(e, len, err)) return false;
    for (size_t i = 0; i < len; i++)
        e->nodes[i] = (node){(uint32_t)e->bpe->of_byte[(unsigned char)text[i]], i ? (uint32_t)i - 1 : NONE,
                             i + 1 < len ? (uint32_t)i + 1 : NONE};
    e->heap_len = 0;
    for (size_t i = 0; i < len; i++) push(e, (uint32_t)i);
    while (e->heap_len) merge_at(e, pop(e));
    for (uint32_t i = 0; i != NONE; i = e->nodes[i].next) e->ids[e->count++] = (int32_t)e->nodes[i].id;
    return true;
}

bool nn_bpe_encode(const nn_bpe *bpe, const char *text, size_t len, bool specials, int32_t **ids, size_t *count,
                   spak_error *err) {
    encoder e = {.bpe = bpe};
    bool ok = true;
    const size_t special_len = strlen(END_OF_TEXT);
    specials = specials && bpe->end_of_text >= 0;
    for (size_t at = 0; ok && at < len;) {
        const char *special = specials ? memmem(text + at, len - at, END_OF_TEXT, special_len) : NULL;
        size_t end = special ? (size_t)(special - text) : len;
        for (size_t piece; ok && at < end; at += piece) {
            piece = nn_bpe_piece(text + at, end - at);
            ok = encode_piece(&e, text + at, piece, err);
        }
        if (!ok || !special) break;
        if ((ok = reserve(&e, 1, err))) e.ids[e.count++] = bpe->end_of_text;
        at += special_len;
    }
    spak_free(e.nodes);
    spak_free(e.heap);
    if (!ok) spak_free(e.ids);
    *ids = ok ? e.ids : NULL;
    *count = ok ? e.count : 0;
    return ok;
}

bool nn_bpe_decode(const nn_bpe *b, const int32_t *ids, size_t n, spak_str *text, spak_error *err) {
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || (size_t)ids[i] >= b->count)
            return spak_fail(err, "token number %zu is %d, outside the vocabulary of %zu tokens", i, ids[i], b->count);
        spak_str_append(text, b->bytes + b->begin[ids[i]], b->begin[ids[i] + 1] - b->begin[ids[i]]);
    }
    return spak_str_ok(text, err);
}
