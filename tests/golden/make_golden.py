#!/usr/bin/env python3
"""Makes the golden files of tests/data/golden with PyTorch, or checks that they would be made again.

  tests/golden/make_golden.py [FOLDER] [--salt TEXT] [--only NAME...]     writes to tests/data/golden unless told
  tests/golden/make_golden.py --check [FOLDER]      fails if a file is missing or holds other values

Another --salt gives other inputs and weights; set FER_GOLDEN_DIR to run the golden tests on such a folder.
tests/data/golden/README.md describes the files. Needs PyTorch and NumPy; exit code 77 without them.
"""
import argparse
import io
import json
import math
import pathlib
import struct
import sys

sys.dont_write_bytecode = True
try:
    import numpy
    import torch
except ImportError as error:
    print("skipped:", error)
    sys.exit(77)

import reference
from op_cases import op_cases
from reference import uniform

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "data" / "golden"
TINY = dict(stem=16, widths=(16, 32, 64), units=(1, 1, 2), lm_width=8, lm_units=(1, 1, 1), dim=48, heads=4)
SMALL = dict(stem=16, stem_stride=2, widths=(24, 48, 96), units=(1, 2, 1), strides=(2, 2, 1), lm_width=32, lm_head=True,
             dim=96, heads=4, mlp_ratio=2, pos_embed=True, qkv_bias=True, pre_norm=True, final_norm=True)
EXTRAS = dict(heatmap="conv", pos_embed=True, qkv_bias=True, pre_norm=True, final_norm=True, se_gate=True)
# Network, images a batch, batches, side of the images, steps of the loss curve.
MODELS = dict(
    tiny=(TINY, 4, 2, 112, 20),
    tiny_sum=(TINY | dict(heatmap="sum"), 4, 1, 64, 0),
    tiny_abs_sum=(TINY | dict(heatmap="abs_sum"), 4, 1, 56, 0),
    tiny_no_product=(TINY | dict(product=False), 4, 1, 60, 0),
    tiny_no_cross=(TINY | dict(cross=False), 4, 1, 64, 0),
    tiny_extras=(TINY | EXTRAS, 4, 1, 64, 0),
    small=(SMALL, 4, 1, 112, 0),
    mini=(dict(classes=8, stem=4, widths=(6, 8, 10), units=(1, 1, 1), lm_width=3, lm_units=(1, 1, 1), dim=18, heads=3,
               mlp_ratio=2), 6, 1, 64, 0),
    paper=({}, 2, 1, 112, 0))
CHECKPOINTS = "mini"  # the network whose weights are in the checkpoints
NEUTRAL, WEIGHT, RATE = 6, 0.01, 1e-3
SAMPLES = 8  # elements of a gradient that are kept


# --- what is in the files ---------------------------------------------------------------------------------------

def labels_of(batch, count):
    """Classes in pairs, usually including the neutral one, and some that occur once."""
    cycle = (6, 3, 6, 3, 0, 1, 6, 2)
    return torch.tensor([cycle[(i + 3 * batch) % len(cycle)] for i in range(count)])


def summary(name, tensor):
    """(norm, sum of tensor * uniform("summary/" + name)): no element can be wrong or misplaced without changing it."""
    flat = tensor.flatten()
    return torch.stack((flat.norm(), flat.dot(uniform("summary/" + name, flat.numel()))))


class Model:
    def __init__(self, name, salt):
        config, self.count, self.batches, self.side, self.steps = MODELS[name]
        self.config, self.salt, self.tensors = config | dict(image_size=self.side), salt, {}

    def network(self):
        net = reference.FERNet(**self.config)
        reference.fill(net, self.salt)
        return net

    def batch(self, index):
        images = uniform(f"{self.salt}input{index}", self.count, 3, self.side, self.side)
        return images, labels_of(index, self.count)

    def keep(self, name, tensor, part=None):
        """`part` of a large tensor, and a summary of all of it."""
        self.tensors[name] = tensor.detach().clone() if part is None else part(tensor.detach()).clone()
        if part is not None:
            self.tensors["summary/" + name] = summary(name, tensor.detach())

    def loss(self, scores, token, labels):
        return reference.total_loss(token, scores, labels, NEUTRAL, WEIGHT)

    def keep_pass(self, net, batch, mode):
        images, labels = self.batch(batch)
        key = f"batch{batch}/{mode}/"
        net.train(mode == "train").zero_grad()
        f_img, f_lm = net.image_backbone(images), net.landmark_backbone(images)
        token = net.attention(f_img, f_lm)
        scores = net.head(token)
        loss = self.loss(scores, token, labels)
        self.keep(key + "f_img", f_img, lambda map: map[:, :1])
        self.keep(key + "f_lm", f_lm, lambda map: map[:, :1])
        values = dict(labels=labels, scores=scores, token=token, loss=loss,
                      cross_entropy=torch.nn.functional.cross_entropy(scores, labels),
                      neaa=reference.neaa_loss(token, scores, labels, NEUTRAL))
        for name, value in values.items():
            self.keep(key + name, value)
        if mode == "eval" and self.config.get("lm_head") and batch == 0:
            self.keep(key + "landmarks", net.landmark_backbone.landmarks(f_lm))
        if mode == "train":
            loss.backward()
            for name, p in net.named_parameters():
                if p.requires_grad:
                    self.keep(f"{key}grad/{name}", p.grad, lambda gradient: gradient.flatten()[:SAMPLES])

    def curve(self):
        """The loss of each step of Adam on batch 0."""
        net = self.network().train()
        images, labels = self.batch(0)
        adam, losses = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], RATE), []
        for _ in range(self.steps):
            adam.zero_grad()
            loss = self.loss(*net(images), labels)
            loss.backward()
            adam.step()
            losses.append(loss.detach())
        return torch.stack(losses)

    def run(self):
        net = self.network()
        for batch in range(self.batches):
            for mode in ("eval", "train"):
                self.keep_pass(net, batch, mode)
            for name, statistic in net.image_backbone.named_buffers(prefix="image_backbone"):
                if statistic.is_floating_point():
                    self.keep(f"batch{batch}/buffer/{name}", statistic, lambda values: values[:SAMPLES])
        if self.steps:
            self.tensors["curve/loss"] = self.curve()
        return self.tensors

    def metadata(self):
        facts = dict(config=json.dumps(dict(model=self.config)), salt=self.salt, neutral=str(NEUTRAL), weight=str(WEIGHT))
        return facts | (dict(curve_batch=str(self.count), curve_lr=str(RATE)) if self.steps else {})


def checkpoints(salt):
    """Checkpoints in the three formats of torch.save, by file name."""
    state = {name: value.float() if value.is_floating_point() else value
             for name, value in Model(CHECKPOINTS, salt).network().state_dict().items()}
    parallel = dict(epoch=3, best_acc=0.5, state_dict={"module." + name: value for name, value in state.items()},
                    optimizer=dict(state={}, param_groups=[dict(lr=0.1, betas=(0.9, 0.999), params=[0, 1])]))
    forms = {"checkpoint_zip.pth": (state, True), "checkpoint_legacy.pth": (state, False),
             "checkpoint_dataparallel.pth.tar": (parallel, True)}
    files = {}
    for name, (content, zipped) in forms.items():
        file = io.BytesIO()
        torch.save(content, file, _use_new_zipfile_serialization=zipped)
        files[name] = file.getvalue()
    return files


def safetensors(tensors, metadata):
    """The bytes of a .safetensors file."""
    kinds = {torch.float64: "F64", torch.int64: "I64"}
    header, data = dict(__metadata__=metadata), b""
    for name, tensor in sorted(tensors.items()):
        bytes = tensor.contiguous().numpy().tobytes()
        header[name] = dict(dtype=kinds[tensor.dtype], shape=list(tensor.shape),
                            data_offsets=[len(data), len(data) + len(bytes)])
        data += bytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def make(salt, only):
    """(name, bytes) of each file."""
    wanted = lambda name: not only or name in only
    if wanted("ops"):
        cases = op_cases(salt)
        yield "ops.safetensors", safetensors(cases.tensors, dict(salt=salt, cases=json.dumps(cases.descriptions)))
    for name in filter(wanted, MODELS):
        model = Model(name, salt)
        yield f"model_{name}.safetensors", safetensors(model.run(), model.metadata())
    if wanted("checkpoints"):
        yield from checkpoints(salt).items()


# --- whether the files are what would be made ---------------------------------------------------------------------

def entries(data):
    """(metadata, arrays by name) of a .safetensors file."""
    length, = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + length])
    metadata, arrays = header.pop("__metadata__"), {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        kind = numpy.dtype(dict(F64="<f8", I64="<i8")[entry["dtype"]])
        arrays[name] = numpy.frombuffer(data[begin:end], kind).reshape(entry["shape"])
    return metadata, arrays


def flattened(value, path=""):
    if isinstance(value, dict):
        return {k: v for name, part in value.items() for k, v in flattened(part, f"{path}/{name}").items()}
    return {path: value}


def problem_with(name, kept, made):
    """What differs between the bytes of a file and those made now; None if nothing does. Sums may round differently in
    another PyTorch or on another processor: a value may differ by 1e-8 of the tensor's largest."""
    if name.startswith("checkpoint"):
        kept, made = (flattened(torch.load(io.BytesIO(data), weights_only=True)) for data in (kept, made))
        same = kept.keys() == made.keys() and all(
            torch.equal(value, made[key]) if torch.is_tensor(value) else value == made[key] for key, value in kept.items())
        return None if same else "holds other values"
    (kept_facts, kept), (made_facts, made) = entries(kept), entries(made)
    if kept_facts != made_facts:
        return "has other metadata"
    if kept.keys() != made.keys():
        return f"has not the same tensors: {sorted(kept.keys() ^ made.keys())[:5]}"
    for key, value in kept.items():
        if value.shape != made[key].shape:
            return f"{key} has shape {value.shape}, not {made[key].shape}"
        error = numpy.abs(value - made[key]).max(initial=0) / max(1, numpy.abs(value).max(initial=0))
        if not error <= 1e-8:
            return f"{key} differs by {error:.2e}"
    return None


def check(folder, salt, only):
    problems, names = [], {"README.md"}
    for name, made in make(salt, only):
        names.add(name)
        path = folder / name
        problem = problem_with(name, path.read_bytes(), made) if path.exists() else "is missing"
        print(f"{name}: {problem or 'holds what PyTorch ' + torch.__version__ + ' gives'}")
        problems += [name] if problem else []
    unknown = [] if only else sorted(path.name for path in folder.iterdir() if path.name not in names)
    if unknown:
        print("made by nothing:", *unknown)
    sys.exit(1 if problems or unknown else 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=pathlib.Path, default=FOLDER)
    parser.add_argument("--salt", default="golden/")
    parser.add_argument("--only", nargs="+", default=[], choices=["ops", "checkpoints", *MODELS], metavar="NAME",
                        help="ops, checkpoints, " + ", ".join(MODELS))
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    torch.set_default_dtype(torch.float64)
    if arguments.check:
        check(arguments.folder, arguments.salt, arguments.only)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name, data in make(arguments.salt, arguments.only):
        (arguments.folder / name).write_bytes(data)
        print(f"{name}: {math.ceil(len(data) / 1024)} KiB", flush=True)


if __name__ == "__main__":
    main()
