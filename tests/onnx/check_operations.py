"""Holds operations as ONNX nodes against fer's values, in ONNX Runtime.

  python3 check_operations.py TEST_GRAPH WORK

TEST_GRAPH writes the models (tests/graph/onnx_operations_test.cpp). Exit code 77 without ONNX Runtime.
"""
import os
import pathlib
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
    onnx = None  # its checker is run where it is there

from weight_files import read_safetensors

TOLERANCE = 1e-5


def main():
    program, work = sys.argv[1], pathlib.Path(sys.argv[2])
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    subprocess.run([program, "-tc=onnx: operations*"], env={**os.environ, "FER_ONNX_FOLDER": str(work)}, check=True,
                   stdout=subprocess.DEVNULL)
    models = sorted(work.glob("*.onnx"))
    assert models, "no model was written"
    for path in models:
        if onnx is not None:
            onnx.checker.check_model(onnx.load(path), full_check=True)
        values = dict(read_safetensors(path.with_suffix(".safetensors"))[1])
        wanted = values.pop("y")
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        types = {i.name: np.uint8 if i.type == "tensor(uint8)" else np.float32 for i in session.get_inputs()}
        assert types.keys() == values.keys(), path.name
        worst = 0.0
        for count in (len(wanted), 1):  # all images, and the first alone
            got = session.run(None, {name: value[:count].astype(types[name]) for name, value in values.items()})[0]
            error = abs(got - wanted[:count]).max()
            assert got.shape == wanted[:count].shape and error < TOLERANCE, f"{path.name}: {error}"
            worst = max(worst, error)
        assert wanted.std() > 1e-3, f"{path.name}: all values alike, which proves nothing"
        print(f"{path.stem}: differs by {worst:.1e}")


if __name__ == "__main__":
    main()
