"""A full disk: writes are refused with 507, nothing acknowledged is lost, searches go on, and writes go on as soon as there is room."""
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "api"))
from harness import Server  # noqa: E402

DIM = 64


class FullDiskTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="quiver-full-")
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", self.folder],
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if mounted.returncode != 0:
            os.rmdir(self.folder)
            self.skipTest("a tmpfs cannot be mounted here: " + mounted.stdout.decode().strip())
        self.server = Server("--seal-rows", "2000", "--index-min-rows", "1000", folder=self.folder)

    def tearDown(self):
        self.server.close()
        subprocess.run(["umount", self.folder], check=True)
        shutil.rmtree(self.folder)

    def upsert(self, first):
        points = [{"id": i, "vector": [i % 97 + d for d in range(DIM)], "payload": {"text": "y" * 300}}
                  for i in range(first, first + 100)]
        return self.server.call("PUT", "/collections/full/points?wait=true", {"points": points})

    def count(self):
        return self.server.call("POST", "/collections/full/points/count", {}).result["count"]

    def fill(self):
        """Until the first refusal; returns the number of acknowledged points."""
        for batch in range(1000):
            answer = self.upsert(batch * 100)
            if answer.status != 200:
                self.assertEqual(answer.status, 507, answer)
                self.assertIn("space", answer.error)
                return batch * 100
        self.fail("48 MB were never full")

    def test_refuses_keeps_and_goes_on(self):
        ballast = os.path.join(self.folder, "ballast")
        with open(ballast, "wb") as f:
            f.write(b"\0" * (16 << 20))
        self.server.call("PUT", "/collections/full", {"vectors": {"size": DIM, "distance": "Euclid"}})
        kept = self.fill()
        self.assertGreater(kept, 0)
        self.assertEqual(self.count(), kept, "a refused write left something behind")
        self.assertEqual(self.server.call("POST", "/collections/full/points/query", {"query": [1.0] * DIM}).status, 200)
        os.remove(ballast)
        deadline = time.monotonic() + 10
        while self.upsert(kept).status != 200:
            self.assertLess(time.monotonic(), deadline, "writes do not go on after space was freed")
            time.sleep(0.1)
        self.assertEqual(self.count(), kept + 100)
        self.server.kill()
        self.server.start()
        self.assertEqual(self.count(), kept + 100)


if __name__ == "__main__":
    unittest.main()
