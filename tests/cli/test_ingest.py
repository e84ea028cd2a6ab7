"""quiver ingest: every kind of file arrives as it is, once, or is refused with the byte that is wrong."""
import gzip
import http.server
import json
import os
import signal
import struct
import threading
import time
import unittest

from support import DONE, FAILED, STOPPED, CliTest, bvecs, fvecs, vectors, write_hdf5


def npy(rows, kind, letter):
    header = "{'descr': '%s', 'fortran_order': False, 'shape': (%d, %d), }" % (kind, len(rows), len(rows[0]))
    header += " " * (64 - (len(header) + 11) % 64) + "\n"
    return (b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() +
            b"".join(struct.pack("<%d%s" % (len(r), letter), *r) for r in rows))


class FormatsTest(CliTest):
    def check(self, collection, rows, id_offset=0):
        """Every row is there under its number, with its values."""
        found = self.points(collection, list(range(id_offset, id_offset + len(rows))))
        self.assertEqual([p["id"] for p in found], list(range(id_offset, id_offset + len(rows))))
        for point, row in zip(found, rows):
            self.assertEqual(point["vector"], row)
        self.assertEqual(self.count(collection), len(rows))

    def ingest(self, path, *more):
        tally = self.good_json("ingest", self.name, path, "--distance", "Euclid", *more)
        self.assertTrue(tally["ok"])
        self.assertFalse(self.has_state())
        return tally

    def test_fvecs(self):
        rows = vectors(2345, 8)
        tally = self.ingest(self.file("a.fvecs", fvecs(rows)))
        self.assertEqual([tally[k] for k in ("read", "committed", "searchable")], [2345] * 3)
        self.check(self.name, rows)

    def test_bvecs_with_offset(self):
        rows = [[i % 256, 255 - i % 256, 7] for i in range(300)]
        self.ingest(self.file("a.bvecs", bvecs(rows)), "--id-offset", "1000000")
        self.check(self.name, [[float(v) for v in r] for r in rows], 1000000)

    def test_npy_float32(self):
        rows = vectors(100, 5)
        self.ingest(self.file("a.npy", npy(rows, "<f4", "f")))
        self.check(self.name, rows)

    def test_npy_float64(self):
        rows = vectors(100, 5)
        self.ingest(self.file("a.npy", npy(rows, "<f8", "d")))
        self.check(self.name, rows)

    def test_npy_uint8(self):
        self.ingest(self.file("a.npy", npy([[1, 2], [3, 250]], "|u1", "B")))
        self.check(self.name, [[1.0, 2.0], [3.0, 250.0]])

    def test_hdf5(self):
        rows = vectors(500, 6)
        path = os.path.join(self.folder, "a.hdf5")
        write_hdf5(path, "euclidean", train=("f", rows))
        self.good("ingest", self.name, path)
        info = self.good_json("collection", "info", self.name)
        self.assertEqual(info["config"]["params"]["vectors"], {"size": 6, "distance": "Euclid"})
        self.check(self.name, rows)

    def test_jsonl(self):
        uuid = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
        lines = [{"id": 5, "vector": [1, 2], "payload": {"a": {"b": [1, 2.0, None]}, "big": 2**63}},
                 {"id": uuid, "vector": [3, 4], "payload": {"text": "ü\n\"x\""}},
                 {"id": 18446744073709551615, "vector": [5, 6], "year": 1999}]
        path = self.file("a.jsonl", "\n".join(json.dumps(line) for line in lines) + "\n")
        for body in ("binary", "json"):  # the second time overwrites
            self.good("ingest", self.name, path, "--distance", "Dot", "--body", body)
            self.assertEqual(self.count(self.name), 3)
            found = {p["id"]: p for p in self.points(self.name, [5, uuid, 18446744073709551615])}
            self.assertEqual(found[5]["payload"], lines[0]["payload"])
            self.assertEqual(found[uuid]["payload"], lines[1]["payload"])
            self.assertEqual(found[uuid]["vector"], [3.0, 4.0])
            self.assertEqual(found[18446744073709551615]["payload"], {"year": 1999})

    def test_the_same_id_twice(self):
        path = self.file("a.jsonl", '{"id":1,"vector":[1,2]}\n{"id":2,"vector":[1,2]}\n{"id":1,"vector":[9,9]}\n')
        tally = self.ingest(path, "--connections", "1")
        self.assertEqual((tally["read"], tally["repeated_ids"], tally["searchable"]), (3, 1, 2))
        self.assertEqual(self.points(self.name, [1])[0]["vector"], [9.0, 9.0])

    def test_named_vector(self):
        path = self.file("a.fvecs", fvecs(vectors(10, 4)))
        for body in ("binary", "json"):
            self.good("ingest", self.name, path, "--vector-name", "a b/ü", "--body", body)
        self.assertEqual(list(self.points(self.name, [3])[0]["vector"]), ["a b/ü"])

    def test_limit(self):
        self.ingest(self.file("a.fvecs", fvecs(vectors(100, 4))), "--limit", "30")
        self.assertEqual(self.count(self.name), 30)

    def test_into_a_collection_that_holds_others(self):
        path = self.file("a.fvecs", fvecs(vectors(100, 4)))
        self.good("ingest", self.name, path, "--id-offset", "5000")
        tally = self.good_json("ingest", self.name, path)
        self.assertEqual((tally["read"], tally["searchable"]), (100, 100))
        self.assertEqual(self.count(self.name), 200)


    def test_several_files(self):
        rows = vectors(700, 6)
        paths = [self.file("%d.fvecs" % i, fvecs(rows[i * 200:i * 200 + 200])) for i in range(4)]
        tally = self.ingest(paths[0], *paths[1:], "--batch", "64")
        self.assertEqual(tally["read"], 700)
        self.check(self.name, rows)

    def test_standard_input(self):
        lines = "".join('{"id":%d,"vector":[%d,1],"n":%d}\n' % (i, i, i) for i in range(1, 2501))
        out = self.good("ingest", self.name, "-", "--distance", "Euclid", "--json", stdin=lines)
        self.assertEqual([json.loads(out)[k] for k in ("read", "searchable")], [2500] * 2)
        self.assertEqual(self.points(self.name, [2500])[0]["payload"], {"n": 2500})
        self.assertEqual(self.points(self.name, [1])[0]["vector"], [1.0, 1.0])
        self.assertFalse(self.has_state())

    def test_what_was_deleted_is_loaded_again(self):
        """The second load of the same is no repetition of the first one's requests."""
        lines = "".join('{"id":%d,"vector":[%d,1]}\n' % (i, i) for i in range(1, 101))
        path = self.file("a.jsonl", lines)
        for stdin in ("", lines):
            for _ in range(2):
                self.good("ingest", self.name, "-" if stdin else path, stdin=stdin)
                self.assertEqual(self.count(self.name), 100)
                self.server.call("POST", "/collections/%s/points/delete?wait=true" % self.name,
                                 {"points": list(range(1, 51))})
                self.assertEqual(self.count(self.name), 50)


class RefusalsTest(CliTest):
    def test_cut_files(self):
        rows = fvecs(vectors(10, 4))
        path = self.file("a.fvecs", rows[:-3])
        self.refused(FAILED, "the record that begins at byte 180 has 17 of 20 bytes", "ingest", self.name, path)
        self.refused(4, "doesn't exist", "collection", "info", self.name)  # nothing was made
        _, _, err = self.run_quiver("ingest", self.name, path, "--partial")
        self.assertIn("ends in mid-record at byte 180", err)
        self.assertEqual(self.count(self.name), 9)

    def test_cut_lines(self):
        path = self.file("a.jsonl", '{"id":1,"vector":[1,2]}\n{"id":2,"vec')
        self.refused(FAILED, "the line that begins at byte 24 is cut", "ingest", self.name, path)
        self.good("ingest", self.name, path, "--partial")
        self.assertEqual(self.count(self.name), 1)

    def test_cut_standard_input(self):
        lines = '{"id":1,"vector":[1,2]}\n{"id":2,"vec'
        self.refused(FAILED, "line 2 is cut", "ingest", self.name, "-", stdin=lines)
        _, _, err = self.run_quiver("ingest", self.name, "-", "--partial", stdin=lines)
        self.assertIn("ends in mid-record at byte 24", err)
        self.assertEqual(self.count(self.name), 1)
        self.refused(FAILED, "no records", "ingest", self.name, "-")
        self.refused(FAILED, "together with files", "ingest", self.name, "-", "-")

    def test_several_files_that_do_not_fit(self):
        paths = [self.file("%d.fvecs" % n, fvecs(vectors(10, n))) for n in (4, 5)]
        self.refused(FAILED, "has vectors of 5 values", "ingest", self.name, *paths)
        self.refused(4, "doesn't exist", "collection", "info", self.name)  # nothing was made

    def test_a_bad_line_in_the_middle(self):
        lines = ['{"id":%d,"vector":[%d,1]}' % (i, i) for i in range(50)]
        lines[40] = '{"id":40,"vector":[1,2,3]}'
        path = self.file("a.jsonl", "\n".join(lines) + "\n")
        self.refused(FAILED, "line 41", "ingest", self.name, path, "--batch", "10")

    def test_values_that_are_no_numbers(self):
        path = self.file("a.fvecs", fvecs([[1, 2], [3, float("nan")]]))
        self.refused(FAILED, "row 1 holds NaN or infinity", "ingest", self.name, path)

    def test_another_dimension(self):
        self.good("collection", "create", self.name, "--dim", "3")
        path = self.file("a.fvecs", fvecs(vectors(10, 4)))
        self.refused(FAILED, "has vectors of 3 values", "ingest", self.name, path)

    def test_cut_hdf5(self):
        path = os.path.join(self.folder, "a.hdf5")
        write_hdf5(path, "angular", train=("f", vectors(1000, 8)))
        size = os.path.getsize(path)
        os.truncate(path, size // 2)
        self.refused(FAILED, "ends at byte %d" % (size // 2), "ingest", self.name, path)

    def test_the_tally_fails_loudly(self):
        """Somebody deletes while we load: read = committed, but not searchable."""
        path = self.file("a.fvecs", fvecs(vectors(60000, 4)))
        process = self.start("ingest", self.name, path, "--batch", "100", "--connections", "1", "--quiet")
        deleted = False
        while process.poll() is None:
            answer = self.server.call("POST", "/collections/%s/points/delete?wait=true" % self.name, {"points": [0]})
            deleted = deleted or answer.status == 200
        _, err = process.communicate()
        self.assertTrue(deleted)
        if self.count(self.name) == 60000:
            self.skipTest("the load was over before the delete came")
        self.assertEqual(process.returncode, FAILED)
        self.assertIn(b"THE TALLY DOES NOT ADD UP", err)


class ResumeTest(CliTest):
    def stop_after(self, path, points, number, *more):
        """Starts a load, waits until so many points are there, and sends a signal."""
        process = self.start("ingest", self.name, path, "--batch", "50", "--connections", "2", "--quiet", *more)
        while process.poll() is None:
            answer = self.server.call("POST", "/collections/%s/points/count" % self.name, {})
            if answer.status == 200 and answer.result["count"] >= points:
                break
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        return process.returncode, err.decode()

    def operations(self):
        """How many writes the collection has seen: every one raises the versions."""
        page = self.server.call("POST", "/collections/%s/points/query" % self.name,
                                {"query": [1.0] * 4, "limit": 100000, "params": {"exact": True}})
        return {p["id"]: p["version"] for p in page.result["points"]}

    def test_goes_on_after_sigkill(self):
        path = self.file("a.fvecs", fvecs(vectors(60000, 4)))
        for _ in range(3):
            code, _ = self.stop_after(path, 3000, signal.SIGKILL)
            if code == -signal.SIGKILL:
                break
            self.good("collection", "delete", self.name)
        self.assertEqual(code, -signal.SIGKILL, "the load is too quick to be killed")
        before = self.operations()
        self.assertTrue(self.has_state())
        tally = self.good_json("ingest", self.name, path, "--batch", "50")
        self.assertTrue(tally["ok"])
        self.assertEqual(tally["read"], 60000)
        self.assertGreaterEqual(tally["committed_before"], 2900)  # of two in flight none may be noted yet
        self.assertLess(tally["committed_before"], 60000)
        self.assertEqual(self.count(self.name), 60000)
        self.assertFalse(self.has_state())
        # Nothing that was noted as committed was loaded a second time.
        after = self.operations()
        unchanged = sum(after[i] == v for i, v in before.items())
        self.assertGreaterEqual(unchanged, tally["committed_before"])

    def test_ctrl_c_is_orderly(self):
        path = self.file("a.fvecs", fvecs(vectors(60000, 4)))
        code, err = self.stop_after(path, 1000, signal.SIGINT)
        if code == DONE:
            self.skipTest("the load was over before the signal")
        self.assertEqual(code, STOPPED)
        self.assertIn("the same command goes on from there", err)
        tally = self.good_json("ingest", self.name, path, "--batch", "50")
        # Orderly: what is there was noted.
        self.assertTrue(tally["ok"])
        self.assertGreater(tally["committed_before"], 0)

    def test_a_new_collection_is_loaded_anew(self):
        path = self.file("a.fvecs", fvecs(vectors(60000, 4)))
        self.stop_after(path, 1000, signal.SIGKILL)
        self.good("collection", "delete", self.name)
        tally = self.good_json("ingest", self.name, path, "--batch", "50")
        self.assertEqual(tally["committed_before"], 0)
        self.assertEqual(self.count(self.name), 60000)

    def test_a_changed_file_is_loaded_where_it_changed(self):
        rows = vectors(60000, 4)
        path = self.file("a.fvecs", fvecs(rows))
        code, _ = self.stop_after(path, 3000, signal.SIGKILL)
        rows[10] = [9.0, 8.0, 7.0, 6.0]
        self.file("a.fvecs", fvecs(rows))
        self.good_json("ingest", self.name, path, "--batch", "50", "--distance", "Dot")
        found = self.points(self.name, [10])[0]["vector"]
        self.assertAlmostEqual(found[0] / found[3], 1.5, places=5)

    def test_server_restarts_in_between(self):
        path = self.file("a.fvecs", fvecs(vectors(60000, 4)))
        process = self.start("ingest", self.name, path, "--batch", "50", "--connections", "2", "--json")
        time.sleep(0.3)
        port = self.server.port
        self.server.kill()
        time.sleep(0.5)
        import harness  # the same port again
        harness_port, harness.free_port = harness.free_port, lambda: port
        try:
            self.server.start()
        finally:
            harness.free_port = harness_port
        out, err = process.communicate(timeout=120)
        self.assertEqual(process.returncode, DONE, err)
        tally = json.loads(out)
        self.assertEqual((tally["read"], tally["searchable"]), (60000, 60000))


MAN = """.TH FROB 1 "2020"
.SH NAME
frob \\- change the colour of a parrot
.SH DESCRIPTION
""" + "The parrot is painted with \\fBfrob\\fR in a colour of your choice.\n" * 40


class TextTest(CliTest):
    def make_folder(self):
        self.file("doc/frob.1.gz", gzip.compress(MAN.encode()))
        self.file("doc/b/page.html", "<title>Cooking</title><p>" + "Boil the <b>potatoes</b> in salted water. " * 30)
        self.file("doc/notes.md", "# Sailing\n\n" + "Reef the mainsail before the wind gets strong.\n" * 30)
        self.file("doc/picture.txt", b"\0\1\2binary" * 100)
        self.file("doc/program.so", b"\x7fELF")
        self.file("doc/.hidden.txt", "not read " * 100)
        return os.path.join(self.folder, "doc")

    def test_text_is_found_by_text(self):
        tally = self.good_json("ingest", self.name, "--text", self.make_folder())
        self.assertTrue(tally["ok"])
        self.assertEqual(tally["skipped_files"], 2)
        for question, title in (("paint the parrot", "frob(1) - change the colour of a parrot"),
                                ("how to cook potatoes", "Cooking"), ("reefing a mainsail", "Sailing")):
            hits = self.good_json("search", self.name, "--text", question, "--limit", "1")["hits"]
            self.assertEqual(hits[0]["payload"]["title"], title)
        payload = hits[0]["payload"]
        self.assertTrue(payload["path"].endswith("doc/notes.md"))
        self.assertIn("mainsail", payload["text"])
        self.assertLess(payload["passage"], payload["passages"])

    def test_again_overwrites(self):
        folder = self.make_folder()
        first = self.good_json("ingest", self.name, "--text", folder)
        second = self.good_json("ingest", self.name, "--text", os.path.join(folder, "..", "doc", "."))
        self.assertEqual(first["read"], second["read"])
        self.assertEqual(self.count(self.name), first["read"])

    def test_exclude_and_extensions(self):
        folder = self.make_folder()
        self.good("ingest", self.name, "--text", folder, "--exclude", "*/b/*,*.gz")
        self.good("ingest", self.name + "2", "--text", folder, "--extensions", "html")
        one = {p["payload"]["title"] for p in self.scroll(self.name)}
        two = {p["payload"]["title"] for p in self.scroll(self.name + "2")}
        self.assertEqual((one, two), ({"Sailing"}, {"Cooking"}))

    def test_short_notes(self):
        """A note of few words is found; a manual page or HTML page of few only refers to another one."""
        self.file("notes/backups.txt", "backups run at two")
        self.file("notes/todo.md", "# Boat\n\nbuy rope")
        self.file("notes/chown.1", ".TH X 1\n.so man1/other.1\n")
        self.file("notes/page.html", "<p>moved")
        self.file("notes/dots.txt", "...\n")
        os.symlink("backups.txt", os.path.join(self.folder, "notes", "link.txt"))
        tally = self.good_json("ingest", self.name, "--text", os.path.join(self.folder, "notes"))
        self.assertEqual((tally["read"], tally["skipped_files"]), (2, 3))
        hits = self.good_json("search", self.name, "--text", "when do backups run", "--limit", "1")["hits"]
        self.assertEqual(hits[0]["payload"]["text"], "backups run at two")

    def scroll(self, collection):
        return self.server.call("POST", "/collections/%s/points/scroll" % collection, {"limit": 1000}).result["points"]

    def test_nothing_to_read(self):
        os.makedirs(os.path.join(self.folder, "empty"))
        self.refused(FAILED, "no text was found", "ingest", self.name, "--text", os.path.join(self.folder, "empty"))
        self.refused(4, "cannot read", "ingest", self.name, "--text", os.path.join(self.folder, "nothing"))


class EmbeddingServer(http.server.BaseHTTPRequestHandler):
    """Vectors of three values from the letters of a text; every third request is refused once."""
    requests = 0
    seen = []

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        cls = type(self)
        cls.requests += 1
        if cls.requests % 3 == 2:
            self.send_response(429)
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")
            return
        cls.seen.append((self.path, body["model"], self.headers["Authorization"], len(body["input"])))
        data = [{"index": i, "embedding": [t.count("a") + 1, t.count("b"), t.count("c")]} for i, t in enumerate(body["input"])]
        answer = json.dumps({"object": "list", "data": list(reversed(data))}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


class EmbedTest(CliTest):
    def test_openai_style_server(self):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), EmbeddingServer)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        url = "http://127.0.0.1:%d" % server.server_port
        lines = [{"id": i, "body": "a" * (i % 5) + "b" * (i % 7)} for i in range(150)]
        path = self.file("a.jsonl", "\n".join(map(json.dumps, lines)))
        embed = ("--embed", url, "--embed-model", "letters")
        self.good("ingest", self.name, path, "--text-field", "body", *embed, "--embed-batch", "40", "--distance", "Dot",
                  QUIVER_EMBED_KEY="secret")
        self.assertEqual({s[:3] for s in EmbeddingServer.seen}, {("/v1/embeddings", "letters", "Bearer secret")})
        self.assertLessEqual(max(s[3] for s in EmbeddingServer.seen), 40)
        for p in self.points(self.name, [0, 4, 13, 149]):
            self.assertEqual(p["vector"], [p["id"] % 5 + 1.0, float(p["id"] % 7), 0.0])
        hits = json.loads(self.good("search", self.name, "--text", "bbb", *embed, "--json"))["hits"]
        self.assertEqual(hits[0]["payload"]["body"].count("b"), 6)
        # The built-in embedder's vectors cannot be compared with these.
        self.refused(FAILED, "--embed must name that server", "search", self.name, "--text", "bbb")


if __name__ == "__main__":
    unittest.main()
