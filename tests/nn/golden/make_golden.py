#!/usr/bin/env python3
"""Golden vectors: what PyTorch computes in double precision, for the tests of src/nn. Needs torch and numpy.

usage: make_golden.py [ops|blocks|gpt2|training]...     writes ops.json, blocks.json ... beside this script

Inputs and weights are not stored. Both sides draw them from Philox4x32-10 as src/base/rng.h has it: element i of stream
s is a uniform number u in [0, 1) with 24 bits. Arrays hold lo + (hi - lo) u with lo = -hi or lo = 0 and hi a power of
two, so that every input is exactly a float too. Scalars that the operator table takes as floats are rounded to float.

An output is kept as {"n", "rms", "projection", "values"}: its size, its root mean square, its sum weighted with the
uniform numbers of stream PROBE in [-1, 1), which no wrong element escapes, and a selection of values: value i of k is
element i (n - 1) / (k - 1), rounded down.

The models are written down from their definition in src/nn/nn.h, with torch's own operators and autograd."""

import json
import math
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
SEED, MODEL_SEED = 20, 21
X, GAMMA, BETA, DY, W, Q, K, V, INDEX, SEGMENT, PROBE, TOKENS, TARGETS = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 99, 1000, 1001
MANY, FEW = 32, 4  # values kept of an output


# --- random numbers ---

def philox(seed, stream, first_block, blocks):
    """Words 0..3 of blocks first_block.. of the stream: (blocks, 4)."""
    low, mask = np.uint64(0xFFFFFFFF), 0xFFFFFFFF
    index = np.arange(first_block, first_block + blocks, dtype=np.uint64)
    x = [index & low, index >> np.uint64(32), np.full(blocks, stream & mask, np.uint64),
         np.full(blocks, stream >> 32, np.uint64)]
    key = [seed & mask, seed >> 32]
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * x[0], np.uint64(0xCD9E8D57) * x[2]
        x = [(p1 >> np.uint64(32)) ^ x[1] ^ np.uint64(key[0]), p1 & low,
             (p0 >> np.uint64(32)) ^ x[3] ^ np.uint64(key[1]), p0 & low]
        key = [(key[0] + 0x9E3779B9) & mask, (key[1] + 0xBB67AE85) & mask]
    return np.stack(x, axis=1)


def uniform(stream, shape, lo=-1.0, hi=1.0, seed=SEED):
    n, pieces, at = math.prod(shape), [], 0
    while at < n:
        blocks = min(1 << 20, (n - at + 3) // 4)
        pieces.append((philox(seed, stream, at // 4, blocks) >> np.uint64(8)).astype(np.float64).ravel() * 2.0**-24)
        at += 4 * blocks
    u = np.concatenate(pieces)[:n]
    return torch.from_numpy(lo + (hi - lo) * u).reshape(shape)


def whole(stream, shape, below, seed=SEED):
    return torch.floor(uniform(stream, shape, 0, 1, seed) * below).long()


def single(x):
    """The float next to x, as a double."""
    return float(np.float32(x))


# --- outputs ---

PROBES = {}


def probe(n):
    size = 1 << max(10, (n - 1).bit_length())
    if size not in PROBES:
        PROBES[size] = uniform(PROBE, (size,))
    return PROBES[size][:n]


def kept(x, most=MANY):
    x = x.detach().reshape(-1)
    n = x.numel()
    k = min(n, most)
    at = [i * (n - 1) // (k - 1) if k > 1 else 0 for i in range(k)]
    return {"n": n, "rms": float(x.square().mean().sqrt()), "projection": float(x @ probe(n)),
            "values": [float(x[i]) for i in at]}


def text(value, depth=0):
    """JSON with sorted keys, numbers as %.17g, and one line for whatever holds no object."""
    if isinstance(value, dict):
        flat = not any(isinstance(v, dict) or isinstance(v, list) and v and isinstance(v[0], dict) for v in value.values())
        gap = "" if flat else "\n" + " " * (depth + 1)
        inner = ("," + (gap or " ")).join('"%s": %s' % (k, text(value[k], depth + 1)) for k in sorted(value))
        return "{" + gap + inner + ("" if flat else "\n" + " " * depth) + "}"
    if isinstance(value, list):
        if value and isinstance(value[0], dict):
            gap = "\n" + " " * (depth + 1)
            return "[" + gap + ("," + gap).join(text(v, depth + 1) for v in value) + "\n" + " " * depth + "]"
        return "[" + ", ".join(text(v, depth + 1) for v in value) + "]"
    if isinstance(value, float):
        return "%.17g" % value if "%.17g" % value != "-0" else "0"
    return json.dumps(value)


def write(name, content):
    content["torch"] = torch.__version__
    content["philox"] = [int(w) for w in philox(0x243F6A8813198A2E, 5, 2**32 + 7, 1)[0]]
    with open(os.path.join(HERE, name), "w", encoding="utf-8") as file:
        file.write(text(content) + "\n")


def gradients(y, dy, inputs):
    """{"dNAME": gradient of sum(y dy)} of each input."""
    found = torch.autograd.grad(y, list(inputs.values()), dy)
    return {"d" + name: kept(g) for name, g in zip(inputs, found)}


def needed(x):
    return x.requires_grad_(True)


# --- L1: operators ---

def norms():
    for op in ("layernorm", "rmsnorm"):
        for width in (1, 13, 384, 768, 1000, 1600):
            x, gamma = needed(uniform(X, (5, width), -2, 2)), needed(uniform(GAMMA, (width,), 0, 2))
            beta, eps = needed(uniform(BETA, (width,))), single(1e-5)
            layer = op == "layernorm"
            y = F.layer_norm(x, (width,), gamma, beta, eps) if layer else F.rms_norm(x, (width,), gamma, eps)
            inputs = {"x": x, "gamma": gamma, "beta": beta} if layer else {"x": x, "gamma": gamma}
            yield {"op": op, "rows": 5, "width": width, "y": kept(y), **gradients(y, uniform(DY, (5, width)), inputs)}


def linears():
    for rows, n_in, n_out in ((1, 1, 1), (13, 65, 33), (5, 768, 513)):
        x, w, bias = needed(uniform(X, (rows, n_in))), needed(uniform(W, (n_out, n_in))), needed(uniform(BETA, (n_out,)))
        y = F.linear(x, w, bias)
        yield {"op": "linear", "rows": rows, "in": n_in, "out": n_out, "y": kept(y),
               **gradients(y, uniform(DY, (rows, n_out)), {"x": x, "w": w, "bias": bias})}


def activate(kind, x):
    if kind == "swiglu":
        gate, up = x.chunk(2, dim=-1)
        return F.silu(gate) * up
    return {"gelu_erf": F.gelu, "gelu_tanh": lambda v: F.gelu(v, approximate="tanh"), "relu": F.relu,
            "silu": F.silu}[kind](x)


def activations():
    for kind in ("gelu_erf", "gelu_tanh", "relu", "silu", "swiglu"):
        x = needed(uniform(X, (3, 67 * (2 if kind == "swiglu" else 1)), -8, 8))
        y = activate(kind, x)
        yield {"op": "act", "kind": kind, "rows": 3, "width": 67, "y": kept(y),
               **gradients(y, uniform(DY, (3, 67)), {"x": x})}


def rotate(x, positions, pairing, base=10000.0):
    """x (..., len, heads, head_dim), positions (len)."""
    half = x.shape[-1] // 2
    angle = positions.double()[:, None] * base ** (-torch.arange(half, dtype=torch.float64) / half)
    turn = torch.polar(torch.ones_like(angle), angle)[:, None, :]
    if pairing == "neighbours":
        return torch.view_as_real(torch.view_as_complex(x.reshape(*x.shape[:-1], half, 2)) * turn).flatten(-2)
    y = torch.complex(x[..., :half], x[..., half:]) * turn
    return torch.cat((y.real, y.imag), dim=-1)


def ropes():
    positions = [0, 1, 2, 5, 63, 512, 1022]
    for pairing in ("halves", "neighbours"):
        x = needed(uniform(X, (7, 2, 16)))
        y = rotate(x, torch.tensor(positions), pairing)
        yield {"op": "rope", "pairing": pairing, "positions": positions, "heads": 2, "head_dim": 16, "y": kept(y),
               **gradients(y, uniform(DY, (7, 2, 16)), {"x": x})}


def attend(case, q, k, v):
    """q (B, T, H, d), k and v (B, S, KV, d): the definition, with every feature of the operator table."""
    T, S, H, KV, d = q.shape[1], k.shape[1], q.shape[2], k.shape[2], q.shape[3]
    k, v = (x.repeat_interleave(H // KV, dim=2) for x in (k, v))
    seen = torch.ones(q.shape[0], T, S, dtype=torch.bool)
    scores = torch.einsum("bthd,bshd->bhts", q, k) / math.sqrt(d)
    if case["causal"]:
        seen &= torch.arange(S)[None, :] <= torch.arange(T)[:, None] + S - T
    if case["indexed"]:
        index = whole(INDEX, (q.shape[0], S), 32)
        apart = (index[:, S - T:, None] - index[:, None, :]).abs()
        seen &= apart <= case["window"]
        scores = scores - single(case["slope"]) * apart[:, None].double()
    if case["segmented"]:
        segment = whole(SEGMENT, (q.shape[0], S), 3) - 1
        seen &= (segment[:, S - T:, None] == segment[:, None, :]) & (segment[:, None, :] >= 0)
    scores = scores.masked_fill(~seen[:, None], float("-inf"))
    lse = torch.logsumexp(scores, dim=-1)
    weights = torch.exp(scores - torch.where(lse == float("-inf"), 0.0, lse)[..., None])
    if case["dropout"] > 0:
        draw = uniform(case["dropout_stream"], tuple(weights.shape), 0, 1)
        weights = weights * (draw >= single(case["dropout"])) / (1 - single(case["dropout"]))
    o = torch.einsum("bhts,bshd->bthd", weights, v)
    if not (case["indexed"] or case["segmented"] or case["dropout"] or T != S):
        again = F.scaled_dot_product_attention(*(x.transpose(1, 2) for x in (q, k, v)), is_causal=case["causal"])
        assert torch.allclose(again.transpose(1, 2), o, rtol=1e-9, atol=1e-12)
    return o, lse, scores


def attentions():
    plain = {"op": "attention", "batch": 2, "heads": 2, "kv_heads": 2, "head_dim": 64, "causal": True, "scale": 1,
             "indexed": False, "window": -1, "slope": 0.0, "segmented": False, "dropout": 0.0, "dropout_stream": 0}
    for T in (1, 13, 64, 127, 257, 1023):
        yield from (dict(plain, q_len=T, kv_len=T, batch=1, causal=causal) for causal in (True, False))
    yield from (dict(plain, q_len=T, kv_len=T, heads=4, kv_heads=2, head_dim=16) for T in (13, 257))
    yield dict(plain, q_len=64, kv_len=64, heads=3, kv_heads=1, head_dim=5, causal=False)
    yield dict(plain, q_len=13, kv_len=64)
    yield from (dict(plain, q_len=T, kv_len=T, scale=128) for T in (13, 257))  # scores of about 1e4
    yield dict(plain, q_len=64, kv_len=64, indexed=True, window=6, slope=0.25)
    yield dict(plain, q_len=64, kv_len=64, segmented=True)
    yield dict(plain, q_len=64, kv_len=64, dropout=0.2, dropout_stream=12)


def attention_results():
    for case in attentions():
        T, S, H, KV, d = (case[name] for name in ("q_len", "kv_len", "heads", "kv_heads", "head_dim"))
        q = needed(uniform(Q, (case["batch"], T, H, d), -case["scale"], case["scale"]))
        k = needed(uniform(K, (case["batch"], S, KV, d), -case["scale"], case["scale"]))
        v = needed(uniform(V, (case["batch"], S, KV, d)))
        o, lse, scores = attend(case, q, k, v)
        grads = gradients(o, uniform(DY, tuple(o.shape)), {"q": q, "k": k, "v": v})
        finite = torch.where(torch.isinf(lse), 0.0, lse)  # JSON has no infinity: such rows are counted
        largest = float(torch.where(torch.isinf(scores), 0.0, scores).abs().max().detach())
        yield {**case, "o": kept(o), "lse": kept(finite), "rows_that_see_nothing": int(torch.isinf(lse).sum()),
               "largest_score": largest, **grads}


def cross_entropies():
    for scale, smoothing in ((8, 0.0), (8, 0.1), (2**14, 0.0), (2**14, 0.1)):
        rows, vocab = 9, 1000
        logits, targets = needed(uniform(X, (rows, vocab), -scale, scale)), whole(TARGETS, (rows,), vocab)
        targets[1] = targets[6] = -1
        losses = F.cross_entropy(logits, targets, ignore_index=-1, reduction="none", label_smoothing=single(smoothing))
        yield {"op": "cross_entropy", "rows": rows, "vocab": vocab, "scale": scale, "smoothing": smoothing,
               "ignored": [1, 6], "losses": kept(losses), **gradients(losses, torch.full((rows,), 0.125).double(),
                                                                     {"logits": logits})}


def adamws():
    """Five steps, the gradients of step t from stream DY + t, the rate of step t is 2^-t."""
    for decay in (0.0, 0.1):
        p = needed(uniform(X, (67,)))
        optimiser = torch.optim.AdamW([p], betas=(single(0.9), single(0.95)), eps=single(1e-8), weight_decay=single(decay))
        steps = []
        for t in range(1, 6):
            optimiser.param_groups[0]["lr"] = 2.0**-t
            p.grad = uniform(DY + t, (67,), -4, 4) * 0.5
            optimiser.step()
            steps.append(kept(p))
        state = optimiser.state[p]
        yield {"op": "adamw", "n": 67, "decay": decay, "p": steps, "m": kept(state["exp_avg"]),
               "v": kept(state["exp_avg_sq"])}


def clippings():
    for most in (1.0, 100.0):
        p = [needed(torch.zeros(67).double()), needed(torch.zeros(13).double())]
        for i, x in enumerate(p):
            x.grad = uniform(DY + i, tuple(x.shape), -4, 4)
        norm = torch.nn.utils.clip_grad_norm_(p, most)
        yield {"op": "clip", "most": most, "norm": float(norm), "g": kept(torch.cat([x.grad for x in p]))}


def make_ops():
    makers = (norms, linears, activations, ropes, attention_results, cross_entropies, adamws, clippings)
    uniforms = [float(u) for u in uniform(X, (5,), 0, 1)]
    write("ops.json", {"uniform": uniforms, "cases": [case for maker in makers for case in maker()]})


# --- L2 and L3: models ---

def config(**members):
    c = {"vocab": 512, "context": 1024, "layers": 1, "loops": 1, "heads": 6, "kv_heads": 6, "width": 384, "hidden": 1536,
         "norm": "layernorm", "bias": True, "act": "gelu_erf", "positions": "learned", "rope_pairing": "halves",
         "tied": True, "inject": False, "normalise_state": False, "supervision": "last"}
    return {**c, **members}


def parameter_shapes(c):
    """Names, shapes and ranges of the values, in the order of nn_params_list."""
    width, head_dim = c["width"], c["width"] // c["heads"]
    layer = c["norm"] == "layernorm" and c["bias"]
    weight, gain, bias = (-2.0**-5, 2.0**-5), (0.0, 2.0), (-0.125, 0.125)
    up = c["hidden"] * (2 if c["act"] == "swiglu" else 1)

    def norm(name):
        return [(name + ".weight", (width,), gain)] + ([(name + ".bias", (width,), bias)] if layer else [])

    def linear(name, n_in, n_out):
        return [(name + ".weight", (n_out, n_in), weight)] + ([(name + ".bias", (n_out,), bias)] if c["bias"] else [])

    shapes = [("transformer.wte.weight", (c["vocab"], width), weight)]
    if c["positions"] == "learned":
        shapes.append(("transformer.wpe.weight", (c["context"], width), weight))
    for i in range(c["layers"]):
        h = "transformer.h.%d." % i
        shapes += norm(h + "ln_1") + linear(h + "attn.c_attn", width, width + 2 * c["kv_heads"] * head_dim)
        shapes += linear(h + "attn.c_proj", width, width) + norm(h + "ln_2")
        shapes += linear(h + "mlp.c_fc", width, up) + linear(h + "mlp.c_proj", c["hidden"], width)
    shapes += norm("transformer.ln_f")
    return shapes if c["tied"] else shapes + [("lm_head.weight", (c["vocab"], width), weight)]


def parameters(c):
    shapes = parameter_shapes(c)
    return {name: uniform(p, shape, *span, seed=MODEL_SEED) for p, (name, shape, span) in enumerate(shapes)}


def norm_of(c, p, name, x):
    width = (c["width"],)
    if c["norm"] == "rmsnorm":
        return F.rms_norm(x, width, p[name + ".weight"], single(1e-5))
    return F.layer_norm(x, width, p[name + ".weight"], p.get(name + ".bias"), single(1e-5))


def linear_of(p, name, x):
    return F.linear(x, p[name + ".weight"], p.get(name + ".bias"))


def block(c, p, h, x):
    batch, T, width = x.shape
    head_dim = width // c["heads"]
    qkv = linear_of(p, h + "attn.c_attn", norm_of(c, p, h + "ln_1", x))
    q, k, v = qkv.split([width, c["kv_heads"] * head_dim, c["kv_heads"] * head_dim], dim=-1)
    q, k, v = (y.reshape(batch, T, -1, head_dim) for y in (q, k, v))
    if c["positions"] == "rope":
        q, k = (rotate(y, torch.arange(T), c["rope_pairing"]) for y in (q, k))
    k, v = (y.repeat_interleave(c["heads"] // c["kv_heads"], dim=2) for y in (k, v))
    o = F.scaled_dot_product_attention(*(y.transpose(1, 2) for y in (q, k, v)), is_causal=True)
    x = x + linear_of(p, h + "attn.c_proj", o.transpose(1, 2).reshape(batch, T, width))
    up = linear_of(p, h + "mlp.c_fc", norm_of(c, p, h + "ln_2", x))
    return x + linear_of(p, h + "mlp.c_proj", activate(c["act"], up))


def forward(c, p, tokens):
    """The states before the first and after each block, and the logits after each loop."""
    x = x0 = p["transformer.wte.weight"][tokens]
    if c["positions"] == "learned":
        x = x0 = x + p["transformer.wpe.weight"][: tokens.shape[1]]
    states, logits = [x], []
    for loop in range(c["loops"]):
        if c["inject"] and loop:
            x = x + x0
        if c["normalise_state"]:
            x = F.rms_norm(x, (c["width"],), None, single(1e-5))
        for i in range(c["layers"]):
            x = block(c, p, "transformer.h.%d." % i, x)
            states.append(x)
        head = p["transformer.wte.weight"] if c["tied"] else p["lm_head.weight"]
        logits.append(F.linear(norm_of(c, p, "transformer.ln_f", x), head))
    return states, logits


def targets_of(rows, vocab):
    """As many rows as the largest power of two have a target, so that the mean over them is exact in every type."""
    targets = whole(TARGETS, (rows,), vocab)
    targets[: rows - (1 << (rows.bit_length() - 1))] = -1
    return targets


def loss_of(c, logits, targets):
    first = c["loops"] // 2 if c["supervision"] == "second_half" else c["loops"] - 1
    losses = [F.cross_entropy(z.reshape(-1, c["vocab"]), targets, ignore_index=-1) for z in logits[first:]]
    return torch.stack(losses).mean()


def model_case(c, batch, T, backward):
    p = parameters(c)
    if backward:
        p = {name: needed(x) for name, x in p.items()}
    tokens, targets = whole(TOKENS, (batch, T), c["vocab"]), targets_of(batch * T, c["vocab"])
    with torch.set_grad_enabled(backward):
        states, logits = forward(c, p, tokens)
        loss = loss_of(c, logits, targets)
    result = {"config": c, "batch": batch, "len": T, "loss": float(loss.detach()), "logits": kept(logits[-1]),
              "states": [kept(x, FEW) for x in states]}
    if backward:
        found = torch.autograd.grad(loss, list(p.values()))
        result["gradients"] = [dict(kept(g, FEW), name=name) for name, g in zip(p, found)]
    return result


LLAMA = {"norm": "rmsnorm", "bias": False, "act": "swiglu", "positions": "rope", "kv_heads": 2, "hidden": 1024}
LOOPED = {"loops": 4, "positions": "rope", "rope_pairing": "neighbours", "inject": True, "normalise_state": True,
          "supervision": "second_half", "tied": False, "act": "gelu_tanh"}


def make_blocks():
    gpt2_768 = {"width": 768, "hidden": 3072, "heads": 12, "kv_heads": 12}
    cases = [model_case(config(), 2, T, True) for T in (1, 13, 64)]
    cases += [model_case(config(**gpt2_768), 1, T, True) for T in (13, 64)]
    cases += [model_case(config(**LLAMA), 2, 13, True), model_case(config(**LOOPED), 2, 13, True)]
    write("blocks.json", {"cases": cases})


def make_gpt2():
    small, large = config(layers=12), config(layers=12, width=768, hidden=3072, heads=12, kv_heads=12)
    cases = [model_case(small, 1, T, T in (13, 64)) for T in (1, 13, 64, 127, 257, 1023)]
    cases += [model_case(large, 1, T, T == 13) for T in (1, 13, 64, 127, 257, 1023)]
    write("gpt2.json", {"cases": cases})


# --- the optimiser ---

def rate_at(step, schedule):
    """nanoGPT's: linear warm-up, half a cosine down to min_rate."""
    rate, least, warmup, decay = (schedule[name] for name in ("rate", "min_rate", "warmup_steps", "decay_steps"))
    if step < warmup:
        return rate * (step + 1) / (warmup + 1)
    if step > decay:
        return least
    return least + 0.5 * (1 + math.cos(math.pi * (step - warmup) / (decay - warmup))) * (rate - least)


def make_training():
    c = config(layers=2, width=48, heads=3, kv_heads=3, hidden=192, vocab=64, context=16)
    schedule = {"rate": 0.01, "min_rate": 0.001, "warmup_steps": 2, "decay_steps": 5}
    p = {name: needed(x) for name, x in parameters(c).items()}
    groups = [{"params": [x for x in p.values() if x.dim() >= 2], "weight_decay": 0.1},
              {"params": [x for x in p.values() if x.dim() < 2], "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.95), eps=1e-8)
    tokens, targets = whole(TOKENS, (2, 13), c["vocab"]), targets_of(26, c["vocab"])
    losses, norms = [], []
    for step in range(8):
        for group in optimiser.param_groups:
            group["lr"] = rate_at(step, schedule)
        loss = loss_of(c, forward(c, p, tokens)[1], targets)
        optimiser.zero_grad()
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(p.values(), 1.0)))
        losses.append(float(loss.detach()))
        optimiser.step()
    rates = [rate_at(step, schedule) for step in range(8)]
    params = [dict(kept(x, FEW), name=name) for name, x in p.items()]
    write("training.json", {"config": c, "schedule": schedule, "rates": rates, "losses": losses, "norms": norms,
                            "parameters": params, "batch": 2, "len": 13})


if __name__ == "__main__":
    makers = {"ops": make_ops, "blocks": make_blocks, "gpt2": make_gpt2, "training": make_training}
    for name in sys.argv[1:] or makers:
        makers[name]()
