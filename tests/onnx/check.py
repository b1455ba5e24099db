"""Compares ONNX exports of the built program, run in ONNX Runtime, with the program's own predictions.

  python3 check.py FER WORK [PRESET...]

Without presets: tiny and its variants, which together use every switch of the model. A weight file in place of a preset
is used as it is. Exit code 77 without ONNX Runtime.
"""
import json
import pathlib
import re
import shutil
import subprocess
import sys

try:
    import numpy as np
    import onnxruntime
except ImportError as error:
    print("skipped:", error)
    sys.exit(77)
try:
    import onnx
except ImportError:
    onnx = None  # its checker is optional
try:
    import PIL
except ImportError:
    PIL = None  # the example in docs/exporting.md reads its picture with it

from weight_files import draw_faces, fails, predict, randomise, read_safetensors, run, train, write_safetensors

TOLERANCE = 1e-4
ROOT = pathlib.Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "weights" / "small-ferplus.safetensors"
# Name, preset and flags.
CASES = [
    ("tiny", "tiny", []),
    ("tiny_sum", "tiny_sum", []),
    ("tiny_abs_sum", "tiny_abs_sum", []),
    ("tiny_no_product", "tiny_no_product", []),
    ("tiny_no_cross", "tiny_no_cross", []),
    ("tiny_extras", "tiny_extras", []),
    ("no_cross_extras", "tiny_extras", ["--cross", "false", "--depth", "1", "--se-gate", "false"]),
    ("grey", "tiny", ["--colour", "grey"]),
    ("grey_unit_input", "tiny", ["--colour", "grey", "--lm-unit-input", "true"]),
    ("unit_input", "tiny", ["--lm-unit-input", "true", "--stem-stride", "2", "--strides", "2,2,1", "--lm-head", "true",
                            "--depth", "3", "--qkv-bias", "true"]),
]


def check_model(path, expected_classes):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["image"]
    assert [o.name for o in session.get_outputs()] == ["scores", "probabilities"]
    image = session.get_inputs()[0]
    assert image.type == "tensor(uint8)" and image.shape[1:] == [112, 112, 3] and isinstance(image.shape[0], str)
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["classes"]) == expected_classes
    expects = json.loads(metadata["input"])
    assert expects["mean"] == [0.485, 0.456, 0.406] and expects["std"] == [0.229, 0.224, 0.225]
    assert expects["size"] == 112
    if onnx is not None:
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        assert model.SerializeToString(deterministic=True) == pathlib.Path(path).read_bytes()
    return session, expects["colour"]


def compare(name, fer, weights, work, files, pixels):
    path = str(work / f"{name}.onnx")
    run(fer, "convert", weights, path)
    classes, wanted = predict(fer, weights, files)
    session, colour = check_model(path, classes)
    scores, probabilities = session.run(None, {"image": pixels})
    alone = session.run(["probabilities"], {"image": pixels[:1]})[0]
    error = max(abs(probabilities - wanted).max(), abs(alone[0] - wanted[0]).max())
    # Scores up to a constant, which the softmax removes.
    log = np.log(wanted)
    score_error = abs((scores - scores.mean(1, keepdims=True)) - (log - log.mean(1, keepdims=True))).max()
    # Grey bytes: a network that expects grey converts a colour picture to grey; another network does not.
    r, g, b = (pixels[..., c].astype(np.int64) for c in range(3))
    grey = ((19595 * r + 38470 * g + 7471 * b + 32768) >> 16).astype(np.uint8)[..., None].repeat(3, 3)
    of_grey = session.run(["probabilities"], {"image": grey})[0]
    assert (of_grey == probabilities).all() == (colour == "grey"), f"{name}: expects {colour}"
    spread = wanted.std()
    print(f"{name}: probabilities differ by {error:.2e}, scores by {score_error:.2e}; "
          f"probabilities {wanted.min():.3f} to {wanted.max():.3f}")
    assert error < TOLERANCE and score_error < TOLERANCE, name
    assert spread > 1e-3, f"{name}: all probabilities alike, which proves nothing"


def check_example(fer, work):
    """Runs the program of docs/exporting.md, verbatim, on a colour picture that it has to resize."""
    run(fer, "faces", "--out", work / "large", "--identities", 1, "--per-identity", 1, "--size", 200)
    face = next((work / "large").glob("*/*.png"))
    shutil.copy(face, work / "face.png")
    run(fer, "convert", SHIPPED, work / "model.onnx")
    page = (ROOT / "docs" / "exporting.md").read_text()
    program = re.search(r"```python\n(import json.*?)```", page, re.DOTALL).group(1)
    done = subprocess.run([sys.executable, "-c", program], cwd=work, capture_output=True, text=True, check=True)
    name, probability = done.stdout.split()
    names, wanted = predict(fer, SHIPPED, [face])
    print(f"docs/exporting.md: {done.stdout.strip()}, fer predict: {names[wanted[0].argmax()]} {wanted[0].max():.6f}")
    assert name == names[wanted[0].argmax()] and abs(float(probability) - wanted[0].max()) < TOLERANCE


def main():
    fer, work = sys.argv[1], pathlib.Path(sys.argv[2])
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    files, pixels = draw_faces(fer, work / "faces")
    given = sys.argv[3:]
    cases = [(pathlib.Path(g).stem, g, []) for g in given] if given else CASES
    for name, source, flags in cases:
        weights = source
        if not source.endswith(".safetensors"):
            trained = train(fer, work / name, source, flags)
            weights = randomise(trained, work / f"{name}.safetensors")
        compare(name, fer, weights, work, files, pixels)
    if not given:
        compare("small_ferplus", fer, SHIPPED, work, files, pixels)
        if PIL is not None:
            check_example(fer, work)
        bare = work / "bare.safetensors"
        write_safetensors(bare, {"format": "pt"}, read_safetensors(work / "tiny.safetensors")[1])
        code, message = fails(fer, "convert", bare, work / "bare.onnx")
        assert code == 1 and "does not say of which network" in message, message
        assert not (work / "bare.onnx").exists()


main()
