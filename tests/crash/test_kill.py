"""SIGKILL at random moments under concurrent upserts and deletes; every acknowledged operation is checked afterwards.

Each writer owns its ids, so that the history of a point is the history of one writer. An operation without an answer may have happened
or not, and stays as it is found after the restart. Segments are small, so that seals, index builds and compactions are hit, too.

A second test lets clients write, delete and read the *same* few points at once, and checks that the history of each is linearizable
over all kills (tests/cluster/history.py).

QUIVER_KILLS (default 50) and QUIVER_SEED replay a run.
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

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "api"))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cluster"))
from harness import Server  # noqa: E402
from history import GONE, History  # noqa: E402

KILLS = int(os.environ.get("QUIVER_KILLS", "50"))
SEED = int(os.environ.get("QUIVER_SEED", "0")) or int(time.time())
WRITERS = 4
IDS = 400  # of each writer
SHARED = 6  # points that all clients of the second test use
CLIENTS = 6


class Writer(threading.Thread):
    """Upserts and deletes its own ids until the server is gone."""

    def __init__(self, number, port, known, seed):
        super().__init__()
        self.first = number * IDS
        self.port = port
        self.known = known  # id -> version, or GONE
        self.unknown = {}   # id -> what it may be instead: the operation in flight when the server died
        self.random = random.Random(seed)
        self.acknowledged = 0
        self.failure = None

    def run(self):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            while True:
                self.step(connection)
        except (http.client.HTTPException, OSError):
            pass
        except Exception as e:  # pylint: disable=broad-except
            self.failure = repr(e)

    def step(self, connection):
        ids = self.random.sample(range(self.first, self.first + IDS), self.random.choice((1, 5, 40)))
        if self.random.random() < 0.3:
            change = {i: GONE for i in ids}
            method, path, body = "POST", "/points/delete?wait=true", {"points": ids}
        else:
            change = {i: (self.known[i] or 0) + self.random.randint(1, 1000) for i in ids}
            points = [{"id": i, "vector": [v, i, 1, 0], "payload": {"v": v, "pad": "x" * 50}} for i, v in change.items()]
            method, path, body = "PUT", "/points?wait=true", {"points": points}
        self.unknown = change
        connection.request(method, "/collections/kill" + path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise AssertionError("status %d: %r" % (answer.status, text))
        self.known.update(change)
        self.unknown = {}
        self.acknowledged += 1


class Client(threading.Thread):
    """Writes, deletes and reads points that others use, too, until the server is gone."""

    def __init__(self, port, history, values, seed):
        super().__init__()
        self.port, self.history, self.values = port, history, values
        self.random = random.Random(seed)
        self.failure = None

    def run(self):
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            while True:
                self.step()
        except (http.client.HTTPException, OSError):
            pass
        except Exception as e:  # pylint: disable=broad-except
            self.failure = repr(e)
        finally:
            self.connection.close()

    def ask(self, operation, method, path, body):
        try:
            self.connection.request(method, "/collections/shared" + path, json.dumps(body),
                                    {"Content-Type": "application/json"})
            answer = self.connection.getresponse()
            text = answer.read()
        except (http.client.HTTPException, OSError):
            self.history.lose(operation)
            raise
        if answer.status != 200:
            raise AssertionError("status %d: %r" % (answer.status, text))
        return json.loads(text)["result"]

    def step(self):
        key, what = self.random.randrange(SHARED), self.random.random()
        if what < 0.5:
            operation = self.history.call("read", key, who=self.name)
            if what < 0.25:
                found = self.ask(operation, "POST", "/points", {"ids": [key]})
            else:
                found = self.ask(operation, "POST", "/points/scroll",
                                 {"limit": 1, "filter": {"must": [{"has_id": [key]}]}})["points"]
            self.history.answer(operation, found[0]["payload"]["v"] if found else GONE)
        elif what < 0.6:
            operation = self.history.call("write", key, GONE, who=self.name)
            self.ask(operation, "POST", "/points/delete?wait=true", {"points": [key]})
            self.history.answer(operation)
        else:
            operation = self.history.call("write", key, next(self.values), who=self.name)
            self.ask(operation, "PUT", "/points?wait=true",
                     {"points": [{"id": key, "vector": [1, key], "payload": {"v": operation.value}}]})
            self.history.answer(operation)


class KillTest(unittest.TestCase):
    def stored(self, server):
        """All points: id -> version; payload and vector must agree, and scroll, retrieve and count, too."""
        found, offset = {}, None
        while True:
            page = server.call("POST", "/collections/kill/points/scroll",
                               {"limit": 1000, "with_vector": True, **({"offset": offset} if offset is not None else {})}).result
            for p in page["points"]:
                self.assertNotIn(p["id"], found)
                self.assertEqual(p["vector"], [p["payload"]["v"], p["id"], 1, 0])
                found[p["id"]] = p["payload"]["v"]
            offset = page["next_page_offset"]
            if offset is None:
                break
        self.assertEqual(server.call("POST", "/collections/kill/points/count", {}).result["count"], len(found))
        every = server.call("POST", "/collections/kill/points", {"ids": list(range(WRITERS * IDS))}).result
        self.assertEqual({p["id"] for p in every}, set(found))
        return found

    def check(self, server, known, writers):
        found = self.stored(server)
        for w in writers:
            self.assertIsNone(w.failure, "seed %d" % SEED)
            for i in range(w.first, w.first + IDS):
                allowed = {known[i]} | ({w.unknown[i]} if i in w.unknown else set())
                self.assertIn(found.get(i, GONE), allowed, "point %d, seed %d" % (i, SEED))
        hits = server.call("POST", "/collections/kill/points/query",
                           {"query": [1, 0, 0, 0], "limit": WRITERS * IDS, "params": {"exact": True}}).result["points"]
        self.assertEqual({h["id"] for h in hits}, set(found))
        return found

    def test_every_acknowledged_operation_survives(self):
        rng = random.Random(SEED)
        server = Server("--seal-rows", "700", "--index-min-rows", "200")
        server.described = False
        acknowledged = 0
        try:
            server.call("PUT", "/collections/kill", {"vectors": {"size": 4, "distance": "Dot"}, "shard_number": 2})
            server.call("PUT", "/collections/kill/index", {"field_name": "v", "field_schema": "integer"})
            known = {i: GONE for i in range(WRITERS * IDS)}
            for kill in range(KILLS):
                writers = [Writer(n, server.port, known, rng.getrandbits(64)) for n in range(WRITERS)]
                for w in writers:
                    w.start()
                time.sleep(rng.uniform(0.02, 0.6))
                server.kill()
                for w in writers:
                    w.join()
                server.start()
                found = self.check(server, known, writers)
                known = {i: found.get(i, GONE) for i in known}
                acknowledged += sum(w.acknowledged for w in writers)
                if kill % 100 == 99:
                    print("%d kills, %d acknowledged operations" % (kill + 1, acknowledged), file=sys.stderr)
        except BaseException:
            print("replay with QUIVER_SEED=%d; log:\n%s" % (SEED, server.log_text()), file=sys.stderr)
            raise
        finally:
            server.close()
        self.assertGreater(acknowledged, KILLS)
        print("%d kills, %d acknowledged operations, 0 lost (seed %d)" % (KILLS, acknowledged, SEED), file=sys.stderr)

    def test_points_that_all_clients_use_have_one_order(self):
        rng = random.Random(SEED + 1)
        kills = max(KILLS // 5, 1)
        history, values = History(), itertools.count(1)
        server = Server("--seal-rows", "100", "--index-min-rows", "50")
        try:
            server.call("PUT", "/collections/shared", {"vectors": {"size": 2, "distance": "Dot"}})
            for _ in range(kills):
                clients = [Client(server.port, history, values, rng.getrandbits(64)) for _ in range(CLIENTS)]
                for c in clients:
                    c.start()
                time.sleep(rng.uniform(0.05, 0.4))
                server.kill()
                for c in clients:
                    c.join()
                    self.assertIsNone(c.failure)
                history.settle()  # what the log holds now is all that will ever be of it
                server.start()
            checked = history.check()
        except BaseException:
            print("replay with QUIVER_SEED=%d; log:\n%s" % (SEED, server.log_text()), file=sys.stderr)
            raise
        finally:
            server.close()
        self.assertGreater(checked, kills * CLIENTS)
        print("%d kills, history of %d operations on %d points linearizable (seed %d)" % (kills, checked, SHARED, SEED),
              file=sys.stderr)


if __name__ == "__main__":
    unittest.main()
