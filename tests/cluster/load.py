"""Searches and writes against a cluster, from threads, with every answer checked.

Each point is written once, under an id of its own. What was acknowledged must be found by every search that begins later, through any node.
"""
import http.client
import json
import random
import threading
import time

DIM = 4


def vector(i):
    """Recognisable: the answer must carry the vector's own id."""
    return [float(i % 1000), float(i // 1000), 1.0, 0.5]


class Client:
    """Calls to one node over a kept connection; when that fails, to another one (what a client library does)."""

    def __init__(self, nodes, rng):
        self.nodes, self.rng, self.connection, self.node = nodes, rng, None, None
        self.unreachable = 0
        self.asking = None  # the node that a request is at

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def call(self, method, path, body, timeout=20):
        """(status, JSON). Raises when no node can be reached."""
        text = json.dumps(body)
        last = None
        if self.node is not None and not self.node.usable:
            self.close()
        for _ in range(3 * len(self.nodes)):
            if self.connection is None:
                self.node = self.rng.choice([n for n in self.nodes if n.usable] or self.nodes)
                self.connection = http.client.HTTPConnection("127.0.0.1", self.node.http, timeout=timeout)
            self.asking = self.node
            try:
                self.connection.request(method, path, text, {"Content-Type": "application/json"})
                answer = self.connection.getresponse()
                return answer.status, json.loads(answer.read())
            except (OSError, http.client.HTTPException, ValueError) as error:
                # The node that was asked is gone, and with it the answer: no fault of the others.
                last = error
                self.unreachable += 1
                self.close()
                time.sleep(0.01)
            finally:
                self.asking = None
        raise OSError("no node answers: %r" % last)


class Load:
    """pause: seconds between the requests of one client. first_id: several loads on one collection keep apart."""

    def __init__(self, nodes, name, writers=2, searchers=4, batch=3, seed=1, pause=0, first_id=0):
        self.nodes, self.name, self.batch, self.pause = nodes, name, batch, pause
        self.lock = threading.Lock()
        self.acked = []          # ids, in the order of their acknowledgement
        self.pending = set()     # ids that were sent and are not acknowledged
        self.errors = []         # (when, what): searches that failed or lied
        self.refused = []        # (when, what): writes that were answered with an error
        self.missed = []         # (when a search began, acknowledged ids that it did not find)
        self.searches = []       # (began, seconds)
        self.writes = []         # (began, acknowledged, first id)
        self.next_id, self.stopping = first_id, False
        self.cut_off = 0         # requests whose own node was lost; asked again at another one
        self.clients = []
        self.threads = [threading.Thread(target=self.run, args=(step, seed * 100 + i), daemon=True)
                        for i, step in enumerate([self.write] * writers + [self.search] * searchers)]

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def run(self, step, seed):
        rng = random.Random(seed)
        client = Client(self.nodes, rng)
        self.clients.append(client)
        while not self.stopping:
            try:
                step(client, rng)
            except Exception as error:
                with self.lock:
                    self.errors.append((time.monotonic(), "%s: %r" % (step.__name__, error)))
                time.sleep(0.05)
            if self.pause:
                time.sleep(self.pause * (0.5 + rng.random()))
        with self.lock:
            self.cut_off += client.unreachable
        client.close()

    def write(self, client, rng):
        with self.lock:
            ids = list(range(self.next_id, self.next_id + self.batch))
            self.next_id += self.batch
            self.pending.update(ids)
        points = [{"id": i, "vector": vector(i), "payload": {"n": i}} for i in ids]
        began = time.monotonic()
        while True:
            status, answer = client.call("PUT", "/collections/%s/points?wait=true" % self.name,
                                         {"points": points})
            if status == 200:
                break
            with self.lock:
                self.refused.append((time.monotonic(), "%d %s" % (status, answer.get("status"))))
            if self.stopping:
                return
            time.sleep(0.02)
        now = time.monotonic()
        with self.lock:
            self.pending.difference_update(ids)
            self.acked.extend(ids)
            self.writes.append((began, now, ids[0]))

    def search(self, client, rng):
        with self.lock:
            n = len(self.acked)
            wanted = self.acked[-6:] + [self.acked[rng.randrange(n)] for _ in range(6)] if n else []
        if not wanted:
            time.sleep(0.01)
            return
        wanted = sorted(set(wanted))
        began = time.monotonic()
        status, answer = client.call("POST", "/collections/%s/points/query" % self.name, {
            "query": vector(wanted[0]), "filter": {"must": [{"has_id": wanted}]},
            "limit": len(wanted), "with_vector": rng.random() < 0.2})
        now = time.monotonic()
        wrong = None
        if status != 200:
            wrong = "%d %s" % (status, answer.get("status"))
        else:
            found = sorted(p["id"] for p in answer["result"]["points"])
            if found != wanted:
                wrong = "of %r the search found %r" % (wanted, found)
        with self.lock:
            self.searches.append((began, now - began))
            if status == 200 and wrong:
                self.missed.append((began, sorted(set(wanted) - set(found))))
            if wrong:
                self.errors.append((now, wrong))

    def stop(self):
        self.stopping = True
        for thread in self.threads:
            thread.join()

    def missed_longer_than(self, seconds):
        """(when a search began, [(id, seconds since its acknowledgement)]) of what was that old and was not found."""
        acknowledged = {first + i: when for _, when, first in self.writes for i in range(self.batch)}
        found = [(began, [(i, began - acknowledged[i]) for i in missing if began - acknowledged[i] > seconds])
                 for began, missing in self.missed]
        return [entry for entry in found if entry[1]]

    def left(self, node):
        """Nobody waits for an answer of this node. (It is not `usable` any more.)"""
        return all(client.asking is not node for client in self.clients)

    def acknowledged(self):
        with self.lock:
            return len(self.acked)

    def missing(self, node):
        """Acknowledged ids that are not there, read through one node."""
        client = Client([node], random.Random(0))
        found = set()
        offset = None
        while True:
            body = {"limit": 1000, "with_payload": True}
            if offset is not None:
                body["offset"] = offset
            status, answer = client.call("POST", "/collections/%s/points/scroll" % self.name, body)
            if status != 200:
                raise AssertionError("scroll: %d %r" % (status, answer))
            for p in answer["result"]["points"]:
                if p["payload"]["n"] != p["id"]:
                    raise AssertionError("point %d carries %r" % (p["id"], p["payload"]))
                found.add(p["id"])
            offset = answer["result"].get("next_page_offset")
            if offset is None:
                break
        client.close()
        return sorted(set(self.acked) - found)
