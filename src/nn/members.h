/* A structure as a table of its members, read from JSON and written to it over that one table: so that none can be read
 * and not written. */
#ifndef SPAK_NN_MEMBERS_H
#define SPAK_NN_MEMBERS_H

#include <stddef.h>

#include "base/err.h"
#include "base/json.h"

typedef enum nn_member_type { NN_SIZE, NN_INT, NN_FLAG, NN_FLOAT, NN_DOUBLE, NN_WORD } nn_member_type;

typedef struct nn_member {
    const char *name; /* in JSON */
    nn_member_type type;
    size_t at;                /* where it lies in the structure; a NN_WORD is an enum there */
    double least, most;       /* of a number; both infinite: any */
    const char *const *words; /* of an enum, in the order of its values, NULL at the end */
} nn_member;

const nn_member *nn_member_find(const nn_member *members, size_t count, const char *name); /* NULL: none */

/* Reads one into its place in `to`. An error says what was expected and what found; the caller says of which member. */
bool nn_member_read(const nn_member *member, const json_t *value, void *to, spak_error *err);

/* An object of all of them; new reference, NULL when out of memory. */
json_t *nn_members_json(const nn_member *members, size_t count, const void *from);

#endif
