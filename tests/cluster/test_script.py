"""scripts/cluster: every command of it, and what it says when it is asked for something that cannot be."""
import json
import os
import shutil
import subprocess
import tempfile
import time
import unittest
import urllib.request

from nodes import PATIENCE, QUIVERD, ROOT, free_ports

SCRIPT = os.path.join(ROOT, "scripts", "cluster")


class Script(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="quiver-cluster-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        # Four nodes of it take ports from there on.
        self.port = free_ports(1)[0] // 50 * 50

    def run_script(self, *words, code=0):
        result = subprocess.run([SCRIPT] + list(words) + ["--data", self.folder + "/c", "--port", str(self.port)],
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=4 * PATIENCE,
                                env=dict(os.environ, QUIVERD=QUIVERD))
        self.assertEqual(result.returncode, code, result.stdout)
        return result.stdout

    def view(self, node):
        with urllib.request.urlopen("http://127.0.0.1:%d/v1/cluster" % (self.port + 10 * (node - 1)), timeout=PATIENCE) as answer:
            return {n["name"]: n["state"] for n in json.load(answer)["result"]["nodes"]}

    def wait(self, condition, what):
        until = time.monotonic() + PATIENCE
        while not condition():
            self.assertLess(time.monotonic(), until, what)
            time.sleep(0.1)

    def test_every_command(self):
        self.addCleanup(self.run_script, "down")
        self.assertIn("there is no cluster", self.run_script("add", code=1))
        self.assertIn("there are no nodes", self.run_script("status", code=1))
        out = self.run_script("up", "3", "--proxy")
        self.assertEqual(out.count("started now"), 3)
        self.assertNotIn("started now", self.run_script("up"))
        self.assertIn("there is no node `n9`; the nodes are: n1, n2, n3", self.run_script("kill", "n9", code=1))
        self.assertIn("n2 runs", self.run_script("start", "n2", code=1))
        # One is cut off: the two others notice, and so does the status.
        self.assertIn("n1 always hears itself", self.run_script("partition", "n1", "n1", code=1))
        self.assertIn("n1 and n2, n3 do not hear each other", self.run_script("partition", "n1"))
        self.assertIn("n1 and n2 do not hear each other", self.run_script("status"))
        self.wait(lambda: self.view(2).get("n1") == "down", "n1 is seen dead")
        self.run_script("heal")
        self.wait(lambda: set(self.view(1).values()) == set(self.view(2).values()) == {"up"}, "all are up again")
        for stop, again in (("pause", "resume"), ("kill", "start"), ("stop", "start")):
            self.run_script(stop, "n3")
            self.wait(lambda: self.view(1)["n3"] == "down", "n3 is seen dead")
            if stop != "pause":
                self.assertIn("n3: does not run", self.run_script("status"))
                self.assertIn("n3 does not run", self.run_script("kill", "n3", code=1))
            self.run_script(again, "n3")
            self.wait(lambda: self.view(1)["n3"] == "up", "n3 is back")
        self.assertIn("n4", self.run_script("add"))
        self.wait(lambda: self.view(4) == {"n1": "up", "n2": "up", "n3": "up", "n4": "up"}, "n4 is one of them")
        self.run_script("stop")
        self.assertEqual(self.run_script("status", code=1).count("does not run"), 5)  # and the proxy
        self.assertEqual(self.run_script("up").count("started now"), 4)
        self.run_script("down")
        self.assertFalse(os.path.exists(self.folder + "/c"))

    def test_partitions_need_a_proxy(self):
        self.addCleanup(self.run_script, "down")
        self.run_script("up", "1")
        self.assertIn("begin the cluster with scripts/cluster up --proxy", self.run_script("partition", "n1", code=1))
        self.assertIn("begin a new one", self.run_script("up", "--proxy", code=1))


if __name__ == "__main__":
    unittest.main()
