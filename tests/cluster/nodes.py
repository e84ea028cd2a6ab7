"""Clusters of real quiverd processes for the tests: started on free ports with folders of their own, spoken to over HTTP.

QUIVERD names the program (default: build/quiverd of this tree).
"""
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from links import Links

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
QUIVERD = os.environ.get("QUIVERD", os.path.join(ROOT, "build", "quiverd"))
PATIENCE = 60  # for anything that must happen at all


def free_ports(n):
    """Below those that the system gives to outgoing connections: one of these could take the port before the node listens."""
    ports, chance = [], random.SystemRandom()
    while len(ports) < n:
        port = chance.randrange(12000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in ports:
            ports.append(port)
    return ports


def threads(process):
    """What each thread of a process is at: its name, state, processor time, call of the kernel, and where it waits there."""
    def read(path):
        try:
            with open(path) as f:
                return f.read().strip()
        except OSError as e:
            return type(e).__name__

    lines = ["", "threads of %d, which ended with %r:" % (process.pid, process.poll())]
    folder = "/proc/%d/task" % process.pid
    for task in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        stat = read("%s/%s/stat" % (folder, task)).rpartition(")")[2].split()
        lines.append("%s %-15s %s user %s sys %s  %s  %s" % (
            task, read("%s/%s/comm" % (folder, task)), *(stat[i] for i in (0, 11, 12)),
            read("%s/%s/wchan" % (folder, task)), read("%s/%s/syscall" % (folder, task))))
    return "\n".join(lines) + "\n"


class Node:
    """links: others reach it through them (links.py)."""

    def __init__(self, folder, name, flags, links=None):
        self.folder, self.name, self.flags = folder, name, flags
        self.http, self.rpc = free_ports(2)
        self.links = links
        self.address = "127.0.0.1:%d" % (links.add(self) if links else self.rpc)
        self.environment = {}
        self.data = os.path.join(folder, name)
        self.process = None
        self.usable = True  # clients may choose it

    def command(self, *more):
        place = ["--rpc", self.address]
        if self.links:
            place = ["--rpc", "127.0.0.1:%d" % self.rpc, "--advertise", self.address]
        return [QUIVERD, "--data", self.data, "--node", self.name, *place,
                "--http", "127.0.0.1:%d" % self.http] + list(more)

    def start(self, *more):
        environment = {k: v for k, v in os.environ.items() if k != "QUIVER_API_KEY"}
        environment.update(self.environment)
        with open(self.data + ".log", "ab") as log:
            self.process = subprocess.Popen(self.command(*self.flags, *more), stdout=log,
                                            stderr=log, env=environment)

    def log(self):
        with open(self.data + ".log", errors="replace") as f:
            return f.read()

    def state(self):
        return "== %s\n%s%s" % (self.name, self.log()[-3000:], threads(self.process) if self.process else "")

    def send(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.send(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        return self.process.wait(timeout=PATIENCE)

    def runs(self):
        return self.process is not None and self.process.poll() is None

    def call(self, method, path, body=None, timeout=PATIENCE):
        """(status, JSON or text)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=timeout)
        try:
            text = None if body is None else json.dumps(body).encode()
            connection.request(method, path, text, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            data = answer.read()
            if answer.getheader("content-type", "").startswith("application/json"):
                return answer.status, json.loads(data)
            return answer.status, data.decode()
        finally:
            connection.close()

    def ready(self):
        try:
            return self.call("GET", "/readyz")[0] == 200
        except OSError:
            return False


class Cluster:
    """n nodes that bootstrap a cluster. With links, what passes between them can be cut. prepare(node) comes before its start."""

    def __init__(self, n, *flags, links=None, prepare=None):
        self.folder = tempfile.mkdtemp(prefix="quiver-cluster-")
        self.flags, self.links = list(flags), links
        self.nodes = [Node(self.folder, "abcdefgh"[i], [], links) for i in range(n)]
        self.bootstrap = ",".join("%s@%s" % (node.name, node.address) for node in self.nodes)
        for node in self.nodes:
            node.flags = self.flags + ["--bootstrap", self.bootstrap]
            if prepare:
                prepare(node)
            node.start()
        self.wait_ready()

    def __getitem__(self, i):
        return self.nodes[i]

    def new_node(self, name, *flags):
        node = Node(self.folder, name, self.flags + list(flags), self.links)
        self.nodes.append(node)
        return node

    def wait(self, condition, what):
        until = time.monotonic() + PATIENCE
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > until:
                raise AssertionError("%s: not in %d s\n%s" % (what, PATIENCE, self.states()))
            time.sleep(0.02)

    def wait_ready(self):
        for node in self.nodes:
            if node.runs():
                self.wait(lambda: node.ready() or not node.runs(), node.name + " ready")
                if not node.runs():
                    raise AssertionError("%s ended: %s" % (node.name, node.log()))

    def logs(self):
        return "\n".join("== %s\n%s" % (node.name, node.log()[-2000:]) for node in self.nodes
                         if os.path.exists(node.data + ".log"))

    def states(self):
        return "\n".join(node.state() for node in self.nodes if os.path.exists(node.data + ".log"))

    def leader(self):
        """Who said last that it leads, and lives."""
        def find():
            best = None
            for node in self.nodes:
                lines = [line for line in node.log().splitlines() if "leads the control plane" in line]
                if node.runs() and lines and "no more" not in lines[-1]:
                    best = max(best or ("",), (lines[-1].split()[0], node), key=lambda x: x[0])
            return best and best[1]
        return self.wait(find, "a leader")

    def close(self):
        for node in self.nodes:
            if node.runs():
                node.send(signal.SIGCONT)
                node.send(signal.SIGTERM)
        for node in self.nodes:
            if node.process is not None:
                try:
                    node.process.wait(timeout=PATIENCE)
                except subprocess.TimeoutExpired:
                    state = node.state()
                    node.kill()
                    raise AssertionError("%s does not stop\n%s" % (node.name, state))
        if self.links:
            self.links.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class ClusterTest(unittest.TestCase):
    maxDiff = 4000

    def cluster(self, n, *flags, linked=False, prepare=None):
        c = Cluster(n, *flags, links=Links() if linked else None, prepare=prepare)
        self.addCleanup(c.close)
        return c

    def ok(self, node, method, path, body=None):
        status, answer = node.call(method, path, body)
        self.assertEqual(status, 200, "%s %s on %s: %r" % (method, path, node.name, answer))
        return answer["result"]

    def create(self, node, name, shards=1, factor=1):
        self.ok(node, "PUT", "/collections/" + name,
                {"vectors": {"size": 2, "distance": "Dot"}, "shard_number": shards,
                 "replication_factor": factor})

    def upsert(self, node, name, ids):
        self.ok(node, "PUT", "/collections/%s/points?wait=true" % name,
                {"points": [{"id": i, "vector": [float(i), 1.0]} for i in ids]})

    def count(self, node, name):
        return self.ok(node, "POST", "/collections/%s/points/count" % name, {"exact": True})["count"]

    def top(self, node, name, limit):
        answer = self.ok(node, "POST", "/collections/%s/points/query" % name,
                         {"query": [1.0, 0.0], "limit": limit})
        return [p["id"] for p in answer["points"]]

    def known(self, cluster, name):
        """Every node has the collection in its map."""
        for node in cluster.nodes:
            if node.runs():
                cluster.wait(lambda: node.call("GET", "/collections/" + name)[0] == 200,
                             "%s knows %s" % (node.name, name))

    def peers(self, node):
        """{name: id} of the nodes that it knows."""
        answer = self.ok(node, "GET", "/cluster")
        return {p["name"]: int(i) for i, p in answer.get("peers", {}).items()}

    def replicas(self, node, name):
        """{partition: {node id: what it says of itself}}."""
        answer = self.ok(node, "GET", "/collections/%s/cluster" % name)
        found = {}
        for replica in answer["local_shards"] + answer["remote_shards"]:
            found.setdefault(replica["shard_id"], {})[
                replica.get("peer_id", answer["peer_id"])] = replica
        return found

    def places(self, node, name):
        """{partition: set of node ids}, of active replicas."""
        return {partition: {i for i, replica in nodes.items() if replica["state"] == "Active"}
                for partition, nodes in self.replicas(node, name).items()}

    def whole(self, node, name, factor, nodes=None):
        """Has each partition exactly `factor` active copies and no other, with equal digests (at equal positions), on these nodes?"""
        for partition, copies in self.replicas(node, name).items():
            if len(copies) != factor or any(c["state"] != "Active" for c in copies.values()):
                return False
            if nodes is not None and not set(copies) <= set(nodes):
                return False
            if len({c["applied_seq"] for c in copies.values()}) != 1:
                return False
            self.assertEqual(len({c["digest"] for c in copies.values()}), 1,
                             "partition %d: %r" % (partition, copies))
        return True

    def metric(self, node, name):
        for line in node.call("GET", "/metrics")[1].splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
        self.fail("no metric " + name)
