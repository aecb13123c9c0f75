"""Measures PyTorch's scaled_dot_product_attention on the CPU.

    sdpa_torch.py [options] SHAPE ...
    SHAPE   batch=1,heads=8,kv_heads=8,q_len=512,kv_len=512,head_dim=64,causal=1,threads=1,dtype=float32
            in any order; what is left out has the value above (kv_heads is heads and kv_len is q_len, when left out)

One line a measurement on standard output: `__SPAK_TRACE__ {json}` with every sample in milliseconds. Inputs are random
normal numbers from the seed. Before each sample a buffer is written, outside the measured time, so that no sample meets
in a cache what the one before left behind; whoever compares with other samples gives the size that those had.

PyTorch allocates the output within the call, and so within the measured time. After the warm-up the C library hands out
the memory that the run before gave back. Whether it did is counted: a page that had to be fetched anew is a minor fault
(`page_faults`, one number a sample).

`causal` lets query i see the keys up to i, which says what is meant only when q_len and kv_len are equal; so it is
refused otherwise. Fewer kv_heads than heads are grouped queries: each key head serves heads / kv_heads query heads.

Exit status: 0, or 2 for arguments that make no sense, or 3 when torch cannot be imported.
"""
import argparse
import json
import resource
import sys
import time

MARKER = "__SPAK_TRACE__ "
DEFAULTS = {"batch": 1, "heads": 8, "kv_heads": None, "q_len": 512, "kv_len": None, "head_dim": 64, "causal": 1,
            "threads": 1, "dtype": "float32"}
DTYPES = ("float32", "float64", "bfloat16")


def read_shape(text):
    """'heads=4,q_len=128' -> a dictionary with every key of DEFAULTS."""
    shape = dict(DEFAULTS)
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        if key not in DEFAULTS or not equals:
            raise argparse.ArgumentTypeError(f"'{part}': expected one of {', '.join(DEFAULTS)}, then '=' and a value")
        if key == "dtype":
            if value not in DTYPES:
                raise argparse.ArgumentTypeError(f"dtype '{value}': expected {' or '.join(DTYPES)}")
            shape[key] = value
        else:
            if not value.isdigit() or (int(value) < 1 and key != "causal"):
                raise argparse.ArgumentTypeError(f"{key} '{value}': expected a whole number of at least 1")
            shape[key] = int(value)
    shape["kv_heads"] = shape["kv_heads"] or shape["heads"]
    shape["kv_len"] = shape["kv_len"] or shape["q_len"]
    shape["causal"] = bool(shape["causal"])
    if shape["heads"] % shape["kv_heads"]:
        raise argparse.ArgumentTypeError(f"heads {shape['heads']} is no multiple of kv_heads {shape['kv_heads']}")
    if shape["causal"] and shape["q_len"] != shape["kv_len"]:
        raise argparse.ArgumentTypeError("causal needs q_len and kv_len to be equal")
    return shape


def read_arguments():
    parser = argparse.ArgumentParser(description="PyTorch's scaled_dot_product_attention on the CPU")
    parser.add_argument("shapes", metavar="SHAPE", nargs="+", type=read_shape)
    parser.add_argument("--repeats", type=int, default=15, help="samples of each measurement")
    parser.add_argument("--warmup", type=int, default=3, help="runs before the first sample")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--backward", action="store_true", help="also forward and backward together")
    parser.add_argument("--flush-bytes", type=int, default=64 << 20, help="size of the buffer that empties the caches")
    arguments = parser.parse_args()
    if arguments.repeats < 1 or arguments.warmup < 0 or arguments.flush_bytes < 0:
        parser.error("repeats must be positive, warmup and flush-bytes not negative")
    return arguments


def load_torch():
    try:
        import torch
    except Exception as error:  # a broken installation raises more than ImportError
        print(f"PyTorch cannot be imported: {error}", file=sys.stderr)
        sys.exit(3)
    return torch


def make_inputs(torch, shape, seed):
    """q (batch, heads, q_len, head_dim), k and v (batch, kv_heads, kv_len, head_dim), and the gradient of the output."""
    random = torch.Generator().manual_seed(seed)
    dtype = getattr(torch, shape["dtype"])

    def normal(heads, length):
        return torch.randn(shape["batch"], heads, length, shape["head_dim"], generator=random).to(dtype)

    q = normal(shape["heads"], shape["q_len"])
    k = normal(shape["kv_heads"], shape["kv_len"])
    v = normal(shape["kv_heads"], shape["kv_len"])
    return q, k, v, normal(shape["heads"], shape["q_len"])


def attention_of(torch, shape):
    """The call to measure, and how grouped queries are given to it."""
    attention = torch.nn.functional.scaled_dot_product_attention
    group = shape["heads"] // shape["kv_heads"]
    causal = shape["causal"]
    if group == 1:
        return (lambda q, k, v: attention(q, k, v, is_causal=causal)), "none"
    tiny = torch.zeros(1, 2, 1, 1), torch.zeros(1, 1, 1, 1)
    try:
        attention(tiny[0], tiny[1], tiny[1], enable_gqa=True)
    except (TypeError, RuntimeError):  # before torch 2.5: the key heads are repeated, within the measured time
        def repeated(q, k, v):
            return attention(q, k.repeat_interleave(group, 1), v.repeat_interleave(group, 1), is_causal=causal)
        return repeated, "repeat_interleave"
    return (lambda q, k, v: attention(q, k, v, is_causal=causal, enable_gqa=True)), "enable_gqa"


def sample(call, flush, arguments):
    """Milliseconds of each repeat, and the pages that each had to fetch."""
    for _ in range(arguments.warmup):
        call()
    times_ms, faults = [], []
    for _ in range(arguments.repeats):
        if flush is not None:
            flush.add_(1)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        begun = time.perf_counter_ns()
        call()
        times_ms.append((time.perf_counter_ns() - begun) / 1e6)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return times_ms, faults


def measure(torch, shape, arguments, flush):
    torch.set_num_threads(shape["threads"])
    q, k, v, gradient = make_inputs(torch, shape, arguments.seed)
    attention, grouped = attention_of(torch, shape)

    def forward():
        with torch.no_grad():
            attention(q, k, v)

    def forward_backward():
        inputs = [x.detach().requires_grad_() for x in (q, k, v)]
        torch.autograd.grad(attention(*inputs), inputs, gradient)

    passes = [("forward", forward)] + ([("forward_backward", forward_backward)] if arguments.backward else [])
    for name, call in passes:
        times_ms, faults = sample(call, flush, arguments)
        report = dict(shape, peer="torch", what="sdpa", **{"pass": name})
        report.update(time_ms=times_ms, page_faults=faults, seed=arguments.seed, warmup=arguments.warmup,
                      flush_bytes=arguments.flush_bytes, torch=torch.__version__, threads_used=torch.get_num_threads(),
                      backend=backend_of(torch, shape), grouped=grouped)
        print(MARKER + json.dumps(report, allow_nan=False), flush=True)


def backend_of(torch, shape):
    """Which implementation torch is allowed to pick, as far as it tells; the choice itself has no public name."""
    cpu = torch.backends.cpu.get_cpu_capability() if hasattr(torch.backends, "cpu") else "unknown"
    allowed = getattr(torch.backends.cuda, "flash_sdp_enabled", lambda: None)()
    return {"device": "cpu", "capability": cpu, "flash_allowed": allowed, "mkldnn": torch.backends.mkldnn.is_available()}


def main():
    arguments = read_arguments()
    torch = load_torch()
    torch.set_num_interop_threads(1)
    flush = torch.zeros(arguments.flush_bytes // 4, dtype=torch.float32) if arguments.flush_bytes else None
    for shape in arguments.shapes:
        measure(torch, shape, arguments, flush)


if __name__ == "__main__":
    main()
