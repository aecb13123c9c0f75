#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <string.h>

#include "base/alloc.h"

enum { ALIGNMENT = 16, DEFAULT_BLOCK = 64 * 1024 };

struct spak_arena_block {
    struct spak_arena_block *older;
    size_t used, size;
    alignas(ALIGNMENT) unsigned char bytes[];
};

void spak_arena_init(spak_arena *arena, size_t block_size) { *arena = (spak_arena){.block_size = block_size}; }

void *spak_arena_alloc(spak_arena *arena, size_t size) {
    if (size > SIZE_MAX / 2) return NULL;
    size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    struct spak_arena_block *block = arena->head;
    if (!block || block->size - block->used < size) {
        size_t room = arena->block_size ? arena->block_size : DEFAULT_BLOCK;
        if (room < size) room = size;
        block = spak_malloc(sizeof *block + room);
        if (!block) return NULL;
        *block = (struct spak_arena_block){.older = arena->head, .size = room};
        arena->head = block;
        arena->total += sizeof *block + room;
    }
    void *ptr = block->bytes + block->used;
    block->used += size;
    return ptr;
}

char *spak_arena_strndup(spak_arena *arena, const char *text, size_t len) {
    char *copy = spak_arena_alloc(arena, len + 1);
    if (!copy) return NULL;
    memcpy(copy, text, len);
    copy[len] = 0;
    return copy;
}

void spak_arena_free(spak_arena *arena) {
    for (struct spak_arena_block *block = arena->head; block;) {
        struct spak_arena_block *older = block->older;
        spak_free(block);
        block = older;
    }
    arena->head = NULL;
    arena->total = 0;
}
