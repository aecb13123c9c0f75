"""Turns a checkpoint of nanoGPT (ckpt.pt) into safetensors.

    pt_to_safetensors.py ckpt.pt model.safetensors

Writes the parameters under nanoGPT's names, without the "_orig_mod." of a compiled model, each in its own type; a tied
head is left out. The metadata: `config` holds model_args (n_layer, n_head, n_embd, block_size, bias, vocab_size, dropout)
as JSON, `iter_num` and `best_val_loss` what the checkpoint says. The optimiser's state stays behind. The file is written
beside and renamed.

Exit status: 0, or 1 for a file that is no such checkpoint, or 2 for arguments that make no sense, or 3 when torch cannot
be imported.
"""
import ctypes
import json
import os
import struct
import sys

COMPILED = "_orig_mod."
HEAD, EMBEDDING = "lm_head.weight", "transformer.wte.weight"


def parameters(checkpoint, torch):
    """Names and tensors, without what is there twice."""
    tensors = {name.removeprefix(COMPILED): t.detach().cpu().contiguous() for name, t in checkpoint["model"].items()}
    if HEAD in tensors and EMBEDDING in tensors and torch.equal(tensors[HEAD], tensors[EMBEDDING]):
        del tensors[HEAD]
    return tensors


def metadata(checkpoint):
    texts = {"format": "pt", "config": json.dumps(checkpoint.get("model_args", {}))}
    for key in ("iter_num", "best_val_loss"):
        if key in checkpoint:
            texts[key] = str(float(checkpoint[key]) if key == "best_val_loss" else int(checkpoint[key]))
    return texts


def write(path, tensors, texts, dtypes):
    header, at = {"__metadata__": texts}, 0
    for name, t in tensors.items():
        size = t.numel() * t.element_size()
        header[name] = {"dtype": dtypes[t.dtype], "shape": list(t.shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    beside = f"{path}.spak-tmp-{os.getpid()}"
    try:
        with open(beside, "wb") as out:
            out.write(struct.pack("<Q", len(text)) + text)
            for t in tensors.values():
                size = t.numel() * t.element_size()
                if size:
                    out.write((ctypes.c_char * size).from_address(t.data_ptr()))
            out.flush()
            os.fsync(out.fileno())
        os.replace(beside, path)
    except BaseException:
        if os.path.exists(beside):
            os.unlink(beside)
        raise


def main(arguments):
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        import torch
    except ImportError as error:
        print(f"pt_to_safetensors.py: {error}; install torch", file=sys.stderr)
        return 3
    dtypes = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
              torch.int64: "I64", torch.int32: "I32", torch.uint8: "U8", torch.bool: "BOOL"}
    try:
        checkpoint = torch.load(arguments[0], map_location="cpu", weights_only=True)
        tensors = parameters(checkpoint, torch)
        write(arguments[1], tensors, metadata(checkpoint), dtypes)
    except Exception as error:  # torch raises many kinds
        reason = (str(error).splitlines() or [""])[0]
        print(f"pt_to_safetensors.py: {arguments[0]}: expected a checkpoint of nanoGPT, a dictionary with `model` and "
              f"`model_args`: {type(error).__name__}: {reason}", file=sys.stderr)
        return 1
    print(f"{arguments[1]}: {len(tensors)} tensors, {sum(t.numel() for t in tensors.values())} numbers")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
