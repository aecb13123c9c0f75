"""PyTorch's scaled_dot_product_attention on a GPU, as a server: the peer of fmha_gpu's trials.

A line of JSON on standard input is a question, a line on standard output its answer. {"error": text} is a refusal; the
server lives on. It ends with its input.

    {"about": true}                  -> {"peer": "PyTorch 2.11.0, cuDNN 9.19.0", "device": "NVIDIA H200"}
    {"problem": {...}, "backend": "default" | "cudnn" | "flash" | "efficient" | "math", "inputs": {"q": file, ...},
     "sets": n, "seed": n, "flush": bool, "min_sample_ms": x}
                                     -> {"backend": "CUDNN_ATTENTION", "graph": true, "launches": n, "grouped": ...}
    {"outputs": {"o": file, ...}}    -> {"outputs": ["o"]}   of set 0, as the trial lays them out
    {"samples": n}                   -> {"time_ms": [...]}   a launch
    {"forget": true}                 -> {}                   gives the memory back

The problem is that of kernels/fmha/gpu (fmha_gpu_problem_json). "default" leaves the choice to SDPA and says what it
chose. Grouped heads stay grouped: K and V have kv_heads heads, and SDPA is told so (enable_gqa). A causal mask is
aligned to the last query and key; where the lengths differ SDPA is given causal_lower_right.

What is timed is timed as the trial times its own launches: several sets of inputs, so many that they push each other out
of the second-level cache, are gone round; so many launches make a sample that it lasts min_sample_ms; before a sample
the outputs are filled with NaN and twice the cache is written; events stand around the replay of a CUDA graph of the
launches. Where a backend cannot be recorded, launches are enqueued one by one ("graph": false). The first replay of a
block of samples is not counted. Backward is torch.autograd.grad of the output with respect to q, k and v, the forward
pass done before.
"""
import json
import math
import os
import sys

MOST_LAUNCHES = 4096
ROUND_MS = 10
BACKENDS = {"cudnn": "CUDNN_ATTENTION", "flash": "FLASH_ATTENTION", "efficient": "EFFICIENT_ATTENTION", "math": "MATH"}


class Refusal(Exception):
    """Something that is asked for and cannot be done."""


def load_torch():
    try:
        import torch
        import torch.nn.attention
    except Exception as error:  # a broken installation raises more than ImportError
        raise Refusal(f"torch cannot be imported ({error}); install PyTorch for this GPU, or name another interpreter by "
                      "SPAK_PYTHON") from error
    if not torch.cuda.is_available():
        raise Refusal("this PyTorch sees no GPU; install one that is built for this CUDA")
    return torch


def about(torch):
    version = torch.backends.cudnn.version() or 0
    cudnn = f"{version // 10000}.{version // 100 % 100}.{version % 100}"
    return {"peer": f"PyTorch {torch.__version__}, cuDNN {cudnn}", "device": torch.cuda.get_device_name()}


class Problem:
    """A problem's tensors and the calls to measure."""

    def __init__(self, torch, asked):
        self.torch, self.asked, self.p = torch, asked, asked["problem"]
        if self.p["varlen"]:
            raise Refusal("SDPA takes no cu_seqlens")
        if self.p["window"] >= 0:
            raise Refusal("SDPA has no sliding window but as an array of masks")
        self.dtype = torch.bfloat16 if self.p["dtype"] == "bf16" else torch.float16
        self.backward = self.p["pass"] == "backward"
        self.stream = torch.cuda.Stream()
        self.random = torch.Generator(device="cuda").manual_seed(asked["seed"])
        self.graph, self.out = None, []
        self.backend = self.choose()
        self.sets = [self.make_set(i) for i in range(asked["sets"])]
        self.flush = None
        if asked["flush"]:
            size = 2 * torch.cuda.get_device_properties(0).L2_cache_size
            self.flush = torch.empty(size, dtype=torch.uint8, device="cuda")

    # --- tensors: (B, H, T, D) for SDPA, in memory as the trial has them ---

    def shape(self, name):
        p = self.p
        of_keys = name in ("k", "v", "dk", "dv")
        heads, length = (p["kv_heads"], p["kv_len"]) if of_keys else (p["heads"], p["q_len"])
        by_tokens = p["layout"] == "bthd"
        return ((p["batch"], length, heads, p["head_dim"]) if by_tokens else
                (p["batch"], heads, length, p["head_dim"]), by_tokens)

    def from_file(self, name, path):
        shape, by_tokens = self.shape(name)
        flat = self.torch.from_file(path, shared=False, size=math.prod(shape), dtype=self.dtype)
        tensor = flat.to("cuda").view(shape)
        return tensor.transpose(1, 2) if by_tokens else tensor

    def drawn(self, name):
        shape, by_tokens = self.shape(name)
        tensor = self.torch.randn(shape, generator=self.random, device="cuda", dtype=self.dtype)
        return tensor.transpose(1, 2) if by_tokens else tensor

    def to_file(self, name, tensor, path):
        memory = tensor.transpose(1, 2) if self.shape(name)[1] else tensor
        self.torch.from_file(path, shared=True, size=memory.numel(), dtype=self.dtype).copy_(memory.reshape(-1))

    def make_set(self, number):
        files = self.asked["inputs"]
        names = ("q", "k", "v", "do") if self.backward else ("q", "k", "v")
        made = {n: self.from_file(n, files[n]) if number == 0 and n in files else self.drawn(n) for n in names}
        if self.backward:
            for n in ("q", "k", "v"):
                made[n].requires_grad_()
        return made

    # --- the call ---

    def attention(self, x):
        torch, p = self.torch, self.p
        mask, causal = None, p["causal"] and p["q_len"] > 1
        if causal and p["q_len"] != p["kv_len"]:
            mask, causal = torch.nn.attention.bias.causal_lower_right(p["q_len"], p["kv_len"]), False
        grouped = {"enable_gqa": True} if p["heads"] != p["kv_heads"] else {}
        return torch.nn.functional.scaled_dot_product_attention(x["q"], x["k"], x["v"], attn_mask=mask, is_causal=causal,
                                                                scale=p["scale"], **grouped)

    def choose(self):
        """The backend that SDPA picks for these tensors, by the function that SDPA itself asks."""
        name, p, torch = self.asked["backend"], self.p, self.torch
        if name != "default":
            return BACKENDS[name]
        x = {n: self.drawn(n).requires_grad_(self.backward) for n in ("q", "k", "v")}
        causal = p["causal"] and p["q_len"] > 1
        if causal and p["q_len"] != p["kv_len"]:
            return "default"  # CausalBias picks by rules of its own
        try:
            number = torch._fused_sdp_choice(x["q"], x["k"], x["v"], None, 0.0, causal, scale=p["scale"],
                                             enable_gqa=p["heads"] != p["kv_heads"])
        except (AttributeError, TypeError):
            return "default"
        kinds = torch.nn.attention.SDPBackend
        known = {int(getattr(kinds, name)): name for name in BACKENDS.values()}
        return known.get(int(number), "default")

    def allowed(self):
        """What "default" may use is SDPA's business."""
        import contextlib
        name = self.asked["backend"]
        if name == "default":
            return contextlib.nullcontext()
        attention = self.torch.nn.attention
        return attention.sdpa_kernel(getattr(attention.SDPBackend, BACKENDS[name]))

    def run(self, x):
        """One launch; backward, the forward pass's graph stands in x["o"]."""
        if not self.backward:
            return [self.attention(x)]
        return list(self.torch.autograd.grad(x["o"], (x["q"], x["k"], x["v"]), x["do"], retain_graph=True))

    def names(self):
        return ("dq", "dk", "dv") if self.backward else ("o",)

    # --- the graph ---

    def prepare(self):
        """Warm up on the stream that is recorded: a backward pass runs where its forward pass ran."""
        torch = self.torch
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream), self.allowed():
            for x in self.sets:
                if self.backward:
                    x["o"] = self.attention(x)
            with torch.set_grad_enabled(self.backward):
                for x in self.sets[:3] * 3:
                    self.run(x)
        torch.cuda.synchronize()

    def record(self, launches):
        torch = self.torch
        graph = torch.cuda.CUDAGraph()
        self.graph = self.out = None
        out = []
        with self.allowed(), torch.set_grad_enabled(self.backward), torch.cuda.graph(graph, stream=self.stream):
            for i in range(launches):
                result = self.run(self.sets[i % len(self.sets)])
                if i < len(self.sets):
                    out.append(result)  # the others' memory is used again
        self.graph, self.out, self.launches = graph, out, launches

    def enqueue(self, launches):
        """Without a graph."""
        self.launches, self.out = launches, []
        with self.torch.cuda.stream(self.stream), self.allowed(), self.torch.set_grad_enabled(self.backward):
            for i in range(launches):
                result = self.run(self.sets[i % len(self.sets)])
                if i < len(self.sets):
                    self.out.append(result)

    def time(self, launches, graph):
        """Milliseconds of so many launches."""
        torch = self.torch
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        with torch.cuda.stream(self.stream):
            begin.record()
            self.graph.replay() if graph else self.enqueue(launches)
            end.record()
        end.synchronize()
        return begin.elapsed_time(end)

    def choose_launches(self):
        torch = self.torch
        self.prepare()
        probe = min(len(self.sets), 8)
        try:
            self.record(probe)
            self.with_graph = True
        except Exception:  # what a backend says when it cannot be recorded differs
            torch.cuda.synchronize()
            self.graph, self.out, self.with_graph = None, [], False
        for _ in range(2):
            ms = self.time(probe, self.with_graph)
        one = max(ms / probe, 1e-4)
        around = min(len(self.sets), math.ceil(ROUND_MS / one))
        wanted = min(max(around, math.ceil(self.asked["min_sample_ms"] / one)), MOST_LAUNCHES)
        self.launches = max(wanted, 1)
        if self.with_graph:
            self.record(self.launches)
        self.time(self.launches, self.with_graph)
        return {"backend": self.backend, "graph": self.with_graph, "launches": self.launches,
                "grouped": "enable_gqa" if self.p["heads"] != self.p["kv_heads"] else "none"}

    def samples(self, count):
        torch, times = self.torch, []
        self.time(self.launches, self.with_graph)
        for _ in range(count):
            with torch.cuda.stream(self.stream), torch.no_grad():
                for result in self.out if self.with_graph else []:
                    for tensor in result:
                        tensor.fill_(math.nan)
                if self.flush is not None:
                    self.flush.fill_(1)
                else:
                    torch.cuda.synchronize()
            times.append(self.time(self.launches, self.with_graph) / self.launches)
        return {"time_ms": times}

    def write_outputs(self, files):
        torch = self.torch
        with torch.no_grad():
            for tensor in self.out[0]:
                tensor.fill_(math.nan)
        torch.cuda.synchronize()
        self.time(self.launches, self.with_graph)
        for name, tensor in zip(self.names(), self.out[0]):
            self.to_file(name, tensor.detach(), files[name])
        return {"outputs": list(self.names())}


class Server:
    def __init__(self):
        self.torch = self.problem = None

    def answer(self, asked):
        self.torch = self.torch or load_torch()
        if "about" in asked:
            return about(self.torch)
        if "problem" in asked:
            self.forget()
            self.problem = Problem(self.torch, asked)
            return self.problem.choose_launches()
        if "forget" in asked:
            self.forget()
            return {}
        if self.problem is None:
            raise Refusal("there is no problem yet")
        if "samples" in asked:
            return self.problem.samples(asked["samples"])
        if "outputs" in asked:
            return self.problem.write_outputs(asked["outputs"])
        raise Refusal(f"not understood: {', '.join(asked)}")

    def forget(self):
        self.problem = None
        import gc
        gc.collect()
        self.torch.cuda.synchronize()
        self.torch.cuda.empty_cache()


def serve(questions, answers):
    server = Server()
    for line in questions:
        try:
            said = server.answer(json.loads(line))
        except Refusal as refusal:
            said = {"error": str(refusal)}
        except Exception as error:
            server.problem = None
            said = {"error": f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"}
        answers.write(json.dumps(said, allow_nan=False) + "\n")
        answers.flush()


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is no answer
    serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
