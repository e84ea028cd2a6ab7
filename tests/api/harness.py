"""A real quiverd for the API tests: started on a free port with a folder of its own, spoken to over HTTP.

QUIVERD names the program (default: build/quiverd of this tree). Every request and its answer are held against the
description of the interface (description.py).
"""
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import description

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
QUIVERD = os.environ.get("QUIVERD", os.path.join(ROOT, "build", "quiverd"))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Answer:
    """Status, headers and body of one answer; .result and .error of a JSON one."""

    def __init__(self, response):
        self.status = response.status
        self.headers = {k.lower(): v for k, v in response.getheaders()}
        self.body = response.read()
        self.json = None
        if self.headers.get("content-type", "").startswith("application/json"):
            self.json = json.loads(self.body, parse_constant=self.refuse_constant)

    @staticmethod
    def refuse_constant(name):
        raise AssertionError("%s in a JSON answer" % name)

    @property
    def result(self):
        return self.json["result"]

    @property
    def error(self):
        return self.json["status"]["error"]

    def __repr__(self):
        return "%d %s" % (self.status, self.body[:400])


class Server:
    url_prefix = ""

    def __init__(self, *flags, folder=None):
        self.flags = list(flags)
        self.own_folder = folder is None
        self.folder = folder or tempfile.mkdtemp(prefix="quiver-api-")
        self.process = None
        self.connection = None
        self.headers = {}
        self.url_prefix = flags[flags.index("--url-prefix") + 1] if "--url-prefix" in flags else ""
        self.start()

    def start(self):
        self.port = free_port()
        self.log = open(os.path.join(self.folder, "quiverd.log"), "ab")
        environment = {k: v for k, v in os.environ.items() if k != "QUIVER_API_KEY"}
        self.process = subprocess.Popen(
            [QUIVERD, "--data", os.path.join(self.folder, "data"),
             "--http", "127.0.0.1:%d" % self.port] + self.flags,
            stdout=self.log, stderr=self.log, env=environment)
        deadline = time.monotonic() + 60
        while True:
            if self.process.poll() is not None:
                self.log.close()
                raise RuntimeError("quiverd ended with %d: %s" % (self.process.returncode,
                                                                  self.log_text()))
            try:
                if self.call("GET", "/readyz").status == 200:
                    return
            except OSError:
                pass
            if time.monotonic() > deadline:
                self.kill()
                raise RuntimeError("quiverd does not get ready: " + self.log_text())
            time.sleep(0.02)

    def log_text(self):
        with open(os.path.join(self.folder, "quiverd.log"), errors="replace") as f:
            return f.read()[-4000:]

    def disconnect(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def kill(self):
        self.disconnect()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.log.close()

    def stop(self):
        self.disconnect()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=60)
        self.log.close()
        if code != 0:
            raise RuntimeError("quiverd ended with %d: %s" % (code, self.log_text()))

    def close(self):
        try:
            if self.process.poll() is None:
                self.stop()
            else:
                self.log.close()
                raise RuntimeError("quiverd had ended by itself with %d: %s"
                                   % (self.process.returncode, self.log_text()))
        finally:
            if self.own_folder:
                shutil.rmtree(self.folder, ignore_errors=True)

    def call(self, method, path, body=None, headers=None, raw=False):
        """Sends a request; body is made JSON unless it is bytes."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        all_headers = dict(self.headers)
        if body is not None and not raw:
            all_headers["Content-Type"] = "application/json"
        all_headers.update(headers or {})
        for attempt in range(2):
            if self.connection is None:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
            try:
                self.connection.request(method, path, body, all_headers)
                answer = Answer(self.connection.getresponse())
                break
            except (http.client.HTTPException, OSError):
                # An idle connection may have been closed by the server; a new one must work.
                self.disconnect()
                if attempt == 1 or self.process.poll() is not None:
                    raise
        if path.startswith(self.url_prefix):
            description.check(method, path[len(self.url_prefix):] or "/", all_headers, body, answer)
        return answer


class ApiTest(unittest.TestCase):
    """One server for all tests of a class; short words for requests."""
    flags = ()
    maxDiff = 4000

    @classmethod
    def setUpClass(cls):
        cls.server = Server(*cls.flags)
        cls.counter = 0

    @classmethod
    def tearDownClass(cls):
        cls.server.close()

    def call(self, method, path, body=None, **more):
        return self.server.call(method, path, body, **more)

    def ok(self, method, path, body=None, **more):
        """The result of a request that must succeed; checks the envelope."""
        answer = self.call(method, path, body, **more)
        self.assertEqual(answer.status, 200, "%s %s: %r" % (method, path, answer))
        self.assertEqual(answer.json["status"], "ok")
        self.assertIsInstance(answer.json["time"], float)
        return answer.result

    def refused(self, status, words, method, path, body=None, **more):
        answer = self.call(method, path, body, **more)
        self.assertEqual(answer.status, status, "%s %s %r: %r" % (method, path, body, answer))
        self.assertNotIn("result", answer.json)
        self.assertIsInstance(answer.json["time"], float)
        self.assertIn(words, answer.error)
        return answer

    def get(self, path):
        return self.ok("GET", path)

    def put(self, path, body):
        return self.ok("PUT", path, body)

    def post(self, path, body):
        return self.ok("POST", path, body)

    def collection(self, vectors=None, name=None, **more):
        """A new collection; returns its path."""
        type(self).counter += 1
        name = name or "c%d" % self.counter
        body = dict(more)
        if vectors is not None:
            body["vectors"] = vectors
        path = "/collections/" + name
        self.assertIs(self.put(path, body), True)
        self.addCleanup(self.call, "DELETE", path)
        return path

    def upsert(self, path, points, **more):
        result = self.put(path + "/points?wait=true", dict(points=points, **more))
        self.assertEqual(result["status"], "completed")
        return result

    def count(self, path, filter=None):
        body = {} if filter is None else {"filter": filter}
        return self.post(path + "/points/count", body)["count"]

    def all_points(self, path, with_vector=True):
        """Everything that is stored, page by page."""
        points, offset = [], None
        while True:
            body = {"limit": 100, "with_vector": with_vector}
            if offset is not None:
                body["offset"] = offset
            page = self.post(path + "/points/scroll", body)
            points += page["points"]
            offset = page["next_page_offset"]
            if offset is None:
                return points


def ids(points):
    return [p["id"] for p in points]
