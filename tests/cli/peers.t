#!/bin/sh
# experiments/peers: the programs' arguments and output. A module of the test's own plays torch, so that what is checked
# is what the program does with it, not what torch does.
. tests/tap.sh
program=experiments/peers/sdpa_torch.py
if ! command -v python3 >/dev/null; then
    echo '1..0 # SKIP python3 is not installed'
    exit 0
fi
mkdir "$scratch/none" "$scratch/fake"
echo 'raise ImportError("no torch in this test")' >"$scratch/none/torch.py"
cat >"$scratch/fake/torch.py" <<'END'
"""Counts what is called. A tensor is its shape."""
class Tensor(tuple):
    def to(self, dtype): return self
    def detach(self): return self
    def requires_grad_(self): return self
    def add_(self, x): calls["flush"] += 1
    def repeat_interleave(self, times, axis):
        calls["repeat"] += 1
        return Tensor(n * times if i == axis else n for i, n in enumerate(self))
class Space:
    def __init__(self, **members): self.__dict__.update(members)
class Off:
    def __enter__(self): return self
    def __exit__(self, *rest): return False
class Generator:
    def manual_seed(self, seed):
        calls["seed"] = seed
        return self
import atexit, collections, os, sys
calls = collections.Counter()
atexit.register(lambda: print("calls", dict(calls), file=sys.stderr))
def attention(q, k, v, is_causal=False, **options):
    if options and os.environ.get("OLD_TORCH"): raise TypeError("enable_gqa")
    assert options or q[1] == k[1], "heads"
    calls["attention"] += 1
    return q
def set_num_threads(n): calls["threads"] = n
def get_num_threads(): return calls["threads"]
def set_num_interop_threads(n): pass
def zeros(*shape, dtype=None): return Tensor(shape)
def randn(*shape, generator): return Tensor(shape)
def no_grad(): return Off()
def grad(out, inputs, gradient):
    assert out == gradient
    calls["backward"] += 1
float32 = float64 = bfloat16 = None
__version__ = "9.9"
nn = Space(functional=Space(scaled_dot_product_attention=attention))
autograd = Space(grad=grad)
backends = Space(cuda=Space(flash_sdp_enabled=lambda: True), mkldnn=Space(is_available=lambda: True),
                 cpu=Space(get_cpu_capability=lambda: "AVX2"))
END
with() { # with FOLDER STATUS ARGUMENT...
    path=$scratch/$1 want=$2 && shift 2
    PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$path runs "$want" python3 $program "$@"
}
fields() { grep '^__SPAK_TRACE__ ' "$scratch/log" | sed 's/^__SPAK_TRACE__ //' | python3 -c "
import json, sys
for line in sys.stdin:
    r = json.loads(line)
    assert all(t > 0 for t in r['time_ms']) and r['backend']['device'] == 'cpu'
    assert len(r['page_faults']) == len(r['time_ms']) and min(r['page_faults']) >= 0
    print(r['pass'], len(r['time_ms']), r['heads'], r['kv_heads'], r['q_len'], r['kv_len'], r['causal'], r['threads'], r['torch'], r['grouped'])"; }

with none 3 heads=2 && says '^PyTorch cannot be imported: no torch in this test'
check $? 'without torch: status 3 and a line that says so'
for bad in heads=0 heads=x what=3 heads dtype=int8 heads=8,kv_heads=3 q_len=4,kv_len=8; do
    with fake 2 "$bad" && says 'error: argument SHAPE'
    check $? "$bad is refused"
done
with fake 2 --repeats 0 heads=2 && says 'repeats must be positive'
check $? 'and so is no sample at all'
with fake 0 --repeats 4 --warmup 2 --seed 7 --backward heads=2,q_len=8,head_dim=4,threads=2 heads=3,q_len=5,kv_len=9,causal=0
check $? 'two shapes, forward and backward'
is "$(fields)" 'forward 4 2 2 8 8 True 2 9.9 none
forward_backward 4 2 2 8 8 True 2 9.9 none
forward 4 3 3 5 9 False 1 9.9 none
forward_backward 4 3 3 5 9 False 1 9.9 none' 'a report of each, with every sample'
with fake 0 --repeats 4 --warmup 2 --seed 7 --backward heads=2,q_len=8,head_dim=4
says "'attention': 12, 'flush': 8, 'backward': 6"
check $? 'the caches are flushed before each sample, and each pass is warmed up'
with fake 0 --repeats 1 --warmup 0 --flush-bytes 0 heads=8,kv_heads=2 && says "'attention': 2" && ! says "'flush'" && [ "$(fields)" = 'forward 1 8 2 512 512 True 1 9.9 enable_gqa' ]
check $? 'grouped queries are given to torch as such'
OLD_TORCH=1
export OLD_TORCH
with fake 0 --repeats 1 --warmup 0 heads=8,kv_heads=2 && says "'repeat': 2" && [ "$(fields)" = 'forward 1 8 2 512 512 True 1 9.9 repeat_interleave' ]
check $? 'and an older torch gets repeated heads, which the report says'
done_testing
