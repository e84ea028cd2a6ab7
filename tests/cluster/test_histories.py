"""Clients write, delete and read the same few points of a collection with two or three copies while nodes are killed: in turn the
leader of the map, a primary, a follower, and a node that only coordinates. The history of each point must be linearizable, no
request may fail that another node could have carried out, and in the end the copies are alike.

QUIVER_CLUSTER_KILLS (default 4, for each number of copies) and QUIVER_SEED replay a run.
"""
import http.client
import itertools
import json
import os
import random
import sys
import threading
import time
import unittest

from history import GONE, History
from nodes import ClusterTest

KILLS = int(os.environ.get("QUIVER_CLUSTER_KILLS", "4"))
SEED = int(os.environ.get("QUIVER_SEED", "0")) or int(time.time())
ROLES = ("leader", "primary", "follower", "coordinator")
POINTS = 8
CLIENTS = 5
STRAY_S = 5  # what nobody waits for any more is over after that long, once the copies agree


class Client(threading.Thread):
    """Talks to one node until that is lost, then to another one."""

    def __init__(self, cluster, history, values, seed):
        super().__init__()
        self.cluster, self.history, self.values = cluster, history, values
        self.random = random.Random(seed)
        self.node = self.connection = None
        self.stopping, self.done, self.failures = False, 0, []

    def run(self):
        while not self.stopping:
            if self.connection is None:
                usable = [node for node in self.cluster.nodes if node.usable]
                self.node = self.random.choice(usable)
                self.connection = http.client.HTTPConnection("127.0.0.1", self.node.http, timeout=60)
            try:
                self.step()
            except (http.client.HTTPException, OSError):
                self.connection.close()
                self.connection = None
            time.sleep(self.random.uniform(0, 0.01))
        if self.connection is not None:
            self.connection.close()

    def ask(self, operation, method, path, body):
        """(status, result)"""
        try:
            self.connection.request(method, "/collections/h" + path, json.dumps(body), {"Content-Type": "application/json"})
            answer = self.connection.getresponse()
            text = answer.read()
        except (http.client.HTTPException, OSError):
            self.history.lose(operation)
            raise
        if answer.status == 200:
            return json.loads(text)["result"]
        self.history.lose(operation)  # the answer does not promise that it did not happen
        self.failures.append("%.3f %s %s on %s: %d %r" % (self.history.now(), method, path, self.node.name, answer.status,
                                                          text[:300]))
        return None

    def step(self):
        key, what = self.random.randrange(POINTS), self.random.random()
        if what < 0.5:
            operation = self.history.call("read", key, who=self.name)
            if what < 0.3:
                found = self.ask(operation, "POST", "/points", {"ids": [key]})
            else:
                found = self.ask(operation, "POST", "/points/query",
                                 {"query": [1, 0], "filter": {"must": [{"has_id": [key]}]}, "limit": 1,
                                  "with_payload": True})
                found = found and found["points"]
            if found is not None:
                self.history.answer(operation, found[0]["payload"]["v"] if found else GONE)
                self.done += 1
            return
        value = GONE if what < 0.6 else next(self.values)
        operation = self.history.call("write", key, value, who=self.name)
        if value is GONE:
            told = self.ask(operation, "POST", "/points/delete?wait=true", {"points": [key]})
        else:
            told = self.ask(operation, "PUT", "/points?wait=true",
                            {"points": [{"id": key, "vector": [1, key], "payload": {"v": value}}]})
        if told is not None:
            self.history.answer(operation)
            self.done += 1


class Histories(ClusterTest):
    def go_on(self, c, clients, n=40):
        done = [client.done for client in clients]
        c.wait(lambda: all(client.done >= before + n for client, before in zip(clients, done)), "all clients go on")

    def pick(self, c, role, rng):
        """A node that has this role now."""
        if role == "leader":
            return c.leader()
        if role == "coordinator":
            return c[3]
        names = {i: name for name, i in self.peers(c[0]).items()}
        found = {names[i] for copies in self.replicas(c[0], "h").values() for i, copy in copies.items()
                 if copy["primary"] == (role == "primary")}
        return rng.choice([node for node in c.nodes if node.name in found])

    def kill_one(self, c, clients, history, rng, role):
        node = self.pick(c, role, rng)
        others = [other for other in c.nodes if other is not node]
        node.usable = False
        time.sleep(rng.uniform(0, 0.3))
        node.kill()
        self.go_on(c, clients, rng.choice((5, 40)))
        node.start()
        c.wait_ready()
        node.usable = True
        c.wait(lambda: all(len(copies) == self.factor for copies in self.places(others[0], "h").values()),
               "all copies in sync again")
        history.settle(STRAY_S)

    def start(self, factor):
        """Three nodes with every role, and one that coordinates only."""
        self.factor = factor
        c = self.cluster(3, "--heal-grace-s", "60")
        d = c.new_node("d", "--join", c[0].address, "--roles", "coordinator")
        d.start()
        c.wait_ready()
        c.wait(lambda: len(self.peers(c[0])) == 4, "all nodes are known")
        self.ok(c[0], "PUT", "/collections/h", {"vectors": {"size": 2, "distance": "Dot"}, "shard_number": 2,
                                                "replication_factor": factor})
        self.known(c, "h")
        return c

    def read_all(self, c, history):
        for node in c.nodes:
            for key in range(POINTS):
                operation = history.call("read", key, who="the end, " + node.name)
                found = self.ok(node, "POST", "/collections/h/points", {"ids": [key]})
                history.answer(operation, found[0]["payload"]["v"] if found else GONE)

    def killed(self, factor):
        rng = random.Random(SEED + factor)
        history, values, kills = History(), itertools.count(1), dict.fromkeys(ROLES, 0)
        c = self.start(factor)
        clients = [Client(c, history, values, rng.getrandbits(64)) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            self.go_on(c, clients)
            for i in range(KILLS):
                role = ROLES[i % len(ROLES)]
                self.kill_one(c, clients, history, rng, role)
                kills[role] += 1
            self.go_on(c, clients)
        except AssertionError as e:
            raise AssertionError("seed %d, after %r: %s" % (SEED, kills, e)) from None
        finally:
            for client in clients:
                client.stopping = True
            for client in clients:
                client.join()
        time.sleep(STRAY_S)
        history.settle()
        c.wait(lambda: self.whole(c[0], "h", factor), "the copies are alike")
        self.read_all(c, history)
        checked = history.check()
        failures = [line for client in clients for line in client.failures]
        self.assertEqual(failures, [], "seed %d\n%s" % (SEED, c.logs()))
        print("%d copies: %d kills (%s), history of %d operations on %d points linearizable, 0 failed answers (seed %d)" % (
            factor, KILLS, ", ".join("%s %d" % i for i in kills.items()), checked, POINTS, SEED), file=sys.stderr)

    def test_two_copies(self):
        self.killed(2)

    def test_three_copies(self):
        self.killed(3)


if __name__ == "__main__":
    unittest.main()
