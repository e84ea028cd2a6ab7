"""What is asked about the server, and the rules that hold for every route: envelope, keys, parameters."""
import re
import unittest

from harness import ApiTest, one_node

VECTORS = {"size": 4, "distance": "Dot"}


class Service(ApiTest):
    def test_root(self):
        answer = self.call("GET", "/")
        self.assertEqual(answer.status, 200)
        self.assertRegex(answer.json["version"], r"^\d+\.\d+\.\d+$")
        self.assertIn("quiver", answer.json["title"])

    def test_probes(self):
        self.assertEqual(self.call("GET", "/healthz").body, b"healthz check passed")
        self.assertEqual(self.call("GET", "/livez").body, b"healthz check passed")
        answer = self.call("GET", "/readyz")
        self.assertEqual((answer.status, answer.body), (200, b"all shards are ready"))
        self.assertTrue(answer.headers["content-type"].startswith("text/plain"))

    @one_node("each has its own figures")
    def test_metrics(self):
        self.collection(VECTORS)
        self.refused(404, "", "GET", "/nowhere")
        text = self.call("GET", "/metrics").body.decode()
        self.assertRegex(text, r'(?m)^app_info\{name="quiver",version="[^"]+"\} 1$')
        self.assertRegex(text, r"(?m)^collections_total [1-9]")
        self.assertRegex(
            text, r'(?m)^rest_responses_total\{method="PUT",endpoint="/collections/\{\}",status="2xx"\}')
        self.assertRegex(text, r'(?m)^rest_responses_total\{method="",endpoint="none",status="4xx"\}')
        for line in text.splitlines():
            self.assertRegex(line, r'^(#.*|[a-zA-Z_:][\w:]*(\{.*\})? -?[0-9.eE+naif-]+)$')
        names = re.findall(r"(?m)^# TYPE (\S+)", text)
        self.assertEqual(len(names), len(set(names)), "a metric is declared twice")

    def test_telemetry(self):
        self.assertEqual(set(self.get("/telemetry?details_level=3&anonymize=true")), set(self.get("/telemetry")))
        app = self.get("/telemetry")["app"]
        self.assertEqual(app["name"], "quiver")
        self.assertRegex(app["version"], r"^\d+\.\d+\.\d+$")

    def test_unknown_routes(self):
        for method, path in (("GET", "/nowhere"), ("POST", "/collections/x/points/nothing"),
                             ("GET", "/collections/x/points/1/2"), ("PUT", "/collections/x/y/z")):
            answer = self.call(method, path, {} if method != "GET" else None)
            self.assertIn(answer.status, (404, 405), answer)
            self.assertIn("error", answer.json["status"])
        self.refused(405, "Method not allowed", "DELETE", "/collections")

    def test_unsupported_routes(self):
        path = self.collection(VECTORS)
        for method, route in (
                ("POST", path + "/points/discover"), ("POST", path + "/points/discover/batch"),
                ("POST", path + "/points/search/matrix/pairs"), ("PUT", path + "/shards"),
                ("POST", path + "/shards/delete"),
                ("POST", path + "/snapshots"), ("GET", path + "/snapshots"), ("GET", "/snapshots"),
                ("PUT", path + "/snapshots/recover"), ("PUT", path + "/vectors/more"),
                ("DELETE", path + "/vectors/more"),
                ("POST", "/cluster/recover"), ("GET", "/issues")):
            body = {} if method in ("POST", "PUT") else None
            answer = self.refused(400, "is not supported", method, route, body)
            self.assertTrue(answer.error.startswith("Bad request: "), answer.error)

    def test_trailing_slash_and_encoding(self):
        self.collection(VECTORS, name="with%20blank%C3%BC")
        self.assertIn({"name": "with blank\u00fc"}, self.get("/collections/")["collections"])
        self.assertEqual(self.get("/collections/with%20blank%C3%BC/exists/"), {"exists": True})
        for bad in ("/collections/%zz", "/collections/%", "/collections/%00"):
            self.assertEqual(self.call("GET", bad).status, 400, bad)

    def test_parameters(self):
        path = self.collection(VECTORS)
        body = {"points": [{"id": 1, "vector": [1, 2, 3, 4]}]}
        for good in ("wait=true", "wait=false", "ordering=weak", "ordering=medium", "ordering=strong",
                     "timeout=5", "wait=true&ordering=weak&timeout=60"):
            self.put(path + "/points?" + good, body)
        for good in ("consistency=1", "consistency=majority", "consistency=quorum", "consistency=all",
                     "timeout=1"):
            self.post(path + "/points/count?" + good, {})
        for bad in ("wait=1", "wait=yes", "ordering=fast", "timeout=x", "timeout=-1", "timeout=1.5",
                    "consistency=0", "consistency=most", "receipt=maybe"):
            self.refused(400, "Wrong input: ", "PUT", path + "/points?" + bad, body)
        self.refused(422, "Validation error", "PUT", path + "/points?timeout=0", body)

    def test_bodies(self):
        path = self.collection(VECTORS)
        for bad in (b"", b"{", b"{\"points\":", b"nope", b"{\"a\":NaN}", b"\xff\xfe", b"[1,]",
                    b"{\"a\":\"\xff\"}", b"[" * 100 + b"]" * 100):
            answer = self.refused(400, "Format error in JSON body: ", "POST",
                                  path + "/points/scroll", bad)
            self.assertEqual(answer.headers["content-type"].split(";")[0], "application/json")
        for body in (b"[]", b"5", b"null", b"\"x\""):
            self.refused(400, "Format error in JSON body: ", "POST", path + "/points/scroll", body)

    def test_no_content_type_is_json(self):
        path = self.collection(VECTORS)
        answer = self.call("POST", path + "/points/count", b"{}", raw=True)
        self.assertEqual(answer.result, {"count": 0})

    def test_oversized_body(self):
        path = self.collection(VECTORS)
        answer = self.call("PUT", path + "/points", b" " * (65 << 20))
        self.assertEqual(answer.status, 413)
        self.assertIn("error", answer.json["status"])
        self.server.disconnect()
        self.assertEqual(self.count(path), 0)

    def test_cors(self):
        answer = self.call("GET", "/collections", headers={"Origin": "http://example.org"})
        self.assertEqual(answer.headers["access-control-allow-origin"], "*")
        answer = self.call("OPTIONS", "/collections/x/points", headers={
            "Origin": "http://example.org", "Access-Control-Request-Method": "PUT"})
        self.assertIn(answer.status, (200, 204))


class Keys(ApiTest):
    flags = ("--api-key", "secret", "--read-only-api-key", "look")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server.headers = {"api-key": "secret"}

    def test_exempt(self):
        for path in ("/", "/healthz", "/livez", "/readyz"):
            self.assertEqual(self.call("GET", path, headers={"api-key": "wrong"}).status, 200, path)

    def test_refusals(self):
        for headers in ({"api-key": "wrong"}, {"api-key": ""}, {"api-key": "secret2"},
                        {"api-key": "secre"}):
            for path in ("/collections", "/metrics", "/telemetry", "/nowhere"):
                answer = self.call("GET", path, headers=headers)
                self.assertEqual(answer.status, 401, path)
                self.assertEqual(answer.body,
                                 b"Must provide an API key or an Authorization bearer token")
                self.assertTrue(answer.headers["content-type"].startswith("text/plain"))
        self.server.headers = {}
        try:
            self.assertEqual(self.call("GET", "/collections").status, 401)
            for good in ({"Api-Key": "secret"}, {"Authorization": "Bearer secret"},
                         {"authorization": "bearer secret"}, {"api-key": "look"}):
                self.assertEqual(self.call("GET", "/collections", headers=good).status, 200, good)
            bad = {"Authorization": "Basic secret"}
            self.assertEqual(self.call("GET", "/collections", headers=bad).status, 401)
        finally:
            self.server.headers = {"api-key": "secret"}

    def test_read_only(self):
        path = self.collection(VECTORS)
        self.upsert(path, [{"id": 1, "vector": [1, 2, 3, 4]}])
        look = {"api-key": "look"}
        self.assertEqual(self.call("GET", path, headers=look).status, 200)
        self.assertEqual(self.call("POST", path + "/points/query", {"query": [1, 0, 0, 0]},
                                   headers=look).status, 200)
        self.assertEqual(self.call("POST", path + "/points", {"ids": [1]}, headers=look).status, 200)
        for method, route, body in (
                ("PUT", path + "/points", {"points": [{"id": 2, "vector": [1, 2, 3, 4]}]}),
                ("POST", path + "/points/delete", {"points": [1]}),
                ("DELETE", path, None), ("PUT", "/collections/other", {"vectors": VECTORS}),
                ("PUT", path + "/index", {"field_name": "a", "field_schema": "keyword"}),
                ("POST", "/collections/aliases", {"actions": []})):
            answer = self.call(method, route, body, headers=look)
            self.assertEqual(answer.status, 403, route)
            self.assertTrue(answer.headers["content-type"].startswith("text/plain"))
        lines = b'{"id": 3, "vector": [1, 2, 3, 4]}\n'
        answer = self.call("POST", path + "/points", lines, raw=True, headers=dict(
            look, **{"Content-Type": "application/x-ndjson"}))
        self.assertEqual(answer.status, 403)
        self.assertEqual(self.count(path), 1)


class Prefix(ApiTest):
    flags = ("--url-prefix", "/vectors/db")

    def test_prefix(self):
        self.assertEqual(self.call("GET", "/vectors/db").status, 200)
        self.assertEqual(self.get("/vectors/db/collections"), {"collections": []})
        self.put("/vectors/db/collections/a", {"vectors": VECTORS})
        self.assertEqual(self.get("/vectors/db/collections/a/exists"), {"exists": True})


if __name__ == "__main__":
    unittest.main()
