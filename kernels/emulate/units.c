/* Memory, asynchronous copies, the matrix units and the 16-bit types. */
#include <math.h>
#include <string.h>

#include "emulate/machine.h"

/* --- global memory --- */

/* The array that holds these bytes within one row, or NULL. */
static const emulate_array *array_of(const void *at, unsigned bytes) {
    const emulate_launch *launch = emulate_machine->launch;
    for (size_t i = 0; i < launch->num_arrays; i++) {
        const emulate_array *a = &launch->arrays[i];
        const uintptr_t from = (uintptr_t)at - (uintptr_t)a->at;
        if ((uintptr_t)at < (uintptr_t)a->at || a->pitch == 0) continue;
        if (from / a->pitch < a->rows &&
            from % a->pitch + bytes <= a->row_bytes)
            return a;
    }
    return NULL;
}

static const emulate_array *check(const void *at, unsigned bytes,
                                  const char *what) {
    if ((uintptr_t)at % bytes)
        emulate_fault("%s %u bytes at %p, which is no multiple of that", what,
                      bytes, at);
    const emulate_array *a = array_of(at, bytes);
    if (a) return a;
    const emulate_launch *launch = emulate_machine->launch;
    const emulate_array *near = NULL; /* the last one that begins before */
    for (size_t i = 0; i < launch->num_arrays; i++) {
        const emulate_array *x = &launch->arrays[i];
        if ((uintptr_t)x->at <= (uintptr_t)at &&
            (!near || (uintptr_t)x->at > (uintptr_t)near->at))
            near = x;
    }
    emulate_fault(
        "%s %u bytes outside of all arrays, %zu bytes behind the "
        "begin of %s",
        what, bytes, near ? (size_t)((uintptr_t)at - (uintptr_t)near->at) : 0,
        near ? near->name : "nothing");
    return NULL;
}

void emulate_read(const void *at, unsigned bytes) {
    check(at, bytes, "reads");
    emulate_machine->counts.read_bytes += bytes;
}

void emulate_write(const void *at, unsigned bytes) {
    const emulate_array *a = check(at, bytes, "writes");
    if (!a->writable) emulate_fault("writes %s, which is for reading", a->name);
    emulate_machine->counts.written_bytes += bytes;
    if (!a->writes) return;
    unsigned char *count = a->writes + ((uintptr_t)at - (uintptr_t)a->at);
    for (unsigned i = 0; i < bytes; i++) count[i] += count[i] < 255;
}

/* --- shared memory --- */

unsigned emulate_smem_address(const void *at) {
    return (unsigned)((uintptr_t)at - (uintptr_t)emulate_smem);
}

static void check_smem(unsigned address, const char *what) {
    const size_t size = emulate_machine->launch->smem_bytes;
    if (address % 16 || address + 16 > size)
        emulate_fault("%s 16 bytes at %u of shared memory, which has %zu", what,
                      address, size);
}

/* --- asynchronous copies --- */

static void land_one(const copy *c) {
    memset(emulate_smem + c->to, 0, 16);
    if (c->bytes > 0) memcpy(emulate_smem + c->to, c->from, (size_t)c->bytes);
}

void emulate_copy(unsigned to, const void *from, int bytes) {
    thread *t = emulate_machine->current;
    check_smem(to, "copies to");
    if (bytes != 0 && bytes != 16)
        emulate_fault("copies %d of 16 bytes, which is not emulated", bytes);
    if (bytes) emulate_read(from, 16);
    if (t->num_copies == COPIES)
        emulate_fault("has more than %d copies under way", COPIES);
    const copy c = {to, from, bytes, t->group};
    t->copies[t->num_copies++] = c;
    emulate_machine->counts.async_copies++;
    if (emulate_machine->launch->schedule.copies_late)
        memset(emulate_smem + to, 0xff, 16);
    else
        land_one(&c);
}

void emulate_commit(void) { emulate_machine->current->group++; }

void emulate_land(thread *t, int group) {
    int n = 0;
    while (n < t->num_copies && t->copies[n].group <= group) {
        if (emulate_machine->launch->schedule.copies_late)
            land_one(&t->copies[n]);
        n++;
    }
    t->num_copies -= n;
    memmove(t->copies, t->copies + n, (size_t)t->num_copies * sizeof(copy));
}

void emulate_wait(int pending) {
    thread *t = emulate_machine->current;
    emulate_land(t, t->group - 1 - pending);
}

/* --- what a warp or block does together --- */

void emulate_syncthreads(void) { emulate_meet(AT_BARRIER); }
void emulate_syncwarp(void) { emulate_meet(AT_SYNCWARP); }

void emulate_ldmatrix(unsigned y[4], unsigned address, bool transposed) {
    thread *t = emulate_machine->current;
    check_smem(address, "loads a matrix's row of");
    t->y = y;
    t->address = address;
    emulate_meet(transposed ? AT_LDMATRIX_TRANS : AT_LDMATRIX);
}

void emulate_warp_ldmatrix(thread *warp, bool transposed) {
    emulate_counts *counts = &emulate_machine->counts;
    counts->ldmatrix++;
    for (int i = 0; i < 4; i++) {
        uint16_t x[8][8];
        int rows_at[8] = {0}, cycles = 1; /* rows in each 16-byte column */
        for (int r = 0; r < 8; r++) {
            const unsigned address = warp[8 * i + r].address;
            memcpy(x[r], emulate_smem + address, 16);
            if (++rows_at[address / 16 % 8] > cycles)
                cycles = rows_at[address / 16 % 8];
        }
        counts->ldmatrix_cycles += (uint64_t)cycles;
        for (int lane = 0; lane < WARP; lane++) {
            const int g = lane / 4, c = lane % 4 * 2;
            const uint16_t first = transposed ? x[c][g] : x[g][c];
            const uint16_t second = transposed ? x[c + 1][g] : x[g][c + 1];
            warp[lane].y[i] = first | (unsigned)second << 16;
        }
    }
}

void emulate_mma(float c[4], const unsigned a[4], const unsigned b[2],
                 bool f16) {
    thread *t = emulate_machine->current;
    t->c = c;
    t->a = a;
    t->b = b;
    t->f16 = f16;
    emulate_meet(AT_MMA);
}

float emulate_shuffle_xor(float x, int mask) {
    thread *t = emulate_machine->current;
    t->x = x;
    t->mask = mask;
    emulate_meet(AT_SHUFFLE);
    return t->got;
}

void emulate_warp_shuffle(thread *warp) {
    for (int lane = 0; lane < WARP; lane++)
        warp[lane].got = warp[(lane ^ warp[lane].mask) % WARP].x;
}

/* Half `half` of a register, widened. */
static float half_of(unsigned x, int half, bool f16) {
    const uint16_t bits = (uint16_t)(half ? x >> 16 : x & 0xffff);
    return f16 ? emulate_float_of_f16(bits) : emulate_float_of_bf16(bits);
}

/* The layout is written down once more here, element by element as PTX's
 * manual has it (m16n8k16), not as ptx/mma.cuh draws it: for a, register i of
 * lane (g, t) is row g + 8 (i odd), columns 2t + 8 (i >= 2); for b, register i
 * is rows 2t + 8i, column g; for c, element i is row g + 8 (i >= 2), column
 * 2t + i % 2. */
void emulate_warp_mma(thread *warp) {
    float a[16][16], b[16][8];
    emulate_machine->counts.mma++;
    for (int lane = 0; lane < WARP; lane++) {
        const thread *t = &warp[lane];
        const int row = lane >> 2, col = (lane & 3) * 2;
        for (int h = 0; h < 2; h++) {
            for (int i = 0; i < 4; i++)
                a[row + (i & 1 ? 8 : 0)][col + (i >= 2 ? 8 : 0) + h] =
                    half_of(t->a[i], h, t->f16);
            for (int i = 0; i < 2; i++)
                b[col + 8 * i + h][row] = half_of(t->b[i], h, t->f16);
        }
    }
    for (int lane = 0; lane < WARP; lane++) {
        for (int i = 0; i < 4; i++) {
            const int row = (lane >> 2) + (i >= 2 ? 8 : 0);
            const int col = (lane & 3) * 2 + (i & 1);
            double sum = warp[lane].c[i];
            for (int k = 0; k < 16; k++) sum += (double)a[row][k] * b[k][col];
            warp[lane].c[i] = (float)sum;
        }
    }
}

/* --- the 16-bit types --- */

static uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}

float emulate_float_of_bf16(uint16_t x) {
    const uint32_t bits = (uint32_t)x << 16;
    float y;
    memcpy(&y, &bits, 4);
    return y;
}

uint16_t emulate_bf16_of_float(float x) {
    const uint32_t bits = bits_of(x);
    if (isnan(x)) return 0x7fff;
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float emulate_float_of_f16(uint16_t x) {
    const int exponent = x >> 10 & 31, fraction = x & 1023;
    float y = exponent == 31  ? (fraction ? NAN : INFINITY)
              : exponent == 0 ? ldexpf((float)fraction, -24)
                              : ldexpf((float)(fraction + 1024), exponent - 25);
    return x >> 15 ? -y : y;
}

/* rint rounds as the type wants: to nearest, ties to even. */
uint16_t emulate_f16_of_float(float x) {
    const unsigned sign = bits_of(x) >> 31 << 15;
    const float size = fabsf(x);
    if (isnan(x)) return 0x7fff;
    if (size >= 65520.0f) return (uint16_t)(sign | 0x7c00);
    if (size == 0) return (uint16_t)sign;
    int exponent = 0;
    frexpf(size, &exponent);            /* size < 2^exponent */
    if (exponent < -13) exponent = -13; /* denormal: units of 2^-24 */
    /* In units of its last place: 1024 .. 2048, below that denormal. */
    const unsigned units = (unsigned)rintf(ldexpf(size, 11 - exponent));
    return (uint16_t)(sign | (((unsigned)(exponent + 13) << 10) + units));
}
