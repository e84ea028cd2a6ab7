#!/usr/bin/python3
"""python_faiss.py RECALL_INDEX: files written by vindex_save open with FAISS's own reader, in Debian's
Python package, and give the same neighbours there. Exits with 77 (skipped) without that package."""
import glob
import os
import subprocess
import sys
import tempfile

try:
    import faiss
    import numpy
except ImportError as missing:
    print("skipped:", missing)
    sys.exit(77)

K = 10
# Manhattan beyond flat is a Euclidean index whose candidates are re-scored, which FAISS does not do.
FLOORS = {"flat": 1.0, "hnsw": 0.99, "hnsw-m-8": 0.98, "hnsw-sq8": 0.99, "hnsw-1bit": 0.99, "ivf": 1.0, "ivf-sq8": 0.9, "ivf-pq": 0.5}


def main():
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.argv[1], "--export", folder], check=True)
        for path in sorted(glob.glob(os.path.join(folder, "*.index"))):
            name = os.path.basename(path)[: -len(".index")]
            kind, distance = name.rsplit("-", 1)
            if distance == "Manhattan" and kind != "flat":
                continue
            index = faiss.read_index(path)
            queries = numpy.fromfile(path[:-5] + "queries", dtype=numpy.float32)
            queries = queries.reshape(-1, index.d)
            truth = numpy.fromfile(path[:-5] + "truth", dtype=numpy.uint64).reshape(-1, K)
            if kind.startswith("hnsw"):
                index.hnsw.efSearch = 400
            if kind.startswith("ivf"):
                index.nprobe = index.nlist
            labels = index.search(queries, K)[1]
            same = sum(len(set(a) & set(b)) for a, b in zip(labels.tolist(), truth.tolist()))
            recall = same / truth.size
            good = recall >= FLOORS[kind]
            failed += not good
            print("%-20s %6d rows, recall %.4f %s" %
                  (name, index.ntotal, recall, "" if good else "BELOW %.2f" % FLOORS[kind]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
