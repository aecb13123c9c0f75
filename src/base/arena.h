/* A growing arena: many small objects with one lifetime, freed together. Blocks are chained and never move, so pointers
 * into an arena stay good until spak_arena_free. */
#ifndef SPAK_BASE_ARENA_H
#define SPAK_BASE_ARENA_H

#include <stddef.h>

typedef struct spak_arena {
    struct spak_arena_block *head; /* private: the block that is being filled; older ones hang behind it */
    size_t block_size;             /* private: size of the next block */
    size_t total;                  /* bytes taken from the heap */
} spak_arena;

/* A zeroed spak_arena is a valid empty one with the default block size; block_size (bytes) sets another, which tests
 * use to make every allocation cross a block. */
void spak_arena_init(spak_arena *arena, size_t block_size);

/* size bytes aligned to 16, uninitialised; NULL when out of memory. */
void *spak_arena_alloc(spak_arena *arena, size_t size);
char *spak_arena_strndup(spak_arena *arena, const char *text, size_t len);

void spak_arena_free(spak_arena *arena);

#endif
