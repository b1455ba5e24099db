"""Reads event files of the built program with TensorBoard.

  python3 check_tensorboard.py FER WORK

Exit code 77 without TensorBoard.
"""
import json
import pathlib
import shutil
import subprocess
import sys

try:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
except ImportError as error:
    print("skipped:", error)
    sys.exit(77)


def run(*arguments):
    return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout


def scalars(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}, events


def check_against_log(found, lines, stage, prefix):
    steps = [l for l in lines if l["kind"] == "step" and l["stage"] == stage]
    epochs = [l for l in lines if l["kind"] == "epoch" and l["stage"] == stage]
    assert steps and epochs
    wanted = {prefix + "train/loss": [(l["step"], l["loss"]) for l in steps],
              prefix + "train/learning_rate": [(l["step"], l["lr"]) for l in steps],
              prefix + "epoch/train_loss": [(l["step"], l["train_loss"]) for l in epochs]}
    for name in steps[0]["parts"]:
        wanted[f"{prefix}train/{name}"] = [(l["step"], l["parts"][name]) for l in steps]
    for name in epochs[0]["figures"]:
        wanted[f"{prefix}validation/{name}"] = [(l["step"], l["figures"][name]) for l in epochs]
    for tag, points in wanted.items():
        assert [s for s, _ in found[tag]] == [s for s, _ in points], tag
        assert all(abs(a - b) <= 1e-6 * max(1, abs(b)) for (_, a), (_, b) in zip(found[tag], points)), tag
    print(f"{prefix or 'expressions '}{len(wanted)} tags, {sum(map(len, wanted.values()))} points agree")


def main():
    fer, work = sys.argv[1], pathlib.Path(sys.argv[2])
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    folder = work / "run"
    run(fer, "train", "--preset", "tiny", "--run-dir", folder, "--train-identities", "4", "--test-identities", "1",
        "--faces-per-identity", "7", "--epochs", "2", "--landmark-epochs", "1", "--batch-size", "7",
        "--landmark-batch-size", "14", "--validation", "0.25", "--tensorboard", "--quiet")
    lines = [json.loads(l) for l in (folder / "metrics.jsonl").read_text().splitlines()]

    # Files written by training: one folder for the expressions, with a subfolder for each backbone's own training.
    live, _ = scalars(folder / "tensorboard")
    check_against_log(live, lines, "", "")
    for stage in ("landmarks", "image"):
        below, _ = scalars(folder / "tensorboard" / stage)
        check_against_log(below, lines, stage, f"{stage}/")

    # The file that fer report writes afterwards: both in one file.
    run(fer, "report", folder, "--tensorboard", work / "events")
    later, events = scalars(work / "events/run")
    check_against_log(later, lines, "", "")
    for stage in ("landmarks", "image"):
        check_against_log(later, lines, stage, f"{stage}/")
    assert events.file_version == 2.0
    times = [e.wall_time for e in events.Scalars("train/loss")]
    assert times == sorted(times) and times[0] > 1.5e9, times

    # The TensorBoard program, as a user starts it.
    inspected = run(sys.executable, "-m", "tensorboard.main", "--inspect", "--logdir", work / "events")
    assert "train/loss" in inspected and "validation/accuracy" in inspected, inspected
    print("tensorboard --inspect lists the tags")


main()
