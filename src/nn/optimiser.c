/* Schedule, clipping and AdamW over the parameters, as nanoGPT's training loop has them. */
#include <math.h>

#include "nn/model.h"

double nn_schedule_rate(const nn_schedule *s, uint64_t step) {
    if (step < s->warmup_steps) return s->rate * (double)(step + 1) / (double)(s->warmup_steps + 1);
    if (step >= s->decay_steps) return s->min_rate;
    double part = (double)(step - s->warmup_steps) / (double)(s->decay_steps - s->warmup_steps);
    return s->min_rate + 0.5 * (1 + cos(3.14159265358979323846 * part)) * (s->rate - s->min_rate);
}

double nn_update(nn_model *m, const nn_optimiser *o, double rate, uint64_t step) {
    double norm = sqrt(m->ops->sum_squares(m->ctx, m->grads, m->numbers)), scale = 1;
    if (!isfinite(norm)) return norm;
    if (o->clip > 0 && o->clip / (norm + 1e-6) < 1) scale = o->clip / (norm + 1e-6);
    for (size_t i = 0; i < m->num_params; i++) {
        const nn_param *p = &m->params[i];
        const nn_adamw a = {.rate = (float)rate,
                            .beta1 = (float)o->beta1,
                            .beta2 = (float)o->beta2,
                            .eps = (float)o->eps,
                            .decay = p->matrix ? (float)o->weight_decay : 0,
                            .step = step + 1,
                            .grad_scale = (float)scale};
        m->ops->adamw(m->ctx, nn_value(m, p->at), nn_at(m->ops, m->moments, p->at),
                      nn_at(m->ops, m->moments, m->numbers + p->at), nn_grad(m, p->at), p->rows * p->cols, &a);
    }
    return norm;
}
