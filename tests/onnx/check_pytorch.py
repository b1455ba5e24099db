"""Loads PyTorch checkpoints of the built program into the reference implementation and compares their predictions.

  python3 check_pytorch.py FER WORK [WEIGHTS.safetensors...]

The reference is reference.py in $FER_GOLDEN_DIR, or else in ../shared/golden beside the source tree. Without weights:
tiny and tiny_extras. Exit code 77 without the reference or PyTorch.
"""
import json
import os
import pathlib
import shutil
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = pathlib.Path(os.environ.get("FER_GOLDEN_DIR") or ROOT.parent / "shared" / "golden")
if not (FOLDER / "reference.py").exists():
    print(f"skipped: no reference.py in '{FOLDER}' (FER_GOLDEN_DIR)")
    sys.exit(77)
sys.dont_write_bytecode = True
sys.path.append(str(FOLDER))
try:
    import numpy
    import torch
    import reference
except ImportError as error:
    print("skipped:", error)
    sys.exit(77)

from weight_files import draw_faces, normalised, predict, randomise, run, train

TOLERANCE = 1e-4
# Settings of fer's model that the reference's attention takes under the same name.
ATTENTION = ("dim", "heads", "depth", "mlp_ratio", "heatmap", "product", "cross", "pos_embed", "qkv_bias", "pre_norm",
             "final_norm", "se_gate")


def reference_network(config):
    """The reference's network of a fer configuration; strides other than its own are set by hand."""
    net = reference.FERNet(config["classes"], config["stem"], config["widths"], config["units"], config["lm_width"],
                           config["lm_units"], **{key: config[key] for key in ATTENTION}).eval()
    net.image_backbone.input_layer[0].stride = (config["stem_stride"],) * 2
    first = 0
    for count, stride in zip(config["units"], config["strides"]):
        unit = net.image_backbone.body[first]
        unit.res_layer[3].stride = (stride, stride)
        if isinstance(unit.shortcut_layer, torch.nn.MaxPool2d):
            unit.shortcut_layer.stride = stride
        else:
            unit.shortcut_layer[0].stride = (stride, stride)
        first += count
    return net


def compare(name, fer, weights, work, files, pixels):
    checkpoint = work / f"{name}.pth"
    run(fer, "convert", weights, checkpoint)
    file = torch.load(checkpoint, weights_only=True)
    net = reference_network(json.loads(file["metadata"]["config"])["model"])
    result = net.load_state_dict(file["state_dict"], strict=False)
    missing = [k for k in result.missing_keys if not k.endswith("num_batches_tracked")]
    head = ("conv_45.", "conv_5.", "conv_6_sep.", "output_layer.")
    foreign = [k for k in result.unexpected_keys
               if not k.startswith(tuple("landmark_backbone." + part for part in head))]
    assert not missing and not foreign, (missing, foreign)
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
