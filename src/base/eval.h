/* How the floors below src/lua have a backtick expression evaluated: the caller hands them this table. */
#ifndef SPAK_BASE_EVAL_H
#define SPAK_BASE_EVAL_H

#include "base/err.h"
#include "base/json.h"

typedef struct spak_evaluator {
    void *ctx;
    /* Evaluates the Lua expression `code`; `where` ("file:line:column") goes into error messages; the members of the
     * object `env` (may be NULL) are its variables. *out is a new reference (JSON null for nil). */
    bool (*eval)(void *ctx, const char *code, const char *where, const json_t *env, json_t **out, spak_error *err);
} spak_evaluator;

#endif
