"""Memory that cannot be had, in a real process (scarce_memory.c is preloaded).

Large allocations, whose size comes from what is asked: the n-th fails, for every n, while one thing is done. It is refused with a
sentence and leaves nothing behind, or is done all the same; the process lives, and the next try is done.

All of them, from the n-th on: the process ends by design (base/memory.h); it says so, and after the next start everything
acknowledged is there. The n are drawn by chance from those of an ordinary load and of a start.

QUIVER_SEED and QUIVER_SCARCE_ENDS (default 12 of either) are for the second.
"""
import json
import mmap
import os
import random
import re
import struct
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "api"))
from harness import QUIVERD, Server  # noqa: E402

LIBRARY = os.path.join(os.path.dirname(os.path.abspath(QUIVERD)), "tests", "crash", "scarce_memory.so")
SEED = int(os.environ.get("QUIVER_SEED", "0")) or int(time.time())
ENDS = int(os.environ.get("QUIVER_SCARCE_ENDS", "12"))
LARGE = 256 << 10
DIM = 256


class Scarce(Server):
    """A server whose n-th allocation of `least` bytes or more fails."""
    described = False

    def __init__(self, *flags):
        self.orders_file = tempfile.NamedTemporaryFile(prefix="quiver-scarce-")
        self.orders_file.truncate(mmap.PAGESIZE)
        self.orders = mmap.mmap(self.orders_file.fileno(), mmap.PAGESIZE)
        self.environment = {"LD_PRELOAD": LIBRARY, "QUIVER_SCARCE": self.orders_file.name}
        super().__init__(*flags)

    def fail(self, at, least=LARGE, lasting=False):
        self.orders[:40] = struct.pack("=qqqqq", least, 0, lasting, 0, 0)
        self.orders[8:16] = struct.pack("=q", at)

    @property
    def seen(self):
        return struct.unpack("=q", self.orders[24:32])[0]

    @property
    def failed(self):
        return struct.unpack("=q", self.orders[32:40])[0]


def points(first, n, text=0):
    return [{"id": i, "vector": [(i * 31 + d) % 97 + 0.5 for d in range(DIM)], "payload": {"n": i, "text": "y" * text}}
            for i in range(first, first + n)]


@unittest.skipUnless(os.path.exists(LIBRARY), LIBRARY + " is not built")
class NoMemory(unittest.TestCase):
    def open(self, *flags):
        server = Scarce(*flags)
        self.addCleanup(server.close)
        created = server.call("PUT", "/collections/c", {"vectors": {"size": DIM, "distance": "Euclid"}})
        self.assertEqual(created.status, 200, created)
        return server

    def count(self, server):
        return server.call("POST", "/collections/c/points/count", {}).result["count"]

    def said(self, server):
        """The last line that a process left which ended for want of memory."""
        return [line for line in server.log_text().split("\n") if line and "[0x" not in line][-1]

    def each(self, server, what, ask):
        """Asks until nothing fails any more; whether each was done."""
        answers = []
        while True:
            server.fail(len(answers) + 1)
            try:
                answer = ask(len(answers))
            except OSError:
                server.process.wait(timeout=60)
                self.fail("%s, allocation %d: the process ended: %s" % (what, len(answers) + 1, self.said(server)))
            failed = server.failed
            server.fail(0)
            if answer.status != 200:
                self.assertIn(answer.status, (413, 503, 507), answer)
                self.assertIn("emory", answer.error, answer)
            if failed == 0:
                self.assertEqual(answer.status, 200)
                break
            answers.append(answer.status == 200)
        print("%s: each of %d large allocations failed once; %d answers without it, %d refusals" % (
            what, len(answers), sum(answers), len(answers) - sum(answers)), file=sys.stderr)
        self.assertNotEqual(answers, [], "no large allocation")
        return answers + [True]

    def again(self, server, n):
        self.assertEqual(self.count(server), n)
        server.kill()
        server.start()
        self.assertEqual(self.count(server), n)

    def upsert(self, server, body):
        return server.call("PUT", "/collections/c/points?wait=true", {"points": body})

    def test_upserts(self):
        server = self.open("--seal-rows", "1000000")
        many = self.each(server, "an upsert of 1,000 points", lambda n: self.upsert(server, points(n * 1000, 1000, 100)))
        kept = 1000 * sum(many)
        large = self.each(server, "an upsert of a payload of 6 MB", lambda n: self.upsert(server, points(10000000 + n, 1, 6000000)))
        self.again(server, kept + sum(large))

    def test_bulk_load(self):
        server = self.open("--seal-rows", "1000000")

        def load(n):
            lines = "".join(json.dumps(p) + "\n" for p in points(n * 2000, 2000, 100)).encode()
            return server.call("PUT", "/collections/c/points?wait=true", lines, {"Content-Type": "application/x-ndjson"}, raw=True)
        whole = 2000 * sum(self.each(server, "a bulk load of 2,000 points", load))
        self.assertGreaterEqual(self.count(server), whole)  # batches before a refused one stand
        self.again(server, self.count(server))

    def test_reads(self):
        server = self.open("--seal-rows", "3000", "--index-min-rows", "1000")
        for first in range(0, 5000, 1000):
            self.assertEqual(self.upsert(server, points(first, 1000, 300)).status, 200)
        everything = {"limit": 4000, "with_vector": True, "with_payload": True}
        query = {"query": [3.5] * DIM}
        asked = (("a search for 4,000 points", "/query", {**query, **everything}, 4000),
                 ("an exact search for 4,000 points", "/query", {**query, **everything, "params": {"exact": True}}, 4000),
                 ("a page of 4,000 points", "/scroll", everything, 4000),
                 ("4,000 points by their ids", "", {"ids": list(range(4000)), "with_vector": True}, 4000),
                 ("50 searches at once", "/query/batch", {"searches": [{**query, **everything, "limit": 50}] * 50}, 50))
        for what, path, body, n in asked:
            def ask(_, path=path, body=body, n=n):
                answer = server.call("POST", "/collections/c/points" + path, body)
                if answer.status == 200:
                    found = answer.result if isinstance(answer.result, list) else answer.result["points"]
                    self.assertEqual(len(found), n)
                return answer
            self.each(server, what, ask)
        self.again(server, 5000)

    def indexed(self, server):
        return server.call("GET", "/collections/c").result["indexed_vectors_count"]

    def wait(self, what, condition):
        deadline = time.monotonic() + 60
        while not condition():
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.01)

    def test_seals(self):
        """Background work: what failed is done again, and nothing is answered meanwhile that is not so."""
        server = self.open("--seal-rows", "2000", "--index-min-rows", "1000")
        failed, n = 0, 0
        while True:
            self.assertEqual(self.upsert(server, points(n * 2000, 1900, 200)).status, 200)
            server.fail(failed + 1)
            self.upsert(server, points(n * 2000 + 1900, 100))
            self.wait("neither sealed nor failed", lambda: server.failed or self.indexed(server) >= (n + 1) * 2000)
            n, some = n + 1, server.failed
            time.sleep(0.05)
            server.fail(0)
            self.assertEqual(self.count(server), n * 2000)
            self.wait("not sealed afterwards", lambda: self.indexed(server) >= n * 2000)
            if some == 0:
                break
            failed += 1
        print("sealing 2,000 points: each of %d large allocations failed once" % failed, file=sys.stderr)
        self.assertGreater(failed, 0)
        self.again(server, n * 2000)

    def note_end(self, server):
        """Counts the end of a process, and whether it said why."""
        self.ends += 1
        if re.match("Out of memory: |quiverd: .{10}", self.said(server)):
            self.told += 1
        else:
            print("ended with %r and no sentence: %s" % (server.process.returncode, server.log_text()[-1500:]), file=sys.stderr)

    def starts(self, server, at, least, lasting=False):
        """Starts with the at-th allocation failing: whether one did. It may end; then it has said why, and the next start is fine."""
        server.fail(at, least, lasting)
        ended = None
        try:
            server.start()
        except RuntimeError:
            ended = server.process.returncode
        failed = server.failed
        server.fail(0)
        if ended is not None:
            self.assertGreater(failed, 0, server.log_text())
            self.note_end(server)
            server.start()
        return failed > 0

    def test_starts(self):
        server = self.open("--seal-rows", "1000000")
        for first in range(0, 8000, 2000):
            self.assertEqual(self.upsert(server, points(first, 2000, 100)).status, 200)
        at, self.ends, self.told = 1, 0, 0
        server.kill()
        while self.starts(server, at, LARGE):
            self.again(server, 8000)
            server.kill()
            at += 1
        print("a start with 8,000 points in the log: each of %d large allocations failed once, %d starts refused" % (
            at - 1, self.ends), file=sys.stderr)
        self.assertEqual(self.count(server), 8000)
        self.assertGreater(at, 1)
        self.assertEqual(self.told, self.ends)

    def test_small_ones(self):
        """From any allocation on none succeeds, while a start and an ordinary load go on."""
        server = self.open("--seal-rows", "500", "--index-min-rows", "200")
        chance, self.ends, self.told, acknowledged = random.Random(SEED), 0, 0, {}
        for _ in range(ENDS):
            server.kill()
            self.starts(server, int(10 ** chance.uniform(0, 4)), 0, lasting=True)
            self.check(server, acknowledged, set())
        at_start, self.ends = self.ends, 0
        for round_ in range(ENDS):
            server.fail(int(10 ** chance.uniform(0, 4.5)), 0, lasting=True)
            unsure = self.load(server, acknowledged, round_)
            if server.failed > 0 and not server.runs():
                self.note_end(server)
            server.fail(0)
            if server.process.poll() is not None:
                server.disconnect()
                server.log.close()
                server.start()
            self.check(server, acknowledged, unsure)
        print("from any allocation on all failed: %d of %d starts ended, %d of %d loads, %d said why; %d acknowledged points, "
              "0 lost (seed %d)" % (at_start, ENDS, self.ends, ENDS, self.told, len(acknowledged), SEED), file=sys.stderr)
        self.assertGreater(self.ends, 0)
        self.assertGreater(self.told, 0)

    def load(self, server, acknowledged, round_):
        """Writes and reads until the process ends, or for 60 rounds; returns the ids of whose write nothing is known."""
        for n in range(60):
            ids = range(round_ * 10000 + n * 20, round_ * 10000 + n * 20 + 20)
            try:
                answer = self.upsert(server, points(ids[0], 20))
                if answer.status == 200:
                    acknowledged.update((i, True) for i in ids)
                elif answer.status not in (413, 500, 503, 507):
                    self.fail(answer)
                server.call("POST", "/collections/c/points/query", {"query": [1.5] * DIM, "limit": 100, "with_payload": True})
            except OSError:
                server.process.wait(timeout=60)
                return set(ids)
        return set()

    def check(self, server, acknowledged, unsure):
        found, offset = set(), None
        while True:
            page = server.call("POST", "/collections/c/points/scroll",
                               {"limit": 1000, **({"offset": offset} if offset is not None else {})}).result
            found.update(p["id"] for p in page["points"])
            offset = page["next_page_offset"]
            if offset is None:
                break
        self.assertEqual(set(acknowledged) - found, set(), "acknowledged and lost")
        self.assertEqual(found - set(acknowledged) - unsure, set(), "refused and there")
        acknowledged.update((i, True) for i in found)


if __name__ == "__main__":
    unittest.main()
