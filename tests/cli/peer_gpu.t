#!/bin/sh
# experiments/peers/sdpa_gpu_torch.py: questions and answers. A module of the test's own plays torch, so that what is
# checked is what the program does with it, not what torch does.
. tests/tap.sh
program=experiments/peers/sdpa_gpu_torch.py
if ! command -v python3 >/dev/null; then
    echo '1..0 # SKIP python3 is not installed'
    exit 0
fi
mkdir "$scratch/none" "$scratch/fake" "$scratch/fake/torch" "$scratch/fake/torch/nn" "$scratch/fake/torch/nn/attention"
echo 'raise ImportError("no torch in this test")' >"$scratch/none/torch.py"
cat >"$scratch/fake/torch/nn/attention/__init__.py" <<'END'
import contextlib, enum
class SDPBackend(enum.IntEnum):
    MATH, FLASH_ATTENTION, EFFICIENT_ATTENTION, CUDNN_ATTENTION = range(4)
@contextlib.contextmanager
def sdpa_kernel(backend):
    import torch
    torch.allowed.append(backend.name)
    yield
class bias:
    @staticmethod
    def causal_lower_right(q, k): return ("lower right", q, k)
END
cat >"$scratch/fake/torch/nn/__init__.py" <<'END'
import torch
from . import attention
class functional:
    @staticmethod
    def scaled_dot_product_attention(q, k, v, attn_mask=None, is_causal=False, scale=None, enable_gqa=False):
        assert q.shape[1] == k.shape[1] or enable_gqa, "grouped heads need enable_gqa"
        assert not (is_causal and q.shape[2] != k.shape[2]), "is_causal aligns to the first query"
        if torch.os.environ.get("NO_KERNEL"): raise RuntimeError("No available kernel. Aborting execution.\nmore")
        torch.calls["attention"] += 1
        torch.last = (attn_mask, is_causal, scale)
        if torch.capturing and torch.os.environ.get("NO_GRAPH"): raise RuntimeError("cannot be captured")
        return torch.Tensor(q.shape)
END
cat >"$scratch/fake/torch/__init__.py" <<'END'
"""Counts what is called. A tensor is its shape."""
import collections, contextlib, math, os
print("a line that a library prints")
calls, allowed, capturing, last = collections.Counter(), [], False, None
bfloat16, float16, uint8 = "bfloat16", "float16", "uint8"
__version__ = "9.9"
class Tensor:
    def __init__(self, shape): self.shape = tuple(shape)
    def numel(self): return math.prod(self.shape)
    def view(self, shape): assert math.prod(shape) == self.numel(); return Tensor(shape)
    def reshape(self, n): return Tensor((self.numel(),))
    def transpose(self, a, b):
        s = list(self.shape); s[a], s[b] = s[b], s[a]
        return Tensor(s)
    def to(self, device): return self
    def detach(self): return self
    def requires_grad_(self, on=True): self.grad = on; return self
    def fill_(self, x): calls["nan" if x != x else "flush"] += 1
    def copy_(self, x):
        assert x.numel() == self.numel()
        open(self.path, "wb").write(b"\1" * 2 * x.numel())
class Generator:
    def __init__(self, device): pass
    def manual_seed(self, seed): return self
def from_file(path, shared, size, dtype):
    if not shared: assert os.path.getsize(path) == 2 * size, "the file's size"
    t = Tensor((size,)); t.path = path; calls["files"] += 1
    return t
def randn(shape, generator, device, dtype): return Tensor(shape)
def empty(size, dtype, device): return Tensor((size,))
def _fused_sdp_choice(q, k, v, mask, dropout, causal, scale, enable_gqa): return 3
no_grad = set_grad_enabled = lambda *on: contextlib.nullcontext()
class autograd:
    @staticmethod
    def grad(out, inputs, gradient, retain_graph):
        assert out.shape == gradient.shape and all(x.grad for x in inputs)
        calls["backward"] += 1
        return [Tensor(x.shape) for x in inputs]
class backends:
    class cudnn:
        @staticmethod
        def version(): return 91900
class Event:
    def __init__(self, enable_timing): pass
    def record(self): pass
    def synchronize(self): pass
    def elapsed_time(self, end): return 0.5
class Stream:
    def wait_stream(self, other): pass
class CUDAGraph:
    def replay(self): calls["replay"] += 1
@contextlib.contextmanager
def record(graph, stream):
    global capturing
    capturing = True
    try: yield
    finally: capturing = False
class cuda:
    Event, Stream, CUDAGraph, graph = Event, Stream, CUDAGraph, staticmethod(record)
    is_available = staticmethod(lambda: not os.environ.get("NO_GPU"))
    get_device_name = staticmethod(lambda: "a GPU")
    get_device_properties = staticmethod(lambda i: type("P", (), {"L2_cache_size": 64}))
    current_stream = staticmethod(Stream)
    stream = staticmethod(lambda s: contextlib.nullcontext())
    synchronize = empty_cache = staticmethod(lambda: None)
from . import nn
END
problem() { # problem MEMBERS [MORE]: a question; MEMBERS replace those of the problem
    python3 - "$1" "${2:-{\}}" <<'END'
import json, os, sys
p = {"batch": 1, "heads": 4, "kv_heads": 2, "q_len": 8, "kv_len": 8, "head_dim": 4, "causal": True, "window": -1,
     "varlen": False, "scale": 0.5, "dtype": "bf16", "pass": "forward", "deterministic": False, "layout": "bhtd"}
p.update(json.loads(sys.argv[1]))
q = {"problem": p, "backend": "default", "inputs": {}, "sets": 3, "seed": 1, "flush": True, "min_sample_ms": 2}
q.update(json.loads(sys.argv[2]))
print(json.dumps(q))
END
}
ask() { # ask FOLDER: questions on standard input, answers to $scratch/answers
    PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$scratch/$1 python3 -u $program >"$scratch/answers" 2>"$scratch/errors"
}
line() { sed -n "$1p" "$scratch/answers"; }

echo '{"about": true}' | ask none
check $? 'without torch it lives'
is "$(line 1)" '{"error": "torch cannot be imported (no torch in this test); install PyTorch for this GPU, or name another interpreter by SPAK_PYTHON"}' 'and says what to do'
echo '{"about": true}' | NO_GPU=1 ask fake
is "$(line 1)" '{"error": "this PyTorch sees no GPU; install one that is built for this CUDA"}' 'nor without a GPU'
{
    echo '{"samples": 3}'
    echo '{"about": true}'
    problem '{}'
    echo '{"samples": 3}'
    problem '{}' '{"backend": "flash"}'
    problem '{"kv_len": 12}'
    echo '{"samples": 1}'
    echo '{"forget": true}'
    echo '{"samples": 1}'
    echo '{"what": 1}'
    echo 'no JSON'
} | ask fake
check $? 'questions of all kinds'
is "$(wc -l <"$scratch/answers")" 11 'an answer for each, and what a library prints is none'
is "$(line 1)" '{"error": "there is no problem yet"}' 'samples of nothing'
is "$(line 2)" '{"peer": "PyTorch 9.9, cuDNN 9.19.0", "device": "a GPU"}' 'what it is'
is "$(line 3)" '{"backend": "CUDNN_ATTENTION", "graph": true, "launches": 12, "grouped": "enable_gqa"}' 'what SDPA chose'
is "$(line 4)" '{"time_ms": [0.041666666666666664, 0.041666666666666664, 0.041666666666666664]}' 'samples, a launch each'
is "$(line 5)" '{"backend": "FLASH_ATTENTION", "graph": true, "launches": 12, "grouped": "enable_gqa"}' 'a backend by name'
line 6 | grep -q '"graph": true'
check $? 'other lengths, with the mask at the lower right'
is "$(line 8)$(line 9)" '{}{"error": "there is no problem yet"}' 'a problem forgotten'
line 10 | grep -q 'no problem yet\|not understood' && line 11 | grep -q 'JSONDecodeError'
check $? 'what is not understood'
problem '{}' | NO_GRAPH=1 ask fake
line 1 | grep -q '"graph": false, "launches": 12'
check $? 'without a graph'
{ problem '{}'; problem '{"varlen": true}'; problem '{"window": 3}'; } | NO_KERNEL=1 ask fake
is "$(cat "$scratch/answers")" '{"error": "RuntimeError: No available kernel. Aborting execution."}
{"error": "SDPA takes no cu_seqlens"}
{"error": "SDPA has no sliding window but as an array of masks"}' 'refusals'

head -c 256 /dev/zero >"$scratch/q"
cp "$scratch/q" "$scratch/do"
head -c 128 /dev/zero >"$scratch/k"
cp "$scratch/k" "$scratch/v"
for layout in bhtd bthd; do
    {
        problem '{"pass": "backward", "layout": "'$layout'"}' \
            '{"inputs": {"q": "'"$scratch"'/q", "k": "'"$scratch"'/k", "v": "'"$scratch"'/v", "do": "'"$scratch"'/do"}}'
        echo '{"outputs": {"dq": "'"$scratch"'/dq", "dk": "'"$scratch"'/dk", "dv": "'"$scratch"'/dv"}}'
    } | ask fake
    is "$(line 2)" '{"outputs": ["dq", "dk", "dv"]}' "$layout: backward, from files and to files"
    is "$(cat "$scratch/dq" "$scratch/dk" "$scratch/dv" | wc -c)" 512 "$layout: all of them"
done
done_testing
