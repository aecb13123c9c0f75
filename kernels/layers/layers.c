#include "layers/layers.h"

const layers_kernels *layers_isa(dev_isa isa) {
    static const layers_kernels *const all[DEV_ISA_COUNT] = {
        &layers_portable, &layers_avx2, &layers_avx512};
    return isa < DEV_ISA_COUNT && all[isa]->lanes ? all[isa] : NULL;
}
