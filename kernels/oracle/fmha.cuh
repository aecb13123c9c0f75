/* What both files of attention's oracle ask: where things are, who sees whom.
 */
#ifndef SPAK_ORACLE_FMHA_CUH
#define SPAK_ORACLE_FMHA_CUH

#include "oracle/fmha_params.h"
#include "ptx/types.cuh"

/* n roundings in a chain: Higham, 3.1. */
DEVICE double gamma_of(double n, double unit) {
    return n * unit / (1 - n * unit);
}

/* Rows of one head of one sequence. */
typedef struct rows {
    const element *at;
    long long row;
} rows;

DEVICE int cu_at(oracle_ptr cu, int i) {
    return (int)load_word((const int *)cu + i);
}

DEVICE int length_of(oracle_ptr cu, int batch, int all) {
    return cu ? cu_at(cu, batch + 1) - cu_at(cu, batch) : all;
}

DEVICE rows rows_of(oracle_ptr base, oracle_layout at, oracle_ptr cu, int batch,
                    int head) {
    long long begin = cu ? cu_at(cu, batch) * at.row : batch * at.batch;
    rows r = {(const element *)base + begin + head * at.head, at.row};
    return r;
}

DEVICE double value(rows r, int t, int d) {
    return (double)element_to_float(load_element(r.at + t * r.row + d));
}

/* The place of LSE (b, h, t). */
DEVICE const float *lse_of(const oracle_attention *p, int batch, int head,
                           int t) {
    long long at =
        p->cu_q ? (long long)head * p->total_q + cu_at(p->cu_q, batch) + t
                : ((long long)batch * p->heads + head) * p->q_len + t;
    return (const float *)p->lse + at;
}

typedef struct span {
    int begin, end;
} span;

/* The keys that a query sees, or (is_key) the queries that see a key. */
DEVICE span partners_of(const oracle_attention *p, int queries, int keys,
                        bool is_key, int at) {
    int ahead = keys - queries;
    span s = {0, is_key ? queries : keys};
    if (is_key) {
        if (p->causal && at - ahead > s.begin) s.begin = at - ahead;
        if (p->window >= 0 && at - ahead + p->window + 1 < s.end)
            s.end = at - ahead + p->window + 1;
    } else {
        if (p->causal && at + ahead + 1 < s.end) s.end = at + ahead + 1;
        if (p->window >= 0 && at + ahead - p->window > s.begin)
            s.begin = at + ahead - p->window;
    }
    if (s.end < s.begin) s.end = s.begin;
    return s;
}

DEVICE bool sees(const oracle_attention *p, int ahead, int t, int j) {
    return (!p->causal || j <= t + ahead) &&
           (p->window < 0 || j >= t + ahead - p->window);
}

#endif
