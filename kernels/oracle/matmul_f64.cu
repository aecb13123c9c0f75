/* A matrix product's oracle in double precision.
 *
 *   sum(i, j) = sum_l op(A)(i, l) op(B)(l, j)      mag(i, j) = the same of |.|
 *
 * for some rows i and all columns j, from 16-bit inputs, whose products a
 * double holds exactly. `rows` computes both, `compare` holds C against them.
 * All of C is looked at by `finite`, for what is no number, by `gelu`, which
 * holds it against the GELU's saved input, and by way of `apply`, which
 * multiplies a whole matrix with a vector (matmul_f64.c).
 *
 * Data: global -> 16-bit -> double in shared memory -> registers. A block of
 * 16 x 16 threads computes 64 x 64 elements, a thread 4 x 4 that lie 16 apart:
 * its warp then reads 16 neighbouring doubles of B, all banks once, and two of
 * A, which are broadcast. Rows of the tiles are one double longer than they
 * need be, so that a column is written without conflicts too.
 *
 * Floor: 4 m n k operations at the rate of double precision outside of the
 * tensor cores; for 64 rows of anything that is well under a millisecond.
 *
 * --- the bound ---
 *
 * Products of 16-bit numbers are exact. A tensor core aligns g of them and the
 * accumulator to the largest and cuts what lies below 24 bits, then cuts the
 * result: at most (g + 2) cuts of 2^-23, relative to the magnitudes that have
 * been added so far. k products in k / g such steps lose at most
 *
 *   (1 + 2 / g) k 2^-23 mag <= k 2^-22 mag           for every g >= 2,
 *
 * to first order; gamma = k u / (1 - k u), u = 2^-22, is the rest of it. An
 * order of summation with rounding loses less (2^-24 a step), in any order and
 * however the sum is split. What follows is in 32-bit floats, unit 2^-24:
 *
 *   v = alpha s + beta c + bias     2 products, 2 sums: 4 units of what is
 *                                   added, |alpha s| + |beta c| + |bias|
 *   pre = v                         rounded to the input's type
 *   y = gelu(v)                     the slope is below 1.13; tanh's error times
 *                                   |v| / 2; its argument and what surrounds it
 *                                   take at most 2^-21 |v|
 *   C = y + residual                1 unit, and the rounding of the type of C
 *
 * It holds always, and so it is wide where k is large: at k = 4096, gamma is
 * 2^-10 of mag, four times what one product is on the average. Dropping the 16
 * products of an mma step shows all the same with normal inputs, since of the
 * many elements that are looked at some lose several times the average; one
 * product alone does not have to. Inputs that are integers do better: while k
 * max^2 <= 2^24 every sum is exact in whatever order, gamma is zero, and any
 * product that is missing shows that the type of C can show. */
#include "oracle/params.h"

enum { TILE = 64, DEPTH = 16, THREADS = 256, PART = TILE / 16 };

__device__ static double bf16_at(oracle_ptr base, unsigned long long at) {
    unsigned bits = ((const unsigned short *)base)[at];
    return (double)__uint_as_float(bits << 16);
}

__device__ static double f16_at(oracle_ptr base, unsigned long long at) {
    float value;
    asm("cvt.f32.f16 %0, %1;"
        : "=f"(value)
        : "h"(((const unsigned short *)base)[at]));
    return (double)value;
}

__device__ static double element(oracle_ptr base, unsigned long long at,
                                 int type) {
    if (type == ORACLE_BF16) return bf16_at(base, at);
    if (type == ORACLE_F16) return f16_at(base, at);
    return (double)((const float *)base)[at];
}

/* Fills tile[depth][x], x = 0 .. 63 and depth = 0 .. 15, with the elements
 * (index[x], first + depth) of a matrix, zero outside. Neighbouring threads
 * take what lies together: along the depth, or along x. */
__device__ static void fill(double tile[DEPTH][TILE + 1], oracle_ptr base,
                            int type, int ld, bool along_depth,
                            const int *index, int first, int k) {
    for (int e = threadIdx.x; e < TILE * DEPTH; e += THREADS) {
        int x = along_depth ? e / DEPTH : e % TILE;
        int d = along_depth ? e % DEPTH : e / TILE;
        unsigned long long row = along_depth ? index[x] : first + d;
        unsigned long long col = along_depth ? first + d : index[x];
        bool inside = index[x] >= 0 && first + d < k;
        tile[d][x] = inside ? element(base, row * ld + col, type) : 0.0;
    }
}

/* grid: (tiles of n, tiles of num_rows) */
extern "C" __global__ void __launch_bounds__(THREADS)
    oracle_rows(const __grid_constant__ oracle_params p) {
    __shared__ double a[DEPTH][TILE + 1], b[DEPTH][TILE + 1];
    __shared__ int a_index[TILE], b_index[TILE]; /* -1: outside */
    int tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    if (threadIdx.x < TILE) {
        int i = blockIdx.y * TILE + threadIdx.x;
        int j = blockIdx.x * TILE + threadIdx.x;
        a_index[threadIdx.x] = i < p.num_rows ? ((const int *)p.rows)[i] : -1;
        b_index[threadIdx.x] = j < p.n ? j : -1;
    }
    double sum[PART][PART] = {}, mag[PART][PART] = {};
    for (int first = 0; first < p.k; first += DEPTH) {
        __syncthreads();
        fill(a, p.a, p.in, p.lda, !p.trans_a, a_index, first, p.k);
        fill(b, p.b, p.in, p.ldb, p.trans_b, b_index, first, p.k);
        __syncthreads();
#pragma unroll 4
        for (int d = 0; d < DEPTH; d++) {
            double u[PART], v[PART];
            for (int i = 0; i < PART; i++) u[i] = a[d][ty + 16 * i];
            for (int j = 0; j < PART; j++) v[j] = b[d][tx + 16 * j];
            for (int i = 0; i < PART; i++)
                for (int j = 0; j < PART; j++) {
                    sum[i][j] += u[i] * v[j];
                    mag[i][j] += fabs(u[i]) * fabs(v[j]);
                }
        }
    }
    for (int i = 0; i < PART; i++)
        for (int j = 0; j < PART; j++) {
            int row = blockIdx.y * TILE + ty + 16 * i;
            int col = blockIdx.x * TILE + tx + 16 * j;
            if (row >= p.num_rows || col >= p.n) continue;
            unsigned long long at = (unsigned long long)row * p.n + col;
            ((double *)p.sum)[at] = sum[i][j];
            ((double *)p.mag)[at] = mag[i][j];
        }
}

/* Half of the last place that a type keeps of x, and of its smallest number. */
__device__ static double rounding(double x, int type) {
    if (type == ORACLE_BF16) return 0x1p-8 * x + 0x1p-134;
    if (type == ORACLE_F16) return 0x1p-11 * x + 0x1p-25;
    return 0x1p-24 * x + 0x1p-150;
}

/* |got - want| / bound, rounded up, above the place of the element: the largest
 * of such numbers says how bad it is and where. What is no number, or
 * infinite, is infinitely bad. */
__device__ static unsigned long long badness(double got, double want,
                                             double bound, unsigned at) {
    double error = fabs(got - want);
    double ratio = error > 0 ? error / bound : 0;
    unsigned bits = 0x7f800000; /* infinity */
    if (error < 0x1p1000 && ratio < 0x1p100)
        bits = __float_as_uint(__double2float_ru(ratio));
    return (unsigned long long)bits << 32 | at;
}

/* v and its bound: what goes into the activation. */
__device__ static double before_act(const oracle_params &p, double sum,
                                    double mag, unsigned long long c_at,
                                    int col, double *bound) {
    double s_error = p.gamma * mag;
    double v = p.alpha * sum, added = fabs(p.alpha) * (fabs(sum) + s_error);
    if (p.c_old) {
        double c = element(p.c_old, c_at, p.out);
        v += p.beta * c;
        added += fabs(p.beta * c);
    }
    if (p.bias) {
        double x = element(p.bias, col, p.in);
        v += x;
        added += fabs(x);
    }
    *bound = fabs(p.alpha) * s_error + 4 * 0x1p-24 * added;
    return v;
}

/* In double; 0.7978845608028654 is sqrt(2 / pi). */
__device__ static double gelu(double x) {
    double u = 0.7978845608028654 * (x + 0.044715 * x * x * x);
    return 0.5 * x * (1 + tanh(u));
}

/* What C should be where v goes into the activation, and its bound. */
__device__ static double after_act(const oracle_params &p, double v,
                                   unsigned long long c_at, double *bound) {
    if (p.gelu) {
        *bound =
            1.13 * *bound + (fabs(v) + *bound) * (0.5 * p.tanh_error + 0x1p-21);
        v = gelu(v);
    }
    if (p.residual) {
        double r = element(p.residual, c_at, p.in);
        *bound += 0x1p-24 * (fabs(r) + fabs(v) + *bound);
        v += r;
    }
    *bound += rounding(fabs(v) + *bound, p.out);
    return v;
}

/* Leaves in sum what C should be and in mag its bound. grid: any, in turns */
extern "C" __global__ void __launch_bounds__(THREADS)
    oracle_compare(const __grid_constant__ oracle_params p) {
    unsigned long long worst = 0, worst_pre = 0;
    unsigned count = (unsigned)p.num_rows * p.n;
    double *sums = (double *)p.sum, *mags = (double *)p.mag;
    for (unsigned at = blockIdx.x * THREADS + threadIdx.x; at < count;
         at += gridDim.x * THREADS) {
        unsigned long long row = ((const int *)p.rows)[at / p.n];
        int col = at % p.n;
        unsigned long long c_at = row * p.ldc + col;
        double bound;
        double v = before_act(p, sums[at], mags[at], c_at, col, &bound);
        if (p.pre) {
            double pre_bound = bound + rounding(fabs(v) + bound, p.in);
            worst_pre = max(worst_pre, badness(element(p.pre, c_at, p.in), v,
                                               pre_bound, at));
        }
        v = after_act(p, v, c_at, &bound);
        worst = max(worst, badness(element(p.c, c_at, p.out), v, bound, at));
        sums[at] = v;
        mags[at] = bound;
    }
    atomicMax((unsigned long long *)p.worst, worst);
    atomicMax((unsigned long long *)p.worst + 1, worst_pre);
}

/* All of C against what was saved of the GELU's input, which is v, rounded.
 * Rows from the first on; sum and mag are not used. grid: any, in turns */
extern "C" __global__ void __launch_bounds__(THREADS)
    oracle_gelu(const __grid_constant__ oracle_params p) {
    unsigned long long worst = 0;
    unsigned count = (unsigned)p.num_rows * p.n;
    for (unsigned at = blockIdx.x * THREADS + threadIdx.x; at < count;
         at += gridDim.x * THREADS) {
        unsigned long long c_at =
            (unsigned long long)(at / p.n) * p.ldc + at % p.n;
        double v = element(p.pre, c_at, p.in);
        double bound = 1.01 * rounding(fabs(v), p.in);
        v = after_act(p, v, c_at, &bound);
        worst = max(worst, badness(element(p.c, c_at, p.out), v, bound, at));
    }
    atomicMax((unsigned long long *)p.worst, worst);
}

/* Counts the elements that are infinite or no number. grid: (any, any) */
extern "C" __global__ void __launch_bounds__(THREADS)
    oracle_finite(const __grid_constant__ oracle_matrix p) {
    unsigned long long bad = 0;
    for (unsigned long long row = blockIdx.y; row < p.rows; row += gridDim.y)
        for (unsigned col = blockIdx.x * THREADS + threadIdx.x; col < p.cols;
             col += gridDim.x * THREADS)
            if (!(fabs(element(p.data, row * p.ld + col, p.type)) < 0x1p1000))
                bad++;
    if (bad) atomicAdd((unsigned long long *)p.count, bad);
}

/* A random sign for each place: a bit of SplitMix64's output. */
__device__ static double sign(unsigned long long seed, unsigned at) {
    unsigned long long z = seed + 0x9e3779b97f4a7c15ull * (at + 1ull);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return (z >> 40 & 1) ? 1.0 : -1.0;
}

__device__ static double factor(const oracle_matrix &p, unsigned at) {
    return p.vector ? ((const double *)p.vector)[at] : sign(p.seed, at);
}

/* by rows: out(r) = sum_c M(r, c) v(c), a warp each, grid: (rows / 8);
 * by columns: out(c) += sum_r M(r, c) v(r), a thread each and 256 rows a
 * block, grid: (columns / 256, rows / 256). */
extern "C" __global__ void __launch_bounds__(THREADS)
    oracle_apply(const __grid_constant__ oracle_matrix p) {
    double sum = 0, norm = 0;
    double *out = (double *)p.out, *norms = (double *)p.norm;
    if (p.by_column) {
        int col = blockIdx.x * THREADS + threadIdx.x;
        int end = min((blockIdx.y + 1) * 256, (unsigned)p.rows);
        if (col >= p.cols) return;
        for (int row = blockIdx.y * 256; row < end; row++) {
            double x =
                element(p.data, (unsigned long long)row * p.ld + col, p.type);
            sum += x * factor(p, row);
            norm += x * x;
        }
        atomicAdd(out + col, sum);
        atomicAdd(norms + col, norm);
        return;
    }
    int row = blockIdx.x * 8 + threadIdx.x / 32;
    if (row >= p.rows) return;
    for (int col = threadIdx.x % 32; col < p.cols; col += 32) {
        double x =
            element(p.data, (unsigned long long)row * p.ld + col, p.type);
        sum += x * factor(p, col);
        norm += x * x;
    }
    for (int step = 16; step > 0; step /= 2) {
        sum += __shfl_xor_sync(~0u, sum, step);
        norm += __shfl_xor_sync(~0u, norm, step);
    }
    if (threadIdx.x % 32 == 0) {
        out[row] = sum;
        norms[row] = norm;
    }
}
