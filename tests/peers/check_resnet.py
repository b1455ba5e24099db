"""Holds fer's ResNet-18 against torchvision's: its state under its own names, scores, features and all gradients, in
evaluation and in training, in float64.

  python3 check_resnet.py MODEL_STEP WORK

Exit code 77 without PyTorch and torchvision.
"""
import pathlib
import shutil
import sys

sys.dont_write_bytecode = True
sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "onnx"))
try:
    import torch
    import torchvision
except ImportError as error:
    print("skipped:", error)
    sys.exit(77)

from weight_files import run

TOLERANCE = 1e-9  # relative to the largest value of a tensor
CLASSES, COUNT, SIDE = 5, 3, 70  # 70: every stride meets an odd size


def randomise(net):
    """Values that hide nothing: no zero biases, no unit scales."""
    generator = torch.Generator().manual_seed(1)
    for name, tensor in net.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5, generator=generator)
        elif tensor.is_floating_point() and tensor.dim() == 1:
            tensor.add_(0.2 * torch.randn(tensor.shape, generator=generator))


def main():
    program, work = sys.argv[1], pathlib.Path(sys.argv[2])
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    torch.manual_seed(1)
    net = torchvision.models.resnet18(num_classes=CLASSES)
    randomise(net)
    torch.save(net.state_dict(), work / "resnet18.pth")
    image, cotangent = torch.randn(COUNT, 3, SIDE, SIDE), torch.randn(COUNT, CLASSES)
    torch.save({"image": image, "cotangent": cotangent}, work / "input.pth")
    run(program, "resnet18", work / "resnet18.pth", work / "input.pth", work / "output.pth", f"classes={CLASSES}",
        f"image_size={SIDE}")
    fer = torch.load(work / "output.pth", weights_only=True)
    net = net.double()
    features = {}
    net.avgpool.register_forward_hook(lambda module, inputs, output: features.update(token=output.flatten(1)))
    worst = 0
    for mode in ("eval", "train"):
        net.train(mode == "train")
        net.zero_grad()
        scores = net(image.double())
        scores.backward(cotangent.double())
        wanted = {"scores": scores, "token": features["token"]}
        wanted |= {"grad." + key: p.grad for key, p in net.named_parameters()}
        assert {key for key in fer if key.startswith(mode)} == {f"{mode}.{key}" for key in wanted}, mode
        for key, value in wanted.items():
            error = ((fer[f"{mode}.{key}"] - value).abs().max() / value.abs().max().clamp(min=1)).item()
            worst = max(worst, error)
            assert error < TOLERANCE, (mode, key, error)
        assert scores.std() > 1e-3, "all scores alike, which proves nothing"
    print(f"resnet18: {len(fer)} tensors differ by at most {worst:.1e}")


main()
