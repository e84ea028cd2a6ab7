"""What quiverd refuses to start with, and what it starts with but says: locked and foreign data folders, wrong flags, damage."""
import glob
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "api"))
from harness import QUIVERD, Caller, Server, free_port  # noqa: E402


def run(*flags):
    """quiverd with these flags, which must end by itself: (exit code, what it said)."""
    done = subprocess.run([QUIVERD, "--http", "127.0.0.1:%d" % free_port()] + list(flags), timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.returncode, done.stdout.decode()


class StartTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="quiver-start-")

    def tearDown(self):
        shutil.rmtree(self.folder)

    def test_wrong_flags(self):
        for flags, word in ((["--dta", "x"], "--data"), (["--http", "nowhere"], "HOST:PORT"), (["stray"], "stray"),
                            (["--seal-rows", "many"], "seal-rows"), (["--config", "/does/not/exist"], "/does/not/exist")):
            done = subprocess.run([QUIVERD, "--data", os.path.join(self.folder, "d")] + flags, timeout=60,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
            self.assertNotEqual(done.returncode, 0, flags)
            self.assertIn(word, done.stdout.decode())

    def test_open_to_others_needs_a_key(self):
        done = subprocess.run([QUIVERD, "--data", os.path.join(self.folder, "d"), "--http", "0.0.0.0:0"], timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("API key", done.stdout.decode())

    def test_second_server_on_one_folder(self):
        server = Server(folder=self.folder)
        try:
            code, said = run("--data", os.path.join(self.folder, "data"))
            self.assertEqual(code, 1)
            self.assertIn(str(server.process.pid), said)
        finally:
            server.close()

    def test_folder_of_another_version(self):
        Server(folder=self.folder).close()
        path = os.path.join(self.folder, "data", "FORMAT")
        with open(path, "rb") as f:
            text = f.read()
        with open(path, "wb") as f:
            f.write(text.replace(b"1", b"7"))
        code, said = run("--data", os.path.join(self.folder, "data"))
        self.assertEqual(code, 1)
        self.assertIn("7", said)
        self.assertIn("1", said)

    def test_corrupt_segment_is_set_aside(self):
        server = Server("--seal-rows", "500", folder=self.folder)
        server.call("PUT", "/collections/c", {"vectors": {"size": 8, "distance": "Euclid"}})
        for first in range(0, 1200, 100):
            points = [{"id": i, "vector": [float(i)] * 8} for i in range(first, first + 100)]
            self.assertEqual(server.call("PUT", "/collections/c/points?wait=true", {"points": points}).status, 200)
        pattern = os.path.join(self.folder, "data", "replicas", "*", "0", "seg-*")
        deadline = time.monotonic() + 30
        while len(glob.glob(pattern)) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        server.stop()
        victim = sorted(glob.glob(pattern))[0]
        largest = max((os.path.join(victim, f) for f in os.listdir(victim)), key=os.path.getsize)
        with open(largest, "r+b") as f:
            f.seek(os.path.getsize(largest) // 2)
            byte = f.read(1)
            f.seek(-1, os.SEEK_CUR)
            f.write(bytes([byte[0] ^ 0x40]))
        self.check_degraded()

    def check_degraded(self):
        port = free_port()
        log = open(os.path.join(self.folder, "quiverd.log"), "ab")
        process = subprocess.Popen([QUIVERD, "--data", os.path.join(self.folder, "data"), "--http", "127.0.0.1:%d" % port],
                                   stdout=log, stderr=log)
        server = Server.__new__(Server)
        Caller.__init__(server, ())
        server.port, server.process = port, process
        try:
            deadline = time.monotonic() + 30
            while True:
                try:
                    ready = server.call("GET", "/readyz")
                    break
                except OSError:
                    self.assertLess(time.monotonic(), deadline)
                    time.sleep(0.02)
            self.assertEqual(ready.status, 503)
            self.assertIn(b"egment", ready.body)
            answer = server.call("POST", "/collections/c/points/query?receipt=true",
                                 {"query": [1100.0] * 8, "params": {"exact": True}})
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.result["points"][0]["id"], 1100)
            self.assertFalse(answer.json["receipt"]["complete"] if "receipt" in answer.json else answer.result["receipt"]["complete"])
            self.assertEqual(server.call("GET", "/collections/c").result["status"], "red")
        finally:
            server.disconnect()
            process.terminate()
            process.wait()
            log.close()


if __name__ == "__main__":
    unittest.main()
