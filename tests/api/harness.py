"""A real quiverd for the API tests: started on a free port with a folder of its own, spoken to over HTTP.

QUIVERD names the program (default: build/quiverd of this tree). With QUIVER_API_NODES=3 the same tests ask a cluster of
three nodes: see ClusterServer. Every request and its answer are held against the
description of the interface (description.py).
"""
import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.append(os.path.join(ROOT, "tests", "cluster"))

import description  # noqa: E402
import nodes  # noqa: E402

QUIVERD = os.environ.get("QUIVERD", os.path.join(ROOT, "build", "quiverd"))
NODES = int(os.environ.get("QUIVER_API_NODES", "1"))
# What a collection has that does not say.
DEFAULTS = {"shard_number": 1, "replication_factor": 1} if NODES == 1 else {"shard_number": 4, "replication_factor": 2}


def free_port():
    return nodes.free_ports(1)[0]


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


class Caller:
    """Sends requests to a server, or to any node of a cluster; each and its answer are held against the description, unless
    `described` is taken away (a large answer takes longer to check than to serve)."""
    described = True

    def __init__(self, flags):
        self.flags = list(flags)
        self.connections = {}  # port: connection
        self.headers = {}
        self.url_prefix = flags[flags.index("--url-prefix") + 1] if "--url-prefix" in flags else ""

    def disconnect(self):
        for connection in self.connections.values():
            connection.close()
        self.connections = {}

    def send(self, port, method, path, body, headers):
        """One attempt; the connection is kept."""
        if port not in self.connections:
            self.connections[port] = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        try:
            self.connections[port].request(method, path, body, headers)
            return Answer(self.connections[port].getresponse())
        except (http.client.HTTPException, OSError):
            self.connections.pop(port).close()
            raise

    def call(self, method, path, body=None, headers=None, raw=False):
        """Sends a request; body is made JSON unless it is bytes."""
        body = self.with_defaults(method, path, body)
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        all_headers = dict(self.headers)
        if body is not None and not raw:
            all_headers["Content-Type"] = "application/json"
        all_headers.update(headers or {})
        port = self.port
        try:
            answer = self.send(port, method, path, body, all_headers)
        except (http.client.HTTPException, OSError):
            # An idle connection may have been closed by the server; a new one must work.
            if not self.runs():
                raise
            answer = self.send(port, method, path, body, all_headers)
        if self.described and path.startswith(self.url_prefix):
            description.check(method, path[len(self.url_prefix):] or "/", all_headers, body, answer)
        return answer

    def with_defaults(self, method, path, body):
        return body


class Server(Caller):
    environment = {}  # more than what this process has

    def __init__(self, *flags, folder=None):
        super().__init__(flags)
        self.own_folder = folder is None
        self.folder = folder or tempfile.mkdtemp(prefix="quiver-api-")
        self.process = None
        self.start()

    @property
    def pids(self):
        return [self.process.pid]

    @property
    def data_folders(self):
        return [os.path.join(self.folder, "data")]

    def runs(self):
        return self.process.poll() is None

    def start(self):
        self.port = free_port()
        self.log = open(os.path.join(self.folder, "quiverd.log"), "ab")
        environment = {k: v for k, v in os.environ.items() if k != "QUIVER_API_KEY"}
        environment.update(self.environment)
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

    def state(self):
        """For the message of a failed test: the log, and what each thread is at."""
        return self.log_text() + nodes.threads(self.process)

    def kill(self):
        self.disconnect()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.log.close()

    def stop(self):
        self.disconnect()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            raise RuntimeError("quiverd does not stop: " + self.state())
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

class ClusterServer(Caller):
    """Several nodes that look like one server: every request goes to a node drawn by chance, and collections have a few
    partitions and two copies of each where the request does not say how many."""
    folder = None

    def __init__(self, *flags):
        super().__init__(flags)
        self.chance = random.Random(5)
        self.cluster = nodes.Cluster(NODES, *flags)

    @property
    def port(self):
        return self.chance.choice(self.cluster.nodes).http

    @property
    def pids(self):
        return [node.process.pid for node in self.cluster.nodes]

    @property
    def data_folders(self):
        return [node.data for node in self.cluster.nodes]

    def runs(self):
        return all(node.runs() for node in self.cluster.nodes)

    def with_defaults(self, method, path, body):
        if method == "PUT" and path.count("/") - self.url_prefix.count("/") == 2 and isinstance(body, dict):
            return dict({k: v for k, v in DEFAULTS.items() if body.get(k) is None}, **{
                k: v for k, v in body.items() if k not in DEFAULTS or v is not None})
        return body

    def start(self):
        for node in self.cluster.nodes:
            node.start()
        self.cluster.wait_ready()

    def stop(self):
        self.disconnect()
        for node in self.cluster.nodes:
            node.send(signal.SIGTERM)
        codes = [node.process.wait(timeout=60) for node in self.cluster.nodes]
        if any(codes):
            raise RuntimeError("quiverd ended with %r: %s" % (codes, self.cluster.logs()))

    def kill(self):
        self.disconnect()
        for node in self.cluster.nodes:
            node.kill()

    def close(self):
        ended = [node.name for node in self.cluster.nodes if not node.runs()]
        try:
            if ended:
                raise RuntimeError("quiverd %r had ended by itself: %s" % (ended, self.cluster.logs()))
            self.stop()
        finally:
            self.cluster.close()


def one_node(why):
    """Of a test or a class that says something about one node by itself."""
    return unittest.skipIf(NODES > 1, why)


class ApiTest(unittest.TestCase):
    """One server for all tests of a class; short words for requests."""
    flags = ()
    maxDiff = 4000

    @classmethod
    def setUpClass(cls):
        cls.server = Server(*cls.flags) if NODES == 1 else ClusterServer(*cls.flags)
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
