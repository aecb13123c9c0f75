"""Trains GPT on the CPU in plain PyTorch: the peer of `spak train`.

    gpt_torch.py [options]

The model is written from its definition (Radford et al. 2019: pre-norm blocks, learned positions, tied head), with
PyTorch's own layers and scaled_dot_product_attention, and initialised as nanoGPT does it. A step is one batch of random
tokens, forward, backward, clipping of the gradients' norm and AdamW (decay on matrices only), all in float32 and eager
mode. The tokens are random because no time depends on them.

One line on standard output: `__SPAK_TRACE__ {json}` with the milliseconds of every step after the warm-up.

Exit status: 0, or 2 for arguments that make no sense, or 3 when torch cannot be imported.
"""
import argparse
import json
import math
import sys
import time

MARKER = "__SPAK_TRACE__ "


def read_arguments():
    parser = argparse.ArgumentParser(description="GPT trained on the CPU by PyTorch")
    for name, value, text in (("layers", 4, "blocks"), ("heads", 4, "of attention"), ("width", 128, "of the state"),
                              ("context", 64, "tokens of a sequence"), ("vocab", 65, "tokens there are"),
                              ("batch", 12, "sequences of a step"), ("threads", 1, "of PyTorch"),
                              ("steps", 50, "that are timed"), ("warmup", 10, "steps before them"), ("seed", 1, "")):
        parser.add_argument("--" + name, type=int, default=value, help=text)
    parser.add_argument("--bias", action="store_true", help="of linear layers and norms")
    parser.add_argument("--forward", action="store_true", help="time the forward pass with its loss only")
    parser.add_argument("--fused", action="store_true", help="AdamW as one fused kernel")
    arguments = parser.parse_args()
    sizes = (arguments.layers, arguments.heads, arguments.width, arguments.context, arguments.vocab, arguments.batch,
             arguments.threads, arguments.steps)
    if min(sizes) < 1 or arguments.warmup < 0 or arguments.width % arguments.heads:
        parser.error("sizes must be positive, and heads must divide width")
    return arguments


def load_torch():
    try:
        import torch
    except Exception as error:  # a broken installation raises more than ImportError
        print(f"PyTorch cannot be imported: {error}", file=sys.stderr)
        sys.exit(3)
    return torch


def make_model(torch, shape):
    nn, functional = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1 = nn.LayerNorm(shape.width, bias=shape.bias)
            self.qkv = nn.Linear(shape.width, 3 * shape.width, bias=shape.bias)
            self.proj = nn.Linear(shape.width, shape.width, bias=shape.bias)
            self.norm2 = nn.LayerNorm(shape.width, bias=shape.bias)
            self.up = nn.Linear(shape.width, 4 * shape.width, bias=shape.bias)
            self.down = nn.Linear(4 * shape.width, shape.width, bias=shape.bias)

        def forward(self, x):
            batch, length, width = x.shape
            parts = self.qkv(self.norm1(x)).split(width, dim=2)
            q, k, v = (part.view(batch, length, shape.heads, -1).transpose(1, 2) for part in parts)
            heads = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.proj(heads.transpose(1, 2).reshape(batch, length, width))
            return x + self.down(functional.gelu(self.up(self.norm2(x))))

    class GPT(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Embedding(shape.vocab, shape.width)
            self.position = nn.Embedding(shape.context, shape.width)
            self.blocks = nn.ModuleList(Block() for _ in range(shape.layers))
            self.norm = nn.LayerNorm(shape.width, bias=shape.bias)
            for name, parameter in self.named_parameters():
                if parameter.dim() == 2:
                    into_residual = name.endswith(("proj.weight", "down.weight"))
                    nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * shape.layers) if into_residual else 0.02)

        def forward(self, tokens, targets):
            x = self.token(tokens) + self.position.weight[:tokens.shape[1]]
            for block in self.blocks:
                x = block(x)
            logits = functional.linear(self.norm(x), self.token.weight)
            return functional.cross_entropy(logits.view(-1, shape.vocab), targets.view(-1))

    return GPT()


def make_step(torch, model, shape):
    """One step on a batch, and a name for what it times."""
    if shape.forward:
        def forward(tokens, targets):
            with torch.no_grad():
                return model(tokens, targets).item()
        return forward
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    optimiser = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
                                  lr=1e-3, betas=(0.9, 0.99), **({"fused": True} if shape.fused else {}))

    def step(tokens, targets):
        loss = model(tokens, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return loss.item()
    return step


def main():
    shape = read_arguments()
    torch = load_torch()
    torch.set_num_interop_threads(1)
    torch.set_num_threads(shape.threads)
    torch.manual_seed(shape.seed)
    model = make_model(torch, shape)
    step = make_step(torch, model, shape)
    times_ms, losses = [], []
    for i in range(shape.warmup + shape.steps):
        tokens = torch.randint(shape.vocab, (shape.batch, shape.context + 1))
        begun = time.perf_counter_ns()
        loss = step(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())
        if i >= shape.warmup:
            times_ms.append((time.perf_counter_ns() - begun) / 1e6)
            losses.append(loss)
    report = {"peer": "torch", "what": "gpt", "pass": "forward" if shape.forward else "step", "time_ms": times_ms,
              "losses": losses, "parameters": sum(p.numel() for p in model.parameters()), "torch": torch.__version__,
              "threads_used": torch.get_num_threads(), "capability": torch.backends.cpu.get_cpu_capability()}
    report.update({name: getattr(shape, name) for name in ("layers", "heads", "width", "context", "vocab", "batch",
                                                           "threads", "warmup", "seed", "bias", "fused")})
    print(MARKER + json.dumps(report, allow_nan=False), flush=True)


if __name__ == "__main__":
    main()
