/* What the tests of src/nn's files share: a scratch folder, and safetensors files put together byte by byte. */
#ifndef SPAK_TESTS_NN_FILES_H
#define SPAK_TESTS_NN_FILES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../tap.h"
#include "base/alloc.h"
#include "base/fs.h"
#include "base/json.h"

__attribute__((unused)) static char root[4096]; /* where the test was started: fixtures are found from there */

__attribute__((unused)) static void enter_scratch(void) {
    char folder[] = "/tmp/spak-test-XXXXXX";
    if (!getcwd(root, sizeof root) || !mkdtemp(folder) || chdir(folder) != 0) {
        perror("scratch folder");
        exit(1);
    }
    spak_json_init();
}

__attribute__((unused)) static void leave_scratch(void) {
    char folder[4096], command[4200];
    if (!getcwd(folder, sizeof folder) || strncmp(folder, "/tmp/spak-test-", 15) != 0) return;
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (chdir("/") != 0 || system(command) != 0) printf("# could not remove %s\n", folder);
}

/* The file's bytes: header length, header, data. */
__attribute__((unused)) static void put_raw(const char *path, uint64_t len, const char *header, size_t header_len,
                                            const void *data, size_t data_len) {
    spak_str text = {0};
    spak_str_append(&text, (const char *)&len, 8);
    spak_str_append(&text, header, header_len);
    spak_str_append(&text, data, data_len);
    spak_write_file(path, text.data, text.len, NULL);
    spak_str_free(&text);
}

/* True when err names each of the words, up to NULL. */
__attribute__((unused)) static bool names(const char *message, const char *const *words) {
    for (; *words; words++)
        if (!strstr(message, *words)) return false;
    return true;
}

#endif
