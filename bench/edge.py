#!/usr/bin/python3
"""How much the edge costs: reading JSON, and a filter.

    bench/edge.py [BUILD]                 BUILD: folder with quiverd and bench/bench_json (default: build)
    bench/edge.py --points 20000          smaller: to see that it works, not for figures

1. bench_json: an upsert batch of 200 x 1,536 dimensions, quiver's reader beside yyjson.
2. Points in clusters, each with one of 100 keywords. The cheapest effort that finds RECALL of the true neighbours, without
   a filter and under a filter that 1 % of the points fit; its cost is the processor time of the server for one search.

Prints Markdown; the exit code is 0 when the reader takes 500 MB/s or more and the filtered search costs less.
"""
import argparse
import http.client
import json
import os
import re
import statistics
import struct
import subprocess
import sys
import tempfile
import time

import numpy

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DIM, CLUSTERS, KEYWORDS, K, BATCH = 128, 200, 100, 10, 10000
EFS = (10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
RECALL = 0.98
ROUNDS = 9
MEGABYTES = 500


def read_json(build):
    """The slowest of quiver's rates, in MB/s."""
    done = subprocess.run([os.path.join(build, "bench", "bench_json")], stdout=subprocess.PIPE, text=True, check=True)
    print(done.stdout)
    return min(float(line.split("|")[3]) for line in done.stdout.splitlines() if re.match(r"\| \S.*\| +[0-9.]+ \|", line))


class Node:
    """A quiverd of its own, one connection to it, and the processor time that it has taken."""

    def __init__(self, build, folder):
        self.log = os.path.join(folder, "log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([os.path.join(build, "quiverd"), "--data", os.path.join(folder, "data"),
                                             "--http", "127.0.0.1:0"], stdout=log, stderr=log)
        while True:
            with open(self.log) as file:
                found = re.search(r"serves http://127\.0\.0\.1:(\d+)", file.read())
            if found:
                break
            if self.process.poll() is not None:
                raise SystemExit("quiverd ended:\n" + open(self.log).read())
            time.sleep(0.05)
        self.connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=600)

    def call(self, method, path, body, kind="application/json"):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.connection.request(method, "/collections/edge" + path, body, {"Content-Type": kind})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise SystemExit("%s %s: %d %s" % (method, path, answer.status, text[:500]))
        return json.loads(text)

    def cpu_seconds(self):
        with open("/proc/%d/stat" % self.process.pid) as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def idle(self):
        """Waits until nothing is built any more."""
        while True:
            info = self.call("GET", "", b"")["result"]
            before = self.cpu_seconds()
            time.sleep(1)
            if info["status"] == "green" and self.cpu_seconds() - before < 0.05:
                return info

    def close(self):
        self.process.terminate()
        self.process.wait()


def load(node, points, rng):
    """Fills the collection; returns queries that are like its points."""
    centres = rng.standard_normal((CLUSTERS, DIM), dtype=numpy.float32)

    def draw(n):
        return centres[rng.integers(0, CLUSTERS, n)] + 0.5 * rng.standard_normal((n, DIM), dtype=numpy.float32)
    node.call("PUT", "", {"vectors": {"size": DIM, "distance": "Euclid"}, "hnsw_config": {"m": 32, "ef_construct": 40}})
    node.call("PUT", "/index", {"field_name": "k", "field_schema": "keyword"})
    for at in range(0, points, BATCH):
        n = min(BATCH, points - at)
        lines = b"".join(b'{"k":"w%d"}\n' % k for k in rng.integers(0, KEYWORDS, n))
        body = (struct.pack("<4sIIIB47x", b"QVB1", 1, n, DIM, 0) + numpy.arange(at, at + n, dtype="<u8").tobytes()
                + draw(n).astype("<f4").tobytes() + lines)
        node.call("PUT", "/points?wait=true", body, "application/octet-stream")
    return draw(500)


def searches(queries, filtered, params):
    for i, query in enumerate(queries):
        body = {"query": [float(x) for x in query], "limit": K, "params": params}
        if filtered:
            body["filter"] = {"must": [{"key": "k", "match": {"value": "w%d" % (i % KEYWORDS)}}]}
        yield json.dumps(body).encode()


def answers(node, bodies):
    return [{p["id"] for p in node.call("POST", "/points/query", body)["result"]["points"]} for body in bodies]


def cheapest(node, queries, filtered):
    """(ef, recall, requests) of the least effort that finds enough"""
    truth = answers(node, searches(queries, filtered, {"exact": True}))
    for ef in EFS:
        bodies = list(searches(queries, filtered, {"hnsw_ef": ef}))
        found = answers(node, bodies)
        recall = sum(len(a & b) for a, b in zip(found, truth)) / sum(len(b) for b in truth)
        if recall >= RECALL:
            break
    return ef, recall, bodies


def cost_us(node, bodies):
    """Processor time of one search; the clock of it ticks 100 times a second."""
    before, n = node.cpu_seconds(), 0
    while node.cpu_seconds() - before < 0.5:
        answers(node, bodies)
        n += len(bodies)
    return (node.cpu_seconds() - before) / n * 1e6


def compare(node, queries):
    """(recalls, costs) without and with a filter, taken in turns: the median of ROUNDS."""
    efforts = [cheapest(node, queries, filtered) for filtered in (False, True)]
    costs = [[], []]
    for _ in range(ROUNDS):
        for i, (_, _, bodies) in enumerate(efforts):
            costs[i].append(cost_us(node, bodies))
    medians = [statistics.median(c) for c in costs]
    print("| filter        |  ef | recall | plan  | candidates | cpu       |\n"
          "|---------------|----:|-------:|-------|-----------:|----------:|")
    for name, (ef, recall, bodies), cost in zip(("none", "1 % of points"), efforts, medians):
        receipt = node.call("POST", "/points/query?receipt=true", bodies[0])["receipt"]["partitions"][0]
        print("| %-13s | %3d | %.4f | %-5s | %10d | %6.0f us |" % (name, ef, recall, receipt["plan"], receipt["candidates"], cost))
    return [recall for _, recall, _ in efforts], medians


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", nargs="?", default=os.path.join(ROOT, "build"))
    parser.add_argument("--points", type=int, default=200000)
    options = parser.parse_args()
    rate = read_json(options.build)
    with tempfile.TemporaryDirectory(prefix="quiver-edge-") as folder:
        node = Node(options.build, folder)
        try:
            queries = load(node, options.points, numpy.random.default_rng(7))
            info = node.idle()
            print("Searches in %d x %d-d, %d of them in graphs, recall@%d of %.2f or more, cost of one in the server\n"
                  % (options.points, DIM, info["indexed_vectors_count"], K, RECALL))
            recalls, (all_us, some_us) = compare(node, queries)
        finally:
            node.close()
    good = rate >= MEGABYTES and some_us < all_us and min(recalls) >= RECALL
    print("\nJSON: %.0f MB/s at least (wanted: %d). A filter of 1 %%: %.2f times the cost of none (wanted: below 1)."
          % (rate, MEGABYTES, some_us / all_us))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
