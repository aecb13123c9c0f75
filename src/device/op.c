#include "device/op.h"

#include <string.h>

const dev_op *dev_op_find(const char *name) {
    for (const dev_op *const *op = dev_ops; *op; op++)
        if (!strcmp((*op)->name, name)) return *op;
    return NULL;
}

const dev_invariant *dev_op_invariant(const dev_op *op, const char *name) {
    for (size_t i = 0; i < op->num_invariants; i++)
        if (!strcmp(op->invariants[i].name, name)) return &op->invariants[i];
    return NULL;
}

const dev_study *dev_op_study(const dev_op *op, const char *name) {
    for (size_t i = 0; i < op->num_studies; i++)
        if (!strcmp(op->studies[i].name, name)) return &op->studies[i];
    return NULL;
}
