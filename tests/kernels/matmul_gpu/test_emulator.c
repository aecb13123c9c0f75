/* The emulator against faulty kernels: each of its checks is seen to fail. */
#define SPAK_EMULATE
#include "../../tap.h"
#include "emulate/emulate.h"
#include "ptx/mma.cuh"

typedef struct params {
    element *in, *out; /* (32), (32) */
    int *flag;
} params;

DYNAMIC_SHARED(smem, 128);
#define P    (*(const params *)p)
#define LANE ((int)threadIdx.x)

/* --- kernels --- */

static void sound(const void *p) {
    element *tile = (element *)smem;
    tile[LANE] = load_element(P.in + LANE);
    __syncthreads();
    store_element(P.out + LANE, tile[31 - LANE]);
}
static void no_barrier(const void *p) {
    element *tile = (element *)smem;
    tile[LANE] = load_element(P.in + LANE);
    store_element(P.out + LANE, tile[31 - LANE]);
}
static void reads_outside(const void *p) { store_element(P.out + LANE, load_element(P.in + LANE + 1)); }
static void reads_before(const void *p) { store_element(P.out + LANE, load_element(P.in + LANE - 1)); }
static void writes_outside(const void *p) { store_element(P.out + 2 * LANE, 1); }
static void writes_input(const void *p) { store_element(P.in + LANE, 1); }
static void writes_twice(const void *p) { store_element(P.out + LANE % 16, 1); }
static void misaligned(const void *p) { store_element(P.out + LANE, (element)load_word(P.in + 1)); }
static void parts_ways(const void *p) {
    unsigned y[4];
    (void)p;
    if (LANE == 7)
        __syncwarp();
    else
        ldmatrix(y, smem_address(smem));
}
static void leaves_early(const void *p) {
    (void)p;
    if (LANE < 31) __syncwarp();
}
static void too_much_smem(const void *p) {
    (void)p;
    smem[1024 + LANE] = 0;
}
static void loads_beyond_smem(const void *p) {
    unsigned y[4];
    (void)p;
    ldmatrix(y, smem_address(smem) + 1024);
}

/* 16 bytes by each of four lanes. */
static void copy_in(const void *p, int bytes) {
    if (LANE < 4) cp_async16(smem_address(smem) + 16 * (unsigned)LANE, P.in + 8 * LANE, bytes);
    cp_async_commit();
}
static void copies(const void *p) {
    copy_in(p, 16);
    cp_async_wait(0);
    __syncthreads();
    store_element(P.out + LANE, ((element *)smem)[31 - LANE]);
}
static void does_not_wait(const void *p) {
    copy_in(p, 16);
    __syncthreads();
    store_element(P.out + LANE, ((element *)smem)[31 - LANE]);
    cp_async_wait(0);
}
static void waits_for_too_few(const void *p) {
    copy_in(p, 16);
    cp_async_wait(1);
    __syncthreads();
    store_element(P.out + LANE, ((element *)smem)[31 - LANE]);
    cp_async_wait(0);
}
static void never_waits(const void *p) { copy_in(p, 16); }
static void copies_nothing(const void *p) {
    if (LANE < 4) cp_async16(smem_address(smem) + 16 * (unsigned)LANE, P.in + 4000, 0);
    cp_async_commit();
    cp_async_wait(0);
    __syncthreads();
    store_element(P.out + LANE, ((element *)smem)[LANE]);
}

/* --- runs --- */

static unsigned char writes[64];

static bool run(void (*kernel)(const void *), bool late, element out[32], emulate_counts *counts, spak_error *err) {
    static _Alignas(16) element room[96]; /* nothing of a kernel's lies beside its input */
    element *in = room + 32;
    for (int i = 0; i < 32; i++) in[i] = (element)(100 + i);
    memset(out, 0, 64);
    memset(writes, 0, sizeof writes);
    params p = {in, out, NULL};
    const emulate_array arrays[] = {
        {.name = "in", .at = in, .rows = 1, .row_bytes = 64, .pitch = 64},
        {.name = "out", .at = out, .rows = 1, .row_bytes = 64, .pitch = 64, .writable = true, .writes = writes},
    };
    const emulate_launch launch = {
        .kernel = kernel,
        .params = &p,
        .grid = {1, 1, 1},
        .block = {32, 1, 1},
        .smem_bytes = 1024,
        .arrays = arrays,
        .num_arrays = 2,
        .schedule = {.copies_late = late},
    };
    return emulate_run(&launch, counts, err);
}

static void fails(void (*kernel)(const void *), const char *with, const char *what) {
    static _Alignas(16) element out[32];
    spak_error err = {0};
    bool done = run(kernel, true, out, NULL, &err);
    if (!ok(!done && strstr(err.message, with), "found: %s", what))
        printf("# %s\n", done ? "it went through" : err.message);
}

/* What comes out backwards. */
static bool reversed(void (*kernel)(const void *), bool late) {
    static _Alignas(16) element out[32];
    spak_error err = {0};
    bool good = run(kernel, late, out, NULL, &err);
    if (!good) printf("# %s\n", err.message);
    for (int i = 0; i < 32; i++) good = good && out[i] == 131 - i;
    return good;
}

static void test_types(void) {
    int bad = 0;
    for (int i = 0; i < 65536; i++) {
        const uint16_t x = (uint16_t)i;
        const float h = emulate_float_of_f16(x), b = emulate_float_of_bf16(x);
        bad += !isnan(h) && emulate_f16_of_float(h) != x;
        bad += !isnan(b) && emulate_bf16_of_float(b) != x;
    }
    is_int(bad, 0, "each 16-bit number comes back from f32");
    is_int(emulate_f16_of_float(1 + 0x1p-11f), 0x3c00, "f16: a tie goes to even, down");
    is_int(emulate_f16_of_float(1 + 0x1.8p-10f), 0x3c02, "f16: a tie goes to even, up");
    is_int(emulate_f16_of_float(65519), 0x7bff, "f16: below the tie it stays finite");
    is_int(emulate_f16_of_float(65520), 0x7c00, "f16: from there on infinite");
    is_int(emulate_f16_of_float(0x1p-25f), 0, "f16: half of the least denormal goes to zero");
    is_int(emulate_f16_of_float(0x1.8p-24f), 2, "f16: a tie among denormals goes to even");
    is_int(emulate_bf16_of_float(1 + 0x1p-8f), 0x3f80, "bf16: a tie goes to even, down");
    is_int(emulate_bf16_of_float(1 + 0x1.8p-7f), 0x3f82, "bf16: a tie goes to even, up");
}

int main(void) {
    static _Alignas(16) element out[32];
    spak_error err = {0};
    emulate_counts counts;
    ok(reversed(sound, false) && reversed(sound, true), "a sound kernel goes through");
    ok(!reversed(no_barrier, false), "found by its result: a missing barrier");
    ok(reversed(copies, false) && reversed(copies, true), "copies that are waited for");
    ok(!reversed(does_not_wait, true), "found by its result: a copy that is not waited for");
    ok(!reversed(waits_for_too_few, true), "found by its result: a wait that leaves one group too many");
    ok(run(copies_nothing, true, out, &counts, &err) && out[0] == 0 && out[31] == 0 && counts.read_bytes == 0,
       "a copy of no bytes reads nothing and leaves zeros");
    fails(reads_outside, "reads 2 bytes outside of all arrays, 64 bytes behind the begin of in", "a read behind");
    fails(reads_before, "outside of all arrays", "a read before");
    fails(writes_outside, "writes 2 bytes outside", "a write behind");
    fails(writes_input, "writes in, which is for reading", "a write of an input");
    fails(misaligned, "no multiple", "an unaligned load");
    fails(parts_ways, "its warp at __syncwarp", "lanes at different instructions");
    fails(leaves_early, "lane 31 of its warp at its end", "a lane that left");
    fails(too_much_smem, "asked for 1024", "shared memory that was not asked for");
    fails(loads_beyond_smem, "of shared memory, which has 1024", "a load beyond shared memory");
    fails(never_waits, "under way", "copies that nobody waited for");
    ok(run(writes_twice, false, out, NULL, &err) && writes[0] == 2 && writes[40] == 0,
       "writes are counted: twice here, never there");
    test_types();
    return done_testing();
}
