/* What this processor is. Three sources, in this order of trust: CPUID (what the silicon says), sysfs and /proc (what
 * the kernel makes of it), and a short table of microarchitectures for what neither tells. A virtual machine may hide
 * any of them, so each field stands alone and is left out when its source is silent. */
#include <ctype.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#define X86 1
#endif
#ifdef __GLIBC__
#include <gnu/libc-version.h>
#endif

#include "device/device.h"

static const char *const isa_names[DEV_ISA_COUNT] = {"portable", "avx2", "avx512"};

const char *dev_isa_name(dev_isa isa) { return isa < DEV_ISA_COUNT ? isa_names[isa] : "unknown"; }

bool dev_isa_parse(const char *name, dev_isa *isa) {
    for (int i = 0; i < DEV_ISA_COUNT; i++)
        if (!strcmp(name, isa_names[i])) {
            *isa = (dev_isa)i;
            return true;
        }
    return false;
}

/* --- instruction sets --- */

#ifdef X86
/* The operating system must save the wide registers at a context switch; XCR0 says which it does. */
static bool os_saves(unsigned mask) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & (1u << 27))) return false;
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & mask) == mask;
}

static dev_isa detect(void) {
    enum { XMM_YMM = 0x06, ZMM = 0xE6 };
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !os_saves(XMM_YMM))
        return DEV_ISA_PORTABLE;
    bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    return wide && os_saves(ZMM) ? DEV_ISA_AVX512 : DEV_ISA_AVX2;
}
#else
static dev_isa detect(void) { return DEV_ISA_PORTABLE; }
#endif

dev_isa dev_cpu_isa(void) {
    dev_isa best = detect(), asked;
    const char *lower = getenv("SPAK_ISA");
    if (lower && dev_isa_parse(lower, &asked) && asked < best) return asked;
    return best;
}

bool dev_isa_check(spak_error *err) {
    dev_isa asked;
    const char *lower = getenv("SPAK_ISA");
    if (!lower || !*lower || dev_isa_parse(lower, &asked)) return true;
    return spak_fail(err, "SPAK_ISA: expected portable, avx2 or avx512, found '%s'", lower);
}

bool dev_cpu_has(dev_isa isa) { return isa <= dev_cpu_isa(); }

/* --- cores --- */

/* The first line of a small file, without its newline. */
static bool first_line(const char *path, char *line, size_t size) {
    FILE *f = fopen(path, "r");
    if (!f) return false;
    bool got = fgets(line, (int)size, f) != NULL;
    fclose(f);
    if (got) line[strcspn(line, "\n")] = '\0';
    return got;
}

/* Cores that a control group's quota pays for ("max" or "QUOTA PERIOD" in cpu.max), rounded up; 0 when unlimited. The
 * limit of any folder above ours counts too. */
static int quota_cores(void) {
    char path[1024] = "", line[512];
    FILE *f = fopen("/proc/self/cgroup", "r");
    if (!f) return 0;
    while (fgets(line, sizeof line, f))
        if (!strncmp(line, "0::", 3)) {
            line[strcspn(line, "\n")] = '\0';
            snprintf(path, sizeof path, "%s", line + 3);
        }
    fclose(f);
    int cores = 0;
    for (;;) {
        char file[1200];
        long long quota, period;
        snprintf(file, sizeof file, "/sys/fs/cgroup%s/cpu.max", path);
        if (first_line(file, line, sizeof line) && sscanf(line, "%lld %lld", &quota, &period) == 2 && period > 0) {
            int here = (int)((quota + period - 1) / period);
            if (here >= 1 && (!cores || here < cores)) cores = here;
        }
        char *slash = strrchr(path, '/');
        if (!slash) return cores;
        *slash = '\0';
    }
}

int dev_cpu_count(void) {
    cpu_set_t set;
    int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)sysconf(_SC_NPROCESSORS_ONLN);
    int quota = quota_cores();
    if (quota && quota < cores) cores = quota;
    return cores < 1 ? 1 : cores;
}

/* --- caches --- */

static void note_cache(dev_caches *caches, int level, bool holds_data, size_t bytes) {
    if (!holds_data) return;
    size_t *slot = level == 1 ? &caches->l1d_bytes : level == 2 ? &caches->l2_bytes : &caches->l3_bytes;
    if (level >= 1 && level <= 3 && !*slot) *slot = bytes;
}

static void caches_from_sysfs(dev_caches *caches) {
    for (int i = 0; i < 8; i++) {
        char path[128], level[32], type[32], size[32];
        const char *const base = "/sys/devices/system/cpu/cpu0/cache/index%d/%s";
        snprintf(path, sizeof path, base, i, "level");
        if (!first_line(path, level, sizeof level)) return;
        snprintf(path, sizeof path, base, i, "type");
        if (!first_line(path, type, sizeof type)) continue;
        snprintf(path, sizeof path, base, i, "size");
        if (!first_line(path, size, sizeof size)) continue;
        char *unit;
        size_t bytes = strtoul(size, &unit, 10);
        bytes <<= *unit == 'M' ? 20 : *unit == 'K' ? 10 : 0;
        note_cache(caches, atoi(level), type[0] != 'I', bytes);
    }
}

#ifdef X86
/* Intel's leaf 4 and AMD's 0x8000001D have the same layout. */
static void caches_from_cpuid(dev_caches *caches) {
    static const unsigned leaves[] = {4, 0x8000001D};
    for (int l = 0; l < 2; l++)
        for (unsigned i = 0; i < 8; i++) {
            unsigned a, b, c, d;
            if (!__get_cpuid_count(leaves[l], i, &a, &b, &c, &d) || (a & 31) == 0) break;
            size_t ways = (b >> 22) + 1, parts = ((b >> 12) & 1023) + 1, line = (b & 4095) + 1, sets = (size_t)c + 1;
            note_cache(caches, (int)((a >> 5) & 7), (a & 31) != 2, ways * parts * line * sets);
        }
}
#else
static void caches_from_cpuid(dev_caches *caches) { (void)caches; }
#endif

const dev_caches *dev_cpu_caches(void) {
    static dev_caches caches;
    static bool known; /* two threads may fill it at once, with the same values */
    if (!known) {
        dev_caches found = {0};
        caches_from_sysfs(&found);
        caches_from_cpuid(&found);
        caches = found;
        known = true;
    }
    return &caches;
}

/* --- the description --- */

typedef struct identity {
    char vendor[16], model[128]; /* "amd", "AMD EPYC" */
    unsigned family, number;     /* CPUID family and model; 0 where there are none */
} identity;

/* What no register tells: the microarchitecture's name, and how many vector multiply-adds of the widest supported
 * width it starts a cycle (0: depends on the part, or not known here). Sources: the vendors' optimisation manuals. */
static const struct {
    const char *vendor;
    unsigned family, low, high; /* range of models */
    const char *name;
    int fma_avx2, fma_avx512;
} microarchitectures[] = {
    {"amd", 0x17, 0x00, 0x2f, "zen1", 1, 0},          {"amd", 0x17, 0x30, 0xff, "zen2", 2, 0},
    {"amd", 0x19, 0x10, 0x1f, "zen4", 2, 1},          {"amd", 0x19, 0x60, 0xaf, "zen4", 2, 1},
    {"amd", 0x19, 0x00, 0x5f, "zen3", 2, 0},          {"amd", 0x1a, 0x00, 0x1f, "zen5", 2, 2},
    {"intel", 6, 0x3c, 0x3c, "haswell", 2, 0},        {"intel", 6, 0x3f, 0x3f, "haswell", 2, 0},
    {"intel", 6, 0x4f, 0x4f, "broadwell", 2, 0},      {"intel", 6, 0x56, 0x56, "broadwell", 2, 0},
    {"intel", 6, 0x4e, 0x4e, "skylake", 2, 0},        {"intel", 6, 0x5e, 0x5e, "skylake", 2, 0},
    {"intel", 6, 0x55, 0x55, "skylakex", 2, 0},       {"intel", 6, 0x6a, 0x6a, "icelakesp", 2, 2},
    {"intel", 6, 0x8f, 0x8f, "sapphirerapids", 2, 2}, {"intel", 6, 0xcf, 0xcf, "emeraldrapids", 2, 2},
    {"intel", 6, 0xad, 0xad, "graniterapids", 2, 2},
};

static void identify(identity *id) {
    memset(id, 0, sizeof *id);
    char line[512], name[64];
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && !*id->model && fgets(line, sizeof line, f))
        if (sscanf(line, "%63[^\t:]", name) == 1 && !strcmp(name, "model name")) {
            char *text = strchr(line, ':');
            line[strcspn(line, "\n")] = '\0';
            if (text) snprintf(id->model, sizeof id->model, "%s", text + (text[1] == ' ' ? 2 : 1));
        }
    if (f) fclose(f);
#ifdef X86
    unsigned a, b, c, d;
    char vendor[13] = "";
    if (__get_cpuid(0, &a, &b, &c, &d)) {
        memcpy(vendor, &b, 4);
        memcpy(vendor + 4, &d, 4);
        memcpy(vendor + 8, &c, 4);
    }
    snprintf(id->vendor, sizeof id->vendor, "%s",
             !strcmp(vendor, "AuthenticAMD")   ? "amd"
             : !strcmp(vendor, "GenuineIntel") ? "intel"
                                               : vendor);
    if (__get_cpuid(1, &a, &b, &c, &d)) {
        unsigned base = (a >> 8) & 15;
        id->family = base == 15 ? base + ((a >> 20) & 255) : base;
        id->number = ((a >> 4) & 15) | (base == 6 || base == 15 ? ((a >> 16) & 15) << 4 : 0);
    }
#endif
}

static int microarchitecture(const identity *id) {
    for (int i = 0; i < (int)(sizeof microarchitectures / sizeof *microarchitectures); i++)
        if (!strcmp(microarchitectures[i].vendor, id->vendor) && microarchitectures[i].family == id->family &&
            id->number >= microarchitectures[i].low && id->number <= microarchitectures[i].high)
            return i;
    return -1;
}

/* "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz" -> "intel-xeon-platinum-8481c". */
static void slug_of(const char *model, char *slug, size_t size) {
    static const char *const noise[] = {"(R)", "(TM)", "(tm)", " CPU", " Processor"};
    size_t n = 0;
    for (const char *s = model; *s && *s != '@' && n + 2 < size;) {
        size_t skip = 0;
        for (size_t i = 0; i < sizeof noise / sizeof *noise; i++)
            if (!strncmp(s, noise[i], strlen(noise[i]))) skip = strlen(noise[i]);
        if (skip) {
            s += skip;
            continue;
        }
        if (isalnum((unsigned char)*s))
            slug[n++] = (char)tolower((unsigned char)*s);
        else if (n && slug[n - 1] != '-')
            slug[n++] = '-';
        s++;
    }
    while (n && slug[n - 1] == '-') n--;
    slug[n] = '\0';
}

static double current_mhz(void) {
    char line[256];
    double mhz = 0;
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && mhz == 0 && fgets(line, sizeof line, f)) sscanf(line, "cpu MHz : %lf", &mhz);
    if (f) fclose(f);
    return mhz;
}

static void set_text(json_t *hw, const char *key, const char *value) {
    if (value && *value) json_object_set_new(hw, key, json_string(value));
}

static void set_number(json_t *hw, const char *key, long long value) {
    if (value > 0) json_object_set_new(hw, key, json_integer(value));
}

static void describe_core(json_t *hw, const identity *id) {
    dev_isa isa = dev_cpu_isa();
    int at = microarchitecture(id);
    set_text(hw, "isa", dev_isa_name(isa));
    if (at >= 0) {
        set_text(hw, "microarchitecture", microarchitectures[at].name);
        if (isa == DEV_ISA_AVX2) set_number(hw, "fma_per_cycle", microarchitectures[at].fma_avx2);
        if (isa == DEV_ISA_AVX512) set_number(hw, "fma_per_cycle", microarchitectures[at].fma_avx512);
    }
#if defined(__x86_64__)
    set_number(hw, "vector_bytes", isa == DEV_ISA_AVX512 ? 64 : isa == DEV_ISA_AVX2 ? 32 : 16);
    set_number(hw, "vector_registers", isa == DEV_ISA_AVX512 ? 32 : 16);
#elif defined(__aarch64__)
    set_number(hw, "vector_bytes", 16);
    set_number(hw, "vector_registers", 32);
#endif
    const dev_caches *caches = dev_cpu_caches();
    set_number(hw, "l1d_bytes", (long long)caches->l1d_bytes);
    set_number(hw, "l2_bytes", (long long)caches->l2_bytes);
    set_number(hw, "l3_bytes", (long long)caches->l3_bytes);
    set_number(hw, "flush_bytes", (long long)dev_flush_bytes());
}

bool dev_describe(json_t **out, spak_error *err) {
    *out = NULL;
    if (!dev_isa_check(err)) return false;
    json_t *hw = json_object();
    if (!hw) return spak_fail_oom(err);
    identity id;
    identify(&id);
    int cores = dev_cpu_count(), at = microarchitecture(&id);
    struct utsname os;
    bool named = uname(&os) == 0;
    char slug[160], name[256], line[64], kernel[160];
    slug_of(*id.model ? id.model : named ? os.machine : "cpu", slug, sizeof slug);
    if (at >= 0)
        snprintf(name, sizeof name, "%s-%s-%dc", slug, microarchitectures[at].name, cores);
    else
        snprintf(name, sizeof name, "%s-%dc", slug, cores);

    set_text(hw, "kind", "cpu");
    set_text(hw, "id", name);
    set_text(hw, "vendor", id.vendor);
    set_text(hw, "model", id.model);
    describe_core(hw, &id);
    set_number(hw, "cores", cores);
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (pages > 0 && page > 0) set_number(hw, "memory_bytes", (long long)pages * page);
    if (current_mhz() > 0) json_object_set_new(hw, "mhz", json_real(current_mhz()));
    if (first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", line, sizeof line))
        set_text(hw, "governor", line);
    if (named) {
        snprintf(kernel, sizeof kernel, "%.64s %.90s", os.sysname, os.release);
        set_text(hw, "kernel", kernel);
        set_text(hw, "machine", os.machine);
    }
#ifdef __GLIBC__
    snprintf(line, sizeof line, "glibc %s", gnu_get_libc_version());
    set_text(hw, "libc", line);
#endif
    set_text(hw, "compiler",
#if defined(__clang__)
             "clang " __clang_version__
#elif defined(__GNUC__)
             "gcc " __VERSION__
#else
             ""
#endif
    );
    *out = hw;
    return true;
}
