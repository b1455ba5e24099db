"""Helpers of the checks against other tools: a tiny network of the built program, its weights random; drawn faces."""
import json
import math
import pathlib
import struct
import subprocess
import sys
import zlib

import numpy as np

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def run(*command):
    """Output of a command that must succeed."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def fails(*command):
    """Exit code and message of a command that must fail."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    assert done.returncode != 0, command
    return done.returncode, done.stderr


def train(fer, folder, preset, flags=()):
    """Trains for one step: a weight file with everything that `fer train` writes."""
    run(fer, "train", "--preset", preset, "--run-dir", folder, "--train-identities", 5, "--test-identities", 1,
        "--faces-per-identity", 7, "--epochs", 1, "--max-steps", 1, "--batch-size", 4, "--landmark-epochs", 1,
        "--landmark-identities", 2, "--validation", 0.2, "--quiet", *flags)
    return pathlib.Path(folder) / "best.safetensors"


def read_safetensors(path):
    """Header and values; only float32, the type of weights."""
    data = pathlib.Path(path).read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    values = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        assert entry["dtype"] == "F32", (name, entry["dtype"])
        begin, end = (8 + size + offset for offset in entry["data_offsets"])
        values[name] = np.frombuffer(data[begin:end], "<f4").reshape(entry["shape"])
    return header.get("__metadata__", {}), values


def write_safetensors(path, metadata, values):
    header, offset = {"__metadata__": metadata}, 0
    for name, value in values.items():
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [offset, offset + value.nbytes]}
        offset += value.nbytes
    text = json.dumps(header).encode()
    body = b"".join(np.ascontiguousarray(v, "<f4").tobytes() for v in values.values())
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + body)


def randomise(source, target, seed=1):
    """Replaces every value, so that no zero bias, unit variance or equal slope hides an error."""
    metadata, values = read_safetensors(source)
    metadata.pop("crc32", None)  # of the values before
    rng = np.random.default_rng(seed)
    fresh = {}
    for name, value in values.items():
        u = rng.uniform(-1, 1, value.shape)
        if value.ndim == 2 or value.ndim == 4:
            u *= math.sqrt(3 / math.prod(value.shape[1:]))
        elif name.endswith("running_var") or name.endswith("norm.weight") or name.endswith("bn.weight"):
            u = 1 + 0.2 * u
        elif name.endswith("weight"):
            u = 0.5 + 0.3 * u  # of norms and PReLU
        else:
            u *= 0.3  # biases, running means, class tokens, positions
        fresh[name] = u.astype("<f4")
    write_safetensors(target, metadata, fresh)
    return target


def read_png(path):
    """H x W x 3 bytes of an 8-bit RGB PNG without interlace, the format that `fer faces` writes."""
    data = pathlib.Path(path).read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    position, packed = 8, b""
    while position < len(data):
        size, kind = struct.unpack(">I4s", data[position:position + 8])
        chunk = data[position + 8:position + 8 + size]
        position += 12 + size
        if kind == b"IHDR":
            width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", chunk)
            assert (depth, colour, interlace) == (8, 2, 0)
        elif kind == b"IDAT":
            packed += chunk
    rows = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, 1 + 3 * width)
    image = np.zeros((height, width, 3), np.int64)
    for y in range(height):
        unfilter(int(rows[y, 0]), rows[y, 1:].reshape(width, 3), image, y)
    return image.astype(np.uint8)


def unfilter(kind, row, image, y):
    none = np.zeros(3, np.int64)
    for x in range(row.shape[0]):
        left = image[y, x - 1] if x else none
        above = image[y - 1, x] if y else none
        corner = image[y - 1, x - 1] if x and y else none
        p = left + above - corner
        distances = [abs(p - left), abs(p - above), abs(p - corner)]
        paeth = np.where((distances[0] <= distances[1]) & (distances[0] <= distances[2]), left,
                         np.where(distances[1] <= distances[2], above, corner))
        image[y, x] = (row[x] + (none, left, above, (left + above) // 2, paeth)[kind]) % 256


def draw_faces(fer, folder, count=3):
    """Drawn faces of the network's size, in colour: their files, and their bytes N x 112 x 112 x 3."""
    run(fer, "faces", "--out", folder, "--identities", 1, "--per-identity", count)
    files = sorted(pathlib.Path(folder).glob("*/*.png"))
    assert len(files) == count
    return files, np.stack([read_png(f) for f in files])


def normalised(pixels):
    """The input of a network of fer, N x 3 x S x S, for bytes N x S x S x 3."""
    return ((pixels.astype(np.float64) / 255 - MEAN) / STD).transpose(0, 3, 1, 2).astype(np.float32)


def predict(fer, weights, files):
    """Class names, and fer's own probabilities N x K."""
    answers = json.loads(run(fer, "predict", "--weights", weights, "--crop", "none", "--json", *files))
    rows = [answer["faces"][0]["probabilities"] for answer in answers]
    return list(rows[0]), np.array([list(row.values()) for row in rows])
