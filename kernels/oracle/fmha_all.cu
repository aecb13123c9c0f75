/* Attention once more, plainly and in 32-bit floats, to hold every element of
 * an output against: O and LSE, dQ, dK and dV. Chosen lines are looked at in
 * double precision (fmha_f64.cu); these kernels see what lies between them.
 *
 *   all_sizes   of each row of Q, K, V, dO: its norm and largest element; of a
 *               query: sum of dO O
 *   all_lse     LSE, in one pass over the keys with a running maximum
 *   all_output  O = sum_j exp(s_j - LSE) v_j
 *   all_dq      dQ = scale dS K
 *   all_dkv     dK = scale dS^T Q, dV = P^T dO
 *
 * There is no cheaper way to look at all of O: a random projection O x = P (V
 * x) is linear in V, but P itself takes all products of Q and K; and a
 * projection would add the bounds of a row's elements, while here each has its
 * own.
 *
 * Way of the data: 16 bits to floats in shared memory to registers, a tile of
 * 64 lines and 64 partners at a time; weights go through shared memory to meet
 * 64 columns of the other operand.
 *
 * Who: a block has 64 lines and 64 columns of the output, a thread 4 x 4 that
 * lie 16 apart. Blocks of the same lines and other columns compute the same
 * scores again.
 *
 * Floor: head_dim operations of 32 bits for each score, twice backward, and 64
 * for the block's columns; in the end some 15 times what a tuned kernel takes.
 *
 * The bound of an element: step by step that of fmha_f64.c, but for magnitudes
 * that a line's elements share: |q k| is at most the product of the norms,
 * |v_jd| at most the largest element of v_j. These floats have a bound of their
 * own, for 2^-24 in place of 2^-22 a quarter of the sums' part, and it is
 * added. */
#include "oracle/fmha.cuh"

enum { TILE = 64, DEPTH = 16, THREADS = 256, PART = TILE / 16, QUARTER = 16 };

/* Of a row. */
typedef struct size {
    float norm, most;
} size;

DEVICE size size_of(oracle_ptr sizes, long long at) {
    const float *x = (const float *)sizes + 2 * at;
    size s = {word_to_float(load_word(x)), word_to_float(load_word(x + 1))};
    return s;
}

/* Row (b, h, t) of a dense (batch, heads, length). */
DEVICE long long row_at(int batch, int heads, int head, int length, int t) {
    return ((long long)batch * heads + head) * length + t;
}

/* Lines `begin` to `end` of a block's 64, of one head of one sequence. */
typedef struct place {
    int batch, head, begin, end, column, block;
} place;

DEVICE place place_of(const oracle_attention *p, oracle_ptr cu, int heads,
                      int length, bool columns) {
    int slabs = columns ? (p->head_dim + TILE - 1) / TILE : 1;
    int tiles = (length + TILE - 1) / TILE;
    place x;
    x.batch = blockIdx.z;
    x.head = blockIdx.y;
    x.begin = blockIdx.x / slabs * TILE;
    x.column = blockIdx.x % slabs * TILE;
    x.end = length_of(cu, x.batch, length);
    if (x.end > x.begin + TILE) x.end = x.begin + TILE;
    x.block = (x.batch * heads + x.head) * (tiles * slabs) + blockIdx.x;
    return x;
}

/* --- tiles --- */

typedef struct tile {
    float at[PART][PART];
} tile;

DEVICE float value_or_zero(rows r, int t, int end, int d, int dim) {
    return t < end && d < dim
               ? element_to_float(load_element(r.at + t * r.row + d))
               : 0.0f;
}

DEVICE void clear(tile *c) {
    for (int i = 0; i < PART; i++)
        for (int j = 0; j < PART; j++) c->at[i][j] = 0;
}

/* c(i, j) = sum_d x(x0 + i, d) y(y0 + j, d) */
DEVICE void products(tile *c, rows x, int x0, int x_end, rows y, int y0,
                     int y_end, int dim) {
    __shared__ float a[DEPTH][TILE + 1], b[DEPTH][TILE + 1];
    int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    clear(c);
    for (int first = 0; first < dim; first += DEPTH) {
        __syncthreads();
        for (int e = threadIdx.x; e < TILE * DEPTH; e += THREADS) {
            int d = e % DEPTH, t = e / DEPTH;
            a[d][t] = value_or_zero(x, x0 + t, x_end, first + d, dim);
            b[d][t] = value_or_zero(y, y0 + t, y_end, first + d, dim);
        }
        __syncthreads();
#pragma unroll
        for (int d = 0; d < DEPTH; d++)
            for (int i = 0; i < PART; i++)
                for (int j = 0; j < PART; j++)
                    c->at[i][j] += a[d][ty + 16 * i] * b[d][tx + 16 * j];
    }
}

typedef float weights[TILE][TILE + 1];

/* c(i, d) += sum_j w(i, j) y(y0 + j, column + d) */
DEVICE void add_weighted(tile *c, weights w, rows y, int y0, int y_end,
                         int column, int dim) {
    __shared__ weights slab;
    int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    __syncthreads();
    for (int e = threadIdx.x; e < TILE * TILE; e += THREADS)
        slab[e / TILE][e % TILE] =
            value_or_zero(y, y0 + e / TILE, y_end, column + e % TILE, dim);
    __syncthreads();
#pragma unroll 8
    for (int j = 0; j < TILE; j++)
        for (int i = 0; i < PART; i++)
            for (int d = 0; d < PART; d++)
                c->at[i][d] += w[ty + 16 * i][j] * slab[j][tx + 16 * d];
}

/* --- the verdict --- */

/* A float that no ratio reaches; what is no number gets it. */
#define WORST 1e30f

DEVICE float ratio_of(float got, float want, float bound) {
    float error = got == want ? 0.0f : fabsf(got - want);
    float ratio = error == 0 ? 0.0f : error / bound;
    return ratio < WORST ? ratio : WORST;
}

/* The largest of the threads' ratios, kept beside what the block found before.
 */
DEVICE void put_worst(const oracle_attention *p, int block, float ratio,
                      int line) {
    __shared__ float worst[THREADS];
    __shared__ int where[THREADS];
    worst[threadIdx.x] = ratio;
    where[threadIdx.x] = line;
    for (unsigned step = THREADS / 2; step > 0; step /= 2) {
        __syncthreads();
        unsigned other = threadIdx.x + step;
        if (threadIdx.x >= step || worst[other] <= worst[threadIdx.x]) continue;
        worst[threadIdx.x] = worst[other];
        where[threadIdx.x] = where[other];
    }
    float *to = (float *)p->worst + 2 * (long long)block;
    if (threadIdx.x == 0 && worst[0] > word_to_float(load_word(to))) {
        store_word(to, word_of_float(worst[0]));
        store_word(to + 1, word_of_float((float)where[0]));
    }
    __syncthreads();
}

/* Holds c, scaled, against the output's rows; bound (TILE) of its lines. */
DEVICE void compare(const oracle_attention *p, const place *x, const tile *c,
                    float scale, const float *bound, rows out) {
    int tx = threadIdx.x % 16, ty = threadIdx.x / 16, line = 0;
    float worst = 0;
    for (int i = 0; i < PART; i++)
        for (int d = 0; d < PART; d++) {
            int t = x->begin + ty + 16 * i, at = x->column + tx + 16 * d;
            if (t >= x->end || at >= p->head_dim) continue;
            float ratio = ratio_of((float)value(out, t, at),
                                   scale * c->at[i][d], bound[ty + 16 * i]);
            if (ratio > worst) worst = ratio, line = ty + 16 * i;
        }
    put_worst(p, x->block, worst, line);
}

/* The sum over the four threads that have a line's quarters; all get it. */
DEVICE float sum_of_line(float x) {
    __shared__ float part[THREADS];
    __syncthreads();
    part[threadIdx.x] = x;
    __syncthreads();
    unsigned first = threadIdx.x / 4 * 4;
    return part[first] + part[first + 1] + part[first + 2] + part[first + 3];
}
DEVICE float most_of_line(float x) {
    __shared__ float part[THREADS];
    __syncthreads();
    part[threadIdx.x] = x;
    __syncthreads();
    unsigned first = threadIdx.x / 4 * 4;
    return fmaxf(fmaxf(part[first], part[first + 1]),
                 fmaxf(part[first + 2], part[first + 3]));
}

/* --- the bound's parts, as floats --- */

typedef struct limits {
    float of_score, unit, exps, shift, more, hull, factor, subnormal, sums;
} limits;

DEVICE limits limits_of(const oracle_attention *p) {
    const oracle_bound *b = &p->bound;
    limits m;
    m.unit = (float)b->unit;
    m.of_score = (float)(gamma_of(p->head_dim + 5, b->unit) * fabs(p->scale));
    m.exps = (float)(b->exp_error * (b->rescales + 1));
    m.shift = (float)b->shift;
    m.sums = (float)b->phi;
    m.more = (float)((1 + b->rho) / b->rho);
    m.hull = (float)((2 + b->rho) / b->rho);
    m.factor = (float)(b->factor + 0.5 * b->phi);
    m.subnormal = (float)b->subnormal;
    return m;
}

/* e^x - 1, finite in any case. */
DEVICE float growth(float x) { return expm1f(x < 60.0f ? x : 60.0f); }

/* What the exponents of a query's row have in common. The largest score is
 * within log(keys) of LSE. */
DEVICE float row_error(const limits *m, float lse) {
    return 1.25f * (m->exps + (m->shift + 2 * m->unit) * (fabsf(lse) + 15));
}

/* --- sizes --- */

DEVICE void put_sizes(oracle_ptr to, rows x, int t, int dim, long long at) {
    float sum = 0, most = 0;
    for (int d = 0; d < dim; d++) {
        float y = (float)value(x, t, d);
        sum += y * y;
        most = fmaxf(most, fabsf(y));
    }
    store_word((float *)to + 2 * at, word_of_float(1.0001f * sqrtf(sum)));
    store_word((float *)to + 2 * at + 1, word_of_float(most));
}

/* grid: (longest length / THREADS, heads, batch); a thread a row */
KERNEL void __launch_bounds__(THREADS)
    all_sizes(const __grid_constant__ oracle_attention p) {
    int batch = blockIdx.z, head = blockIdx.y;
    int t = blockIdx.x * THREADS + threadIdx.x;
    if (t < length_of(p.cu_q, batch, p.q_len)) {
        long long at = row_at(batch, p.heads, head, p.q_len, t);
        put_sizes(p.q_size, rows_of(p.q, p.q_at, p.cu_q, batch, head), t,
                  p.head_dim, at);
        if (p.d_o) {
            rows o = rows_of(p.o, p.o_at, p.cu_q, batch, head),
                 d_o = rows_of(p.d_o, p.do_at, p.cu_q, batch, head);
            float sum = 0, sizes = 0;
            put_sizes(p.do_size, d_o, t, p.head_dim, at);
            for (int d = 0; d < p.head_dim; d++) {
                float y = (float)value(d_o, t, d) * (float)value(o, t, d);
                sum += y;
                sizes += fabsf(y);
            }
            store_word((float *)p.dots + 2 * at, word_of_float(sum));
            store_word((float *)p.dots + 2 * at + 1, word_of_float(sizes));
        }
    }
    if (head < p.kv_heads && t < length_of(p.cu_k, batch, p.kv_len)) {
        long long at = row_at(batch, p.kv_heads, head, p.kv_len, t);
        put_sizes(p.k_size, rows_of(p.k, p.k_at, p.cu_k, batch, head), t,
                  p.head_dim, at);
        put_sizes(p.v_size, rows_of(p.v, p.v_at, p.cu_k, batch, head), t,
                  p.head_dim, at);
    }
}

/* --- forward --- */

/* What a query's block meets: Q's and K's heads, keys begin ... end - 1. */
typedef struct scene {
    rows q, k, v;
    int kv, ahead, begin, end, keys;
} scene;

DEVICE scene scene_of(const oracle_attention *p, const place *x) {
    scene s;
    int queries = length_of(p->cu_q, x->batch, p->q_len);
    s.kv = x->head / (p->heads / p->kv_heads);
    s.keys = length_of(p->cu_k, x->batch, p->kv_len);
    s.ahead = s.keys - queries;
    s.q = rows_of(p->q, p->q_at, p->cu_q, x->batch, x->head);
    s.k = rows_of(p->k, p->k_at, p->cu_k, x->batch, s.kv);
    s.v = rows_of(p->v, p->v_at, p->cu_k, x->batch, s.kv);
    span first = partners_of(p, queries, s.keys, false, x->begin),
         last = partners_of(p, queries, s.keys, false, x->end - 1);
    s.begin = first.begin;
    s.end = last.end > first.end ? last.end : first.end;
    return s;
}

/* grid: (tiles of queries, heads, batch) */
KERNEL void __launch_bounds__(THREADS)
    all_lse(const __grid_constant__ oracle_attention p) {
    __shared__ weights w;
    place x = place_of(&p, p.cu_q, p.heads, p.q_len, false);
    if (x.begin >= x.end) return;
    const limits m = limits_of(&p);
    int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    int line = threadIdx.x / 4, t = x.begin + line;
    scene s = scene_of(&p, &x);
    float most = -WORST, sum = 0, k_norm = 0;
    for (int j0 = s.begin; j0 < s.end; j0 += TILE) {
        tile c;
        products(&c, s.q, x.begin, x.end, s.k, j0, s.end, p.head_dim);
        for (int i = 0; i < PART; i++)
            for (int j = 0; j < PART; j++)
                w[ty + 16 * i][tx + 16 * j] = (float)p.scale * c.at[i][j];
        __syncthreads();
        for (int e = 0; e < QUARTER; e++) {
            int j = threadIdx.x % 4 * QUARTER + e;
            float score = w[line][j];
            if (j0 + j >= s.end || !sees(&p, s.ahead, t, j0 + j)) continue;
            size k = size_of(
                p.k_size, row_at(x.batch, p.kv_heads, s.kv, p.kv_len, j0 + j));
            k_norm = fmaxf(k_norm, k.norm);
            if (score > most) {
                sum = sum * expf(most - score) + 1;
                most = score;
            } else {
                sum += expf(score - most);
            }
        }
    }
    float all_most = most_of_line(most);
    float all = sum_of_line(sum > 0 ? sum * expf(most - all_most) : 0);
    k_norm = most_of_line(k_norm);
    float ratio = 0;
    if (threadIdx.x % 4 == 0 && t < x.end) {
        float want = all > 0 ? all_most + logf(all) : logf(0.0f);
        long long at = row_at(x.batch, p.heads, x.head, p.q_len, t);
        float *lse = (float *)lse_of(&p, x.batch, x.head, t);
        store_word((float *)p.own_lse + at, word_of_float(want));
        /* sum p (max - s) is below log n: the entropy of p, less LSE - max */
        float e = m.of_score * size_of(p.q_size, at).norm * k_norm + m.exps +
                  m.shift * fabsf(all_most) +
                  3 * m.unit * (logf((float)s.keys) + 1) + m.sums +
                  8 * m.unit * (fabsf(all_most) + logf(all) + 1);
        if (p.writes)
            store_word(lse, word_of_float(want));
        else
            ratio = ratio_of(word_to_float(load_word(lse)), want, 1.25f * e);
    }
    put_worst(&p, x.block, ratio, line);
}

/* grid: (tiles of queries times tiles of columns, heads, batch) */
KERNEL void __launch_bounds__(THREADS)
    all_output(const __grid_constant__ oracle_attention p) {
    __shared__ weights w;
    __shared__ float bound[TILE];
    place x = place_of(&p, p.cu_q, p.heads, p.q_len, true);
    if (x.begin >= x.end) return;
    const limits m = limits_of(&p);
    int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    int line = threadIdx.x / 4, t = x.begin + line;
    int last = x.end - 1 < t ? x.end - 1 : t;
    scene s = scene_of(&p, &x);
    long long at = row_at(x.batch, p.heads, x.head, p.q_len, last);
    float lse = word_to_float(load_word((const float *)p.own_lse + at)),
          q_norm = size_of(p.q_size, at).norm, sum = 0, most = 0, all = 0,
          k_norm = 0;
    tile o;
    clear(&o);
    for (int j0 = s.begin; j0 < s.end; j0 += TILE) {
        tile c;
        products(&c, s.q, x.begin, x.end, s.k, j0, s.end, p.head_dim);
        for (int i = 0; i < PART; i++)
            for (int j = 0; j < PART; j++)
                w[ty + 16 * i][tx + 16 * j] = (float)p.scale * c.at[i][j];
        __syncthreads();
        for (int e = 0; e < QUARTER; e++) {
            int j = threadIdx.x % 4 * QUARTER + e;
            float score = w[line][j];
            w[line][j] = 0;
            if (t >= x.end || j0 + j >= s.end || !sees(&p, s.ahead, t, j0 + j))
                continue;
            long long k_at =
                row_at(x.batch, p.kv_heads, s.kv, p.kv_len, j0 + j);
            size k = size_of(p.k_size, k_at), v = size_of(p.v_size, k_at);
            float weight = expf(score - lse);
            float error = m.of_score * q_norm * k.norm +
                          3 * m.unit * fabsf(lse - score) + row_error(&m, lse);
            w[line][j] = weight;
            sum += weight * v.most * (1 + 1.25f * growth(error) * m.more);
            most = fmaxf(most, v.most);
            k_norm = fmaxf(k_norm, k.norm);
            all += v.most;
        }
        add_weighted(&o, w, s.v, j0, s.end, x.column, p.head_dim);
    }
    /* step 3: the sum of the exponentials grows, too */
    k_norm = most_of_line(k_norm);
    float spread =
        1 + growth(m.of_score * q_norm * k_norm + row_error(&m, lse) +
                   3 * m.unit * (logf((float)s.keys + 1) + 1));
    most = most_of_line(most);
    sum = fminf(sum_of_line(sum) + (spread - 1) * spread * m.more * most,
                m.hull * most);
    all = sum_of_line(all);
    if (threadIdx.x % 4 == 0)
        bound[line] = m.factor * (sum + m.subnormal * (all + 1));
    __syncthreads();
    rows out = rows_of(p.o, p.o_at, p.cu_q, x.batch, x.head);
    if (!p.writes) {
        compare(&p, &x, &o, 1.0f, bound, out);
        return;
    }
    for (int i = 0; i < PART; i++)
        for (int d = 0; d < PART; d++) {
            int row = x.begin + ty + 16 * i, col = x.column + tx + 16 * d;
            if (row < x.end && col < p.head_dim)
                store_element((element *)out.at + row * out.row + col,
                              element_from_float(o.at[i][d]));
        }
}

/* --- backward --- */

/* One query and one key in floats; oracle.c, backward, steps 1 to 3. */
typedef struct pair {
    float p, p_bound, ds, ds_bound;
} pair;

DEVICE pair pair_of(const oracle_attention *p, const limits *m, float score,
                    float dp, long long q_at, float lse, long long k_at) {
    size q = size_of(p->q_size, q_at), k = size_of(p->k_size, k_at),
         d_o = size_of(p->do_size, q_at), v = size_of(p->v_size, k_at);
    size dot = size_of(p->dots, q_at); /* the sum, its magnitudes */
    float error = m->of_score * q.norm * k.norm +
                  m->unit * (3 * fabsf(score - lse) + 2 * fabsf(lse)) + m->exps;
    float scale = (float)fabs(p->scale), grown = growth(1.25f * error),
          off = fabsf(dp - dot.norm),
          delta = 1.25f * (float)(p->head_dim + 1) * m->unit *
                  (d_o.norm * v.norm + dot.most);
    pair y;
    y.p = expf(score - lse);
    y.ds = y.p * (dp - dot.norm);
    float x = y.p * (grown * off +
                     (1 + grown) * (delta + 4 * m->unit * (off + delta)));
    y.ds_bound =
        scale * (fabsf(y.ds) + x * m->more) + fmaxf(scale, 1) * m->subnormal;
    y.p_bound = y.p * (1 + grown * m->more) + m->subnormal;
    return y;
}

DEVICE float lse_at(const oracle_attention *p, int batch, int head, int t) {
    return word_to_float(load_word(lse_of(p, batch, head, t)));
}

/* Leaves the scaled scores and dP of a tile in w and g. */
DEVICE void put_tile(weights w, const tile *c, float scale) {
    int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    for (int i = 0; i < PART; i++)
        for (int j = 0; j < PART; j++)
            w[ty + 16 * i][tx + 16 * j] = scale * c->at[i][j];
}

/* grid: as all_output */
KERNEL void __launch_bounds__(THREADS)
    all_dq(const __grid_constant__ oracle_attention p) {
    __shared__ weights w;
    __shared__ float bound[TILE];
    place x = place_of(&p, p.cu_q, p.heads, p.q_len, true);
    if (x.begin >= x.end) return;
    const limits m = limits_of(&p);
    int line = threadIdx.x / 4, t = x.begin + line;
    scene s = scene_of(&p, &x);
    rows d_o = rows_of(p.d_o, p.do_at, p.cu_q, x.batch, x.head);
    long long at = row_at(x.batch, p.heads, x.head, p.q_len, t);
    float lse = t < x.end ? lse_at(&p, x.batch, x.head, t) : 0, sum = 0;
    tile dq, c;
    clear(&dq);
    for (int j0 = s.begin; j0 < s.end; j0 += TILE) {
        float dp[QUARTER];
        products(&c, d_o, x.begin, x.end, s.v, j0, s.end, p.head_dim);
        put_tile(w, &c, 1.0f);
        __syncthreads();
        for (int e = 0; e < QUARTER; e++)
            dp[e] = w[line][threadIdx.x % 4 * QUARTER + e];
        products(&c, s.q, x.begin, x.end, s.k, j0, s.end, p.head_dim);
        put_tile(w, &c, (float)p.scale);
        __syncthreads();
        for (int e = 0; e < QUARTER; e++) {
            int j = threadIdx.x % 4 * QUARTER + e;
            float score = w[line][j];
            w[line][j] = 0;
            if (t >= x.end || j0 + j >= s.end || !sees(&p, s.ahead, t, j0 + j))
                continue;
            long long k_at =
                row_at(x.batch, p.kv_heads, s.kv, p.kv_len, j0 + j);
            pair y = pair_of(&p, &m, score, dp[e], at, lse, k_at);
            w[line][j] = y.ds;
            sum += y.ds_bound * size_of(p.k_size, k_at).most;
        }
        add_weighted(&dq, w, s.k, j0, s.end, x.column, p.head_dim);
    }
    sum = sum_of_line(sum);
    if (threadIdx.x % 4 == 0) bound[line] = m.factor * (sum + m.subnormal);
    __syncthreads();
    compare(&p, &x, &dq, (float)p.scale, bound,
            rows_of(p.dq, p.dq_at, p.cu_q, x.batch, x.head));
}

/* grid: (tiles of keys times tiles of columns, kv_heads, batch) */
KERNEL void __launch_bounds__(THREADS)
    all_dkv(const __grid_constant__ oracle_attention p) {
    __shared__ weights w;
    __shared__ float k_bound[TILE], v_bound[TILE];
    place x = place_of(&p, p.cu_k, p.kv_heads, p.kv_len, true);
    if (x.begin >= x.end) return;
    const limits m = limits_of(&p);
    int line = threadIdx.x / 4, key = x.begin + line;
    int group = p.heads / p.kv_heads,
        queries = length_of(p.cu_q, x.batch, p.q_len),
        keys = length_of(p.cu_k, x.batch, p.kv_len), ahead = keys - queries;
    rows k = rows_of(p.k, p.k_at, p.cu_k, x.batch, x.head),
         v = rows_of(p.v, p.v_at, p.cu_k, x.batch, x.head);
    long long k_at = row_at(x.batch, p.kv_heads, x.head, p.kv_len, key);
    span first = partners_of(&p, queries, keys, true, x.begin),
         last = partners_of(&p, queries, keys, true, x.end - 1);
    int end = last.end > first.end ? last.end : first.end;
    float k_sum = 0, v_sum = 0;
    tile dk, dv, c;
    clear(&dk);
    clear(&dv);
    for (int g = 0; g < group; g++) {
        int head = x.head * group + g;
        rows q = rows_of(p.q, p.q_at, p.cu_q, x.batch, head),
             d_o = rows_of(p.d_o, p.do_at, p.cu_q, x.batch, head);
        for (int i0 = first.begin; i0 < end; i0 += TILE) {
            float dp[QUARTER], ds[QUARTER];
            products(&c, v, x.begin, x.end, d_o, i0, end, p.head_dim);
            put_tile(w, &c, 1.0f);
            __syncthreads();
            for (int e = 0; e < QUARTER; e++)
                dp[e] = w[line][threadIdx.x % 4 * QUARTER + e];
            products(&c, k, x.begin, x.end, q, i0, end, p.head_dim);
            put_tile(w, &c, (float)p.scale);
            __syncthreads();
            for (int e = 0; e < QUARTER; e++) {
                int i = threadIdx.x % 4 * QUARTER + e, t = i0 + i;
                float score = w[line][i];
                w[line][i] = ds[e] = 0;
                if (key >= x.end || t >= end || !sees(&p, ahead, t, key))
                    continue;
                long long at = row_at(x.batch, p.heads, head, p.q_len, t);
                pair y = pair_of(&p, &m, score, dp[e], at,
                                 lse_at(&p, x.batch, head, t), k_at);
                w[line][i] = y.p;
                ds[e] = y.ds;
                k_sum += y.ds_bound * size_of(p.q_size, at).most;
                v_sum += y.p_bound * size_of(p.do_size, at).most;
            }
            add_weighted(&dv, w, d_o, i0, end, x.column, p.head_dim);
            __syncthreads();
            for (int e = 0; e < QUARTER; e++)
                w[line][threadIdx.x % 4 * QUARTER + e] = ds[e];
            add_weighted(&dk, w, q, i0, end, x.column, p.head_dim);
        }
    }
    k_sum = sum_of_line(k_sum);
    v_sum = sum_of_line(v_sum);
    if (threadIdx.x % 4 == 0) {
        k_bound[line] = m.factor * (k_sum + m.subnormal);
        v_bound[line] = m.factor * (v_sum + m.subnormal);
    }
    __syncthreads();
    compare(&p, &x, &dk, (float)p.scale, k_bound,
            rows_of(p.dk, p.dk_at, p.cu_k, x.batch, x.head));
    compare(&p, &x, &dv, 1.0f, v_bound,
            rows_of(p.dv, p.dv_at, p.cu_k, x.batch, x.head));
}
