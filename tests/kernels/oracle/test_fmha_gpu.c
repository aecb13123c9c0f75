/* Attention's oracles on a GPU: what the plain kernel writes is right by the double-precision one, and what is spoiled
 * is not. Skipped where there is no GPU; what can be checked without one is in the other tests of this folder. */
#include "../../tap.h"
#include "base/alloc.h"
#include "base/rng.h"
#include "device/gpu.h"
#include "oracle/fmha_f64.h"

typedef struct memory {
    dev_arena *arena;
    oracle_fmha x;
    size_t q, k, lse; /* bytes */
} memory;

static bool upload_random(dev_gpu *gpu, dev_ptr to, size_t bytes, float scale, uint64_t stream, spak_error *err) {
    uint16_t *host = spak_malloc(bytes);
    if (!host) return spak_fail_oom(err);
    for (size_t i = 0; i < bytes / 2; i++) {
        union {
            float value;
            uint32_t bits;
        } as = {scale * (2 * spak_philox_uniform(3, stream, i) - 1)};
        host[i] = (uint16_t)(as.bits >> 16); /* bf16 */
    }
    bool good = dev_gpu_upload(gpu, to, host, bytes, err);
    spak_free(host);
    return good;
}

/* (B, H, T, D) throughout. */
static oracle_layout layout(int heads, int len, int dim) {
    return (oracle_layout){(long long)heads * len * dim, (long long)len * dim, dim};
}

static bool make(dev_gpu *gpu, memory *m, const oracle_fmha *shape, float scale, spak_error *err) {
    oracle_fmha *x = &m->x;
    *m = (memory){.x = *shape};
    m->q = (size_t)x->batch * (size_t)x->heads * (size_t)x->q_len * (size_t)x->head_dim * 2;
    m->k = (size_t)x->batch * (size_t)x->kv_heads * (size_t)x->kv_len * (size_t)x->head_dim * 2;
    m->lse = (size_t)x->batch * (size_t)x->heads * (size_t)x->q_len * 4;
    x->q.by = x->o.by = layout(x->heads, x->q_len, x->head_dim);
    x->k.by = x->v.by = layout(x->kv_heads, x->kv_len, x->head_dim);
    return dev_arena_new(gpu, "a test", dev_arena_room(2 * m->q + 2 * m->k + m->lse, 5), &m->arena, err) &&
           dev_arena_take(m->arena, "Q", m->q, &x->q.at, err) && dev_arena_take(m->arena, "K", m->k, &x->k.at, err) &&
           dev_arena_take(m->arena, "V", m->k, &x->v.at, err) && dev_arena_take(m->arena, "O", m->q, &x->o.at, err) &&
           dev_arena_take(m->arena, "LSE", m->lse, &x->lse, err) && upload_random(gpu, x->q.at, m->q, scale, 0, err) &&
           upload_random(gpu, x->k.at, m->k, 1, 1, err) && upload_random(gpu, x->v.at, m->k, 1, 2, err) &&
           dev_gpu_fill8(gpu, x->o.at, 0xff, m->q, err) && dev_gpu_fill8(gpu, x->lse, 0xff, m->lse, err);
}

static bool judged(dev_gpu *gpu, const oracle_fmha *x, oracle_fmha_verdict *v) {
    spak_error err = {0};
    bool good = oracle_fmha_check(gpu, x, v, &err);
    if (!good) printf("# %s\n", err.message);
    return good;
}

/* Spoils 16 bits and puts them back. */
static void is_seen(dev_gpu *gpu, const memory *m, dev_ptr at, uint16_t wrong, const char *what) {
    uint16_t was = 0;
    oracle_fmha_verdict v = {0};
    spak_error err;
    bool good = dev_gpu_download(gpu, &was, at, 2, &err) && dev_gpu_upload(gpu, at, &wrong, 2, &err) &&
                judged(gpu, &m->x, &v) && dev_gpu_upload(gpu, at, &was, 2, &err);
    ok(good && !v.good, "%s: %s", what, v.text);
}

static void shape(dev_gpu *gpu, const char *name, oracle_fmha x, float scale) {
    memory m;
    spak_error err = {0};
    oracle_fmha_verdict v = {0};
    if (!ok(make(gpu, &m, &x, scale, &err) && oracle_fmha_forward(gpu, &m.x, &err), "%s: O and LSE%s", name,
            err.message))
        return;
    ok(judged(gpu, &m.x, &v) && v.good, "%s: right, %.2f of the bound over %d lines, %.2f over all, error %.2g %s",
       name, v.worst, v.lines, v.worst_all, v.error[0], v.text);
    is_seen(gpu, &m, m.x.o.at + m.q / 2 / 64 * 64 + 6, 0x4100, "an element of O that is 8");
    is_seen(gpu, &m, m.x.o.at + m.q - 2, 0x7fff, "one that is no number");
    is_seen(gpu, &m, m.x.lse + m.lse - 2, 0x4300, "an LSE that is 128");
    dev_arena_free(m.arena);
}

int main(void) {
    spak_error err = {0};
    dev_gpu *gpu = dev_gpu_get(&err);
    if (!gpu) {
        skip_test("%s", err.message);
        return done_testing();
    }
    const oracle_fmha plain = {.batch = 1,
                               .heads = 2,
                               .kv_heads = 2,
                               .q_len = 257,
                               .kv_len = 257,
                               .head_dim = 64,
                               .window = -1,
                               .type = DEV_BF16};
    oracle_fmha x = plain;
    shape(gpu, "plain", x, 1);
    x.causal = true, x.kv_heads = 1, x.kv_len = 1000, x.head_dim = 128;
    shape(gpu, "causal, grouped", x, 4);
    x.window = 100, x.head_dim = 256;
    shape(gpu, "window", x, 4);
    x = plain, x.q_len = 1, x.kv_len = 8192, x.batch = 3;
    shape(gpu, "one query", x, 8);
    x = plain, x.q_len = x.kv_len = 8192, x.head_dim = 128, x.heads = x.kv_heads = 8;
    shape(gpu, "long", x, 4);
    return done_testing();
}
