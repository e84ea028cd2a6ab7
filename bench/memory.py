#!/usr/bin/python3
"""What quantised collections keep in memory: the process after a restart and searches, by kind of page.

    bench/memory.py [BUILD]                     BUILD: folder with quiverd (default: build)
    bench/memory.py --points 5000 --dim 128     smaller: to see that it works, not for figures

One server for each form of a collection: as it is, scalar and binary codes, each with the vectors mapped and on disk. All have
the same points in clusters. Anonymous memory must stay; mapped pages are the system's to take back, and the program is among
them. Recall is among the ten nearest, against an exact search before the restart. The last column is the processor time of the
server for one search, the best of ROUNDS. Prints Markdown.
"""
import argparse
import array
import json
import os
import random
import struct
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CLUSTERS, QUERIES, K, EF, BATCH, ROUNDS = 200, 500, 10, 128, 1000, 3
FORMS = (("none", {}, {}), ("`scalar`", {"scalar": {"type": "int8"}}, {}), ("`binary`", {"binary": {}}, {}),
         ("`on_disk`", {}, {"on_disk": True}), ("`scalar`, `on_disk`", {"scalar": {"type": "int8"}}, {"on_disk": True}),
         ("`binary`, `on_disk`", {"binary": {}}, {"on_disk": True}))


class Points:
    """Rows around centres, with noise of 1.2 times their own deviation."""

    def __init__(self, dim):
        self.rng = random.Random(5)
        self.dim = dim
        self.centres = [[self.rng.gauss(0, 40) for _ in range(dim)] for _ in range(CLUSTERS)]

    def draw(self, n):
        """n rows, one after the other."""
        rows = array.array("f")
        for _ in range(n):
            noise = array.array("b", self.rng.randbytes(self.dim))
            rows.extend(c + 0.65 * x for c, x in zip(self.rng.choice(self.centres), noise))
        return rows


def call(server, method, path, body, kind="application/json"):
    answer = server.call(method, "/collections/memory" + path, body, headers={"Content-Type": kind}, raw=True)
    if answer.status != 200:
        raise SystemExit("%s %s: %r" % (method, path, answer))
    return answer.json["result"]


def idle(server, n):
    """Waits until nothing is built any more."""
    while True:
        info = call(server, "GET", "", None)
        if info["status"] == "green" and info["indexed_vectors_count"] == n:
            return
        time.sleep(0.5)


def search(server, queries, params):
    found = []
    for query in queries:
        body = {"query": query, "limit": K, "params": params}
        found.append({p["id"] for p in call(server, "POST", "/points/query", json.dumps(body).encode())["points"]})
    return found


def cpu_seconds(server):
    with open("/proc/%d/stat" % server.process.pid) as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def megabytes(server, name):
    with open("/proc/%d/smaps_rollup" % server.process.pid) as file:
        return sum(int(line.split()[1]) for line in file if line.startswith(name + ":")) / 1024


def fill(server, batches, dim, form):
    _, quantization, more = form
    body = {"vectors": dict({"size": dim, "distance": "Cosine"}, **more), "hnsw_config": {"m": 16, "ef_construct": 60}}
    if quantization:
        body["quantization_config"] = quantization
    call(server, "PUT", "", body)
    for i, rows in enumerate(batches):
        n = len(rows) // dim
        call(server, "PUT", "/points?wait=true", struct.pack("<4sIIIB47x", b"QVB1", 0, n, dim, 0)
             + struct.pack("<%dQ" % n, *range(i * BATCH, i * BATCH + n)) + rows.tobytes(), "application/octet-stream")


def measure(new_server, batches, queries, form):
    dim, n = len(queries[0]), sum(len(rows) for rows in batches) // len(queries[0])
    with tempfile.TemporaryDirectory(prefix="quiver-memory-") as folder:
        server = new_server(folder=folder)
        server.described = False
        try:
            fill(server, batches, dim, form)
            idle(server, n)
            truth = search(server, queries, {"exact": True})
            server.stop()
            server.start()
            idle(server, n)
            found = search(server, queries, {"hnsw_ef": EF})
            anonymous = megabytes(server, "Anonymous")
            mapped = megabytes(server, "Rss") - anonymous
            times = []
            for _ in range(ROUNDS):
                before = cpu_seconds(server)
                search(server, queries, {"hnsw_ef": EF})
                times.append(cpu_seconds(server) - before)
        finally:
            server.close()
    recall = sum(len(a & b) for a, b in zip(found, truth)) / (K * len(truth))
    print("| %-19s | %9.0f | %6.0f | %8.0f | %.4f | %6.0f us |" % (
        form[0], anonymous, mapped, anonymous + mapped, recall, min(times) / len(queries) * 1e6), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", nargs="?", default=os.path.join(ROOT, "build"))
    parser.add_argument("--points", type=int, default=50000)
    parser.add_argument("--dim", type=int, default=768)
    options = parser.parse_args()
    os.environ["QUIVERD"] = os.path.join(options.build, "quiverd")
    sys.path.append(os.path.join(ROOT, "tests", "api"))
    from harness import Server
    points = Points(options.dim)
    batches = [points.draw(min(BATCH, options.points - at)) for at in range(0, options.points, BATCH)]
    queries = [list(points.draw(1)) for _ in range(QUERIES)]
    print("%d x %d-d; the vectors alone are %.0f MB. MB in memory after a restart and %d searches, recall@%d at hnsw_ef %d\n\n"
          "| form                | anonymous | mapped | together | recall | cpu       |\n"
          "|---------------------|----------:|-------:|---------:|-------:|----------:|"
          % (options.points, options.dim, options.points * options.dim * 4 / 2**20, QUERIES, K, EF))
    for form in FORMS:
        measure(Server, batches, queries, form)


if __name__ == "__main__":
    main()
