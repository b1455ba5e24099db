"""Loads PyTorch checkpoints of the built program into the reference network and compares their predictions.

  python3 check_pytorch.py FER WORK [WEIGHTS.safetensors...]

The network is tests/golden/reference.py. Without weights: tiny and tiny_extras. Exit code 77 without PyTorch.
"""
import json
import pathlib
import shutil
import sys

sys.dont_write_bytecode = True
sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "golden"))
try:
    import numpy
    import torch
    import reference
except ImportError as error:
    print("skipped:", error)
    sys.exit(77)

from weight_files import draw_faces, normalised, predict, randomise, run, train

TOLERANCE = 1e-4


def compare(name, fer, weights, work, files, pixels):
    checkpoint = work / f"{name}.pth"
    run(fer, "convert", weights, checkpoint)
    file = torch.load(checkpoint, weights_only=True)
    net = reference.FERNet(**json.loads(file["metadata"]["config"])["model"]).eval()
    result = net.load_state_dict(file["state_dict"], strict=False)
    missing = [name for name in result.missing_keys if not name.endswith("num_batches_tracked")]
    assert not missing and not result.unexpected_keys, (missing, result.unexpected_keys)
    with torch.no_grad():
        probabilities = torch.softmax(net.double()(torch.from_numpy(normalised(pixels)).double())[0], 1).numpy()
    _, wanted = predict(fer, weights, files)
    error = abs(probabilities - wanted).max()
    print(f"{name}: {len(file['state_dict'])} tensors, probabilities differ by {error:.2e}")
    assert error < TOLERANCE, name


def main():
    fer, work = sys.argv[1], pathlib.Path(sys.argv[2])
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    files, pixels = draw_faces(fer, work / "faces")
    for weights in sys.argv[3:]:
        compare(pathlib.Path(weights).stem, fer, weights, work, files, pixels)
    if len(sys.argv) > 3:
        return
    for name, flags in (("tiny", []), ("tiny_extras", ["--lm-head", "true"])):
        trained = train(fer, work / name, name, flags)
        compare(name, fer, randomise(trained, work / f"{name}.safetensors"), work, files, pixels)


main()
