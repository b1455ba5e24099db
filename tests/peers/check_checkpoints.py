"""The built program reads checkpoints as people publish them, written by PyTorch in both of its formats.

  python3 check_checkpoints.py FER WORK

The checkpoints also contain objects of every kind that programs leave in them. Each file must give the same tensors,
and the program must name the inert objects. Exit code 77 without PyTorch and NumPy.
"""
import argparse
import collections
import copy
import datetime
import decimal
import enum
import fractions
import functools
import json
import pathlib
import pickle
import random
import shutil
import sys
import types
import uuid

sys.dont_write_bytecode = True
sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "onnx"))
try:
    import numpy as np
    import torch
    from torch import nn
except ImportError as error:
    print("skipped:", error)
    sys.exit(77)

from weight_files import fails, run


class RecorderMeter:
    def __init__(self):
        self.total_epoch, self.epoch_losses, self.owner = 3, np.zeros((3, 2), np.float32), self


class Colour(enum.Enum):
    RED = 1


Point = collections.namedtuple("Point", "x y")


class Config(dict):
    __getattr__ = dict.__getitem__


class Slots:
    __slots__ = ("a",)

    def __init__(self):
        self.a = 1


class Own(torch.Tensor):
    pass


class Average:
    def __init__(self, module):
        self.module, self.updates = copy.deepcopy(module), 7


def network():
    net = nn.Sequential(collections.OrderedDict(conv1=nn.Conv2d(3, 4, 3), bn1=nn.BatchNorm2d(4), act=nn.PReLU(4)))
    net.inner = nn.ModuleList([nn.Linear(4, 2), nn.Linear(2, 2, bias=False)])
    net.register_buffer("kept", torch.arange(3.0))
    net.register_buffer("passing", torch.arange(5.0), persistent=False)
    with torch.no_grad():
        for p in net.parameters():
            p.normal_()
    return net


def beside(net):
    """Objects found beside weights, each with a name that must be in the report (none: a plain value)."""
    optimizer = torch.optim.Adam(net.parameters())
    for p in net.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 3)
    return {
        "recorder": (RecorderMeter(), "RecorderMeter"),
        "namespace": (argparse.Namespace(lr=0.1, data=pathlib.Path("/data")), "argparse.Namespace"),
        "simple_namespace": (types.SimpleNamespace(a=1), "SimpleNamespace"),
        "path": (pathlib.PurePosixPath("a/b"), "PurePosixPath"),
        "time": (datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc), "datetime.datetime"),
        "delta": (datetime.timedelta(3), "datetime.timedelta"),
        "device": (torch.device("cuda:0"), "torch.device"),
        "dtype": (torch.float16, None),
        "size": (torch.Size([2, 3]), None),
        "set": ({1, 2}, None),
        "frozenset": (frozenset({1, 2}), None),
        "bytes": (b"\x00\xff", None),
        "no_bytes": (b"", None),
        "bytearray": (bytearray(b"\x01\xfe"), None),
        "enum": (Colour.RED, "Colour"),
        "namedtuple": (Point(1, 2), "Point"),
        "deque": (collections.deque([1, 2], maxlen=3), "collections.deque"),
        "counter": (collections.Counter("abca"), "collections.Counter"),
        "defaultdict": (collections.defaultdict(list, a=[1]), None),
        "ordered": (collections.OrderedDict(a=1), None),
        "dict_of_a_class": (Config(a=Config(b=1)), "Config"),
        "slots": (Slots(), "Slots"),
        "decimal": (decimal.Decimal("1.5"), "decimal.Decimal"),
        "fraction": (fractions.Fraction(1, 3), "fractions.Fraction"),
        "complex": (1 + 2j, "complex"),
        "slice": (slice(1, 2), "slice"),
        "range": (range(3), "range"),
        "uuid": (uuid.UUID(int=5), "uuid.UUID"),
        "partial": (functools.partial(int, base=2), "functools.partial"),
        "large_int": (1 << 100, None),
        "random": (random.getstate(), None),
        "python_random": (random.Random(3), "random.Random"),
        "numpy_random": (np.random.RandomState(3), "numpy.random"),
        "numpy_generator": (np.random.default_rng(3), "numpy.random"),
        "numpy_state": (np.random.get_state(), "numpy."),
        "torch_random": (torch.get_rng_state(), None),
        "float64": (np.float64(91.2), "multiarray.scalar"),
        "float32": (np.float32(91.25), "multiarray.scalar"),
        "int64": (np.int64(-5), "multiarray.scalar"),
        "bool_": (np.bool_(True), "multiarray.scalar"),
        "array": (np.arange(6.0).reshape(2, 3), "numpy."),
        "fortran": (np.asfortranarray(np.arange(6).reshape(2, 3)), "numpy."),
        "texts": (np.array(["a", "bc"]), "numpy."),
        "objects": (np.array([None, {}], object), "numpy."),
        "date64": (np.datetime64("2024-01-02"), "multiarray.scalar"),
        "numpy_dtype": (np.dtype("float32"), "numpy.dtype"),
        "class": (RecorderMeter, "RecorderMeter"),
        "function": (network, "network"),
        "builtin": (len, "len"),
        "optimizer": (optimizer, "torch.optim.adam.Adam"),
        "optimizer_state": (optimizer.state_dict(), None),
        "scheduler": (scheduler, "torch.optim.lr_scheduler.StepLR"),
        "criterion": (nn.CrossEntropyLoss(), "CrossEntropyLoss"),
        "best_acc": (torch.tensor(91.0), None),
        "average": (Average(net), "Average"),
        "bool_tensor": (torch.tensor([True, False]), None),
        "complex_tensor": (torch.ones(2, dtype=torch.complex64), None),
        "sparse": (torch.eye(3).to_sparse(), "_rebuild_sparse_tensor"),
        "csr": (torch.eye(3).to_sparse_csr(), "_rebuild_sparse_tensor"),
        "quantised": (torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8), "_rebuild_qtensor"),
        "meta": (torch.ones(2, device="meta"), "_rebuild_meta_tensor_no_storage"),
        "nested": (torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "_rebuild_nested_tensor"),
    }


def tensors_of_every_type():
    """Tensors, and the values that fer reads (None: left aside and named), by name."""
    x = torch.tensor([[0.0, 1.0, 2.0], [3.0, 4.0, 5.5]])
    kinds = {
        "float32": (x, x), "float64": (x.double(), x), "float16": (x.half(), x), "bfloat16": (x.bfloat16(), x),
        "transposed": (x.t(), x.t()), "strided": (x[:, ::2], x[:, ::2]), "view": (x[1:], x[1:]),
        "expanded": (x[:1].expand(4, 3), x[:1].expand(4, 3)), "scalar": (torch.tensor(3.5), torch.tensor(3.5)),
        "none": (torch.zeros(0, 3), torch.zeros(0, 3)), "parameter": (nn.Parameter(x), x),
        "grad": (x.clone().requires_grad_(), x), "own": (x.as_subclass(Own), x),
        "buffer": (nn.Buffer(x) if hasattr(nn, "Buffer") else x, x),
        "bool": (x > 2, x > 2), "bool_strided": ((x > 2).t(), (x > 2).t()),
        "int64": (x.long(), x.long()), "int32": (x.int(), x.int()), "uint8": (x.byte(), x.byte()),
        "int8": (-x.to(torch.int8), -x.to(torch.int8)), "int16": (-x.to(torch.int16), -x.to(torch.int16)),
        "complex64": (x.to(torch.complex64), None), "complex128": (x.to(torch.complex128), None),
        "sparse": (x.to_sparse(), None), "csr": (x.to_sparse_csr(), None), "meta": (x.to("meta"), None),
        "quantised": (torch.quantize_per_tensor(x, 0.1, 0, torch.quint8), None),
    }
    for name in ("uint16", "uint32", "float8_e4m3fn", "float8_e5m2"):
        if hasattr(torch, name):
            kinds[name] = (x.to(getattr(torch, name)), x.to(getattr(torch, name)).to(torch.float64))
    for name in ("uint64", "float8_e4m3fnuz"):
        if hasattr(torch, name):
            kinds[name] = (x.to(getattr(torch, name)), None)
    return kinds


def values_of(path):
    """Names and float64 values of a safetensors file of any element type."""
    data = pathlib.Path(path).read_bytes()
    size = int.from_bytes(data[:8], "little")
    types = {"F64": "<f8", "F32": "<f4", "I64": "<i8", "I32": "<i4", "U8": "u1"}
    values = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name != "__metadata__":
            begin, end = (8 + size + offset for offset in entry["data_offsets"])
            values[name] = np.frombuffer(data[begin:end], types[entry["dtype"]]).reshape(entry["shape"]).astype(float)
    return values


class Checker:
    def __init__(self, fer, work):
        self.fer, self.work, self.files = fer, work, 0

    def convert(self, path, *flags):
        out = self.work / "out.safetensors"
        report = json.loads(run(self.fer, "convert", path, out, "--json", *flags))
        self.files += 1
        return report, values_of(out)

    def check(self, path, expected, *flags):
        report, values = self.convert(path, *flags)
        assert set(values) == set(expected), (path, set(values) ^ set(expected))
        for name, tensor in expected.items():
            wanted = tensor.detach().double().numpy()
            assert values[name].shape == wanted.shape and (values[name] == wanted).all(), (path, name)
        return report

    def save(self, value, name, **options):
        """Saves the value in both formats, with several protocols each."""
        for kind, zipped in (("zip", True), ("legacy", False)):
            for protocol in (2, 5) if zipped else (2, 4):
                path = self.work / f"{name}_{kind}_{protocol}.pth"
                torch.save(value, path, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol, **options)
                yield path


def check_objects(checker, net):
    state = {k: v.detach().clone() for k, v in net.state_dict().items()}
    for name, (value, inert) in beside(net).items():
        for path in checker.save({"epoch": 3, "state_dict": state, name: value}, name):
            report = checker.check(path, state)
            assert report["found_under"] == "state_dict", path
            assert not inert or any(inert in found for found in report["inert"]), (path, inert, report["inert"])
            assert inert or not report["inert"], (path, report["inert"])


def check_types(checker):
    kinds = tensors_of_every_type()
    for name, (tensor, values) in kinds.items():
        for path in checker.save({"w": torch.ones(2), name: tensor}, "type_" + name):
            expected = {"w": torch.ones(2)} | ({} if values is None else {name: values})
            report = checker.check(path, expected)
            skipped = [s for s in report["skipped"] if s.startswith(name + " (")]
            assert bool(skipped) == (values is None), (path, report["skipped"])


def check_modules(checker, net):
    state = {k: v.detach().clone() for k, v in net.state_dict().items()}
    other = {k: v + 1 for k, v in state.items()}
    for name, value, key in (("whole", net, ""), ("parallel", nn.DataParallel(net), ""),
                             ("yolo", {"epoch": 1, "model": net, "ema": net, "opt": None}, "model"),
                             ("average", {"average": Average(net)}, "average.module"),
                             ("pair", (state, {"lr": 0.1}), "0"), ("net", {"net": state, "acc": 91.2}, "net"),
                             ("deep", {"checkpoint": {"weights": state}}, "checkpoint.weights")):
        for path in checker.save(value, name):
            report = checker.check(path, state)
            assert report["found_under"] == key, (path, report["found_under"])
            assert bool(report.get("module")) == (name in ("whole", "parallel", "yolo", "average")), path
    for path in checker.save({"state_dict": state, "ema_state_dict": other}, "ema"):
        assert checker.check(path, state)["other_weights"] == ["ema_state_dict"], path
        checker.check(path, other, "--key", "ema_state_dict")
    for path in checker.save({"student." + k: v for k, v in state.items()}, "student"):
        checker.check(path, state, "--strip", "student.")
        code, error = fails(checker.fer, "convert", path, checker.work / "out.safetensors", "--strip", "teacher.")
        assert code == 1 and "no name begins with 'teacher.'" in error, error


def check_numpy(checker):
    arrays = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "f": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
              "n": np.arange(3), "b": np.array([True, False]), "h": np.ones(3, np.float16), "e": np.zeros((0, 2))}
    expected = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in arrays.items()}
    for protocol in (2, 3, 4, 5):
        path = checker.work / f"numpy_{protocol}.pkl"
        data = pickle.dumps({"model": arrays, "__author__": "someone"}, protocol=protocol)
        path.write_bytes(data)
        assert checker.check(path, expected)["format"] == "Python pickle"
        if protocol < 4:  # names are lines there, so replacing them gives the names of the other NumPy version
            for old, new in ((b"numpy._core.", b"numpy.core."), (b"numpy.core.", b"numpy._core.")):
                path.write_bytes(data.replace(old, new))
                checker.check(path, expected)


def check_refused(checker, net):
    out = checker.work / "out.safetensors"
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), checker.work / "script.pt")
    np.savez(checker.work / "arrays.npz", a=np.ones(2))
    for name, text in (("script.pt", "is a TorchScript program"), ("arrays.npz", "is a NumPy archive (.npz)")):
        code, error = fails(checker.fer, "convert", checker.work / name, out)
        assert code == 1 and text in error, error


class Runs:
    """An object that makes pickle run a command when it is loaded."""
    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        import os
        return os.system, (f"touch {self.proof}",)


def check_nothing_runs(checker, net):
    state = {k: v.detach().clone() for k, v in net.state_dict().items()}
    proof = checker.work / "ran"
    meter = RecorderMeter()
    meter.hidden = [Runs(proof)]
    for path in checker.save({"state_dict": state, "x": Runs(proof), "meter": meter, Runs(proof): 1}, "runs"):
        report = checker.check(path, state)
        assert "posix.system" in report["inert"], report
        assert not proof.exists(), path


def main():
    fer, work = sys.argv[1], pathlib.Path(sys.argv[2])
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    torch.manual_seed(1)
    checker = Checker(fer, work)
    net = network()
    check_types(checker)
    check_modules(checker, net)
    check_numpy(checker)
    check_refused(checker, net)
    check_nothing_runs(checker, net)
    check_objects(checker, net)
    print(f"PyTorch {torch.__version__}, NumPy {np.__version__}: {checker.files} files read as they should be")


if __name__ == "__main__":
    import warnings
    warnings.filterwarnings("ignore")
    main()
