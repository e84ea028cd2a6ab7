"""examples/rag/rag.py, run as a program on a few documents, without services and with a stand-in for them."""
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
import unittest

from qdrant_client import QdrantClient

from support import ROOT, URL, embed, new_name

TEXTS = {
    "pump.md": "# Pump\n\nThe filter of the pump must be cleaned every six weeks.\n\nUse cold water only.",
    "garden/roses.txt": "Roses are cut in spring.\n\nThey need feeding twice a year.",
    "garden/ignored.bin": "filter filter filter",
    "long.txt": "\n\n".join("Paragraph %d tells of topic%d and of nothing else. " % (i, i) * 5 for i in range(30)),
}


class Services(http.server.BaseHTTPRequestHandler):
    """/v1/embeddings and /v1/chat/completions, as far as the examples use them."""
    seen = []

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append((self.path, body, self.headers["Authorization"]))
        if self.path == "/v1/embeddings":
            answer = {"data": [{"index": i, "embedding": embed(t, 64)} for i, t in enumerate(body["input"])][::-1]}
        else:
            answer = {"choices": [{"message": {"content": "THE ANSWER, from " + body["messages"][0]["content"][-80:]}}]}
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments):
        pass


class RagTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        for name, text in TEXTS.items():
            path = os.path.join(self.folder.name, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as file:
                file.write(text)
        self.name = new_name("rag")
        self.client = QdrantClient(url=URL)
        self.addCleanup(self.client.close)
        self.addCleanup(self.client.delete_collection, self.name)

    def rag(self, *arguments, **environment):
        done = subprocess.run([sys.executable, "-W", "ignore", os.path.join(ROOT, "examples", "rag", "rag.py"),
                               "--collection", self.name, *arguments], env=dict(os.environ, QUIVER_URL=URL, **environment),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def test_without_services(self):
        self.assertRegex(self.rag("index", self.folder.name), r"^3 files, \d+ passages")
        count = self.client.count(self.name).count
        self.assertGreater(count, 8)
        answer = self.rag("ask", "how often is the pump filter cleaned", "-n", "2")
        self.assertTrue(answer.startswith("[1] " + os.path.join(self.folder.name, "pump.md")), answer)
        self.assertIn("six weeks", answer)
        self.assertIn("topic17", self.rag("ask", "topic17", "-n", "1"))
        # Again after a change: nothing twice, nothing old.
        with open(os.path.join(self.folder.name, "long.txt"), "w") as file:
            file.write("Now it is short.")
        self.rag("index", self.folder.name)
        self.assertEqual(self.client.count(self.name).count, 3)

    def test_with_services(self):
        Services.seen.clear()
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Services)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        base = "http://127.0.0.1:%d/v1" % server.server_port
        settings = {"EMBEDDING_URL": base, "EMBEDDING_MODEL": "small", "EMBEDDING_KEY": "k1", "CHAT_URL": base + "/",
                    "CHAT_MODEL": "large", "CHAT_KEY": "k2"}
        self.rag("index", os.path.join(self.folder.name, "garden"), os.path.join(self.folder.name, "pump.md"), **settings)
        self.assertEqual(self.client.get_collection(self.name).config.params.vectors["meaning"].size, 64)
        answer = self.rag("ask", "When are roses cut?", **settings)
        self.assertIn("THE ANSWER", answer)
        self.assertIn("[1] " + os.path.join(self.folder.name, "garden", "roses.txt"), answer)
        path, body, key = Services.seen[-1]
        self.assertEqual((path, body["model"], key), ("/v1/chat/completions", "large", "Bearer k2"))
        self.assertIn("Roses are cut in spring.", body["messages"][0]["content"])
        self.assertIn(("/v1/embeddings", "small", "Bearer k1"), {(p, b["model"], k) for p, b, k in Services.seen})


if __name__ == "__main__":
    unittest.main()
