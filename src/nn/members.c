#include "nn/members.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const nn_member *nn_member_find(const nn_member *members, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(members[i].name, name) == 0) return &members[i];
    return NULL;
}

/* --- reading --- */

static bool unexpected(const nn_member *m, const json_t *value, spak_error *err) {
    const bool number = m->type != NN_FLAG && m->type != NN_WORD, whole = m->type == NN_SIZE || m->type == NN_INT;
    spak_str wanted = {0}, found = {0};
    if (m->type == NN_FLAG) spak_str_puts(&wanted, "true or false");
    if (number) spak_str_puts(&wanted, whole ? "a whole number" : "a number");
    if (number && isfinite(m->most)) spak_str_printf(&wanted, " from %.10g to %.10g", m->least, m->most);
    for (int i = 0; m->type == NN_WORD && m->words[i]; i++)
        spak_str_printf(&wanted, "%s\"%s\"", i ? ", " : "one of ", m->words[i]);
    if (spak_json_canonical(value, &found, err) && spak_str_ok(&found, err) && spak_str_ok(&wanted, err))
        spak_fail(err, "expected %s, found %.80s", wanted.data, found.data);
    spak_str_free(&wanted);
    spak_str_free(&found);
    return false;
}

/* A whole number may also be written as 12.0: Lua's division gives such. */
static bool read_number(const nn_member *m, const json_t *value, void *at) {
    const double x = json_is_number(value) ? json_number_value(value) : NAN;
    if (!(x >= m->least && x <= m->most)) return false;
    if (m->type == NN_FLOAT) *(float *)at = (float)x;
    if (m->type == NN_DOUBLE) *(double *)at = x;
    if (m->type == NN_FLOAT || m->type == NN_DOUBLE) return true;
    if (x != floor(x)) return false;
    if (m->type == NN_INT)
        *(int *)at = (int)x;
    else
        *(size_t *)at = (size_t)x;
    return true;
}

static bool read_word(const nn_member *m, const json_t *value, void *at) {
    const char *word = json_string_value(value);
    int i = 0;
    while (word && m->words[i] && strcmp(word, m->words[i]) != 0) i++;
    if (!word || !m->words[i]) return false;
    memcpy(at, &i, sizeof i); /* an enum without negative values lies in memory as an int does */
    return true;
}

bool nn_member_read(const nn_member *m, const json_t *value, void *to, spak_error *err) {
    void *at = (char *)to + m->at;
    if (m->type == NN_FLAG && json_is_boolean(value)) {
        *(bool *)at = json_is_true(value);
        return true;
    }
    if (m->type == NN_FLAG || !(m->type == NN_WORD ? read_word : read_number)(m, value, at))
        return unexpected(m, value, err);
    return true;
}

/* --- writing --- */

/* The double whose text is the shortest that reads back as this float: 0.1f is written as 0.1. */
static double short_double(float x) {
    char text[32];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)x);
        if (strtof(text, NULL) == x) break;
    }
    return strtod(text, NULL);
}

static json_t *member_json(const nn_member *m, const void *from) {
    const void *at = (const char *)from + m->at;
    switch (m->type) {
        case NN_SIZE: return json_integer((json_int_t) * (const size_t *)at);
        case NN_INT: return json_integer(*(const int *)at);
        case NN_FLAG: return json_boolean(*(const bool *)at);
        case NN_FLOAT: return json_real(short_double(*(const float *)at));
        case NN_DOUBLE: return json_real(*(const double *)at);
        case NN_WORD: return json_string(m->words[*(const int *)at]);
    }
    return NULL;
}

json_t *nn_members_json(const nn_member *members, size_t count, const void *from) {
    json_t *json = json_object();
    for (size_t i = 0; json && i < count; i++) {
        if (spak_json_set(json, members[i].name, member_json(&members[i], from), NULL)) continue;
        json_decref(json);
        json = NULL;
    }
    return json;
}
