/* Names: lines of a text, shuffled as the reference shuffles them. */
#include <string.h>

#include "base/alloc.h"
#include "microgpt/microgpt.h"

struct microgpt_docs {
    size_t count;
    char *text;
    struct span {
        size_t at, length;
    } * name; /* (count), in the order of training */
};

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* Lines, without the white space around them; empty ones do not count. */
static bool find_names(microgpt_docs *docs, size_t size, spak_error *err) {
    size_t line = 1;
    for (size_t at = 0; at < size; line++) {
        size_t end = at;
        while (end < size && docs->text[end] != '\n') end++;
        size_t next = end + 1;
        while (at < end && is_space(docs->text[at])) at++;
        while (end > at && is_space(docs->text[end - 1])) end--;
        for (size_t i = at; i < end; i++)
            if (docs->text[i] < 'a' || docs->text[i] > 'z')
                return spak_fail(err,
                                 "line %zu: expected a name in letters a to z, "
                                 "found the byte 0x%02X; write one name a "
                                 "line, without capitals and accents",
                                 line, (unsigned char)docs->text[i]);
        if (end > at) docs->name[docs->count++] = (struct span){at, end - at};
        at = next;
    }
    return docs->count > 0 ||
           spak_fail(err, "expected names, one a line, found none");
}

static bool shuffle(microgpt_docs *docs, spak_mt *mt, microgpt_fault fault,
                    spak_error *err) {
    size_t *order = spak_malloc(docs->count * sizeof *order);
    struct span *name = spak_malloc(docs->count * sizeof *name);
    if (order && name) {
        for (size_t i = 0; i < docs->count; i++) order[i] = i;
        if (fault == MICROGPT_SHUFFLE_UPWARDS)
            for (size_t i = 0; i + 1 < docs->count; i++) {
                size_t j = i + spak_mt_below(mt, docs->count - i);
                size_t kept = order[i];
                order[i] = order[j];
                order[j] = kept;
            }
        else
            spak_mt_shuffle(mt, order, docs->count);
        for (size_t i = 0; i < docs->count; i++) name[i] = docs->name[order[i]];
        spak_free(docs->name);
        docs->name = name;
        name = NULL;
    }
    bool done = order && !name;
    spak_free(order);
    spak_free(name);
    return done || spak_fail_oom(err);
}

bool microgpt_docs_new(const char *text, size_t size, spak_mt *mt,
                       microgpt_fault fault, microgpt_docs **out,
                       spak_error *err) {
    *out = NULL;
    microgpt_docs *docs = spak_calloc(1, sizeof *docs);
    if (!docs) return spak_fail_oom(err);
    size_t lines = 1;
    for (size_t i = 0; i < size; i++) lines += text[i] == '\n';
    docs->text = spak_malloc(size + 1);
    docs->name = spak_malloc(lines * sizeof *docs->name);
    bool good = docs->text && docs->name;
    if (good)
        memcpy(docs->text, text, size);
    else
        spak_fail_oom(err);
    if (good && find_names(docs, size, err) && shuffle(docs, mt, fault, err)) {
        *out = docs;
        return true;
    }
    microgpt_docs_free(docs);
    return false;
}

void microgpt_docs_free(microgpt_docs *docs) {
    if (!docs) return;
    spak_free(docs->text);
    spak_free(docs->name);
    spak_free(docs);
}

const char *microgpt_docs_get(const microgpt_docs *docs, size_t step,
                              size_t *length) {
    struct span name = docs->name[step % docs->count];
    *length = name.length;
    return docs->text + name.at;
}

void microgpt_doc_of(const char *name, size_t length, microgpt_doc *doc) {
    size_t t = 0;
    doc->tokens[t++] = MICROGPT_BOS;
    for (size_t i = 0; i < length && t <= MICROGPT_CONTEXT; i++)
        doc->tokens[t++] = name[i] - 'a';
    if (t <= MICROGPT_CONTEXT) doc->tokens[t++] = MICROGPT_BOS;
    doc->n = t - 1;
}
