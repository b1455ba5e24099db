"""Holds fer's POSTER against its reference in PyTorch: checkpoints in the layout that its authors publish, scores,
features and all gradients, in evaluation and in training.

  python3 check_poster.py MODEL_STEP WORK

The reference is tests/golden/poster_reference.py. Exit code 77 without PyTorch.
"""
import pathlib
import shutil
import sys

sys.dont_write_bytecode = True
for folder in ("golden", "onnx"):
    sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / folder))
try:
    import numpy
    import torch
except ImportError as error:
    print("skipped:", error)
    sys.exit(77)

from poster_reference import TINY, Poster, fill
from weight_files import run

TOLERANCE = 1e-9  # of float64, relative to the largest value of a tensor


class RecorderMeter:
    """Of the training programs of this family; it is in their checkpoints as an object."""

    def __init__(self):
        self.total_epoch, self.epoch_losses = 300, numpy.zeros((300, 2), numpy.float32)


def settings(config):
    text = {True: "true", False: "false"}
    for key, value in config.items():
        value = ",".join(map(str, value)) if isinstance(value, tuple) else text.get(value, value) \
            if isinstance(value, bool) else value
        yield f"{key}={value}"


def publish(net, path):
    """As their training saves it: DataParallel's names, beside an optimizer's state."""
    parallel = torch.nn.DataParallel(net)
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad])
    torch.save({"iter": 41, "model_state_dict": parallel.state_dict(), "optimizer_state_dict": optimizer.state_dict(),
                "recorder": RecorderMeter()}, path)


def check(program, work, name, config, count):
    config = dict(config, drop_path=0.0)
    net = Poster(**config)
    fill(net, name + "/")
    publish(net, work / f"{name}.pth")
    side, generator = net.config["image_size"], torch.Generator().manual_seed(1)
    image = torch.randn(count, 3, side, side, generator=generator)
    cotangent = torch.randn(count, net.config["classes"], generator=generator)
    torch.save({"image": image, "cotangent": cotangent}, work / f"{name}.input.pth")
    log = run(program, "poster", work / f"{name}.pth", work / f"{name}.input.pth", work / f"{name}.output.pth", *settings(config))
    fer = torch.load(work / f"{name}.output.pth", weights_only=True)
    net = net.double()
    worst, compared = {}, 0
    for mode in ("eval", "train"):
        net.train(mode == "train")
        net.zero_grad()
        scores, token = net(image.double())
        scores.backward(cotangent.double())
        wanted = {"scores": scores, "token": token}
        wanted |= {"grad." + key: p.grad for key, p in net.named_parameters() if p.grad is not None}
        assert {key for key in fer if key.startswith(mode)} == {f"{mode}.{key}" for key in wanted}, mode
        for key, value in wanted.items():
            error = ((fer[f"{mode}.{key}"] - value).abs().max() / value.abs().max().clamp(min=1)).item()
            kind = key.partition(".")[0]
            worst[kind] = max(worst.get(kind, 0), error)
            compared += 1
            assert error < TOLERANCE, (mode, key, error)
        assert scores.std() > 1e-3, "all scores alike, which proves nothing"
    parameters = sum(p.numel() for p in net.parameters())
    print(f"{name}: {parameters} parameters; {compared} tensors differ by at most",
          ", ".join(f"{error:.1e} ({kind})" for kind, error in worst.items()))
    assert "left aside (a counter that no result depends on)" in log and "missing" not in log, log


def main():
    program, work = sys.argv[1], pathlib.Path(sys.argv[2])
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    check(program, work, "tiny", TINY, 3)
    check(program, work, "whole_image", dict(TINY, image_size=32, unused=False, classes=8, mlp_ratio=3, depth=1), 2)
    # The authors' sizes, with two blocks of their eight.
    check(program, work, "authors", dict(depth=2), 2)


main()
