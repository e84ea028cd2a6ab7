"""Points: every way to write, read, change and remove them."""
import http.client
import json
import struct
import threading
import unittest
import uuid

import numpy

from harness import Answer, ApiTest, ids

VECTORS = {"size": 4, "distance": "Dot"}
BINARY = {"Content-Type": "application/octet-stream"}
LINES = {"Content-Type": "application/x-ndjson"}


def binary(point_ids, rows, payloads=None):
    """The binary form of an upsert, as docs/api.md tells it."""
    rows = numpy.asarray(rows, dtype="<f4")
    uuids = isinstance(point_ids[0], str)
    head = struct.pack("<4sIIIB47x", b"QVB1", 0 if payloads is None else 1, len(point_ids),
                       rows.shape[1], 1 if uuids else 0)
    if uuids:
        id_bytes = b"".join(uuid.UUID(i).bytes for i in point_ids)
    else:
        id_bytes = struct.pack("<%dQ" % len(point_ids), *point_ids)
    lines = b""
    if payloads is not None:
        lines = b"\n".join(b"" if p is None else json.dumps(p).encode() for p in payloads)
    return head + id_bytes + rows.tobytes() + lines


class Points(ApiTest):
    shards = 1

    def collection(self, vectors=VECTORS, **more):
        return super().collection(vectors, shard_number=self.shards, **more)

    def points(self, path, *wanted, **more):
        return self.post(path + "/points", dict(ids=list(wanted), **more))

    # ---- upserts ----

    def test_upsert_and_retrieve(self):
        path = self.collection()
        big, text = 2**64 - 1, "00010203-0405-0607-0809-0a0b0c0d0e0f"
        self.upsert(path, [
            {"id": 1, "vector": [1, 2, 3, 4], "payload": {"a": 1}},
            {"id": big, "vector": [0.5, -1, 0, 0]},
            {"id": text.replace("-", ""), "vector": [1, 1, 1, 1], "payload": None},
            {"id": "{%s}" % text.replace("0e0f", "0e10").upper(), "vector": {}}])
        got = self.points(path, text, 5, big, 1, big, with_vector=True)
        self.assertEqual(got, [
            {"id": text, "payload": {}, "vector": [1, 1, 1, 1]},
            {"id": big, "payload": {}, "vector": [0.5, -1, 0, 0]},
            {"id": 1, "payload": {"a": 1}, "vector": [1, 2, 3, 4]}])
        self.assertEqual(self.points(path, 1), [{"id": 1, "payload": {"a": 1}}])
        self.assertEqual(self.points(path, 1, with_payload=False), [{"id": 1}])
        self.assertEqual(self.points(path), [])
        self.assertEqual(self.get(path + "/points/1"),
                         {"id": 1, "payload": {"a": 1}, "vector": [1, 2, 3, 4]})
        self.assertEqual(self.get(path + "/points/%d" % big)["id"], big)
        self.assertEqual(self.get(path + "/points/" + text.replace("-", ""))["id"], text)
        last = text[:-1].replace("0e0", "0e1") + "0"
        self.assertEqual(self.get(path + "/points/" + last)["vector"], {})
        self.refused(404, "Not found: Point with id 77 does not exists!", "GET", path + "/points/77")
        self.assertEqual(self.call("GET", path + "/points/abc").status, 400)
        self.assertEqual(self.call("GET", path + "/points/18446744073709551616").status, 400)
        self.assertEqual(self.count(path), 4)

    def test_upsert_replaces(self):
        path = self.collection({"a": VECTORS, "b": {"size": 2, "distance": "Dot"}})
        self.upsert(path, [{"id": 1, "vector": {"a": [1, 2, 3, 4], "b": [1, 2]},
                            "payload": {"x": 1, "y": 2}}])
        self.upsert(path, [{"id": 1, "vector": {"b": [3, 4]}, "payload": {"z": 3}}])
        self.assertEqual(self.points(path, 1, with_vector=True),
                         [{"id": 1, "payload": {"z": 3}, "vector": {"b": [3, 4]}}])
        self.assertEqual(self.count(path), 1)

    def test_last_of_equal_ids_wins(self):
        path = self.collection()
        self.upsert(path, [{"id": 1, "vector": [i, 0, 0, 0]} for i in range(5)])
        self.assertEqual(self.points(path, 1, with_vector=True)[0]["vector"], [4, 0, 0, 0])
        self.assertEqual(self.count(path), 1)

    def test_batch_form(self):
        path = self.collection()
        self.put(path + "/points?wait=true", {"batch": {
            "ids": [1, 2, 3], "vectors": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]],
            "payloads": [{"n": 1}, None, {"n": 3}]}})
        self.assertEqual(self.all_points(path), [
            {"id": 1, "payload": {"n": 1}, "vector": [1, 0, 0, 0]},
            {"id": 2, "payload": {}, "vector": [0, 1, 0, 0]},
            {"id": 3, "payload": {"n": 3}, "vector": [0, 0, 1, 0]}])
        path = self.collection({"a": VECTORS}, sparse_vectors={"s": {}})
        self.put(path + "/points?wait=true", {"batch": {"ids": [1, 2], "vectors": {
            "a": [[1, 0, 0, 0], [0, 1, 0, 0]],
            "s": [{"indices": [9, 3], "values": [1, 2]}, {"indices": [1], "values": [1]}]}}})
        self.assertEqual(self.points(path, 1, with_vector=True)[0]["vector"],
                         {"a": [1, 0, 0, 0], "s": {"indices": [3, 9], "values": [2, 1]}})

    def test_vector_forms(self):
        path = self.collection({"": VECTORS}, sparse_vectors={"s": {}})
        sparse = {"indices": [1], "values": [1.5]}
        self.upsert(path, [{"id": 1, "vector": {"": [1, 2, 3, 4]}},
                           {"id": 2, "vector": [1, 2, 3, 4]},
                           {"id": 3, "vector": {"": [1, 2, 3, 4], "s": sparse}},
                           {"id": 4, "vector": {"s": sparse}}, {"id": 5, "vector": {}}])
        self.assertEqual([p["vector"] for p in self.all_points(path)], [
            [1, 2, 3, 4], [1, 2, 3, 4], {"": [1, 2, 3, 4], "s": sparse}, {"s": sparse}, {}])
        got = self.points(path, 3, with_vector=["s"], with_payload=False)
        self.assertEqual(got, [{"id": 3, "vector": {"s": sparse}}])
        self.refused(400, "Not existing vector name error: t", "POST", path + "/points",
                     {"ids": [1], "with_vector": ["t"]})

    def test_cosine_is_normalised(self):
        path = self.collection({"size": 4, "distance": "Cosine"})
        self.upsert(path, [{"id": 1, "vector": [3, 0, 4, 0]}, {"id": 2, "vector": [0, 0, 0, 0]}])
        one, zero = [p["vector"] for p in self.all_points(path)]
        numpy.testing.assert_allclose(one, [0.6, 0, 0.8, 0], atol=1e-6)
        self.assertEqual(zero, [0, 0, 0, 0])

    def test_payloads_come_back_as_they_were(self):
        path = self.collection()
        payload = ('{"z":1,"a":{"k":[1,2.0,-3,1e300,null,true,{"u":"\\u00fc\\ud83d\\ude00\\n"}]},'
                   '"big":18446744073709551615,"small":-9223372036854775808,"f":10.0,"e":[],"o":{},'
                   '"":"empty key","text":"' + "long " * 3000 + '"}')
        body = '{"points":[{"id":1,"vector":[1,2,3,4],"payload":%s}]}' % payload
        self.assertEqual(self.call("PUT", path + "/points?wait=true", body.encode()).status, 200)
        answer = self.call("GET", path + "/points/1")
        got = answer.result["payload"]
        self.assertEqual(got, json.loads(payload))
        self.assertEqual(list(got), list(json.loads(payload)))
        self.assertIn(b'"f":10.0', answer.body)
        self.assertIn(b'"big":18446744073709551615', answer.body)
        self.assertIsInstance(got["a"]["k"][1], float)
        self.assertIsInstance(got["a"]["k"][0], int)

    def test_wait_false_is_acknowledged(self):
        path = self.collection()
        result = self.put(path + "/points", {"points": [{"id": 1, "vector": [1, 2, 3, 4]}]})
        self.assertEqual(result["status"], "acknowledged")
        self.assertIsInstance(result["operation_id"], int)
        self.assertEqual(self.count(path), 1)
        self.refused(400, "Vector dimension error: expected dim: 4, got 1", "PUT", path + "/points",
                     {"points": [{"id": 1, "vector": [1]}]})

    def test_update_modes(self):
        path = self.collection()
        self.upsert(path, [{"id": 1, "vector": [1, 0, 0, 0], "payload": {"v": 1}}])
        both = [{"id": 1, "vector": [2, 0, 0, 0], "payload": {"v": 2}},
                {"id": 2, "vector": [2, 0, 0, 0], "payload": {"v": 2}}]
        self.upsert(path, both, update_mode="insert_only")
        self.assertEqual([p["payload"]["v"] for p in self.all_points(path)], [1, 2])
        both = [{"id": i, "vector": [3, 0, 0, 0], "payload": {"v": 3}} for i in (1, 3)]
        self.upsert(path, both, update_mode="update_only")
        self.assertEqual([(p["id"], p["payload"]["v"]) for p in self.all_points(path)],
                         [(1, 3), (2, 2)])
        self.upsert(path, [{"id": i, "vector": [4, 0, 0, 0], "payload": {"v": 4}} for i in (1, 2, 4)],
                    update_filter={"must": [{"key": "v", "match": {"value": 3}}]})
        self.assertEqual([(p["id"], p["payload"]["v"]) for p in self.all_points(path)],
                         [(1, 4), (2, 2), (4, 4)])

    # ---- the other forms of bulk load ----

    def test_binary(self):
        path = self.collection()
        rows = numpy.arange(4000, dtype="f4").reshape(1000, 4)
        body = binary(list(range(1000)), rows, [{"n": i} if i % 2 else None for i in range(1000)])
        answer = self.call("PUT", path + "/points?wait=true", body, headers=BINARY)
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(answer.result["status"], "completed")
        self.assertEqual(self.count(path), 1000)
        self.assertEqual(self.get(path + "/points/999"), {
            "id": 999, "payload": {"n": 999}, "vector": [3996, 3997, 3998, 3999]})
        self.assertEqual(self.get(path + "/points/2")["payload"], {})
        name = str(uuid.UUID(int=7))
        answer = self.call("PUT", path + "/points?wait=true", binary([name], [[1, 2, 3, 4]]),
                           headers=BINARY)
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(self.get(path + "/points/" + name)["vector"], [1, 2, 3, 4])

    def test_binary_named(self):
        path = self.collection({"a": VECTORS, "b": {"size": 2, "distance": "Cosine"}})
        answer = self.call("PUT", path + "/points?wait=true&using=b", binary([1], [[3, 4]]),
                           headers=BINARY)
        self.assertEqual(answer.status, 200, answer)
        numpy.testing.assert_allclose(self.get(path + "/points/1")["vector"]["b"], [0.6, 0.8],
                                      atol=1e-6)
        for name, words in (("a", "expected dim: 4, got 2"), ("nope", "vector name error: nope"),
                            ("", "vector name error: ")):
            self.refused(400, words, "PUT", path + "/points?using=" + name, binary([1], [[3, 4]]),
                         headers=BINARY)

    def test_binary_damage_changes_nothing(self):
        path = self.collection()
        whole = binary([1, 2], [[1, 2, 3, 4], [5, 6, 7, 8]], [{"a": 1}, {"b": 2}])
        bad_rows = numpy.array([[1, 2, 3, float("nan")]], dtype="f4")
        for body in (b"", b"QVB2" + whole[4:], whole[:30], whole[:70], whole[:90],
                     whole + b"\n{}\n", whole.replace(b'{"a"', b'["a"'), binary([1], [[1, 2, 3]]),
                     binary([1], bad_rows), whole[:4] + b"\xff" + whole[5:],
                     whole[:8] + b"\xff\xff\xff\xff" + whole[12:]):
            answer = self.call("PUT", path + "/points?wait=true", body, headers=BINARY)
            self.assertEqual(answer.status, 400, (body[:80], answer))
        self.assertEqual(self.count(path), 0)

    def test_lines(self):
        path = self.collection()
        lines = b"".join(json.dumps({"id": i, "vector": [i, 0, 0, 1], "payload": {"n": i}}).encode()
                         + b"\n" + (b"\r\n" if i % 7 == 0 else b"") for i in range(2500))
        for method in ("PUT", "POST"):
            answer = self.call(method, path + "/points", lines, headers=LINES)
            self.assertEqual(answer.status, 200, answer)
            self.assertEqual(answer.result["accepted"], 2500)
            batches = answer.result["batches"]
            self.assertEqual([b["points"] for b in batches], [1000, 1000, 500])
            self.assertEqual(batches[0]["first_line"], 1)
            for before, after in zip(batches, batches[1:]):
                self.assertEqual(after["first_line"], before["last_line"] + 1)
            self.assertEqual(self.count(path), 2500)
        self.assertEqual(self.get(path + "/points/2499")["payload"], {"n": 2499})
        answer = self.call("POST", path + "/points", b'{"id":9999,"vector":{}}', headers=LINES)
        self.assertEqual(answer.result["accepted"], 1)
        answer = self.call("POST", path + "/points", b"\n\n", headers=LINES)
        self.assertEqual(answer.result, {"accepted": 0, "batches": []})

    def test_long_lines_are_streamed(self):
        path = self.collection({"size": 4, "distance": "Dot"})
        text = "x" * 60000
        lines = b"".join(json.dumps({"id": i, "vector": [i, 0, 0, 1], "payload": {"t": text}}).encode()
                         + b"\n" for i in range(1500))
        self.assertGreater(len(lines), 80 << 20)
        answer = self.call("PUT", path + "/points", lines, headers=LINES)
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(answer.result["accepted"], 1500)
        self.assertEqual(self.count(path), 1500)

    def stream(self, path, pieces, end=True):
        """Sends lines as a chunked body; returns the connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        connection.putrequest("PUT", path + "/points")
        connection.putheader("Content-Type", LINES["Content-Type"])
        connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders()
        for piece in pieces:
            connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        if end:
            connection.send(b"0\r\n\r\n")
        return connection

    def test_lines_in_pieces(self):
        path = self.collection()
        lines = b"".join(json.dumps({"id": i, "vector": [i, 0, 0, 1]}).encode() + b"\n"
                         for i in range(5000))
        for size in (1 << 20, 50000, 977):
            pieces = [lines[i:i + size] for i in range(0, len(lines), size)]
            connection = self.stream(path, pieces)
            answer = Answer(connection.getresponse())
            connection.close()
            self.assertEqual(answer.status, 200, answer)
            self.assertEqual(answer.result["accepted"], 5000)
            self.assertEqual([b["points"] for b in answer.result["batches"]], [1000] * 5)
        self.assertEqual(self.count(path), 5000)

    def test_several_loads_at_once(self):
        path = self.collection()

        def load(first):
            lines = b"".join(json.dumps({"id": i, "vector": [i, 0, 0, 1]}).encode() + b"\n"
                             for i in range(first, first + 3000))
            connection = self.stream(path, [lines[i:i + 9999] for i in range(0, len(lines), 9999)])
            answers.append(Answer(connection.getresponse()))
            connection.close()

        answers = []
        threads = [threading.Thread(target=load, args=(i * 3000,)) for i in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual([a.status for a in answers], [200] * 4, answers)
        self.assertEqual([a.result["accepted"] for a in answers], [3000] * 4)
        self.assertEqual(self.count(path), 12000)

    def test_a_client_that_goes_away(self):
        path = self.collection()
        lines = b"".join(json.dumps({"id": i, "vector": [i, 0, 0, 1]}).encode() + b"\n"
                         for i in range(2700))
        for cut in (len(lines), len(lines) // 2, 100):
            self.stream(path, [lines[:cut]], end=False).close()
        answer = self.call("PUT", path + "/points", lines, headers=LINES)
        self.assertEqual(answer.result["accepted"], 2700)
        self.assertEqual(self.count(path), 2700)

    def test_a_bad_line_ends_the_load(self):
        path = self.collection()
        good = [json.dumps({"id": i, "vector": [i, 0, 0, 1]}).encode() for i in range(3000)]
        for bad, status, words in (
                (b'{"id":5,"vector":[1]}', 400, "line 1501: Vector dimension error"),
                (b'{"id":5', 400, "line 1501"), (b'{"id":-5,"vector":{}}', 400, "valid point ID"),
                (b'{"id":5,"vector":[]}', 422, "line 1501")):
            lines = b"\n".join(good[:1500] + [bad] + good[1500:]) + b"\n"
            answer = self.call("PUT", path + "/points", lines, headers=LINES)
            self.assertEqual(answer.status, status, answer)
            self.assertIn(words, answer.error)
            self.assertEqual(answer.result["accepted"], 1000)
            self.assertEqual(self.count(path), 1000)
        self.assertEqual(self.call("PUT", "/collections/none/points", b'{"id":1,"vector":{}}',
                                   headers=LINES).status, 404)

    def test_idempotency_key(self):
        path = self.collection()
        header = {"Idempotency-Key": "load-17"}
        body = {"points": [{"id": 1, "vector": [1, 2, 3, 4], "payload": {"n": 1}}]}
        first = self.ok("PUT", path + "/points?wait=true", body, headers=header)
        self.upsert(path, [{"id": 1, "vector": [1, 2, 3, 4], "payload": {"n": 2}}])
        again = self.ok("PUT", path + "/points?wait=true", body, headers=header)
        self.assertEqual(again["operation_id"], first["operation_id"])
        self.assertEqual(self.get(path + "/points/1")["payload"], {"n": 2})

    # ---- removal ----

    def test_delete(self):
        path = self.collection()
        self.upsert(path, [{"id": i, "vector": [i, 0, 0, 0], "payload": {"n": i}} for i in range(20)])

        def delete(body):
            return self.post(path + "/points/delete?wait=true", body)["status"]

        self.assertEqual(delete({"points": [3, 5, 999]}), "completed")
        self.assertEqual(delete({"points": []}), "completed")
        self.assertEqual(self.count(path), 18)
        delete({"filter": {"must": [{"key": "n", "range": {"lt": 10}}]}})
        self.assertEqual(ids(self.all_points(path)), list(range(10, 20)))
        delete({"filter": {"must": [{"has_id": [10]}]}})
        delete({"filter": {"must": []}})
        self.assertEqual(self.count(path), 0)
        self.assertEqual(self.post(path + "/points/query", {"query": [1, 0, 0, 0]}), {"points": []})

    # ---- payload ----

    def test_payload_operations(self):
        path = self.collection()
        start = {"a": 1, "b": {"c": 2, "d": [1, {"e": 3}]}}
        self.upsert(path, [{"id": i, "vector": [i, 0, 0, 1], "payload": start} for i in (1, 2, 3)])

        def payload(i):
            return self.get(path + "/points/%d" % i)["payload"]

        # Null takes a key away, as it does in the interface's other servers.
        self.post(path + "/points/payload?wait=true",
                  {"payload": {"a": 9, "n": 5, "none": None}, "points": [1]})
        self.assertEqual(payload(1), {"a": 9, "b": start["b"], "n": 5})
        self.post(path + "/points/payload?wait=true", {"payload": {"n": None}, "points": [1]})
        self.assertEqual(payload(1), {"a": 9, "b": start["b"]})
        self.post(path + "/points/payload?wait=true",
                  {"payload": {"c": 7, "x": 1}, "key": "b", "points": [1]})
        self.assertEqual(payload(1)["b"], {"c": 7, "d": [1, {"e": 3}], "x": 1})
        self.put(path + "/points/payload?wait=true", {"payload": {"only": 1}, "points": [2]})
        self.assertEqual(payload(2), {"only": 1})
        self.post(path + "/points/payload/delete?wait=true", {"keys": ["a", "b.d[].e"], "points": [3]})
        self.assertEqual(payload(3), {"b": {"c": 2, "d": [1, {}]}})
        self.post(path + "/points/payload?wait=true", {
            "payload": {"mark": True}, "filter": {"must": [{"is_empty": {"key": "only"}}]}})
        self.assertEqual([payload(i).get("mark") for i in (1, 2, 3)], [True, None, True])
        self.post(path + "/points/payload/clear?wait=true", {"points": [1]})
        self.assertEqual(payload(1), {})
        self.post(path + "/points/payload/clear?wait=true", {"filter": {}})
        self.assertEqual([payload(i) for i in (1, 2, 3)], [{}, {}, {}])
        self.assertEqual(self.get(path + "/points/1")["vector"], [1, 0, 0, 1])
        self.refused(400, "missing field `points` or `filter`", "POST", path + "/points/payload",
                     {"payload": {"a": 1}})
        # Unknown points are no error, and do not come into being.
        self.post(path + "/points/payload?wait=true", {"payload": {"a": 1}, "points": [77]})
        self.assertEqual(self.count(path), 3)

    # ---- vectors ----

    def test_vector_operations(self):
        path = self.collection({"a": VECTORS, "b": {"size": 2, "distance": "Dot"}},
                               sparse_vectors={"s": {}})
        sparse = {"indices": [4], "values": [1]}
        self.upsert(path, [{"id": i, "vector": {"a": [1, 0, 0, 0], "b": [1, 2], "s": sparse},
                            "payload": {"n": i}} for i in (1, 2)])
        self.put(path + "/points/vectors?wait=true",
                 {"points": [{"id": 1, "vector": {"b": [7, 8]}}]})
        got = self.get(path + "/points/1")
        self.assertEqual(got, {"id": 1, "payload": {"n": 1},
                               "vector": {"a": [1, 0, 0, 0], "b": [7, 8], "s": sparse}})
        self.post(path + "/points/vectors/delete?wait=true", {"vector": ["a", "s"], "points": [1]})
        self.assertEqual(self.get(path + "/points/1")["vector"], {"b": [7, 8]})
        self.post(path + "/points/vectors/delete?wait=true",
                  {"vector": ["b"], "filter": {"must": [{"key": "n", "match": {"value": 2}}]}})
        self.assertEqual(self.get(path + "/points/2")["vector"], {"a": [1, 0, 0, 0], "s": sparse})
        hits = self.post(path + "/points/query", {"query": [1, 0, 0, 0], "using": "a"})["points"]
        self.assertEqual(ids(hits), [2])
        self.refused(400, "Not existing vector name error: x", "POST",
                     path + "/points/vectors/delete", {"vector": ["x"], "points": [1]})

    def test_operations_in_order(self):
        path = self.collection()
        results = self.post(path + "/points/batch?wait=true", {"operations": [
            {"upsert": {"points": [{"id": i, "vector": [i, 0, 0, 0]} for i in (1, 2, 3)]}},
            {"set_payload": {"payload": {"v": 1, "w": 1}, "points": [1, 2, 3]}},
            {"delete_payload": {"keys": ["w"], "points": [1]}},
            {"overwrite_payload": {"payload": {"z": 1}, "points": [2]}},
            {"clear_payload": {"points": [3]}},
            {"update_vectors": {"points": [{"id": 1, "vector": [9, 9, 9, 9]}]}},
            {"delete_vectors": {"vector": [""], "points": [2]}},
            {"delete": {"filter": {"must": [{"is_empty": {"key": "v"}}, {"has_id": [3]}]}}},
            {"delete": {"points": []}}]})
        self.assertEqual([r["status"] for r in results], ["completed"] * 9)
        self.assertEqual(self.all_points(path), [
            {"id": 1, "payload": {"v": 1}, "vector": [9, 9, 9, 9]},
            {"id": 2, "payload": {"z": 1}, "vector": {}}])
        self.assertEqual(self.post(path + "/points/batch", {"operations": []}), [])
        # A list with one bad operation is refused as a whole.
        self.refused(400, "operations[1]", "POST", path + "/points/batch", {"operations": [
            {"delete": {"points": [1]}}, {"upsert": {"points": [{"id": 5, "vector": [1]}]}}]})
        self.assertEqual(self.count(path), 2)

    # ---- listing ----

    def test_scroll(self):
        path = self.collection()
        names = [str(uuid.UUID(int=i * 7919)) for i in range(30)]
        wanted = list(range(0, 90, 3)) + sorted(names)
        self.upsert(path, [{"id": i, "vector": [1, 0, 0, 0], "payload": {"k": str(i)}}
                           for i in reversed(wanted)])
        for limit in (1, 7, 30, 59, 60, 61, 10**18):
            got, offset, pages = [], None, 0
            while True:
                body = {"limit": limit, "with_payload": False}
                if offset is not None:
                    body["offset"] = offset
                page = self.post(path + "/points/scroll", body)
                got += page["points"]
                pages += 1
                offset = page["next_page_offset"]
                if offset is None:
                    break
                self.assertEqual(len(page["points"]), limit)
            self.assertEqual(got, [{"id": i} for i in wanted])
            self.assertEqual(pages, -(-60 // limit))
        page = self.post(path + "/points/scroll", {"offset": 86, "limit": 2})
        self.assertEqual(ids(page["points"]), [87, wanted[30]])
        self.assertEqual(page["next_page_offset"], wanted[31])
        page = self.post(path + "/points/scroll", {"offset": wanted[-1]})
        self.assertEqual((ids(page["points"]), page["next_page_offset"]), ([wanted[-1]], None))
        page = self.post(path + "/points/scroll", {
            "limit": 3, "filter": {"must": [{"key": "k", "match": {"any": [names[0], "9", "12"]}}]}})
        self.assertEqual((ids(page["points"]), page["next_page_offset"]), ([9, 12, names[0]], None))

    def test_scroll_in_order_of_a_value(self):
        path = self.collection()
        self.upsert(path, [{"id": i, "vector": {}, "payload": {} if i == 4 else {
            "n": (i * 37) % 11, "d": "2024-01-%02dT00:00:00Z" % (1 + i)}} for i in range(10)])
        order = sorted((i for i in range(10) if i != 4), key=lambda i: ((i * 37) % 11, i))
        page = self.post(path + "/points/scroll", {"order_by": "n", "limit": 100})
        self.assertEqual(ids(page["points"]), order)
        self.assertEqual([p["order_value"] for p in page["points"]],
                         [(i * 37) % 11 for i in order])
        self.assertIsNone(page["next_page_offset"])
        page = self.post(path + "/points/scroll",
                         {"order_by": {"key": "n", "direction": "desc", "start_from": 5}})
        self.assertEqual([p["order_value"] for p in page["points"]],
                         sorted(((i * 37) % 11 for i in order if (i * 37) % 11 <= 5), reverse=True))
        page = self.post(path + "/points/scroll", {
            "order_by": {"key": "d", "start_from": "2024-01-08"}, "limit": 2})
        self.assertEqual(ids(page["points"]), [7, 8])
        self.refused(400, "offset", "POST", path + "/points/scroll", {"order_by": "n", "offset": 3})

    def test_selection_of_payload(self):
        path = self.collection()
        payload = {"a": {"b": 1, "c": [{"x": 1, "y": 2}, {"x": 3}]}, "d": 2, "e": None}
        self.upsert(path, [{"id": 1, "vector": {}, "payload": payload}])
        for selection, wanted in (
                (True, payload), (["d"], {"d": 2}), (["a.b", "e"], {"a": {"b": 1}, "e": None}),
                ({"include": ["a.c[].x"]}, {"a": {"c": [{"x": 1}, {"x": 3}]}}),
                ({"exclude": ["a.c", "d"]}, {"a": {"b": 1}, "e": None}), (["none"], {})):
            got = self.points(path, 1, with_payload=selection)[0]
            self.assertEqual(got["payload"], wanted, selection)
        self.assertNotIn("payload", self.points(path, 1, with_payload=False)[0])

    def test_count_and_facet(self):
        path = self.collection()
        self.upsert(path, [{"id": i, "vector": {}, "payload": {
            "c": ["red", "green", "blue"][i % 3], "n": i % 4, "b": i % 2 == 0,
            "tags": ["t%d" % (i % 5), "t%d" % (i % 2)]}} for i in range(60)])
        for field, schema in (("c", "keyword"), ("n", "integer"), ("b", "bool"), ("tags", "keyword")):
            self.put(path + "/index?wait=true", {"field_name": field, "field_schema": schema})
        self.assertEqual(self.count(path), 60)
        self.assertEqual(self.post(path + "/points/count", {"exact": False})["count"], 60)
        even = {"must": [{"key": "n", "match": {"any": [0, 2]}}]}
        self.assertEqual(self.count(path, even), 30)

        def facet(**body):
            return [(h["value"], h["count"]) for h in self.post(path + "/facet", body)["hits"]]

        self.assertEqual(facet(key="c"), [("blue", 20), ("green", 20), ("red", 20)])
        self.assertEqual(facet(key="n", limit=2), [(0, 15), (1, 15)])
        self.assertEqual(sorted(facet(key="b")), [(False, 30), (True, 30)])
        self.assertEqual(sorted(facet(key="c", filter=even, exact=True)),
                         [("blue", 10), ("green", 10), ("red", 10)])
        self.assertEqual(facet(key="tags"),
                         [("t0", 36), ("t1", 36), ("t2", 12), ("t3", 12), ("t4", 12)])
        self.refused(422, "limit", "POST", path + "/facet", {"key": "c", "limit": 0})
        self.refused(400, "missing field `key`", "POST", path + "/facet", {})


class PointsOnThreeShards(Points):
    shards = 3


if __name__ == "__main__":
    unittest.main()
