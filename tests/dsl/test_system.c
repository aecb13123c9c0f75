/* Systems with what they inherit: order, overriding, origin; and what must fail. */
#include "base/hash.h"
#include "dsl_test.h"

#define FOLDER FIXTURES "/inherit/"

static const json_t *find(const json_t *system, const char *kind, const char *name) {
    return dsl_block(json_object_get(system, "knowledge"), kind, name, 0);
}

static void inheriting(void) {
    spak_error err = {{0}};
    json_t *system = NULL;
    char sha256[SPAK_SHA256_HEX + 1];
    if (!ok(dsl_load_system(FOLDER "own.dsl", &system, &err), "a system that inherits")) {
        printf("# %s\n", err.message);
        return;
    }
    is_str(spak_json_str(system, "name", ""), "Heir", "its name");
    is_str(spak_json_str(json_object_get(system, "front_matter"), "title", ""), "The heir", "its front matter");
    is_str(spak_json_str(system, "file", ""), FOLDER "own.dsl", "its file");
    ok(spak_sha256_file(FOLDER "own.dsl", sha256, &err), "hash");
    is_str(spak_json_str(system, "sha256", ""), sha256, "the hash of its file");
    ok(dsl_block(system, "knowledge", NULL, 0) != NULL, "its body");

    const json_t *inherits = json_object_get(system, "inherits");
    is_int(json_array_size(inherits), 3, "three files inherited, the diamond's once");
    is_str(spak_json_str(json_array_get(inherits, 0), "file", ""), FOLDER "middle.dsl", "nearest first");
    is_str(spak_json_str(json_array_get(inherits, 1), "file", ""), FOLDER "sub/other.dsl", "in the order written");
    is_str(spak_json_str(json_array_get(inherits, 2), "file", ""), FOLDER "sub/root.dsl", "then what these inherit");
    is_int(strlen(spak_json_str(json_array_get(inherits, 2), "sha256", "")), 64, "each with its hash");

    const json_t *shared = find(system, "rule", "shared");
    is_str(dsl_text(dsl_value(shared, "apply"), ""), "own", "an own rule replaces inherited ones");
    is_str(spak_json_str(shared, "origin", ""), FOLDER "own.dsl", "and has its origin");
    ok(!spak_json_bool(shared, "inherited", true), "and is not inherited");
    ok(!dsl_block(json_object_get(system, "knowledge"), "rule", "shared", 1), "and is the only one");
    is_str(spak_json_str(shared, "overrides", ""), FOLDER "middle.dsl", "and says whose place it takes: the nearest's");
    ok(!json_object_get(find(system, "fact", "own_only"), "overrides"), "one that takes nobody's place does not");
    ok(!json_object_get(find(system, "fact", "twice_here"), "overrides"), "nor one that stands twice in its own file");
    ok(find(system, "fact", "shared") != NULL, "a fact of the same name stays");
    const json_t *hint = find(system, "hint", "from_both");
    is_str(dsl_text(dsl_value(hint, "try"), ""), "middle", "a nearer one replaces a farther one");
    ok(spak_json_bool(hint, "inherited", false), "and is inherited");
    is_str(spak_json_str(hint, "overrides", ""), FOLDER "sub/root.dsl", "and says so as well");
    is_str(spak_json_str(find(system, "invariant", "root_only"), "origin", ""), FOLDER "sub/root.dsl", "the farthest");
    ok(find(system, "fact", "other_only") != NULL, "from a file without a system block");
    ok(find(system, "rule", "outside") != NULL, "from outside of the own system block");
    ok(dsl_block(json_object_get(system, "knowledge"), "fact", "twice_here", 1) != NULL,
       "a file does not override itself");
    is_int(json_array_size(json_object_get(system, "knowledge")), 10, "ten items in all");
    json_decref(system);
}

static void fails(const char *file, const char *what, const char *more) {
    spak_error err = {{0}};
    json_t *system = NULL;
    ok(!dsl_load_system(file, &system, &err) && !system, "%s is refused", file);
    if (!ok(strstr(err.message, what) && strstr(err.message, more), "saying '%s' and '%s'", what, more))
        printf("# %s\n", err.message);
}

int main(void) {
    spak_json_init();
    inheriting();
    fails(FOLDER "cycle_a.dsl", "cycle", "cycle_b.dsl");
    fails(FOLDER "missing.dsl", "nowhere.dsl", "missing.dsl");
    fails(FOLDER "not_a_name.dsl", "inherits", "not_a_name.dsl");
    fails(FOLDER "broken.dsl", "broken_parent.dsl:2:8", "not closed");
    fails(FOLDER "no_system.dsl", "system", "no_system.dsl");
    fails(FOLDER "absent.dsl", "absent.dsl", "cannot open");
    return done_testing();
}
