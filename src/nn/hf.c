/* The names of GPT-2's parameters are nanoGPT's everywhere, for nanoGPT took them from the original; what differs:
 *
 *                      nanoGPT                              transformers
 *     leads            "transformer.", a compiled model's   "transformer." or none
 *                      "_orig_mod.transformer."
 *     linear layers    (out, in)                            (in, out): Conv1D, after the original's 1x1 convolutions
 *     the head         lm_head.weight, also when tied       absent when tied
 *     GELU             erf                                  tanh ("gelu_new"), or as config.json says
 *     buffers          attn.bias (the causal mask)          attn.bias, attn.masked_bias
 *
 * Nothing is asked from the user that the file says itself: the leads are found by looking for the token embedding, the
 * layout by the shape of c_attn, which is three times as wide as it is high or the other way round. */
#include "nn/hf.h"

#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/fs.h"
#include "nn/safetensors.h"

static const char OURS[] = "transformer.";
enum { PIECE = 4096, NAME_BYTES = 128 };

typedef struct source {
    nn_safetensors *file;
    const char *lead, *head_lead; /* in the place of "transformer.", and before "lm_head.weight" */
    bool conv1d;                  /* linear layers are (in, out) */
} source;

/* Our name of a parameter, as the file has it. */
static const nn_tensor *find(const source *s, const char *ours, char name[NAME_BYTES]) {
    if (spak_starts_with(ours, OURS))
        snprintf(name, NAME_BYTES, "%s%s", s->lead, ours + strlen(OURS));
    else
        snprintf(name, NAME_BYTES, "%s%s", s->head_lead, ours);
    return nn_safetensors_find(s->file, name);
}

static bool missing(const source *s, const char *name, spak_error *err) {
    return spak_fail(err, "%s: expected a tensor `%s`, found none; is this GPT-2, with all its parts?",
                     nn_safetensors_path(s->file), name);
}

static bool wrong_shape(const source *s, const nn_tensor *t, const char *expected, spak_error *err) {
    char shape[200], name[100];
    return spak_fail(err, "%s: tensor `%s`: expected the shape %s, found %s; the file is of another model",
                     nn_safetensors_path(s->file), nn_tensor_shown(t->name, name), expected, nn_tensor_shape(t, shape));
}

/* A matrix that must be there. */
static const nn_tensor *matrix(const source *s, const char *ours, spak_error *err) {
    char name[NAME_BYTES];
    const nn_tensor *t = find(s, ours, name);
    if (!t) return missing(s, name, err), NULL;
    if (t->rank != 2) return wrong_shape(s, t, "of a matrix", err), NULL;
    return t;
}

static bool is_folder(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* `name` in the folder that `path` is, or in the one that holds it. */
static char *beside(const char *path, const char *name) {
    spak_str text = {0};
    const char *slash = strrchr(path, '/');
    if (is_folder(path))
        spak_str_printf(&text, "%s/", path);
    else if (slash)
        spak_str_append(&text, path, (size_t)(slash - path) + 1);
    spak_str_puts(&text, name);
    if (!text.oom) return text.data;
    spak_str_free(&text);
    return NULL;
}

static bool find_layout(source *s, spak_error *err) {
    static const char *const leads[][2] = {{"transformer.", ""}, {"", ""}, {"_orig_mod.transformer.", "_orig_mod."}};
    char name[NAME_BYTES];
    const nn_tensor *wte = NULL;
    for (size_t i = 0; !wte && i < sizeof leads / sizeof *leads; i++) {
        s->lead = leads[i][0];
        s->head_lead = leads[i][1];
        wte = find(s, "transformer.wte.weight", name);
    }
    if (!wte) return missing(s, "transformer.wte.weight", err);
    const nn_tensor *attn = matrix(s, "transformer.h.0.attn.c_attn.weight", err);
    if (!attn) return false;
    s->conv1d = attn->shape[1] / 3 == attn->shape[0] && attn->shape[1] % 3 == 0;
    if (s->conv1d || (attn->shape[0] / 3 == attn->shape[1] && attn->shape[0] % 3 == 0)) return true;
    return wrong_shape(s, attn, "(3 width, width) or (width, 3 width)", err);
}

static bool open_source(const char *path, source *s, spak_error *err) {
    *s = (source){0};
    char *whole = is_folder(path) ? beside(path, "model.safetensors") : spak_strdup(path);
    char *index = beside(path, "model.safetensors.index.json");
    bool ok = (whole && index) || spak_fail_oom(err);
    if (ok) {
        const bool sharded = is_folder(path) && !spak_exists(whole) && spak_exists(index);
        ok = sharded ? nn_safetensors_open_index(index, &s->file, err) : nn_safetensors_open(whole, &s->file, err);
    }
    spak_free(whole);
    spak_free(index);
    if (ok && find_layout(s, err)) return true;
    nn_safetensors_close(s->file);
    return false;
}

/* --- the configuration --- */

static bool same_numbers(const source *s, const nn_tensor *a, const nn_tensor *b, bool *same, spak_error *err) {
    double x[PIECE], y[PIECE];
    *same = a->rank == b->rank && !memcmp(a->shape, b->shape, sizeof a->shape);
    for (size_t at = 0, n; *same && at < a->count; at += n) {
        n = a->count - at < PIECE ? a->count - at : PIECE;
        if (!nn_tensor_f64(s->file, a, at, n, x, err) || !nn_tensor_f64(s->file, b, at, n, y, err)) return false;
        *same = !memcmp(x, y, n * sizeof *x);
    }
    return true;
}

static bool config_from_shapes(const source *s, nn_config *c, spak_error *err) {
    char name[NAME_BYTES], ours[NAME_BYTES];
    const nn_tensor *wte = matrix(s, "transformer.wte.weight", err);
    const nn_tensor *wpe = wte ? matrix(s, "transformer.wpe.weight", err) : NULL;
    const nn_tensor *up = wpe ? matrix(s, "transformer.h.0.mlp.c_fc.weight", err) : NULL;
    if (!up || !nn_config_preset("gpt2", c, err)) return false;
    c->vocab = wte->shape[0];
    c->width = wte->shape[1];
    c->context = wpe->shape[0];
    c->hidden = up->shape[s->conv1d ? 1 : 0];
    c->bias = find(s, "transformer.h.0.attn.c_attn.bias", name);
    c->act = s->conv1d ? NN_GELU_TANH : NN_GELU_ERF;
    c->dropout = 0;
    for (c->layers = 1;; c->layers++) {
        snprintf(ours, sizeof ours, "transformer.h.%zu.attn.c_attn.weight", c->layers);
        if (!find(s, ours, name)) break;
    }
    const nn_tensor *head = find(s, "lm_head.weight", name);
    return !head || same_numbers(s, head, wte, &c->tied, err);
}

/* What describes the model beside its shapes: {} where nothing does. */
static bool load_description(const source *s, json_t **out, char **from, spak_error *err) {
    const char *path = nn_safetensors_path(s->file), *metadata = nn_safetensors_metadata(s->file, "config");
    *out = NULL;
    if (!(*from = beside(path, "config.json"))) return spak_fail_oom(err);
    if (spak_exists(*from)) {
        if (!spak_json_load(*from, out, err)) return false;
    } else {
        spak_free(*from);
        spak_str name = {0};
        spak_str_printf(&name, "%s (metadata `config`)", path);
        *from = name.data;
        if (!spak_str_ok(&name, err)) return false;
        if (metadata && !spak_json_parse(*from, metadata, strlen(metadata), out, err)) return false;
        if (!*out && !(*out = json_object())) return spak_fail_oom(err);
    }
    return json_is_object(*out) || spak_fail(err, "%s: expected a JSON object", *from);
}

/* A member of another type would read as if it were not there. null, as Python writes None, is the same as none. */
static bool check_types(const json_t *described, const char *from, spak_error *err) {
    static const struct {
        const char *kind, *names[9];
    } types[] = {
        {"a text", {"model_type", "activation_function"}},
        {"a whole number from 0 on",
         {"vocab_size", "n_positions", "block_size", "n_embd", "n_layer", "n_head", "n_inner"}},
        {"a number", {"layer_norm_epsilon"}},
        {"true or false",
         {"scale_attn_weights", "scale_attn_by_inverse_layer_idx", "add_cross_attention", "tie_word_embeddings"}}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        for (const char *const *name = types[i].names; *name; name++) {
            const json_t *value = json_object_get(described, *name);
            if (!value || json_is_null(value)) continue;
            const bool fits = i == 0   ? json_is_string(value)
                              : i == 1 ? spak_json_int(described, *name, -1) >= 0
                              : i == 2 ? json_is_number(value)
                                       : json_is_boolean(value);
            if (!fits) return spak_fail(err, "%s: `%s` is not %s", from, *name, types[i].kind);
        }
    return true;
}

static bool check_sizes(const json_t *described, const char *from, const nn_config *c, spak_error *err) {
    const struct {
        const char *name;
        size_t size;
    } sizes[] = {{"vocab_size", c->vocab}, {"n_positions", c->context}, {"block_size", c->context},
                 {"n_embd", c->width},     {"n_layer", c->layers},      {"n_inner", c->hidden}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const json_t *value = json_object_get(described, sizes[i].name);
        if (!value || json_is_null(value)) continue;
        long long found = spak_json_int(described, sizes[i].name, -1);
        if ((size_t)found != sizes[i].size)
            return spak_fail(err, "%s: `%s` is %lld, but the tensors' shapes say %zu; are the two of one model?", from,
                             sizes[i].name, found, sizes[i].size);
    }
    return true;
}

static bool check_kind(const json_t *described, const char *from, spak_error *err) {
    static const struct {
        const char *name;
        bool value;
    } fixed[] = {
        {"scale_attn_weights", true}, {"scale_attn_by_inverse_layer_idx", false}, {"add_cross_attention", false}};
    const char *type = spak_json_str(described, "model_type", "gpt2");
    if (strcmp(type, "gpt2") != 0) return spak_fail(err, "%s: expected the model_type gpt2, found %s", from, type);
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (spak_json_bool(described, fixed[i].name, fixed[i].value) != fixed[i].value)
            return spak_fail(err, "%s: `%s` is %s, which GPT-2 has not and this program cannot do", from, fixed[i].name,
                             fixed[i].value ? "false" : "true");
    return true;
}

static bool read_act(const json_t *described, const char *from, nn_act_kind *act, spak_error *err) {
    static const struct {
        const char *name;
        nn_act_kind act;
    } acts[] = {{"gelu_new", NN_GELU_TANH}, {"gelu_pytorch_tanh", NN_GELU_TANH},
                {"gelu", NN_GELU_ERF},      {"relu", NN_RELU},
                {"silu", NN_SILU},          {"swish", NN_SILU}};
    const char *name = spak_json_str(described, "activation_function", NULL);
    for (size_t i = 0; name && i < sizeof acts / sizeof *acts; i++)
        if (!strcmp(name, acts[i].name)) {
            *act = acts[i].act;
            return true;
        }
    return !name ||
           spak_fail(err, "%s: activation_function: expected gelu_new, gelu, relu or silu, found %s", from, name);
}

static bool read_heads(const json_t *described, const char *from, size_t heads, nn_config *c, spak_error *err) {
    long long told = spak_json_int(described, "n_head", 0);
    if (told && heads && (size_t)told != heads)
        return spak_fail(err, "%s: `n_head` is %lld, but %zu heads were asked for", from, told, heads);
    c->heads = c->kv_heads = told ? (size_t)told : heads;
    return c->heads > 0 || spak_fail(err,
                                     "%s: there is no `n_head`, and no shape tells the number of heads; give it "
                                     "(GPT-2's heads are 64 wide: here %zu)",
                                     from, c->width / 64);
}

static bool check_tie(const source *s, const json_t *described, const char *from, const nn_config *c, spak_error *err) {
    char name[NAME_BYTES];
    const bool head = find(s, "lm_head.weight", name), told = spak_json_bool(described, "tie_word_embeddings", c->tied);
    if (told && !c->tied)
        return spak_fail(err, "%s: `tie_word_embeddings` is true, but lm_head.weight differs from wte.weight", from);
    return told || head || spak_fail(err, "%s: `tie_word_embeddings` is false, but there is no lm_head.weight", from);
}

bool nn_hf_config(const char *path, size_t heads, nn_config *config, spak_error *err) {
    source s;
    json_t *described = NULL;
    char *from = NULL;
    nn_config c;
    if (!open_source(path, &s, err)) return false;
    bool ok = config_from_shapes(&s, &c, err) && load_description(&s, &described, &from, err) &&
              check_types(described, from, err) && check_kind(described, from, err) &&
              check_sizes(described, from, &c, err) && read_act(described, from, &c.act, err) &&
              read_heads(described, from, heads, &c, err) && check_tie(&s, described, from, &c, err);
    if (ok) {
        c.norm_eps = (float)spak_json_num(described, "layer_norm_epsilon", 1e-5);
        if (!nn_config_check(&c, err)) ok = spak_fail_context(err, "%s", path);
    }
    if (ok) *config = c;
    json_decref(described);
    spak_free(from);
    nn_safetensors_close(s.file);
    return ok;
}

/* --- import --- */

static bool is_linear(const char *name) {
    return spak_ends_with(name, ".weight") && (strstr(name, ".attn.c_") || strstr(name, ".mlp.c_"));
}

static void transpose(const double *x /* (rows, cols) */, size_t rows, size_t cols, double *y /* (cols, rows) */) {
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++) y[c * rows + r] = x[r * cols + c];
}

static bool import_turned(const source *s, const nn_tensor *t, const nn_param *p, nn_model *model, spak_error *err) {
    double *x = spak_malloc(t->count * sizeof *x), *y = spak_malloc(t->count * sizeof *y);
    bool ok = (x && y) || spak_fail_oom(err);
    ok = ok && nn_tensor_f64(s->file, t, 0, t->count, x, err) && nn_tensor_finite(s->file, t, x, t->count, err);
    if (ok) {
        transpose(x, p->cols, p->rows, y);
        nn_model_put(model, NN_VALUES, p->at, t->count, y);
    }
    spak_free(x);
    spak_free(y);
    return ok;
}

static bool import_param(const source *s, const nn_param *p, nn_model *model, spak_error *err) {
    char name[NAME_BYTES], expected[64];
    double piece[PIECE];
    const nn_tensor *t = find(s, p->name, name);
    if (!t) return missing(s, name, err);
    bool turned = s->conv1d && is_linear(p->name);
    size_t rows = turned ? p->cols : p->rows, cols = turned ? p->rows : p->cols;
    snprintf(expected, sizeof expected, p->matrix ? "[%zu, %zu]" : "[%zu]", p->matrix ? rows : cols, cols);
    if (p->matrix ? t->rank != 2 || t->shape[0] != rows || t->shape[1] != cols : t->rank != 1 || t->shape[0] != cols)
        return wrong_shape(s, t, expected, err);
    if (turned) return import_turned(s, t, p, model, err);
    for (size_t at = 0, n; at < t->count; at += n) {
        n = t->count - at < PIECE ? t->count - at : PIECE;
        if (!nn_tensor_f64(s->file, t, at, n, piece, err) || !nn_tensor_finite(s->file, t, piece, n, err)) return false;
        nn_model_put(model, NN_VALUES, p->at + at, n, piece);
    }
    return true;
}

/* Masks that older versions of both store, and a tied head. */
static bool may_be_ignored(const source *s, const char *name, bool tied) {
    size_t lead = strlen(s->lead);
    if (!strncmp(name, s->lead, lead) && !strncmp(name + lead, "h.", 2))
        return spak_ends_with(name, ".attn.bias") || spak_ends_with(name, ".attn.masked_bias");
    lead = strlen(s->head_lead);
    return tied && !strncmp(name, s->head_lead, lead) && !strcmp(name + lead, "lm_head.weight");
}

/* A model that ties its head to the token embedding has no room for another. */
static bool check_head(const source *s, const nn_model *model, spak_error *err) {
    char name[NAME_BYTES];
    bool same = true;
    const nn_tensor *head = find(s, "lm_head.weight", name);
    if (!head || !nn_model_config(model)->tied) return true;
    if (!same_numbers(s, head, find(s, "transformer.wte.weight", name), &same, err)) return false;
    return same || spak_fail(err,
                             "%s: the model's head is its token embedding, but lm_head.weight differs from "
                             "wte.weight; make the model with `tied` false",
                             nn_safetensors_path(s->file));
}

static bool check_extras(const source *s, const nn_model *model, spak_error *err) {
    size_t tensors, params, numbers;
    const nn_tensor *list = nn_safetensors_list(s->file, &tensors);
    const nn_param *p = nn_model_params(model, &params, &numbers);
    for (size_t i = 0; i < tensors; i++) {
        char name[NAME_BYTES], shown[100];
        bool known = may_be_ignored(s, list[i].name, nn_model_config(model)->tied);
        for (size_t j = 0; !known && j < params; j++) known = find(s, p[j].name, name) == &list[i];
        if (!known)
            return spak_fail(err, "%s: tensor `%s` is none of the model's %zu parameters; the file is of another model",
                             nn_safetensors_path(s->file), nn_tensor_shown(list[i].name, shown), params);
    }
    return true;
}

bool nn_hf_import(const char *path, nn_model *model, spak_error *err) {
    source s;
    size_t count, numbers;
    const nn_param *p = nn_model_params(model, &count, &numbers);
    if (!open_source(path, &s, err)) return false;
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++) ok = import_param(&s, &p[i], model, err);
    ok = ok && check_head(&s, model, err) && check_extras(&s, model, err);
    nn_safetensors_close(s.file);
    return ok;
}

/* --- export --- */

static bool check_exportable(const nn_config *c, spak_error *err) {
    const struct {
        const char *member;
        bool fits;
    } members[] = {{"loops", c->loops == 1},
                   {"kv_heads", c->kv_heads == c->heads},
                   {"norm", c->norm == NN_LAYERNORM},
                   {"norm_gain", c->norm_gain},
                   {"act", c->act != NN_SWIGLU},
                   {"positions", c->positions == NN_POS_LEARNED},
                   {"kinds", c->kinds == 0},
                   {"final_norm", c->final_norm},
                   {"inject", !c->inject},
                   {"normalise_state", !c->normalise_state},
                   {"causal", c->causal},
                   {"window", c->window < 0},
                   {"slope", c->slope == 0},
                   {"segments", !c->segments}};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (!members[i].fits)
            return spak_fail(err,
                             "this model is no GPT-2, which is all that can be exported: its member `%s` is another",
                             members[i].member);
    return true;
}

/* A parameter as transformers has it; after each weight but the embeddings' and the head's, GPT-2 has a bias. */
static bool lacks_bias(const nn_config *c, const nn_param *p) {
    return !c->bias && (is_linear(p->name) || strstr(p->name, ".ln_"));
}

static nn_tensor *list_exported(const nn_model *model, size_t *count, spak_str *names, spak_error *err) {
    size_t params, numbers;
    const nn_param *p = nn_model_params(model, &params, &numbers);
    nn_tensor *list = spak_calloc(2 * params, sizeof *list);
    size_t *name_at = spak_calloc(2 * params, sizeof *name_at);
    *count = 0;
    for (size_t i = 0; list && name_at && i < params; i++, p++) {
        nn_tensor t = {.dtype = NN_F32, .rank = p->matrix ? 2 : 1, .shape = {p->matrix ? p->rows : p->cols, p->cols}};
        if (is_linear(p->name) && p->matrix) t.shape[0] = p->cols, t.shape[1] = p->rows;
        name_at[*count] = names->len;
        spak_str_append(names, p->name, strlen(p->name) + 1);
        list[(*count)++] = t;
        if (!lacks_bias(nn_model_config(model), p)) continue;
        name_at[*count] = names->len;
        spak_str_append(names, p->name, strlen(p->name) - strlen("weight"));
        spak_str_append(names, "bias", strlen("bias") + 1);
        list[(*count)++] = (nn_tensor){.dtype = NN_F32, .rank = 1, .shape = {p->matrix ? p->rows : p->cols}};
    }
    if (!list || !name_at || !spak_str_ok(names, err)) {
        spak_free(list);
        list = NULL;
        spak_fail_oom(err);
    }
    for (size_t i = 0; list && i < *count; i++) list[i].name = names->data + name_at[i];
    spak_free(name_at);
    return list;
}

static bool export_turned(const nn_model *model, const nn_param *p, nn_safetensors_writer *out, spak_error *err) {
    size_t n = p->rows * p->cols;
    double *x = spak_malloc(n * sizeof *x), *y = spak_malloc(n * sizeof *y);
    bool ok = (x && y) || spak_fail_oom(err);
    if (ok) {
        nn_model_get(model, NN_VALUES, p->at, n, x);
        transpose(x, p->rows, p->cols, y);
        ok = nn_safetensors_put_f64(out, y, n, err);
    }
    spak_free(x);
    spak_free(y);
    return ok;
}

static bool export_param(const nn_model *model, const nn_param *p, nn_safetensors_writer *out, spak_error *err) {
    double piece[PIECE];
    if (is_linear(p->name) && p->matrix) {
        if (!export_turned(model, p, out, err)) return false;
    } else {
        for (size_t at = 0, n, all = p->rows * p->cols; at < all; at += n) {
            n = all - at < PIECE ? all - at : PIECE;
            nn_model_get(model, NN_VALUES, p->at + at, n, piece);
            if (!nn_safetensors_put_f64(out, piece, n, err)) return false;
        }
    }
    memset(piece, 0, sizeof piece);
    size_t zeros = lacks_bias(nn_model_config(model), p) ? p->matrix ? p->rows : p->cols : 0;
    for (size_t n; zeros; zeros -= n) {
        n = zeros < PIECE ? zeros : PIECE;
        if (!nn_safetensors_put_f64(out, piece, n, err)) return false;
    }
    return true;
}

static bool export_tensors(const nn_model *model, const char *path, spak_error *err) {
    size_t count, params, numbers;
    const nn_param *p = nn_model_params(model, &params, &numbers);
    spak_str names = {0};
    nn_safetensors_writer *out = NULL;
    json_t *metadata = json_pack("{s:s}", "format", "pt");
    nn_tensor *list = list_exported(model, &count, &names, err);
    bool ok = list && (metadata || spak_fail_oom(err)) && nn_safetensors_create(path, list, count, metadata, &out, err);
    for (size_t i = 0; ok && i < params; i++) ok = export_param(model, &p[i], out, err);
    if (ok)
        ok = nn_safetensors_finish(out, err);
    else
        nn_safetensors_abandon(out);
    json_decref(metadata);
    spak_free(list);
    spak_str_free(&names);
    return ok;
}

static bool export_config(const nn_config *c, const char *path, spak_error *err) {
    static const char *const acts[] = {
        [NN_GELU_ERF] = "gelu", [NN_GELU_TANH] = "gelu_new", [NN_RELU] = "relu", [NN_SILU] = "silu"};
    json_t *ours = nn_config_json(c); /* for its decimals: 1e-05, not 9.999999747378752e-06 */
    double eps = spak_json_num(ours, "norm_eps", c->norm_eps), dropout = spak_json_num(ours, "dropout", c->dropout);
    json_t *config = json_pack(
        "{s:[s], s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:f, s:f, s:f, s:f, s:f, s:b, s:n, s:n}", "architectures",
        "GPT2LMHeadModel", "model_type", "gpt2", "dtype", "float32", "vocab_size", (json_int_t)c->vocab, "n_positions",
        (json_int_t)c->context, "n_embd", (json_int_t)c->width, "n_layer", (json_int_t)c->layers, "n_head",
        (json_int_t)c->heads, "n_inner", (json_int_t)c->hidden, "activation_function", acts[c->act],
        "layer_norm_epsilon", eps, "attn_pdrop", dropout, "embd_pdrop", dropout, "resid_pdrop", dropout,
        "initializer_range", spak_json_num(ours, "init_sigma", c->init_sigma), "tie_word_embeddings", (int)c->tied,
        "bos_token_id", "eos_token_id");
    spak_str text = {0};
    bool ok = (ours && config) || spak_fail_oom(err);
    ok = ok && spak_json_canonical(config, &text, err);
    spak_str_putc(&text, '\n');
    ok = ok && spak_str_ok(&text, err) && spak_write_file(path, text.data, text.len, err);
    json_decref(ours);
    json_decref(config);
    spak_str_free(&text);
    return ok;
}

bool nn_hf_export(const nn_model *model, const char *folder, spak_error *err) {
    if (!check_exportable(nn_model_config(model), err) || !spak_make_dirs(folder, err)) return false;
    char *tensors = beside(folder, "model.safetensors"), *config = beside(folder, "config.json");
    bool ok = (tensors && config) || spak_fail_oom(err);
    ok = ok && export_tensors(model, tensors, err) && export_config(nn_model_config(model), config, err);
    spak_free(tensors);
    spak_free(config);
    return ok;
}
