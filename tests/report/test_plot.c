/* Figures: a good one is drawn once; every fault in data, script and output is caught before a reader could see it. */
#include <signal.h>
#include <sys/resource.h>

#include "../tap.h"

#include "help.h"
#include "report/internal.h"

static json_t *ladder(void) {
    static const struct {
        const char *step;
        double ratio[6];
    } steps[] = {{"naive", {0.021, 0.012, 0.011, 0.0094, 0.0088, 0.0081}},
                 {"loop_order", {0.082, 0.083, 0.079, 0.071, 0.066, 0.061}},
                 {"blocked", {0.155, 0.161, 0.163, 0.158, 0.161, 0.16}},
                 {"packed", {0.33, 0.352, 0.361, 0.365, 0.366, 0.368}},
                 {"register_tile", {0.91, 0.945, 0.962, 0.971, 0.983, 0.991}},
                 {"threads", {0.88, 0.935, 0.958, 0.975, 0.986, 1.012}}};
    json_t *rows = json_array();
    for (size_t s = 0; s < 6; s++)
        for (size_t i = 0; i < 6; i++) {
            double r = steps[s].ratio[i];
            json_array_append_new(rows, json_pack("[s,i,f,f,f]", steps[s].step, 128 << i, r, r * 0.96, r * 1.03));
        }
    json_t *spec = json(
        "{\"name\":\"matmul_ladder\",\"series\":\"step\",\"x\":\"size\",\"positive\":[\"ratio\",\"q1\"],"
        "\"columns\":[{\"name\":\"step\",\"type\":\"text\"},{\"name\":\"size\",\"type\":\"number\"},"
        "{\"name\":\"ratio\",\"type\":\"number\"},{\"name\":\"q1\",\"type\":\"number\"},"
        "{\"name\":\"q3\",\"type\":\"number\"}],\"refs\":[\"trace:matmul/here#1\"],"
        "\"vars\":{\"peer\":\"OpenBLAS\",\"machine\":\"AMD EPYC (it's a test)\",\"measured\":\"no profile\","
        "\"threads_title\":\"threads (a test)\"}}");
    json_object_set_new(spec, "rows", rows);
    return spec;
}

static void use_script(const char *text) { put(in(root, "figures/matmul_ladder.gp"), text); }

static void copy_figures(void) {
    char *style = get("figures/style.gp"), *script = get("figures/matmul_ladder.gp");
    put(in(root, "figures/style.gp"), style);
    put(in(root, "figures/matmul_ladder.gp"), script);
    free(style);
    free(script);
}

/* spec must be refused with a message that holds `want`. Takes the reference. */
static void refused(json_t *spec, const char *want, const char *what) {
    spak_error err = {0};
    bool drawn = true;
    bool good = rep_plot(&place, spec, &drawn, &err);
    if (!ok(!good && !drawn && strstr(err.message, want), "refused: %s", what))
        printf("# returned %d, message: %s\n", good, err.message);
    json_decref(spec);
}

static json_t *row(json_t *spec, size_t i) { return json_array_get(json_object_get(spec, "rows"), i); }

static void bad_data(void) {
    json_t *spec = ladder();
    json_array_remove(row(spec, 3), 4);
    refused(spec, "row 4 has 4 columns, expected 5", "a missing column");

    spec = ladder();
    json_array_set_new(row(spec, 1), 2, json_string("NaN"));
    refused(spec, "row 2, column 'ratio': expected a finite number", "NaN as text");

    spec = ladder();
    json_array_set_new(row(spec, 1), 2, json_null());
    refused(spec, "row 2, column 'ratio': expected a finite number", "null, which is what NaN becomes in JSON");

    spec = ladder();
    json_array_set_new(row(spec, 0), 2, json_real(0.0));
    refused(spec, "above zero", "zero on a log axis");

    spec = ladder();
    json_array_set_new(row(spec, 1), 1, json_integer(128));
    refused(spec, "size must increase", "x that does not increase");

    spec = ladder();
    json_array_clear(json_object_get(spec, "rows"));
    refused(spec, "no rows", "no rows");

    spec = ladder();
    json_object_set_new(spec, "expect_series", json_pack("[s,s]", "naive", "tensor_cores"));
    refused(spec, "series 'tensor_cores' is empty", "an empty series");

    spec = ladder();
    json_object_set_new(spec, "refs", json_pack("[s]", "trace:matmul/here#77"));
    refused(spec, "trace:matmul/here#77", "a reference to a record that is not there");

    spec = ladder();
    json_object_del(spec, "refs");
    refused(spec, "no refs", "no references");

    spec = ladder();
    json_array_set_new(row(spec, 0), 0, json_string("a\"b"));
    refused(spec, "without quotes", "a quote in a text");

    spec = ladder();
    json_object_set_new(spec, "series", json_string("ratio"));
    refused(spec, "series 'ratio' is no text column", "series by a number");

    spec = ladder();
    json_object_set_new(spec, "name", json_string("../escape"));
    refused(spec, "expected a name", "a name that leaves the folder");
}

static void bad_scripts(void) {
    use_script("plot data using 1:2 wiht lines\n");
    refused(ladder(), "gnuplot failed", "a syntax error in the script");
    use_script("plot data index 99 using 2:3 with lines notitle\n");
    refused(ladder(), "gnuplot", "a script that plots no data");
    use_script("set xlabel 'nothing is plotted'\n");
    refused(ladder(), "no proper svg", "a script that draws nothing");
    use_script("set output 'elsewhere.svg'\nplot data using 2:3 notitle\n");
    refused(ladder(), "no proper svg", "a script that writes elsewhere");
    unlink("elsewhere.svg");
    unlink(in(root, "figures/matmul_ladder.gp"));
    refused(ladder(), "matmul_ladder.gp", "a script that is not there");
}

static void no_gnuplot(void) {
    char *path = strdup(getenv("PATH"));
    setenv("PATH", "/nowhere", 1);
    put(in(root, "figures/style.gp"), "# changed, so that it must be drawn\n");
    refused(ladder(), "apt-get install gnuplot-nox", "gnuplot is not installed");
    setenv("PATH", path, 1);
    free(path);
}

/* The limit stands for a disk that fills up; gnuplot itself says nothing about one. */
static void full_disk(void) {
    json_t *spec = ladder();
    json_object_set_new(json_object_get(spec, "vars"), "subtitle", json_string("another"));
    struct rlimit before, small;
    getrlimit(RLIMIT_FSIZE, &before);
    small = before;
    small.rlim_cur = 4000;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    refused(spec, "is the disk full?", "a full disk, which is named");
    setrlimit(RLIMIT_FSIZE, &before);
}

int main(void) {
    make_place("plot");
    make_trace("matmul", "here", 3, "complete");
    copy_figures();
    spak_error err = {0};
    bool drawn = false;
    json_t *spec = ladder();
    ok(rep_plot(&place, spec, &drawn, &err) && drawn, "the ladder is drawn %s", err.message);
    ok(spak_exists(in(out, "figures/matmul_ladder.svg")) && spak_exists(in(out, "figures/matmul_ladder.png")) &&
           spak_exists(in(out, "figures/matmul_ladder.pdf")),
       "as SVG, PNG and PDF");
    char *data = get(in(out, "figures/matmul_ladder.dat"));
    ok(strstr(data, "#   trace:matmul/here#1\n") && strstr(data, "\n\n\n# series 1: loop_order\n"),
       "the data file names its records and its series");
    free(data);
    ok(rep_plot(&place, spec, &drawn, &err) && !drawn, "unchanged data: not drawn again");
    json_object_set_new(json_object_get(spec, "vars"), "peer", json_string("another peer"));
    ok(rep_plot(&place, spec, &drawn, &err) && drawn, "a changed variable: drawn again");
    json_object_set_new(json_object_get(spec, "vars"), "peer", json_string("OpenBLAS"));
    ok(rep_plot(&place, spec, &drawn, &err) && drawn, "and back");
    json_t *vars = json_object(), *old = json_object_get(spec, "vars");
    for (size_t i = json_object_size(old); i-- > 0;) { /* the last one first */
        void *member = json_object_iter(old);
        for (size_t k = 0; k < i; k++) member = json_object_iter_next(old, member);
        json_object_set(vars, json_object_iter_key(member), json_object_iter_value(member));
    }
    json_object_set_new(spec, "vars", vars);
    ok(json_object_size(vars) > 1 && rep_plot(&place, spec, &drawn, &err) && !drawn,
       "the variables in another order: not drawn again");
    unlink(in(out, "figures/matmul_ladder.svg"));
    ok(rep_plot(&place, spec, &drawn, &err) && drawn, "a drawing that is gone: drawn again");
    json_decref(spec);
    char *before = get(in(out, "figures/matmul_ladder.svg"));
    bad_data();
    bad_scripts();
    copy_figures();
    no_gnuplot();
    full_disk();
    char *after = get(in(out, "figures/matmul_ladder.svg"));
    ok(!strcmp(before, after), "after all these failures the old drawing stands");
    free(before);
    free(after);
    remove_place();
    return done_testing();
}
