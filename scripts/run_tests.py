#!/usr/bin/python3
"""The stages behind scripts/test: build, run, count. Every count comes from what a test printed.

A stage NAME is the meson tests of the suite NAME, then the Python tests tests/NAME/test_*.py.
A folder tests/NAME with a program `run` counts by itself and leaves its counts in a file.
A C test program that says nothing in TAP counts as one test; one that dies, or that a sanitizer
stops, counts as one failure more than it had printed.
"""
import argparse
import glob
import json
import os
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# stage: (kind of build, ninja targets that its C tests need or None for everything, meson suites or None). The unit
# tests of a folder are also in a suite of its name, so `api`, `cli` and `cluster` name none: they would run those again.
STAGES = {
    "check": (None, None, None),
    "unit": ("asan", ["unit_tests", "fuzz_programs"], ["unit", "fuzz"]),
    "sim": ("release", "tests/sim/quiver-sim", "sim"),
    "model": (None, None, None),
    "recall": ("release", None, "recall"),
    "api": ("release", None, None),
    "api3": ("release", None, None),
    "cli": ("release", None, None),
    "crash": ("release", None, "crash"),
    "cluster": ("release", None, None),
    "clients": ("release", "quiverd", "clients"),
    "tsan": ("tsan", "unit_tests", "unit"),
    "tsan_cluster": ("tsan", ["quiverd", "quiver"], None),
}
# A stage that runs the Python tests of another one's folder, with its own build.
FOLDERS = {"tsan_cluster": "cluster"}
# The tests of the API once more, on a cluster of three nodes; without -k those that answers of several partitions could break.
# scripts/nightly runs all.
API3 = "test_query.|test_query_details|Recommend|TieTest|test_points.Points.|FiltersWithIndexes|Bm25|Collections|MapKeys|Restart|Selection"
DEFAULT = ["check", "unit", "sim", "model", "recall", "api", "api3", "cli", "crash", "cluster", "clients"]
BUILD_DIR = {"release": "build", "asan": "build-asan", "tsan": "build-tsan"}


class Count:
    def __init__(self, passed=0, failed=0, skipped=0):
        self.passed, self.failed, self.skipped = passed, failed, skipped

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def __str__(self):
        text = "%d passed, %d failed" % (self.passed, self.failed)
        return text + (", %d skipped" % self.skipped if self.skipped else "")


def count_program(result, stdout):
    """What one C test program did, from meson's verdict and its TAP lines."""
    count = Count()
    for line in stdout.splitlines():
        match = re.match(r"(not )?ok \d+(.*)", line)
        if not match:
            continue
        if re.match(r"\s*#\s*SKIP", match[2]):
            count.skipped += 1
        elif match[1]:
            count.failed += 1
        else:
            count.passed += 1
    if result == "SKIP":
        count.skipped += 1
    elif result != "OK" and count.failed == 0:
        count.failed = 1
    elif result == "OK" and count.passed + count.failed + count.skipped == 0:
        count.passed = 1
    return count


def meson_tests(build_dir, suite, word):
    """Names of the tests of a suite that contain the word."""
    listed = subprocess.run(
        ["meson", "introspect", "--tests", build_dir], stdout=subprocess.PIPE, check=True)
    return [test["name"] for test in json.loads(listed.stdout)
            if suite in [name.split(":")[-1] for name in test["suite"]] and word in test["name"]]


def run_meson(build_dir, suite, word):
    names = meson_tests(build_dir, suite, word)
    if not names:
        return Count()
    log = os.path.join(build_dir, "meson-logs", "testlog.json")
    if os.path.exists(log):
        os.unlink(log)
    subprocess.run(["meson", "test", "--no-rebuild", "--print-errorlogs", "--suite", suite,
                    "-C", build_dir] + (names if word else []))
    count = Count()
    seen = 0
    if os.path.exists(log):
        with open(log) as lines:
            for line in lines:
                test = json.loads(line)
                count.add(count_program(test["result"], test.get("stdout", "")))
                seen += 1
    if seen != len(names):
        print("%d of %d test programs left no result" % (len(names) - seen, len(names)))
        count.failed += len(names) - seen
    return count


def run_python(folder, build_dir, word, **more):
    """The Python tests of a folder, in a process of their own that leaves its counts in a file."""
    if not any(re.match(r"test_.*\.py$", name) for name in os.listdir(folder)):
        return Count()
    environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1", QUIVER_SOURCE_DIR=ROOT,
                       QUIVER_BUILD_DIR=build_dir, QUIVERD=os.path.join(build_dir, "quiverd"),
                       QUIVER=os.path.join(build_dir, "quiver"), **more)
    report = os.path.join(build_dir, "python-tests.json")
    races = sanitizer_reports(build_dir, environment)
    count = run_reporting(["/usr/bin/python3", "-u", os.path.join(ROOT, "tests", "run_python.py"),
                           folder, report, word], report, environment)
    for path in glob.glob(races + "*") if races else []:
        with open(path) as file:
            print("== %s\n%s" % (path, file.read()[:6000]))
        count.failed += 1
    return count


def sanitizer_reports(build_dir, environment):
    """Of the nodes that a test starts, under the thread sanitizer: into files, each of which is a failure. None: not built so."""
    if not build_dir.endswith(BUILD_DIR["tsan"]):
        return None
    reports = os.path.join(build_dir, "race.")
    for path in glob.glob(reports + "*"):
        os.unlink(path)
    environment.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1",
                       TSAN_OPTIONS="halt_on_error=0:suppressions=%s:log_path=%s" % (
                           os.path.join(ROOT, "tests", "tsan.supp"), reports[:-1]))
    return reports


def run_own(folder, build_dir, word):
    """A stage that is a program of its own: tests/clients/run."""
    report = os.path.join(build_dir, "own-tests.json")
    return run_reporting([os.path.join(folder, "run"), "--report", report, "-k", word], report,
                         dict(os.environ, QUIVERD=os.path.join(build_dir, "quiverd")))


def run_reporting(command, report, environment):
    """Runs a program that leaves its counts in the file `report`."""
    if os.path.exists(report):
        os.unlink(report)
    subprocess.run(command, env=environment)
    try:
        with open(report) as file:
            counts = json.load(file)
    except (OSError, ValueError):
        print("%s ended without a result" % " ".join(command))
        return Count(failed=1)
    return Count(counts["passed"], counts["failed"], counts["skipped"])


def run_stage(stage, word):
    kind, target, suite = STAGES[stage]
    build_dir = os.path.join(ROOT, BUILD_DIR.get(kind, "build"))
    os.makedirs(build_dir, exist_ok=True)
    count = Count()
    if kind:
        targets = [target] if isinstance(target, str) else target or []
        build = [os.path.join(ROOT, "scripts", "build"), kind] + targets
        start = time.monotonic()
        if subprocess.run(build).returncode != 0:
            print("== %s: the build failed (%s)" % (stage, " ".join(build[1:])))
            return Count(failed=1)
        print("== %s: built in %.0f s" % (stage, time.monotonic() - start))
        for name in [suite] if isinstance(suite, str) else suite or []:
            count.add(run_meson(build_dir, name, word))
    folder = os.path.join(ROOT, "tests", FOLDERS.get(stage, stage))
    if stage == "api3":
        count.add(run_python(os.path.join(ROOT, "tests", "api"), build_dir, word or API3, QUIVER_API_NODES="3"))
    elif os.path.exists(os.path.join(folder, "run")):
        count.add(run_own(folder, build_dir, word))
    elif os.path.isdir(folder):
        count.add(run_python(folder, build_dir, word))
    return count


def main():
    parser = argparse.ArgumentParser(prog="scripts/test", description=__doc__)
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=" ".join(STAGES))
    parser.add_argument("-k", default="", metavar="WORD", help="only tests with WORD in the name")
    options = parser.parse_args()
    unknown = [stage for stage in options.stages if stage not in STAGES]
    if unknown:
        parser.error("no such stage: %s (there are: %s)" % (" ".join(unknown), " ".join(STAGES)))

    os.chdir(ROOT)
    total = Count()
    summary = []
    for stage in options.stages or DEFAULT:
        print("== %s" % stage)
        start = time.monotonic()
        count = run_stage(stage, options.k)
        line = "%-8s %s  (%.0f s)" % (stage, count, time.monotonic() - start)
        print("== " + line)
        summary.append(line)
        total.add(count)
    print("\n" + "\n".join(summary))
    if total.skipped:
        print("%d skipped" % total.skipped)
    print("%d passed, %d failed" % (total.passed, total.failed))
    return 0 if total.failed == 0 and total.passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
