"""quiver backup and quiver restore: everything that a collection is comes back, and what is not whole is refused before anything is made of it."""
import json
import os
import unittest

from support import DONE, FAILED, MISSING, USAGE, CliTest

UUID = "550e8400-e29b-41d4-a716-4466554400%02d"


class Backup(CliTest):
    def make(self, name, n=700):
        ok = lambda answer: self.assertEqual(answer.status, 200, answer)  # noqa: E731
        ok(self.server.call("PUT", "/collections/" + name, {
            "vectors": {"image": {"size": 3, "distance": "Dot"}, "text": {"size": 2, "distance": "Cosine"}},
            "sparse_vectors": {"words": {}}, "shard_number": 2, "hnsw_config": {"m": 24}}))
        ok(self.server.call("PUT", "/collections/%s/index?wait=true" % name, {"field_name": "n", "field_schema": "integer"}))
        points = []
        for i in range(n):
            vectors = {"image": [i / 3, 0.1, -1e-7], "text": [1.0, float(i)]}
            if i % 3 == 0:
                vectors["words"] = {"indices": [i, i + 5], "values": [0.5, 0.25]}
            if i % 5 == 0:
                del vectors["text"]
            points.append({"id": UUID % (i % 90) if i < 90 else i, "vector": vectors,
                           "payload": {"n": i, "text": "line\n\"%d\" \u00e9\U0001f600" % i, "deep": {"a": [1, 2.5, None, True]}}})
        ok(self.server.call("PUT", "/collections/%s/points?wait=true" % name, {"points": points}))

    def everything(self, name):
        """(configuration, indexes, points by id) as the API tells them."""
        info = self.server.call("GET", "/collections/" + name).result
        page = self.server.call("POST", "/collections/%s/points/scroll" % name,
                                {"limit": 10000, "with_vector": True, "with_payload": True}).result
        fields = {k: v["data_type"] for k, v in info["payload_schema"].items()}
        return info["config"], fields, {json.dumps(p["id"]): p for p in page["points"]}

    def test_everything_comes_back(self):
        self.make(self.name)
        folder = os.path.join(self.folder, "b")
        self.assertIn("700 points", self.good("backup", self.name, "--to", folder))
        self.assertEqual(sorted(os.listdir(folder)), ["COMPLETE", "collection.json", "points.jsonl"])
        self.good("restore", folder, "--as", self.name + "2")
        self.assertEqual(self.everything(self.name + "2"), self.everything(self.name))
        # In its own name it would be in the way.
        self.refused(FAILED, "already exists", "restore", folder)
        before = self.everything(self.name)
        self.good("collection", "delete", self.name)
        self.assertEqual(self.good_json("restore", folder)["points"], 700)
        self.assertEqual(self.everything(self.name), before)
        self.good("restore", folder, "--as", self.name + "3", "--shards", "1")
        config, _, points = self.everything(self.name + "3")
        self.assertEqual(config["params"]["shard_number"], 1)
        self.assertEqual(points, before[2])

    def test_an_empty_collection(self):
        self.good("collection", "create", self.name, "--dim", "4")
        folder = os.path.join(self.folder, "b")
        self.good("backup", self.name, "--to", folder)
        self.good("restore", folder, "--as", self.name + "2")
        self.assertEqual(self.count(self.name + "2"), 0)

    def test_what_is_not_whole_is_refused(self):
        self.make(self.name, 200)
        folder = os.path.join(self.folder, "b")
        self.good("backup", self.name, "--to", folder)
        points = os.path.join(folder, "points.jsonl")
        with open(points, "rb") as f:
            text = f.read()
        for damaged in (text[:-1], text[:len(text) // 2], text.replace(b"17", b"18", 1), b"", text + b"{}\n"):
            with open(points, "wb") as f:
                f.write(damaged)
            self.refused(FAILED, "is not what was written", "restore", folder, "--as", "never")
        with open(points, "wb") as f:
            f.write(text)
        os.rename(os.path.join(folder, "COMPLETE"), os.path.join(folder, "x"))
        self.refused(MISSING, folder + " is no whole backup: cannot open", "restore", folder, "--as", "never")
        self.assertEqual(self.server.call("GET", "/collections/never/exists").result, {"exists": False})
        # Nothing is written over.
        self.refused(FAILED, "collection.json is there already: --to wants an empty folder", "backup", self.name, "--to", folder)
        self.refused(USAGE, "--to is missing", "backup", self.name)
        self.refused(MISSING, "doesn't exist", "backup", "none", "--to", os.path.join(self.folder, "c"))
        self.assertFalse(os.path.exists(os.path.join(self.folder, "c")))
        self.assertEqual(self.run_quiver("restore", "--help")[0], DONE)


if __name__ == "__main__":
    unittest.main()
