/* The object `report` of a report function:
 *
 *   report.name report.machine report.profile   texts; machine is "here" or an archived machine's id
 *   report.hw report.records                    tables: the machine of the trace, its records in order
 *   report.data                                 table by data set: {origin, sha256, bytes, license}; where the origin
 *                                               is "builtin" the trace was made on a stand-in, and a caption says so
 *   report:ref(record)                          "trace:NAME/MACHINE#SEQ"
 *   report:value(key, number, {refs = {...}, format = "%.2f", unit = "ms"})
 *   report:figure{...} report:table{...}        as rep_plot and rep_table take them (report/report.h)
 *
 * What an archived trace gives lies in a folder of the machine's name, so that it never mixes with what was measured
 * here. */
#include <lauxlib.h>
#include <string.h>

#include "base/str.h"
#include "lua/api.h"
#include "lua/convert.h"

static const char TYPE[] = "spak.report";

static lua_report *self(lua_State *L) { return *(lua_report **)luaL_checkudata(L, 1, TYPE); }

static int report_ref(lua_State *L) {
    lua_report *report = self(L);
    luaL_checktype(L, 2, LUA_TTABLE);
    if (lua_getfield(L, 2, "seq") != LUA_TNUMBER) return luaL_error(L, "ref: not a record of the trace: it has no seq");
    spak_str text = {0};
    rep_ref_text(report->name, report->machine, lua_tointeger(L, -1), &text);
    lua_pushstring(L, spak_str_text(&text));
    spak_str_free(&text);
    return 1;
}

static int report_value(lua_State *L) {
    lua_report *report = self(L);
    const char *key = luaL_checkstring(L, 2);
    lua_Number number = luaL_checknumber(L, 3);
    json_t *spec = lua_json_argument(L, 4);
    if (!spec) return luaL_error(L, "value %s: needs refs, the records it was computed from", key);
    json_t *value = json_real(number);
    if (!value) {
        json_decref(spec);
        return luaL_error(L, "value %s: not a finite number", key);
    }
    json_object_set_new(spec, "value", value);
    if (json_object_get(report->values, key)) {
        json_decref(spec);
        return luaL_error(L, "value %s: given twice", key);
    }
    json_object_set_new(report->values, key, spec);
    return 0;
}

/* Puts archived output below a folder of the machine's name. */
static void place_name(const lua_report *report, json_t *spec) {
    if (strcmp(report->machine, "here") != 0)
        json_object_set_new(spec, "name", json_sprintf("%s/%s", report->machine, spak_json_str(spec, "name", "")));
}

static int report_figure(lua_State *L) {
    lua_report *report = self(L);
    spak_error err = {0};
    json_t *spec = lua_json_argument(L, 2);
    place_name(report, spec);
    bool ok = rep_plot(&report->place, spec, NULL, &err);
    json_decref(spec);
    return ok ? 0 : lua_raise(L, &err);
}

static int report_table(lua_State *L) {
    lua_report *report = self(L);
    spak_error err = {0};
    json_t *spec = lua_json_argument(L, 2);
    place_name(report, spec);
    bool ok = rep_table(&report->place, spec, &err);
    json_decref(spec);
    return ok ? 0 : lua_raise(L, &err);
}

/* The data sets that the run lists, by name. */
static void push_data(lua_State *L, const json_t *data) {
    lua_newtable(L);
    for (size_t i = 0; i < json_array_size(data); i++) {
        const json_t *set = json_array_get(data, i);
        lua_push_json(L, set);
        lua_pushnil(L);
        lua_setfield(L, -2, "name");
        lua_setfield(L, -2, spak_json_str(set, "name", ""));
    }
}

/* The same table each time: a report walks over its records often, and they may be long. */
static void push_records(lua_State *L, const lua_report *report) {
    if (lua_getiuservalue(L, 1, 1) != LUA_TNIL) return;
    lua_push_json(L, report->records);
    lua_pushvalue(L, -1);
    lua_setiuservalue(L, 1, 1);
}

static int report_index(lua_State *L) {
    lua_report *report = self(L);
    const char *key = luaL_checkstring(L, 2);
    const json_t *first = json_array_get(report->records, 0);
    if (luaL_getmetafield(L, 1, "methods") == LUA_TTABLE && lua_getfield(L, -1, key) != LUA_TNIL) return 1;
    if (!strcmp(key, "name"))
        lua_pushstring(L, report->name);
    else if (!strcmp(key, "machine"))
        lua_pushstring(L, report->machine);
    else if (!strcmp(key, "profile"))
        lua_pushstring(L, spak_json_str(first, "profile", ""));
    else if (!strcmp(key, "hw"))
        lua_push_json(L, json_object_get(first, "hw"));
    else if (!strcmp(key, "data"))
        push_data(L, json_object_get(first, "data"));
    else if (!strcmp(key, "records"))
        push_records(L, report);
    else
        return luaL_error(L, "report has no member '%s'", key);
    return 1;
}

static const luaL_Reg methods[] = {
    {"ref", report_ref}, {"value", report_value}, {"figure", report_figure}, {"table", report_table}, {NULL, NULL}};

void lua_push_report(lua_State *L, lua_report *report) {
    *(lua_report **)lua_newuserdatauv(L, sizeof report, 1) = report;
    if (luaL_newmetatable(L, TYPE)) {
        luaL_newlib(L, methods);
        lua_setfield(L, -2, "methods");
        lua_pushcfunction(L, report_index);
        lua_setfield(L, -2, "__index");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
}
