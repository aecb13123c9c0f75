/* Attention's oracle in double precision, of chosen lines: O and LSE, or dQ, of
 * a query; dK and dV of a key (fmha/gpu/params.h has the formulas).
 *
 * Way of the data: 16 bits from global memory to double in registers; what a
 * line has to do with each of its partners (the keys that a query sees, the
 * queries that see a key) goes through global memory once, for a line may have
 * more partners than shared memory has room.
 *
 * Who: a block a line. First each thread takes every 256th partner: its scores
 * and from them its weights. Then 64 threads take a column of the output each,
 * four times over, a quarter of the partners each.
 *
 * Floor: 6 (forward) to 16 (a key's backward) operations in double precision
 * for each partner and column; a thousand lines of 16384 partners take
 * milliseconds.
 *
 * The bound is that of kernels/fmha/oracle.c, where each of its steps is
 * derived, with the constants of fmha_f64.c. The CPU's oracle and this file are
 * held against each other in tests/kernels/oracle. */
#include "oracle/fmha.cuh"

enum { THREADS = 256, COLUMNS = 64, PARTS = THREADS / COLUMNS };

/* e^x, finite in any case: beyond e^60 no bound says anything. */
DEVICE double grow(double x) { return exp(x < 60 ? x : 60); }

DEVICE double minus_infinity(void) { return log(0.0); }

/* --- what a block does together --- */

DEVICE double block_sum(double x) {
    __shared__ double part[THREADS];
    part[threadIdx.x] = x;
    for (unsigned step = THREADS / 2; step > 0; step /= 2) {
        __syncthreads();
        if (threadIdx.x < step) part[threadIdx.x] += part[threadIdx.x + step];
    }
    __syncthreads();
    x = part[0];
    __syncthreads();
    return x;
}

DEVICE double block_max(double x) {
    __shared__ double part[THREADS];
    part[threadIdx.x] = x;
    for (unsigned step = THREADS / 2; step > 0; step /= 2) {
        __syncthreads();
        if (threadIdx.x < step)
            part[threadIdx.x] =
                fmax(part[threadIdx.x], part[threadIdx.x + step]);
    }
    __syncthreads();
    x = part[0];
    __syncthreads();
    return x;
}

/* sum_d a_d b_d, exact products, and the sum of their magnitudes. */
DEVICE double dot(rows a, int i, rows b, int j, int dim, double *size) {
    double sum = 0, sizes = 0;
    for (int d = 0; d < dim; d++) {
        double product = value(a, i, d) * value(b, j, d);
        sum += product;
        sizes += fabs(product);
    }
    *size = sizes;
    return sum;
}

/* Adds w x and weight |x| over a quarter of the partners, then all quarters:
 * column d of the first `columns` is in the thread that returns true. */
typedef struct column {
    double sum, bound, all, most; /* all: sum of |x|; most: the largest */
} column;

DEVICE void add_column(column *c, double w, double weight, double x) {
    double size = fabs(x);
    c->sum += w * x;
    c->bound += weight * size;
    c->all += size;
    c->most = fmax(c->most, size);
}

DEVICE bool join_columns(column *c) {
    __shared__ column part[THREADS];
    part[threadIdx.x] = *c;
    __syncthreads();
    for (unsigned i = 1; i < PARTS && threadIdx.x < COLUMNS; i++) {
        column other = part[threadIdx.x + i * COLUMNS];
        c->sum += other.sum;
        c->bound += other.bound;
        c->all += other.all;
        c->most = fmax(c->most, other.most);
    }
    __syncthreads();
    return threadIdx.x < COLUMNS;
}

DEVICE void put(const oracle_attention *p, int width, int at, double want,
                double bound, double got) {
    double *to = (double *)p->found + (long long)blockIdx.x * 3 * width + at;
    to[0] = want;
    to[width] = bound;
    to[2 * width] = got;
}

DEVICE double *scratch(const oracle_attention *p) {
    return (double *)p->partners + (long long)blockIdx.x * p->most_partners * 4;
}

/* --- O and LSE of a query: width head_dim + 1 --- */

typedef struct softmax {
    double max, sum, spread; /* spread: log L of oracle.c, step 3 */
} softmax;

/* By how much a weight w may grow that has the error e^E = own, among errors
 * whose weighted sum is all: g_j. Its own part cancels in the quotient,
 * fmha_f64.c, step 3; beyond e^10 the difference would be lost in a double. */
DEVICE double weight_growth(const oracle_bound *b, double w, double own,
                            double all) {
    double g = own * all - 1;
    if (!b->own_cancels || own > 22026) return g;
    return fmax(g - w * (own * own - 1), 0.0) + 0x1p-48 * own * own;
}

/* Leaves p_j in part[4 j] and in part[4 j + 1] what |v_j| weighs in the
 * bound. */
DEVICE softmax weigh_keys(const oracle_attention *p, rows q, int t, rows k,
                          span keys, double *part) {
    const oracle_bound *b = &p->bound;
    int n = keys.end - keys.begin;
    softmax s = {minus_infinity(), 0, 0};
    double sum = 0, grown = 0;
    for (int j = threadIdx.x; j < n; j += THREADS) {
        double size;
        double score =
            p->scale * dot(q, t, k, keys.begin + j, p->head_dim, &size);
        part[4 * j] = score;
        part[4 * j + 1] = fabs(p->scale) * size;
        s.max = fmax(s.max, score);
    }
    s.max = block_max(s.max);
    for (int j = threadIdx.x; j < n; j += THREADS)
        sum += exp(part[4 * j] - s.max);
    s.sum = block_sum(sum);
    for (int j = threadIdx.x; j < n; j += THREADS) {
        double below = s.max - part[4 * j], w = exp(-below) / s.sum;
        double e = gamma_of(p->head_dim + 5, b->unit) * part[4 * j + 1] +
                   3 * b->unit * below + b->exp_error * (b->rescales + 1) +
                   b->shift * fabs(s.max);
        part[4 * j] = w;
        part[4 * j + 1] = grow(e);
        grown += w * grow(e);
    }
    grown = block_sum(grown);
    for (int j = threadIdx.x; j < n; j += THREADS)
        part[4 * j + 1] =
            part[4 * j] *
            (1 + weight_growth(b, part[4 * j], part[4 * j + 1], grown) *
                     (1 + b->rho) / b->rho);
    s.spread = log(grown);
    __syncthreads();
    return s;
}

DEVICE double output_bound(const oracle_bound *b, const column *c) {
    double sum = fmin(c->bound, (2 + b->rho) / b->rho * c->most);
    /* P is the same number for all keys, rounded once where it is normalised
     * first; quotients and weights of slices are floats. */
    if (b->exact)
        return (2 * b->out_unit + b->out_unit * b->out_unit) * fabs(c->sum) +
               0x1p-18 * c->bound + 0x1p-24;
    return b->factor * (sum + b->subnormal * (c->all + (c->most >= 0x1p-24)));
}

KERNEL void __launch_bounds__(THREADS)
    oracle_output(const __grid_constant__ oracle_attention p) {
    oracle_line line = ((const oracle_line *)p.lines)[blockIdx.x];
    int kv = line.head / (p.heads / p.kv_heads), width = p.head_dim + 1;
    rows q = rows_of(p.q, p.q_at, p.cu_q, line.batch, line.head),
         k = rows_of(p.k, p.k_at, p.cu_k, line.batch, kv),
         v = rows_of(p.v, p.v_at, p.cu_k, line.batch, kv),
         o = rows_of(p.o, p.o_at, p.cu_q, line.batch, line.head);
    span keys =
        partners_of(&p, length_of(p.cu_q, line.batch, p.q_len),
                    length_of(p.cu_k, line.batch, p.kv_len), false, line.at);
    int n = keys.end - keys.begin;
    double *part = scratch(&p);
    softmax s = weigh_keys(&p, q, line.at, k, keys, part);
    for (int first = 0; first < p.head_dim; first += COLUMNS) {
        int d = first + threadIdx.x % COLUMNS;
        column c = {0, 0, 0, 0};
        if (d < p.head_dim)
            for (int j = threadIdx.x / COLUMNS; j < n; j += PARTS)
                add_column(&c, part[4 * j], part[4 * j + 1],
                           value(v, keys.begin + j, d));
        if (join_columns(&c) && d < p.head_dim)
            put(&p, width, d, c.sum, output_bound(&p.bound, &c),
                value(o, line.at, d));
    }
    if (threadIdx.x > 0) return;
    double lse = n > 0 ? s.max + log(s.sum) : minus_infinity();
    double sizes = fabs(s.max) + log(s.sum) + 1;
    put(&p, width, p.head_dim, lse,
        n > 0 ? s.spread + p.bound.phi + 8 * p.bound.unit * sizes : 0,
        (double)word_to_float(
            load_word(lse_of(&p, line.batch, line.head, line.at))));
}

/* --- backward --- */

/* One query and one key: P, dS, and what they weigh in the bound. */
typedef struct pair {
    double p, p_bound, ds, ds_bound;
} pair;

/* One query's side of a pair. */
typedef struct query {
    rows q, d_o;
    int t;
    double lse, dot, dot_size;
} query;

DEVICE pair pair_of(const oracle_attention *p, const query *x, rows k, rows v,
                    int j) {
    const oracle_bound *b = &p->bound;
    const double scale = fabs(p->scale), more = (1 + b->rho) / b->rho;
    double size, dp_size;
    double s = p->scale * dot(x->q, x->t, k, j, p->head_dim, &size);
    double dp = dot(x->d_o, x->t, v, j, p->head_dim, &dp_size);
    double e = gamma_of(p->head_dim + 5, b->unit) * scale * size +
               3 * b->unit * fabs(s - x->lse) + 2 * b->unit * fabs(x->lse) +
               b->exp_error;
    double grown = grow(e) - 1, off = fabs(dp - x->dot),
           delta = gamma_of(p->head_dim + 1, b->unit) * (dp_size + x->dot_size);
    pair y;
    y.p = exp(s - x->lse);
    y.ds = y.p * (dp - x->dot);
    double error = y.p * (grown * off +
                          (1 + grown) * (delta + 3 * b->unit * (off + delta)));
    y.ds_bound = scale * (fabs(y.ds) + error * more) +
                 (scale > 1 ? scale : 1) * b->subnormal;
    y.p_bound = y.p * (1 + grown * more) + b->subnormal;
    return y;
}

DEVICE query query_of(const oracle_attention *p, int batch, int head, int t) {
    query x;
    rows o = rows_of(p->o, p->o_at, p->cu_q, batch, head);
    x.q = rows_of(p->q, p->q_at, p->cu_q, batch, head);
    x.d_o = rows_of(p->d_o, p->do_at, p->cu_q, batch, head);
    x.t = t;
    x.lse = (double)word_to_float(load_word(lse_of(p, batch, head, t)));
    x.dot = dot(x.d_o, t, o, t, p->head_dim, &x.dot_size);
    return x;
}

/* dQ = scale dS K: width head_dim */
KERNEL void __launch_bounds__(THREADS)
    oracle_dq(const __grid_constant__ oracle_attention p) {
    oracle_line line = ((const oracle_line *)p.lines)[blockIdx.x];
    int kv = line.head / (p.heads / p.kv_heads);
    rows k = rows_of(p.k, p.k_at, p.cu_k, line.batch, kv),
         v = rows_of(p.v, p.v_at, p.cu_k, line.batch, kv),
         dq = rows_of(p.dq, p.dq_at, p.cu_q, line.batch, line.head);
    span keys =
        partners_of(&p, length_of(p.cu_q, line.batch, p.q_len),
                    length_of(p.cu_k, line.batch, p.kv_len), false, line.at);
    int n = keys.end - keys.begin;
    double *part = scratch(&p);
    query x = query_of(&p, line.batch, line.head, line.at);
    for (int j = threadIdx.x; j < n; j += THREADS) {
        pair y = pair_of(&p, &x, k, v, keys.begin + j);
        part[4 * j] = y.ds;
        part[4 * j + 1] = y.ds_bound;
    }
    __syncthreads();
    for (int first = 0; first < p.head_dim; first += COLUMNS) {
        int d = first + threadIdx.x % COLUMNS;
        column c = {0, 0, 0, 0};
        if (d < p.head_dim)
            for (int j = threadIdx.x / COLUMNS; j < n; j += PARTS)
                add_column(&c, part[4 * j], part[4 * j + 1],
                           value(k, keys.begin + j, d));
        if (join_columns(&c) && d < p.head_dim)
            put(&p, p.head_dim, d, p.scale * c.sum,
                p.bound.factor * (c.bound + p.bound.subnormal),
                value(dq, line.at, d));
    }
}

/* dK = scale dS^T Q, then dV = P^T dO: width 2 head_dim. The partners are the
 * queries of all heads of the group, one head after the other. */
KERNEL void __launch_bounds__(THREADS)
    oracle_dkv(const __grid_constant__ oracle_attention p) {
    oracle_line line = ((const oracle_line *)p.lines)[blockIdx.x];
    int group = p.heads / p.kv_heads, width = 2 * p.head_dim;
    rows k = rows_of(p.k, p.k_at, p.cu_k, line.batch, line.head),
         v = rows_of(p.v, p.v_at, p.cu_k, line.batch, line.head),
         dk = rows_of(p.dk, p.dk_at, p.cu_k, line.batch, line.head),
         dv = rows_of(p.dv, p.dv_at, p.cu_k, line.batch, line.head);
    span see =
        partners_of(&p, length_of(p.cu_q, line.batch, p.q_len),
                    length_of(p.cu_k, line.batch, p.kv_len), true, line.at);
    int n = see.end - see.begin;
    double *part = scratch(&p);
    for (int i = threadIdx.x; i < n * group; i += THREADS) {
        query x = query_of(&p, line.batch, line.head * group + i / n,
                           see.begin + i % n);
        pair y = pair_of(&p, &x, k, v, line.at);
        part[4 * i] = y.ds;
        part[4 * i + 1] = y.ds_bound;
        part[4 * i + 2] = y.p;
        part[4 * i + 3] = y.p_bound;
    }
    __syncthreads();
    for (int at = 0; at < 2 * p.head_dim; at += COLUMNS) {
        /* head_dim is a multiple of 32: a round may hold columns of both */
        int e = at + threadIdx.x % COLUMNS;
        bool of_v = e >= p.head_dim;
        int d = of_v ? e - p.head_dim : e;
        column c = {0, 0, 0, 0};
        for (int g = 0; g < group && e < width; g++) {
            int head = line.head * group + g;
            rows x = of_v ? rows_of(p.d_o, p.do_at, p.cu_q, line.batch, head)
                          : rows_of(p.q, p.q_at, p.cu_q, line.batch, head);
            for (int i = threadIdx.x / COLUMNS; i < n; i += PARTS) {
                const double *w = part + 4 * ((long long)g * n + i) + 2 * of_v;
                add_column(&c, w[0], w[1], value(x, see.begin + i, d));
            }
        }
        if (join_columns(&c) && e < width)
            put(&p, width, e, (of_v ? 1 : p.scale) * c.sum,
                p.bound.factor * (c.bound + p.bound.subnormal),
                value(of_v ? dv : dk, line.at, d));
    }
}
