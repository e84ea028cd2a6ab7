#!/usr/bin/python3
"""A small server that is not quiver and speaks the part of the shared REST API that `quiver bench` uses: exact
search over points in memory. It shows that the load generator drives other servers.

    rival.py        prints the port that it listens on (loopback), and serves until it is killed
"""
import heapq
import json
import math
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Collection:
    def __init__(self, body):
        self.size, self.distance = body["vectors"]["size"], body["vectors"]["distance"]
        self.points = {}  # id: (vector, payload)

    def unit(self, vector):
        length = math.sqrt(sum(x * x for x in vector)) if self.distance == "Cosine" else 1
        return [x / (length or 1) for x in vector]

    def upsert(self, points):
        for p in points:
            self.points[p["id"]] = (self.unit(p["vector"]), p.get("payload", {}))

    def search(self, body):
        query = self.unit(body["query"])
        bounds = [(c["key"], c["range"]["lt"]) for c in body.get("filter", {}).get("must", [])]
        found = []
        for number, (vector, payload) in self.points.items():
            if any(payload.get(key, most) >= most for key, most in bounds):
                continue
            if self.distance == "Euclid":
                key = sum((a - b) ** 2 for a, b in zip(vector, query))
            else:
                key = -sum(a * b for a, b in zip(vector, query))
            found.append((key, number))
        best = heapq.nsmallest(body["limit"], found)
        return {"points": [{"id": number, "version": 0, "score": -key} for key, number in best]}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize, disable_nagle_algorithm = 1 << 16, True  # one packet for an answer
    collections, lock = {}, threading.Lock()

    def answer(self, status, result):
        ok = "ok" if status == 200 else {"error": str(result)}
        body = json.dumps({"result": result if status == 200 else None, "status": ok, "time": 0.0}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def serve(self):
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length) or b"{}")
        match = re.match(r"/collections/([^/?]+)(/[^?]*)?", self.path)
        if not match:
            return self.answer(404, "no such route")
        name, rest, known = match[1], match[2] or "", self.collections
        with self.lock:
            return self.route(self.command, name, rest, body, known)

    def route(self, method, name, rest, body, known):
        if method == "PUT" and not rest:
            known[name] = Collection(body)
            return self.answer(200, True)
        if name not in known:
            return self.answer(404, "Collection `%s` doesn't exist!" % name)
        c = known[name]
        if method == "DELETE" and not rest:
            del known[name]
            return self.answer(200, True)
        if method == "GET" and not rest:
            return self.answer(200, {"status": "green", "points_count": len(c.points), "segments_count": 1,
                                     "indexed_vectors_count": len(c.points),
                                     "config": {"params": {"vectors": {"size": c.size, "distance": c.distance}}}})
        if method == "PUT" and rest == "/points":
            c.upsert(body["points"])
            return self.answer(200, {"operation_id": 0, "status": "completed"})
        if method == "POST" and rest == "/points/count":
            return self.answer(200, {"count": len(c.points)})
        if method == "POST" and rest == "/points/query":
            return self.answer(200, c.search(body))
        return self.answer(404, "no such route")

    do_GET = do_PUT = do_POST = do_DELETE = serve

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.exit(0)
