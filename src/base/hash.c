#include "base/hash.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fs.h"

static void to_hex(const unsigned char digest[32], char hex[SPAK_SHA256_HEX + 1]) {
    for (int i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

bool spak_sha256(const void *data, size_t len, char hex[SPAK_SHA256_HEX + 1], spak_error *err) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    if (!EVP_Digest(data, len, digest, NULL, EVP_sha256(), NULL)) return spak_fail(err, "SHA-256 failed in libcrypto");
    to_hex(digest, hex);
    return true;
}

struct spak_hasher {
    EVP_MD_CTX *ctx;
    bool ok;
};

bool spak_hasher_begin(spak_hasher **out, spak_error *err) {
    spak_hasher *hasher = *out = spak_calloc(1, sizeof *hasher);
    if (!hasher) return spak_fail_oom(err);
    hasher->ctx = EVP_MD_CTX_new();
    hasher->ok = hasher->ctx && EVP_DigestInit_ex(hasher->ctx, EVP_sha256(), NULL);
    return true;
}

void spak_hasher_put(spak_hasher *hasher, const void *data, size_t len) {
    hasher->ok = hasher->ok && EVP_DigestUpdate(hasher->ctx, data, len);
}

bool spak_hasher_end(spak_hasher *hasher, char hex[SPAK_SHA256_HEX + 1], spak_error *err) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    bool ok = hasher->ok && EVP_DigestFinal_ex(hasher->ctx, digest, NULL);
    EVP_MD_CTX_free(hasher->ctx);
    spak_free(hasher);
    if (!ok) return spak_fail(err, "SHA-256 failed in libcrypto");
    if (hex) to_hex(digest, hex);
    return true;
}

bool spak_sha256_file(const char *path, char hex[SPAK_SHA256_HEX + 1], spak_error *err) {
    int fd = spak_open_read(path, err);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "rb");
    spak_hasher *hasher = NULL;
    if (!file || !spak_hasher_begin(&hasher, err)) {
        if (file)
            fclose(file);
        else if (fd >= 0)
            close(fd);
        return fd < 0 ? false : spak_fail_oom(err);
    }
    unsigned char buffer[1 << 16];
    for (size_t got; (got = fread(buffer, 1, sizeof buffer, file)) > 0;) spak_hasher_put(hasher, buffer, got);
    bool read_error = ferror(file);
    fclose(file);
    bool ok = spak_hasher_end(hasher, hex, err);
    if (read_error) return spak_fail(err, "%s: read error while hashing (is it a folder, or on a failing disk?)", path);
    return ok || spak_fail_context(err, "%s", path);
}

bool spak_sha256_self(char hex[SPAK_SHA256_HEX + 1], spak_error *err) {
    static char cached[SPAK_SHA256_HEX + 1];
    if (!cached[0] && !spak_sha256_file("/proc/self/exe", cached, err)) return false;
    memcpy(hex, cached, sizeof cached);
    return true;
}
