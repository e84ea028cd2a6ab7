"""Every row of the table of statuses in docs/api.md: what it says is provoked here, or by the test that is named."""
import http.client
import json
import os
import re
import signal
import struct
import sys
import unittest

from harness import ROOT, Answer, ApiTest, one_node

sys.path.append(os.path.join(ROOT, "tests", "cluster"))
from nodes import Cluster  # noqa: E402

HEAD = "| status | begins with | when |"
# status: (file, words in it) of the tests that get such an answer from a running server (500: from its table of errors, for
# no request may provoke it)
PROOFS = {
    400: [("tests/api/test_matrix.py", "MISTAKES"), ("tests/api/test_errors.py", "def test_unsupported_features_are_named")],
    401: [("tests/api/test_service.py", "def test_refusals")], 403: [("tests/api/test_service.py", "def test_read_only")],
    404: [("tests/api/test_matrix.py", "def test_unknown_collection")],
    405: [("tests/api/test_service.py", 'refused(405, "Method not allowed"')],
    408: [("tests/api/test_error_table.py", "def test_copies_out_of_reach")],
    409: [("tests/api/test_collections.py", "already exists!")],
    413: [("tests/api/test_service.py", "def test_oversized_body")],
    422: [("tests/api/test_matrix.py", "MISTAKES")],
    429: [("tests/api/test_error_table.py", "def test_no_memory_left")],
    500: [("tests/unit/api/test_routes.c", "Service internal error: ")],
    503: [("tests/api/test_error_table.py", "def test_copies_out_of_reach")],
    507: [("tests/crash/test_full_disk.py", "507")],
}


class Table(unittest.TestCase):
    def test_every_row_is_proven(self):
        with open(os.path.join(ROOT, "docs", "api.md")) as file:
            lines = file.read().split("\n")
        said = set()
        for line in lines[lines.index(HEAD) + 2:]:
            if not line.startswith("|"):
                break
            said.update(int(status) for status in re.findall(r"[0-9]{3}", line.split("|")[1]))
        self.assertEqual(said, set(PROOFS))
        for status, proofs in PROOFS.items():
            for name, words in proofs:
                with open(os.path.join(ROOT, name)) as file:
                    self.assertIn(words, file.read(), status)


@one_node("the limit is that of one process")
class Memory(ApiTest):
    flags = ("--memory-limit-mb", "4", "--seal-rows", "1000000")

    def test_no_memory_left(self):
        """Writes are refused, and say when to come back; deletes and reads go on."""
        path = self.collection({"size": 128, "distance": "Dot"})
        body = struct.pack("<4sIIIB47x", b"QVB1", 0, 1000, 128, 0)
        written = 0
        while True:
            answer = self.call("PUT", path + "/points?wait=true", body + struct.pack(
                "<1000Q", *range(written, written + 1000)) + struct.pack("<128f", *range(128)) * 1000,
                headers={"Content-Type": "application/octet-stream"}, raw=True)
            if answer.status != 200:
                break
            written += 1000
            self.assertLess(written, 100000)
        self.assertEqual(answer.status, 429, answer)
        self.assertTrue(answer.error.startswith("Too many requests: "), answer.error)
        self.assertIn("try again later", answer.error)
        self.assertRegex(answer.headers["retry-after"], r"^[1-9][0-9]*$")
        self.assertGreater(written, 1000)
        self.assertEqual(self.count(path), written)
        self.post(path + "/points/delete?wait=true", {"points": [1, 2, 3]})
        self.assertEqual(self.count(path), written - 3)


class Copies(unittest.TestCase):
    def ask(self, node, method, path, body):
        connection = http.client.HTTPConnection("127.0.0.1", node.http, timeout=60)
        try:
            connection.request(method, path, json.dumps(body).encode(), {"Content-Type": "application/json"})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def test_copies_out_of_reach(self):
        """The only copy is on a node that hangs: 408. It is gone: 503, with the time to come back."""
        cluster = Cluster(3)
        self.addCleanup(cluster.close)
        path = "/collections/c"
        answer = self.ask(cluster[0], "PUT", path, {"vectors": {"size": 2, "distance": "Dot"}, "shard_number": 1,
                                                    "replication_factor": 1})
        self.assertEqual(answer.status, 200, answer)
        points = {"points": [{"id": 1, "vector": [1, 2]}]}
        self.assertEqual(self.ask(cluster[0], "PUT", path + "/points?wait=true", points).status, 200)
        places = [node for node in cluster.nodes if cluster.wait(
            lambda: node.call("GET", path + "/cluster")[0] == 200, "known") and node.call("GET", path + "/cluster")[1]["result"]["local_shards"]]
        self.assertEqual(len(places), 1)
        other = next(node for node in cluster.nodes if node is not places[0])
        requests = (("POST", path + "/points/query", {"query": [1, 2]}), ("PUT", path + "/points", points))
        places[0].send(signal.SIGSTOP)
        for method, route, body in requests:
            answer = self.ask(other, method, route + "?timeout=1", body)
            self.assertEqual(answer.status, 408, answer)
            self.assertTrue(answer.error.startswith("Timeout error: "), answer.error)
        places[0].kill()

        def gone(method, route, body):
            answer = self.ask(other, method, route + "?timeout=5", body)
            self.assertIn(answer.status, (408, 503), answer)
            return answer if answer.status == 503 else None
        for method, route, body in requests:
            answer = cluster.wait(lambda m=method, r=route, b=body: gone(m, r, b), "503")
            self.assertTrue(answer.error.startswith("Service unavailable: "), answer.error)
            self.assertRegex(answer.headers["retry-after"], r"^[1-9][0-9]*$")
            answer = self.ask(other, method, route.replace("/points/query", "/points/query/batch"),
                              {"searches": [body]}) if method == "POST" else answer
            self.assertEqual(answer.status, 503, answer)
        answer = self.ask(other, "POST", path + "/points/query", {"query": [1, 2], "allow_partial": True})
        self.assertEqual((answer.status, answer.json["receipt"]["complete"]), (200, False), answer)


if __name__ == "__main__":
    unittest.main()
