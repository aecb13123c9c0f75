#include "base/hash.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

bool spak_sha256_file(const char *path, char hex[SPAK_SHA256_HEX + 1], spak_error *err) {
    int fd = spak_open_read(path, err);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "rb");
    if (!file) {
        if (fd >= 0) close(fd);
        return fd < 0 ? false : spak_fail_oom(err);
    }
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);
    unsigned char buffer[1 << 16], digest[EVP_MAX_MD_SIZE];
    for (size_t got; ok && (got = fread(buffer, 1, sizeof buffer, file)) > 0;) ok = EVP_DigestUpdate(ctx, buffer, got);
    bool read_error = ferror(file);
    ok = ok && !read_error && EVP_DigestFinal_ex(ctx, digest, NULL);
    EVP_MD_CTX_free(ctx);
    fclose(file);
    if (read_error) return spak_fail(err, "%s: read error while hashing (is it a folder, or on a failing disk?)", path);
    if (!ok) return spak_fail(err, "%s: SHA-256 failed in libcrypto", path);
    to_hex(digest, hex);
    return true;
}

bool spak_sha256_self(char hex[SPAK_SHA256_HEX + 1], spak_error *err) {
    static char cached[SPAK_SHA256_HEX + 1];
    if (!cached[0] && !spak_sha256_file("/proc/self/exe", cached, err)) return false;
    memcpy(hex, cached, sizeof cached);
    return true;
}
