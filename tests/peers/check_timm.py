"""Initialises the attention blocks from timm's vision transformers, which have random weights and are saved by PyTorch.

  python3 check_timm.py FER WORK

Names and shapes come from timm itself, so a change on either side shows here. Exit code 77 without timm.
"""
import json
import pathlib
import shutil
import struct
import subprocess
import sys

try:
    import numpy as np
    import timm
    import torch
    from timm.models.vision_transformer import VisionTransformer
except ImportError as error:
    print("skipped:", error)
    sys.exit(77)


def read_safetensors(path):
    data = pathlib.Path(path).read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = (8 + size + offset for offset in entry["data_offsets"])
            tensors[name] = np.frombuffer(data[begin:end], "<f4").reshape(entry["shape"])
    return header["__metadata__"], tensors


def train(fer, folder, checkpoint):
    """Trains one step with a learning rate of 0: the weights do not change."""
    result = subprocess.run([fer, "train", "--preset", "tiny", "--vit", checkpoint, "--run-dir", folder, "--lr", "1e-30",
                             "--max-steps", "1", "--epochs", "1", "--batch-size", "2", "--train-identities", "2",
                             "--test-identities", "1", "--faces-per-identity", "7", "--landmark-epochs", "1",
                             "--landmark-batch-size", "14", "--validation", "0", "--quiet"],
                            capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return read_safetensors(folder / "best.safetensors"), result.stderr


def check(fer, work, name, model, heads, query_factor):
    state = {k: v.numpy() for k, v in model.state_dict().items()}
    torch.save(model.state_dict(), work / f"{name}.pth")
    (metadata, tensors), log = train(fer, work / name, work / f"{name}.pth")
    config = json.loads(metadata["config"])["model"]
    dim, depth = model.embed_dim, len(model.blocks)
    assert (config["dim"], config["depth"], config["heads"]) == (dim, depth, heads), config
    wanted = {"fusion_class": state["cls_token"], "lm_class": state["cls_token"]}
    for i in range(depth):
        theirs, ours = f"blocks.{i}.", f"blocks.{i}."
        for kind in ("weight", "bias"):
            if theirs + "attn.qkv." + kind in state:
                q, k, v = np.split(state[theirs + "attn.qkv." + kind], 3)
                wanted[ours + "q_lm." + kind] = q * np.float32(query_factor)
                wanted[ours + "k_fusion." + kind], wanted[ours + "v_fusion." + kind] = k, v
            for a, b in (("attn.proj", "proj"), ("norm1", "norm1"), ("norm1", "norm_lm"), ("norm2", "norm"),
                         ("mlp.fc1", "fc1"), ("mlp.fc2", "fc2")):
                wanted[f"{ours}{b}.{kind}"] = state[f"{theirs}{a}.{kind}"]
    for kind in ("weight", "bias"):
        wanted["final_norm." + kind] = state["norm." + kind]
    if model.pos_embed.shape[1] == 197:
        wanted["pos_fusion"] = wanted["pos_lm"] = state["pos_embed"]
    for key, value in wanted.items():
        np.testing.assert_allclose(tensors["attention." + key], value, rtol=2e-6, atol=1e-12, err_msg=key)
    assert "left aside (its classifier): head.weight, head.bias" in log, log
    print(f"{name}: {len(wanted)} tensors arrived")


def main():
    fer, work = sys.argv[1], pathlib.Path(sys.argv[2])
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    torch.manual_seed(1)
    # timm's current ViTs have biases and heads of 64; this one is small enough for a test.
    check(fer, work, "modern", VisionTransformer(img_size=224, patch_size=16, embed_dim=128, depth=2, num_heads=2,
                                                 mlp_ratio=4, num_classes=10), 2, 1)
    # The first vit_small: 768 wide, 8 heads, MLP ratio 3, no biases, scores over sqrt(768). One block of its eight.
    check(fer, work, "first_small", VisionTransformer(img_size=224, patch_size=16, embed_dim=768, depth=1, num_heads=8,
                                                      mlp_ratio=3, qkv_bias=False, num_classes=10), 8, 8 ** -0.5)
    # Another grid: its position embedding is initialised from scratch.
    check(fer, work, "other_grid", VisionTransformer(img_size=64, patch_size=16, embed_dim=64, depth=1, num_heads=1,
                                                     mlp_ratio=2, num_classes=10), 1, 1)
    # The published layout, as timm creates it today, with random weights (nothing is downloaded).
    names = set(timm.create_model("vit_small_patch16_224", pretrained=False).state_dict())
    assert {"cls_token", "pos_embed", "blocks.0.attn.qkv.bias", "norm.weight"} <= names


main()
