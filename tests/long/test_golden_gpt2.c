/* GPT-2 of 12 layers, 384 and 768 wide, at 1 to 1023 tokens, against PyTorch in double precision. */
#include "../nn/golden_model.h"

static const nn_ops *const tables[] = {&nn_oracle, &nn_cpu};

int main(void) {
    json_t *file = golden_load("tests/nn/golden/gpt2.json");
    const json_t *cases = json_object_get(file, "cases");
    is_int(json_array_size(cases), 12, "two widths, six lengths");
    for (size_t i = 0; i < json_array_size(cases); i++)
        for (size_t j = 0; j < sizeof tables / sizeof *tables; j++) run_model_case(tables[j], json_array_get(cases, i));
    json_decref(file);
    return done_testing();
}
