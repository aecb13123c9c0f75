/* What the emulated machine offers a kernel's code (types.h and mma.h put
 * CUDA's and ptx/'s names on it). The host's side is emulate.h. */
#ifndef SPAK_EMULATE_DEVICE_H
#define SPAK_EMULATE_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct emulate_dim {
    unsigned x, y, z;
} emulate_dim;

/* The thread that runs. */
extern struct emulate_here {
    emulate_dim thread, block, block_dim, grid_dim;
} emulate_here;

enum { EMULATE_SMEM = 256 * 1024 };
extern unsigned char emulate_smem[EMULATE_SMEM];

/* Global memory: each access is checked first. */
void emulate_read(const void *at, unsigned bytes);
void emulate_write(const void *at, unsigned bytes);

/* Instructions that all lanes of the warp, or all threads of the block, have to
 * meet at. */
void emulate_syncthreads(void);
void emulate_syncwarp(void);
void emulate_ldmatrix(unsigned y[4], unsigned address, bool transposed);
void emulate_mma(float c[4], const unsigned a[4], const unsigned b[2],
                 bool f16);

float emulate_shuffle_xor(float x, int mask); /* of lane `lane ^ mask` */

/* Asynchronous copies of 16 bytes, of which `bytes` (0 or 16) are read. */
unsigned emulate_smem_address(const void *at);
void emulate_copy(unsigned to, const void *from, int bytes);
void emulate_commit(void);
void emulate_wait(int pending);

/* The 16-bit types; rounding to nearest, ties to even. */
float emulate_float_of_bf16(uint16_t x);
float emulate_float_of_f16(uint16_t x);
uint16_t emulate_bf16_of_float(float x);
uint16_t emulate_f16_of_float(float x);

#endif
