"""quiver collection, count, search and bench: what they print, and their exit codes."""
import json
import os
import shutil
import subprocess
import unittest

from support import DONE, FAILED, MISSING, QUIVER, UNREACHABLE, USAGE, CliTest, fvecs, ivecs, vectors, write_hdf5


class UsageTest(CliTest):
    def test_help(self):
        for words in ((), ("collection",), ("collection", "create"), ("collection", "list"), ("collection", "info"),
                      ("collection", "delete"), ("ingest",), ("search",), ("count",), ("bench",), ("sim",)):
            out = self.good(*words, "--help")
            self.assertIn("Usage: quiver", out)
            self.assertIn("Examples:", out)
        self.assertIn("Exit codes:", self.good("--help"))
        self.assertRegex(self.good("--version"), r"^quiver \d+\.\d+\.\d+\n$")

    def test_wrong_usage(self):
        for words, text in (((), "Usage:"), (("serch",), "no command `serch`; did you mean search?"), (("bogus",), "no command `bogus`\n"),
                            (("collection",), "say what to do"), (("collection", "create", "", "--dim", "3"), "an argument is empty"),
                            (("collection", "create", "x", "--dim", "-3"), "-3 is out of range, it must be from 0"),
                            (("collection", "create", "x", "--dim", "9" * 30), "is out of range"),
                            (("collection", "make"), "`make` is not known"), (("count",), "an argument is missing"),
                            (("count", "a", "b"), "unexpected argument `b`"), (("count", "a", "--flter", "x"), "filter"),
                            (("collection", "create", "x"), "--dim is missing"),
                            (("collection", "create", "x", "--dim", "3", "--distance", "near"), "is no distance"),
                            (("search", "x"), "is needed"), (("search", "x", "--text", " "), "--text is empty"),
                            (("search", "x", "--text", "a", "--id", "1"), "only one"),
                            (("search", "x", "--text", "a", "--limit", "0"), "limit"),
                            (("ingest", "x"), "an argument is missing"), (("ingest", "x", "-", "--body", "xml"), "binary"),
                            (("ingest", "x", "a.fvecs", "--body", "xml"), "binary or json"),
                            (("bench",), "--data and --random"), (("bench", "--random", "9,9", "--data", "x"), "only one"),
                            (("bench", "--random", "9,9", "--ef", "a"), "no list of numbers")):
            self.refused(USAGE, text, *words)

    def test_what_is_wrong_is_named(self):
        self.refused(USAGE, "`--url` comes after the command", "--url", "http://127.0.0.1:1", "count", "x")
        self.good("collection", "create", self.name, "--dim", "3")
        for vector in ("1,2,3", "[1,NaN,3]", "{}", "[]", "red"):
            self.refused(FAILED, "a vector is a list of numbers, as [0.1, 0.2]: ", "search", self.name, "--vector", vector)
        self.refused(FAILED, "has vectors of 3 values, --dim says 4", "ingest", self.name, "-", "--dim", 4, stdin='{"vector":[1,2,3]}\n')
        for command in (("count", self.name), ("search", self.name, "--vector", "[1,2,3]")):
            for bad in ("{bad", "[]", '{"must":[]}, "limit":3'):
                self.refused(FAILED, "the filter", *command, "--filter", bad)
        self.refused(FAILED, "index.quantizer", "collection", "create", "q", "--dim", "3", "--quantizer", "foo")
        self.good("collection", "create", self.name + "2", "--dim", "3", "--nlist", "10")
        self.good("ingest", self.name, "-", stdin='{"id":1,"vector":[1,2,3]}\n')
        _, _, err = self.run_quiver("search", self.name, "--text", "hello")
        self.assertIn("not known what made the vectors", err)

    def test_no_server(self):
        for words in (("count", "x"), ("collection", "list"), ("search", "x", "--text", "a"),
                      ("bench", "--random", "100,4")):
            self.refused(UNREACHABLE, "no server answers at http://127.0.0.1:1", *words, "--url", "http://127.0.0.1:1")
        self.refused(FAILED, "is no URL", "count", "x", "--url", "gopher://x")

    def test_failures_as_json(self):
        out, _ = self.refused(MISSING, "doesn't exist", "count", "x", "--json")
        self.assertIn("doesn't exist", json.loads(out)["error"])


class SimTest(CliTest):
    def test_a_seed(self):
        out = self.good("sim", "--seed", "7", "--runs", "2", "--seconds", "20")
        self.assertIn("seeds 7..8", out)
        self.assertIn(" 0 violations", out)
        self.assertEqual(self.good("sim", "--seed", "7", "--seconds", "20").split("\n")[1:],
                         self.good("sim", "--seed", "7", "--seconds", "20").split("\n")[1:])

    def test_a_violation_says_how_to_replay_it(self):
        self.assertIn("commit_unsynced", self.good("sim", "--mutants"))
        words = ("--seed", "1", "--runs", "50", "--mutant", "commit_unsynced")
        _, err = self.refused(FAILED, "replay: quiver sim --seed ", "sim", *words)
        replay = err.split("replay: quiver ")[1].split()
        self.refused(FAILED, "replay: quiver " + " ".join(replay), *replay)

    def test_wrong_usage(self):
        for words in (("--seed",), ("--seed", "x"), ("--runs", "-1"), ("--what", "1")):
            self.refused(USAGE, "Usage: quiver sim", "sim", *words)
        self.refused(USAGE, "no mutant `x`", "sim", "--mutant", "x")
        self.refused(USAGE, "no world `x`", "sim", "--world", "x")

    def test_it_is_not_installed(self):
        alone = os.path.join(self.folder, "quiver")
        shutil.copy(QUIVER, alone)
        run = subprocess.run([alone, "sim", "--seed", "1"], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertEqual(run.returncode, MISSING)
        self.assertIn("not installed: there is no quiver-sim in " + self.folder, run.stderr)
        beside = self.file("quiver-sim", "#!/bin/sh\necho \"$@\"\nexit 9\n")
        os.chmod(beside, 0o755)
        run = subprocess.run([alone, "sim", "--seed", "1"], text=True, stdout=subprocess.PIPE)
        self.assertEqual((run.returncode, run.stdout), (9, "--seed 1\n"))


class KeyTest(CliTest):
    flags = ("--api-key", "secret")

    @classmethod
    def setUpClass(cls):
        from harness import Server
        cls.server = Server.__new__(Server)
        headers = {"api-key": "secret"}
        original = Server.call

        def call(self, method, path, body=None, **more):
            more["headers"] = dict(more.get("headers") or {}, **headers)
            return original(self, method, path, body, **more)
        cls.server.call = call.__get__(cls.server)
        cls.server.__init__(*cls.flags)

    def test_api_key(self):
        self.refused(FAILED, "API key", "collection", "list")
        self.good("collection", "list", "--api-key", "secret")
        self.good("collection", "list", QUIVER_API_KEY="secret")
        self.good("ingest", "k", self.file("a.fvecs", fvecs(vectors(10, 3))), QUIVER_API_KEY="secret")
        self.good("bench", "--random", "200,4", "--n-queries", "5", "--ef", "16", "--clients", "1", "--seconds", "0.2",
                  "--runs", "1", "--warmup", "0", "--api-key", "secret")


class CollectionTest(CliTest):
    def test_life_of_a_collection(self):
        name = "a name%ü"
        self.assertIn("created", self.good("collection", "create", name, "--dim", "4", "--distance", "l2", "--m", "8",
                                           "--shards", "2"))
        self.refused(FAILED, "already exists", "collection", "create", name, "--dim", "4")
        self.good("collection", "create", name, "--dim", "4", "--if-missing")
        listed = {c["name"]: c for c in self.good_json("collection", "list")}
        self.assertEqual((listed[name]["dim"], listed[name]["distance"]), (4, "Euclid"))
        self.assertIn(name, self.good("collection", "list"))
        info = self.good_json("collection", "info", name)
        self.assertEqual(info["config"]["params"]["shard_number"], 2)
        self.assertEqual(info["config"]["hnsw_config"]["m"], 8)
        self.assertIn("Euclid", self.good("collection", "info", name))
        self.assertEqual(self.good("count", name), "0\n")
        self.good("collection", "delete", name)
        self.refused(MISSING, "doesn't exist", "collection", "delete", name)
        self.refused(MISSING, "doesn't exist", "collection", "info", name)


class SearchTest(CliTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.rows = vectors(200, 4)
        cls.server.call("PUT", "/collections/s", {"vectors": {"size": 4, "distance": "Euclid"}})
        points = [{"id": i, "vector": r, "payload": {"n": i, "title": "point %d" % i}} for i, r in enumerate(cls.rows)]
        cls.server.call("PUT", "/collections/s/points?wait=true", {"points": points})

    def search(self, *more):
        return [h["id"] for h in self.good_json("search", "s", *more)["hits"]]

    def test_by_vector_file_and_point(self):
        path = self.file("q.fvecs", fvecs(self.rows))
        self.assertEqual(self.search("--vector", json.dumps(self.rows[7]))[0], 7)
        self.assertEqual(self.search("--vector-file", path, "--row", "33")[0], 33)
        self.assertEqual(self.search("--vector-file", self.file("q.json", json.dumps(self.rows[9])))[0], 9)
        self.assertNotIn(12, self.search("--id", "12"))
        self.assertEqual(len(self.search("--id", "12", "--limit", "17", "--ef", "64")), 17)
        self.assertEqual(self.search("--vector", "[1,2,3,4]", "--offset", "3", "--exact"),
                         self.search("--vector", "[1,2,3,4]", "--limit", "8")[3:])
        self.refused(FAILED, "has only 200 rows", "search", "s", "--vector-file", path, "--row", "200")
        self.refused(FAILED, "list of numbers", "search", "s", "--vector", '{"a":1}')
        self.refused(FAILED, "expected dim: 4, got 2", "search", "s", "--vector", "[1,2]")

    def test_filter(self):
        text = '{"must":[{"key":"n","range":{"gte":150,"lt":153}}]}'
        self.assertEqual(sorted(self.search("--vector", "[1,2,3,4]", "--filter", text)), [150, 151, 152])
        self.assertEqual(self.good("count", "s", "--filter", text), "3\n")
        self.assertEqual(self.good("count", "s", "--filter-file", self.file("f", text)), "3\n")
        self.refused(FAILED, "JSON", "count", "s", "--filter", '{"must":')

    def test_printed_hits(self):
        out = self.good("search", "s", "--vector", json.dumps(self.rows[7]), "--limit", "2")
        self.assertIn(" 1. 0.0000  point 7\n    id 7", out)
        self.assertIn("2 hits in ", out)
        self.assertIn('"n":7', self.good("search", "s", "--vector", json.dumps(self.rows[7]), "--payload"))


class BenchTest(CliTest):
    def test_random(self):
        page, results = os.path.join(self.folder, "r.html"), os.path.join(self.folder, "r.json")
        result = self.good_json("bench", "--random", "3000,16", "--n-queries", "20", "--ef", "8,64", "--clients", "1,3",
                                "--rate", "50", "--seconds", "0.3", "--warmup", "0.1", "--runs", "1", "--report", page,
                                "--output", results)
        self.assertEqual(result["data"]["points"], 3000)
        self.assertGreater(result["load"]["points_per_second"], 0)
        points = result["points"]
        self.assertEqual([(p["loop"], p["effort"], p["clients"]) for p in points if p["loop"] == "closed"],
                         [("closed", 8, 1), ("closed", 8, 3), ("closed", 64, 1), ("closed", 64, 3)])
        for p in points:
            self.assertGreater(p["recall"], 0.8)
            self.assertGreater(p["answers"], 0)
            self.assertLessEqual(p["p50_us"], p["p99_us"])
            self.assertEqual(p["unanswered"], 0)
        with open(results) as f:
            self.assertEqual(json.load(f), result)
        with open(page) as f:
            text = f.read()
        self.assertIn('"points":3000', text)
        self.assertNotIn("/*DATA*/", text)
        self.assertNotIn("http://", text.split("</script>")[0].replace("http://www.w3.org/2000/svg", ""))
        self.refused(MISSING, "", "collection", "info", "quiver-bench")  # it was ours, so it is gone

    def test_ground_truth_from_files(self):
        rows, queries = vectors(500, 4), vectors(10, 4, 5)
        best = [sorted(range(500), key=lambda i, q=q: (sum((a - b) ** 2 for a, b in zip(rows[i], q)), i))[:10] for q in queries]
        path = os.path.join(self.folder, "a.hdf5")
        write_hdf5(path, "euclidean", train=("f", rows), test=("f", queries), neighbors=("i", best))
        measure = ("--ef", "100", "--clients", "1", "--seconds", "0.2", "--runs", "1", "--warmup", "0")
        result = self.good_json("bench", "--data", path, *measure)
        self.assertEqual(result["data"]["truth"], path)
        self.assertEqual(result["data"]["distance"], "Euclid")
        self.assertGreater(result["points"][0]["recall"], 0.95)  # equal distances may come in another order
        wrong = [[(i + 250) % 500 for i in ids] for ids in best]
        result = self.good_json("bench", "--data", self.file("a.fvecs", fvecs(rows)), "--queries",
                                self.file("q.fvecs", fvecs(queries)), "--truth", self.file("t.ivecs", ivecs(wrong)),
                                "--distance", "Euclid", "--route", "search", *measure)
        self.assertLess(result["points"][0]["recall"], 0.5)

    def test_load_only(self):
        for form in ("binary", "json"):
            result = self.good_json("bench", "--random", "2500,8", "--load-only", "--load-form", form, "--keep")
            self.assertEqual(result["points"], [])
            self.assertEqual(self.count("quiver-bench"), 2500)

    def test_a_collection_of_the_user_is_left_alone(self):
        self.good("collection", "create", "mine", "--dim", "4")
        self.refused(FAILED, "collection mine exists", "bench", "--random", "100,4", "--collection", "mine")
        self.refused(FAILED, "--reuse", "bench", "--random", "100,4", "--collection", "mine", "--reuse")
        code, _, err = self.run_quiver("bench", "--random", "100,4", "--collection", "other", "--ef", "10", "--clients", "1",
                                       "--seconds", "0.2", "--runs", "1", "--warmup", "0")
        self.assertEqual(code, DONE, err)
        self.assertEqual(self.count("other"), 100)


class Operators(CliTest):
    """On a single node; tests/cluster has more of them."""

    def test_status_and_plan(self):
        self.good("collection", "create", "s", "--dim", 2, "--shards", 3)
        out = self.good("cluster", "status", "--all")
        self.assertTrue(out.startswith("green "), out)
        self.assertIn("node-1", out)
        self.assertIn("s/2  active, primary node-1, in sync node-1", out)
        self.assertEqual(self.good_json("cluster", "status")["partitions"], [])
        self.assertEqual(self.good("cluster", "plan"), "nothing to do\n")
        out = self.good("cluster", "plan", "--drain", "node-1")
        self.assertIn("drain      s/0  node-1 -> nowhere to go", out)
        self.assertIn("3 with nowhere to go", out)
        self.refused(FAILED, "have nowhere to go", "cluster", "drain", "node-1")
        self.good("cluster", "undrain", "node-1")
        self.refused(MISSING, "no node `x`", "cluster", "undrain", "x")
        self.refused(MISSING, "no node `x`", "cluster", "move", "s", 0, "--from", "node-1", "--to", "x")
        self.refused(FAILED, "has a replica of it already", "cluster", "move", "s", 0, "--from", "1", "--to", "node-1")
        self.refused(MISSING, "has no partition 9", "cluster", "unsafe-recover", "s", 9)
        out, _ = self.refused(FAILED, "nothing was changed", "cluster", "unsafe-recover", "s", 1, "--node", "node-1")
        self.assertIn("partition 1 of s is active", out)
        self.refused(FAILED, "is not lost", "cluster", "unsafe-recover", "s", 1, "--node", "node-1", "--yes-lose-data")
        self.refused(FAILED, "the node itself", "cluster", "remove", "node-1")
        self.good("collection", "delete", "s")

    def test_usage(self):
        self.refused(USAGE, "say what to do", "cluster")
        self.refused(USAGE, "`shuffle` is not known", "cluster", "shuffle")
        self.refused(USAGE, "--from and --to", "cluster", "move", "s", 0)
        self.refused(USAGE, "no number of a partition", "cluster", "move", "s", "x", "--from", "a", "--to", "b")
        self.refused(USAGE, "argument is missing", "cluster", "drain")
        self.refused(USAGE, "--node is missing", "cluster", "unsafe-recover", "s", 0, "--yes-lose-data")
        self.refused(USAGE, "say what to do", "key")
        for command in ("cluster", "key"):
            self.assertIn("Usage: quiver " + command, self.good(command, "--help"))
        for verb in ("status", "plan", "move", "drain", "undrain", "remove", "unsafe-recover"):
            self.assertIn("Examples:", self.good("cluster", verb, "--help"))

    def test_keys(self):
        self.assertIn("no keys", self.good("key", "list"))
        key = self.good("key", "create", "boss").strip()
        self.assertTrue(key.startswith("qv_"), key)
        self.refused(FAILED, "API key", "collection", "list")
        try:
            made = json.loads(self.good("key", "create", "look", "--read-only", "--json", QUIVER_API_KEY=key))
            self.assertEqual((made["name"], made["read_only"]), ("look", True))
            out = self.good("key", "list", QUIVER_API_KEY=key)
            self.assertEqual([line.split() for line in out.splitlines()], [["boss", "full"], ["look", "read", "only"]])
            self.good("collection", "list", "--api-key", made["key"])
            self.refused(FAILED, "", "collection", "create", "x", "--dim", 2, "--api-key", made["key"])
            self.refused(FAILED, "last key that may write", "key", "remove", "boss", QUIVER_API_KEY=key)
            self.refused(MISSING, "no API key named `none`", "key", "remove", "none", QUIVER_API_KEY=key)
            self.good("key", "remove", "look", QUIVER_API_KEY=key)
        finally:
            self.good("key", "remove", "boss", QUIVER_API_KEY=key)
        self.good("collection", "list")


if __name__ == "__main__":
    unittest.main()
