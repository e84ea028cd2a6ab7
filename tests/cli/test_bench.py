"""quiver bench: filters, writes at the same time, what processes take, a failing node, and servers that are not quiver."""
import os
import subprocess
import sys
import unittest

from support import FAILED, USAGE, CliTest

QUICK = ("--n-queries", "20", "--clients", "2", "--seconds", "0.3", "--warmup", "0.1", "--runs", "1")


class Bench(CliTest):
    def test_filters_writes_and_processes(self):
        pid = self.server.process.pid
        result = self.good_json("bench", "--random", "4000,16", "--ef", "32", "--filters", "0.5,0.1,0.01", "--upserts", "500",
                                "--pid", pid, *QUICK)
        points = result["points"]
        self.assertEqual([p["filter"] for p in points], [1, 0.5, 0.1, 0.01])
        for p in points:
            self.assertGreater(p["recall"], 0.9, p)
            self.assertGreater(p["answers"], 0, p)
            self.assertGreater(p["cpu_us"], 0, p)
        self.assertGreater(sum(p["upserts_per_second"] for p in points), 0)
        self.assertGreater(result["memory"]["anonymous_bytes"], 1 << 20)
        self.assertGreater(result["memory"]["mapped_bytes"], 1 << 20)

    def test_the_table_has_what_was_asked_for(self):
        out = self.good("bench", "--random", "3000,8", "--ef", "32", "--filters", "0.2", "--pid", self.server.process.pid, *QUICK)
        self.assertIn("| 32 | 0.2 |", out)
        self.assertIn("cpu us |", out)
        self.assertIn("MB anonymous", out)

    def test_a_paused_node(self):
        page = os.path.join(self.folder, "r.html")
        result = self.good_json("bench", "--random", "3000,8", "--ef", "64", *QUICK, "--fault", "pause", "--fault-pid",
                                self.server.process.pid, "--fault-seconds", "1,1,3", "--fault-rate", "200", "--fault-timeout",
                                "0.3", "--report", page)
        fault = result["fault"]
        self.assertEqual(len(fault["slices"]), 20)
        self.assertGreater(fault["before"]["qps"], 100)
        self.assertGreater(fault["before"]["recall"], 0.9)
        self.assertLess(fault["during"]["qps"], fault["before"]["qps"] / 2)
        self.assertGreater(fault["failed"], 10)
        # What waits at the end of the pause still gets its answer: that is in the last one or two slices of it.
        self.assertGreaterEqual(fault["recovery_s"], fault["heal_s"] - fault["fault_s"] - 2 * fault["slice_s"])
        after = [s for s in fault["slices"] if s["from_s"] > fault["heal_s"]]
        self.assertTrue(any(s["failed"] == 0 and s["qps"] > 0 for s in after), (fault, self.server.state()))
        # nothing that was due is left out: slices before the fault and in it hold as many requests
        due = [s["qps"] * fault["slice_s"] + s["failed"] for s in fault["slices"]]
        self.assertGreater(sum(due), 0.8 * 200 * 5)
        with open(page) as f:
            self.assertIn('"fault":{"kind":"pause"', f.read())

    def test_connections_turn_to_another_node(self):
        """The first node is a server that is killed; the other one has the same points."""
        first, second = Rival(), Rival()
        self.addCleanup(first.close)
        self.addCleanup(second.close)
        common = ("bench", "--random", "500,8", "--load-form", "json", "--distance", "Cosine")
        self.good(*common, "--load-only", "--keep", "--url", second.url)
        result = self.good_json(*common, *QUICK, "--ef", "10", "--url", first.url, "--also", second.url, "--fault", "kill",
                                "--fault-pid", first.process.pid, "--fault-seconds", "1,1,2", "--fault-rate", "100", "--reuse")
        fault = result["fault"]
        self.assertTrue(fault["recovered"], fault)
        self.assertLess(fault["recovery_s"], 2)
        self.assertGreater(fault["after"]["qps"], 50)
        self.assertEqual(fault["after"]["recall"], 1)

    def test_a_command_makes_the_fault(self):
        mark = os.path.join(self.folder, "done")
        out = self.good("bench", "--random", "3000,8", "--ef", "64", *QUICK, "--fault", "echo a >> " + mark, "--heal",
                        "echo b >> " + mark, "--fault-seconds", "1,1,1", "--fault-rate", "50")
        with open(mark) as f:
            self.assertEqual(f.read(), "a\nb\n")
        self.assertIn("| before |", out)
        self.refused(FAILED, "`false` failed", "bench", "--random", "3000,8", "--ef", "64", *QUICK, "--fault", "false",
                     "--fault-seconds", "1,0,0")

    def test_what_is_refused(self):
        for words, arguments in (("--filters", ("--filters", "1.5")), ("--filters", ("--filters", "0.1;2")),
                                 ("--fault-pid", ("--fault", "kill")), ("three numbers", ("--fault-seconds", "1,2"))):
            self.refused(USAGE, words, "bench", "--random", "100,4", *arguments)
        self.refused(FAILED, "no process", "bench", "--random", "100,4", "--pid", "4194303", *QUICK)


class Rival:
    def __init__(self):
        path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "rival.py")
        self.process = subprocess.Popen([sys.executable, path], stdout=subprocess.PIPE)
        self.url = "http://127.0.0.1:%d" % int(self.process.stdout.readline())

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class OtherServers(CliTest):
    def test_a_server_that_is_not_quiver(self):
        rival = Rival()
        self.addCleanup(rival.close)
        result = self.good_json("bench", "--url", rival.url, "--random", "600,8", "--load-form", "json", "--ef", "10",
                                "--filters", "0.5,0.1", "--rate", "40", "--upserts", "200", "--pid", rival.process.pid, *QUICK)
        self.assertEqual([(p["loop"], p["filter"], p["recall"]) for p in result["points"]],
                         [(loop, share, 1) for share in (1, 0.5, 0.1) for loop in ("closed", "open")])
        self.assertGreater(result["load"]["points_per_second"], 0)
        self.assertGreater(result["memory"]["anonymous_bytes"], 0)


if __name__ == "__main__":
    unittest.main()
