"""Clients write, delete and read the same few points of a collection with two copies while nodes are killed; the history of each
point must be linearizable, no read may fail, and in the end the copies are alike.

QUIVER_CLUSTER_KILLS (default 5) and QUIVER_SEED replay a run.
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

KILLS = int(os.environ.get("QUIVER_CLUSTER_KILLS", "5"))
SEED = int(os.environ.get("QUIVER_SEED", "0")) or int(time.time())
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

    def kill_one(self, c, clients, history, rng):
        node = rng.choice(c.nodes)
        node.usable = False
        time.sleep(rng.uniform(0, 0.3))
        node.kill()
        self.go_on(c, clients, rng.choice((5, 40)))
        node.start()
        c.wait_ready()
        node.usable = True
        c.wait(lambda: all(len(copies) == 2 for copies in self.places(c[0], "h").values()), "two copies again")
        history.settle(STRAY_S)

    def test_points_keep_one_order_while_nodes_are_killed(self):
        print("seed %d" % SEED, file=sys.stderr)
        rng = random.Random(SEED)
        history, values = History(), itertools.count(1)
        c = self.cluster(3, "--heal-grace-s", "60")
        for node in c.nodes:
            node.usable = True
        self.ok(c[0], "PUT", "/collections/h", {"vectors": {"size": 2, "distance": "Dot"}, "shard_number": 2,
                                                "replication_factor": 2})
        self.known(c, "h")
        clients = [Client(c, history, values, rng.getrandbits(64)) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            self.go_on(c, clients)
            for _ in range(KILLS):
                self.kill_one(c, clients, history, rng)
            self.go_on(c, clients)
        finally:
            for client in clients:
                client.stopping = True
            for client in clients:
                client.join()
        time.sleep(STRAY_S)
        history.settle()
        c.wait(lambda: self.whole(c[0], "h", 2), "the copies are alike")
        for node in c.nodes:
            for key in range(POINTS):
                operation = history.call("read", key, who="the end, " + node.name)
                found = self.ok(node, "POST", "/collections/h/points", {"ids": [key]})
                history.answer(operation, found[0]["payload"]["v"] if found else GONE)
        checked = history.check()
        failures = [line for client in clients for line in client.failures]
        self.assertEqual(failures, [], c.logs())
        print("%d kills, history of %d operations on %d points linearizable, 0 failed answers" % (KILLS, checked, POINTS),
              file=sys.stderr)


if __name__ == "__main__":
    unittest.main()
