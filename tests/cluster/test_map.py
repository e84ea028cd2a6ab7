"""The shard map is one thing wherever it is asked: clients create and delete collections and move an alias through all nodes at once,
while the leader of the map is killed, paused and cut off; the history of each family of names must be linearizable.

What is told of a change (also that it was refused: the name is taken, there is no such collection) counts as it stands. A node
answers reads from its own copy of the map, which may lag behind changes made through others, but holds every change that was
acknowledged through itself; in the end all nodes tell the same.

QUIVER_MAP_FAULTS (default 3) and QUIVER_SEED replay a run.
"""
import http.client
import json
import os
import random
import signal
import sys
import threading
import time
import unittest

from history import IMPOSSIBLE, History
from nodes import ClusterTest

FAULTS = int(os.environ.get("QUIVER_MAP_FAULTS", "3"))
SEED = int(os.environ.get("QUIVER_SEED", "0")) or int(time.time())
CLIENTS = 4
FAMILY_S = 1.5  # for so long one family of names is used
DEFINITION = {"vectors": {"size": 2, "distance": "Dot"}, "replication_factor": 3}


class Names:
    """The rules of a family: collections x and y, and an alias a. A state is (those that exist, what the alias names)."""
    initial = (frozenset(), None)

    def __init__(self, operations):
        pass

    @staticmethod
    def without_trace(o):
        return o.kind == "read"

    @staticmethod
    def step(state, o):
        if o.kind == "read":
            which, told = o.value
            return state if told == state[which] else IMPOSSIBLE
        after, told = Names.change(state, o.kind, o.value)
        return after if o.told is None or o.told == told else IMPOSSIBLE

    @staticmethod
    def change(state, kind, name):
        """(state after it, what is told)"""
        exist, alias = state
        if kind == "create":
            return (exist | {name}, alias), name not in exist
        if kind == "delete":
            return (exist - {name}, None if alias == name else alias), name in exist
        if kind == "unpoint":
            return (exist, None), True
        return ((exist, name), True) if name in exist else (state, False)  # point: all or nothing


class Client(threading.Thread):
    """Changes and reads the map through one node, as long as that is usable."""

    def __init__(self, nodes, node, history, seed):
        super().__init__(daemon=True)
        self.nodes, self.node, self.history, self.random = nodes, node, history, random.Random(seed)
        self.connection, self.stopping, self.done, self.strange = None, False, 0, []
        self.last_change = 0  # when the newest change was called that this node has acknowledged

    def run(self):
        while not self.stopping:
            if not self.node.usable:
                self.node = self.random.choice([n for n in self.nodes if n.usable])
                self.connection, self.last_change = None, 0
            try:
                self.step()
            except (http.client.HTTPException, OSError):
                self.connection = None
                time.sleep(0.05)

    def ask(self, method, path, body=None):
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.node.http, timeout=20)
        self.connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        return answer.status, json.loads(answer.read())

    def step(self):
        family = int(self.history.now() / FAMILY_S)
        kind = self.random.choice(("create", "create", "delete", "point", "point", "unpoint", "read", "read"))
        if kind == "read":
            self.read(family, self.random.randrange(2), since=self.last_change)
            return
        name = self.random.choice("xy")
        operation = self.history.call(kind, family, name, who="%s on %s" % (self.name, self.node.name))
        try:
            self.take(operation, *self.change(kind, "%s%d" % (name, family), "a%d" % family))
        finally:
            if operation.fate == "open":
                self.history.lose(operation)

    def change(self, kind, name, alias):
        if kind == "create":
            return self.ask("PUT", "/collections/%s?timeout=8" % name, DEFINITION)
        if kind == "delete":
            return self.ask("DELETE", "/collections/%s?timeout=8" % name)
        actions = [{"delete_alias": {"alias_name": alias}}]
        if kind == "point":
            actions.append({"create_alias": {"alias_name": alias, "collection_name": name}})
        return self.ask("POST", "/collections/aliases?timeout=8", {"actions": actions})

    def take(self, operation, status, answer):
        """What the answer says of the change."""
        if status == 200:
            self.last_change = max(self.last_change, operation.called)
            self.history.answer(operation, answer["result"])
        elif status in (404, 409):
            self.history.answer(operation, False)
        elif status == 503 or status == 422:  # no leader, or not enough nodes for the copies: nothing was changed
            self.history.refuse(operation)
        elif status == 408:
            self.history.lose(operation)
        else:
            self.strange.append("%r: %d %r" % (operation, status, answer))
        self.done += 1

    def read(self, family, which, since=None):
        operation = self.history.call("read", family, since=since, who="%s on %s" % (self.name, self.node.name))
        status, answer = self.ask("GET", ("/collections", "/aliases")[which])
        if status != 200:
            self.strange.append("%r: %d %r" % (operation, status, answer))
            return
        if which == 0:
            told = frozenset(c["name"][0] for c in answer["result"]["collections"] if c["name"][1:] == str(family))
        else:
            told = next((a["collection_name"][0] for a in answer["result"]["aliases"]
                         if a["alias_name"] == "a%d" % family), None)
        self.history.answer(operation, (which, told))
        self.done += 1


class Map(ClusterTest):
    def go_on(self, c, clients, n=15):
        done = [client.done for client in clients]
        c.wait(lambda: all(client.done >= before + n for client, before in zip(clients, done)), "all clients go on")

    def fault(self, c, rng):
        """Who leads the map, or anybody, is lost for a while."""
        node = c.leader() if rng.random() < 0.7 else rng.choice(c.nodes)
        kind = rng.choice(("kill", "pause", "cut", "mute"))
        if kind == "kill":
            node.usable = False
            node.kill()
            time.sleep(rng.choice((0.2, 2)))
            node.start()
            c.wait_ready()
            node.usable = True
        elif kind == "pause":
            node.send(signal.SIGSTOP)
            time.sleep(rng.choice((0.5, 3)))
            node.send(signal.SIGCONT)
        else:
            for other in c.nodes:
                if other is not node:
                    c.links.cut(node.name, other.name)
                    if kind == "cut":
                        c.links.cut(other.name, node.name)
            time.sleep(rng.choice((0.5, 3)))
            c.links.heal()
        return "%s %s" % (kind, node.name)

    def test_changes_through_all_nodes_have_one_order(self):
        rng = random.Random(SEED)
        history, done = History(), []
        c = self.cluster(3, "--heal-grace-s", "60", linked=True)
        c.wait(lambda: len(self.peers(c[0])) == 3, "all nodes are known")
        clients = [Client(c.nodes, c[i % 3], history, rng.getrandbits(64)) for i in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            self.go_on(c, clients)
            for _ in range(FAULTS):
                done.append(self.fault(c, rng))
                self.go_on(c, clients)
        finally:
            for client in clients:
                client.stopping = True
            for client in clients:
                client.join()
        self.assertEqual([line for client in clients for line in client.strange], [])
        # A change through each node: what is under way before it is in every map after it, or will never be.
        time.sleep(8)
        for node in c.nodes:
            self.create(node, "last_" + node.name)
        self.known(c, "last_c")
        history.settle()
        families = sorted({o.key for o in history.operations})
        for node in c.nodes:
            reader = Client(c.nodes, node, history, 0)
            for family in families:
                for which in (0, 1):
                    reader.read(family, which)
            self.assertEqual(reader.strange, [])
        try:
            checked = history.check(Names)
        except AssertionError as e:
            raise AssertionError("seed %d, %s: %s" % (SEED, done, e)) from None
        refused = sum(o.fate == "refused" for o in history.operations)
        unknown = sum(o.fate == "unknown" for o in history.operations)
        print("seed %d: %d operations on %d families of names linearizable (%d refused, %d without an answer); %s" % (
            SEED, checked, len(families), refused, unknown, ", ".join(done)), file=sys.stderr)


if __name__ == "__main__":
    unittest.main()
