#!/usr/bin/python3
"""What quantised collections keep in memory: the process after a restart and searches, by kind of page.

    bench/memory.py [BUILD]                     BUILD: folder with quiverd (default: build)
    bench/memory.py --points 5000 --dim 128     smaller: to see that it works, not for figures

One server for each form of a collection: as it is, scalar and binary codes, each with the vectors mapped and on disk. All have
the same points in clusters. "code + links" is anonymous memory: what must stay. Mapped pages are the system's to take back.
Recall is among the ten nearest, against an exact search. Prints Markdown.
"""
import argparse
import os
import struct
import tempfile

import numpy

from edge import BATCH, CLUSTERS, K, ROOT, Node, answers, searches

FORMS = (("32-bit floats", {}, {}), ("`scalar`", {"scalar": {"type": "int8"}}, {}), ("`binary`", {"binary": {}}, {}),
         ("`on_disk`", {}, {"on_disk": True}), ("`scalar`, `on_disk`", {"scalar": {"type": "int8"}}, {"on_disk": True}),
         ("`binary`, `on_disk`", {"binary": {}}, {"on_disk": True}))


def megabytes(node, name):
    with open("/proc/%d/smaps_rollup" % node.process.pid) as file:
        return sum(int(line.split()[1]) for line in file if line.startswith(name + ":")) / 1024


def fill(node, rows, quantization, more):
    body = {"vectors": dict({"size": rows.shape[1], "distance": "Cosine"}, **more), "hnsw_config": {"m": 16, "ef_construct": 60}}
    if quantization:
        body["quantization_config"] = quantization
    node.call("PUT", "", body)
    for at in range(0, len(rows), BATCH // 5):
        part = rows[at:at + BATCH // 5]
        node.call("PUT", "/points?wait=true", struct.pack("<4sIIIB47x", b"QVB1", 0, len(part), part.shape[1], 0)
                  + numpy.arange(at, at + len(part), dtype="<u8").tobytes() + part.astype("<f4").tobytes(),
                  "application/octet-stream")
    node.idle()


def measure(build, rows, queries, form):
    name, quantization, more = form
    with tempfile.TemporaryDirectory(prefix="quiver-memory-") as folder:
        node = Node(build, folder)
        try:
            fill(node, rows, quantization, more)
            truth = answers(node, searches(queries, False, {"exact": True}))
        finally:
            node.close()
        node = Node(build, folder)
        try:
            node.idle()
            found = answers(node, searches(queries, False, {"hnsw_ef": 128}))
            recall = sum(len(a & b) for a, b in zip(found, truth)) / (K * len(truth))
            anonymous = megabytes(node, "Anonymous")
            print("| %-19s | %9.0f | %6.0f | %.4f |" % (name, anonymous, megabytes(node, "Rss") - anonymous, recall), flush=True)
        finally:
            node.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", nargs="?", default=os.path.join(ROOT, "build"))
    parser.add_argument("--points", type=int, default=50000)
    parser.add_argument("--dim", type=int, default=768)
    options = parser.parse_args()
    rng = numpy.random.default_rng(5)
    centres = rng.standard_normal((CLUSTERS, options.dim), dtype=numpy.float32)

    def draw(n):
        return centres[rng.integers(0, CLUSTERS, n)] + 0.7 * rng.standard_normal((n, options.dim), dtype=numpy.float32)
    rows, queries = draw(options.points), draw(500)
    print("%d x %d-d; the vectors alone are %.0f MB. MB in memory after a restart and %d searches, recall@%d at hnsw_ef 128\n\n"
          "| form                | anonymous | mapped | recall |\n|---------------------|----------:|-------:|-------:|"
          % (options.points, options.dim, rows.nbytes / 2**20, len(queries), K))
    for form in FORMS:
        measure(options.build, rows, queries, form)


if __name__ == "__main__":
    main()
