/* One training step as a template over the precision and the vectors: the state
 * it works on, and the table it is reached through. All that a step needs lies
 * in one block, 90 KB in floats, so it lives in L2 from one step to the next.
 *
 * Rows are positions, 16 at most; each name below is what the reference calls
 * x at that point. */
#include "microgpt/lanes.h"

enum { LOGITS = 32 };       /* 27, filled up to whole vectors */
#define ATTENTION_SCALE 0.5 /* 1 / sqrt(4) */

typedef struct state {
    /* (4192) in the reference's order. */
    REAL params[MICROGPT_PARAMS], grad[MICROGPT_PARAMS], mean[MICROGPT_PARAMS],
        square[MICROGPT_PARAMS];
    /* (in, out): the weights as the forward pass reads them. */
    REAL head_t[16 * LOGITS], qkv_t[16 * 48], wo_t[16 * 16], fc1_t[16 * 64],
        fc2_t[64 * 16];
    /* What the forward pass leaves for the backward pass. */
    REAL embedded[16][16], x[16][16], x_normed[16][16], qkv[16][48],
        p[16][16][16], attended[16][16], y[16][16], y_normed[16][16],
        hidden[16][64], z[16][16], logits[16][LOGITS];
    REAL x_factor[16], x_normed_factor[16], y_normed_factor[16];
    REAL d_logits[16][LOGITS], d_z[16][16], d_hidden[16][64], d_normed[16][16],
        d_y[16][16], d_attended[16][16], d_qkv[16][48], d_x[16][16];
    const REAL *wte, *wpe, *head, *wqkv, *wo, *fc1, *fc2; /* in params */
    size_t n;
    microgpt_fault fault;
} state;

#include "microgpt/product.h"

typedef REAL quad __attribute__((vector_size(4 * sizeof(REAL)), may_alias));

/* Copies w (out, in) to t (in, ld): four by four, by two rounds of interleaving
 * (rows 0 and 2, 1 and 3; then what came of them). Both are multiples of four.
 */
INLINE void transpose(const REAL *w, size_t out, size_t in, REAL *t,
                      size_t ld) {
    for (size_t o = 0; o < out; o += 4)
        for (size_t i = 0; i < in; i += 4) {
            const REAL *from = w + o * in + i;
            quad a = *(const quad *)from, b = *(const quad *)(from + in),
                 c = *(const quad *)(from + 2 * in),
                 d = *(const quad *)(from + 3 * in);
            quad ac = __builtin_shufflevector(a, c, 0, 4, 1, 5),
                 ac_high = __builtin_shufflevector(a, c, 2, 6, 3, 7),
                 bd = __builtin_shufflevector(b, d, 0, 4, 1, 5),
                 bd_high = __builtin_shufflevector(b, d, 2, 6, 3, 7);
            quad *to[4];
            for (size_t r = 0; r < 4; r++)
                to[r] = (quad *)(t + (i + r) * ld + o);
            *to[0] = __builtin_shufflevector(ac, bd, 0, 4, 1, 5);
            *to[1] = __builtin_shufflevector(ac, bd, 2, 6, 3, 7);
            *to[2] = __builtin_shufflevector(ac_high, bd_high, 0, 4, 1, 5);
            *to[3] = __builtin_shufflevector(ac_high, bd_high, 2, 6, 3, 7);
        }
}

static void renew_copies(state *s) {
    /* A 28th row, of what follows the head, is copied along: its logit is one
     * of those that the softmax leaves out. */
    transpose(s->head, 28, 16, s->head_t, LOGITS);
    transpose(s->wqkv, 48, 16, s->qkv_t, 48);
    transpose(s->wo, 16, 16, s->wo_t, 16);
    if (s->fault != MICROGPT_COPY_NOT_RENEWED)
        transpose(s->fc1, 64, 16, s->fc1_t, 64);
    transpose(s->fc2, 16, 64, s->fc2_t, 16);
}

/* With that fault, these rows' gradient goes no further. */
INLINE void cut(const state *s, microgpt_fault fault, REAL *d, size_t width) {
    if (s->fault == fault) memset(d, 0, s->n * width * sizeof *d);
}

#include "microgpt/forward.h"

#include "microgpt/backward.h"

#include "microgpt/adam.h"

static void set(void *state_, const double *params, microgpt_fault fault) {
    state *s = state_;
    memset(s, 0, sizeof *s);
    for (int i = 0; i < MICROGPT_PARAMS; i++) s->params[i] = (REAL)params[i];
    s->wte = s->params + MICROGPT_WTE;
    s->wpe = s->params + MICROGPT_WPE;
    s->head = s->params + MICROGPT_HEAD;
    s->wqkv = s->params + MICROGPT_QKV;
    s->wo = s->params + MICROGPT_WO;
    s->fc1 = s->params + MICROGPT_FC1;
    s->fc2 = s->params + MICROGPT_FC2;
    renew_copies(s); /* before the fault, which is in renewing them */
    s->fault = fault;
}

static void get(const void *state_, microgpt_array which, double *out) {
    const state *s = state_;
    const REAL *from = which == MICROGPT_VALUES     ? s->params
                       : which == MICROGPT_GRADIENT ? s->grad
                       : which == MICROGPT_MEAN     ? s->mean
                                                    : s->square;
    for (int i = 0; i < MICROGPT_PARAMS; i++) out[i] = (double)from[i];
}

static void active(const void *state_, size_t n, uint64_t *out) {
    const state *s = state_;
    for (size_t t = 0; t < n; t++) {
        out[t] = 0;
        for (int u = 0; u < MICROGPT_HIDDEN; u++)
            if (s->hidden[t][u] > 0) out[t] |= (uint64_t)1 << u;
    }
}

const microgpt_kernels MICROGPT_TABLE = {sizeof(state), set,  get,    forward,
                                         backward,      adam, active, logits};
