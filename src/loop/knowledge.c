/* The ledger of a plan's knowledge: what of it came with the systems before, what was changed, and what is new.
 *
 * Each invariant, rule, hint and fact of the system stands in one of four lists. `inherited` came from another file as
 * it is; `changed` is this system's own, in the place of an inherited item of the same kind and name; `new` is its own
 * and takes nobody's place. These three are in scope here, so the plan uses them. `outside` is not: on another machine,
 * for another operator, or retired. How much of a method's knowledge carries over from one system to the next is then a
 * count and no opinion. Rejected: to compare texts. An item that was reworded and renamed would count as new, and one
 * that was copied as inherited, while nobody can say what it was made from. */
#include <string.h>

#include "dsl/dsl.h"
#include "loop/loop_internal.h"

static const char *const kinds[] = {"invariant", "rule", "hint", "fact"};
enum { KINDS = sizeof kinds / sizeof *kinds };

static const char *list_of(const json_t *item) {
    if (spak_json_bool(item, "inherited", false)) return "inherited";
    return json_object_get(item, "overrides") ? "changed" : "new";
}

/* {"kind", "name", "from"}: the file that it came from; of a changed item, the one whose item it replaces. */
static json_t *entry_of(const json_t *item) {
    bool changed = !strcmp(list_of(item), "changed");
    return json_pack("{s:s, s:s, s:s}", "kind", spak_json_str(item, "kind", ""), "name",
                     spak_json_str(item, "name", ""), "from",
                     spak_json_str(item, changed ? "overrides" : "origin", ""));
}

typedef struct sorting {
    const loop_run *run;
    json_t *ledger;
} sorting;

static bool enter(void *ctx, const json_t *item, spak_error *err) {
    const sorting *s = ctx;
    json_t *why = NULL, *entry = entry_of(item);
    bool applies = false;
    if (!strcmp(dsl_text(dsl_value(item, "status"), "valid"), "retired"))
        why = json_string("status: retired");
    else if (!loop_in_scope(s->run, item, &applies, &why, err)) {
        json_decref(entry);
        return false;
    }
    const char *list = applies ? list_of(item) : "outside";
    bool ok = entry && (applies || !json_object_set_new(entry, "why", why)) &&
              !json_array_append(json_object_get(s->ledger, list), entry);
    json_decref(entry);
    return ok || spak_fail_oom(err);
}

bool loop_knowledge(const loop_run *run, json_t **ledger, spak_error *err) {
    *ledger = json_pack("{s:[], s:[], s:[], s:[]}", "inherited", "changed", "new", "outside");
    sorting s = {run, *ledger};
    bool ok = *ledger || spak_fail_oom(err);
    for (int i = 0; ok && i < KINDS; i++) ok = loop_each(run, kinds[i], enter, &s, err);
    if (ok) return true;
    json_decref(*ledger);
    *ledger = NULL;
    return false;
}
