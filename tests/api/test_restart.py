"""What was acknowledged is there again after a stop, and after a kill."""
import random
import unittest

from harness import ApiTest, Server, one_node


class Restart(ApiTest):
    flags = ("--seal-rows", "200")

    def everything(self):
        """All that a client can ask for."""
        state = {"collections": self.get("/collections"), "aliases": self.get("/aliases")}
        for entry in state["collections"]["collections"]:
            path = "/collections/" + entry["name"]
            info = self.get(path)
            state[path] = (self.all_points(path), info["config"], info["payload_schema"],
                           info["points_count"])
        return state

    def fill(self):
        plain = self.collection({"size": 3, "distance": "Cosine"}, shard_number=3)
        mixed = self.collection({"": {"size": 2, "distance": "Euclid"}},
                                sparse_vectors={"s": {"modifier": "idf"}}, metadata={"m": [1, 2.0]})
        rng = random.Random(2)
        for first in range(0, 1000, 250):
            self.upsert(plain, [{"id": i, "vector": [rng.random() for _ in range(3)],
                                 "payload": {"k": "k%d" % (i % 9), "n": i}}
                                for i in range(first, first + 250)])
        self.post(plain + "/points/delete?wait=true",
                  {"filter": {"must": [{"key": "k", "match": {"value": "k3"}}]}})
        self.post(plain + "/points/payload?wait=true",
                  {"payload": {"late": True}, "filter": {"must": [{"key": "n", "range": {"lt": 50}}]}})
        self.put(plain + "/index?wait=true", {"field_name": "k", "field_schema": "keyword"})
        self.upsert(mixed, [{"id": "00000000-0000-0000-0000-0000000000%02x" % i,
                             "vector": {"": [i, -i], "s": {"indices": [i, i + 9], "values": [1, 2]}}}
                            for i in range(40)])
        self.upsert(mixed, [{"id": 5, "vector": {}}])
        self.post("/collections/aliases", {"actions": [
            {"create_alias": {"collection_name": plain.split("/")[-1], "alias_name": "today"}}]})
        self.ok("PATCH", plain, {"metadata": {"added": "later"}})
        return plain

    def check_after(self, end):
        plain = self.fill()
        before = self.everything()
        query = {"query": [1, 0.5, 0.2], "limit": 10, "with_payload": True,
                 "filter": {"must": [{"key": "k", "match": {"any": ["k1", "k2"]}}]}}
        found = self.post(plain + "/points/query", query)
        for _ in range(2):
            end()
            self.server.start()
            self.maxDiff = 2000
            self.assertEqual(self.everything(), before)
            self.assertEqual(self.post(plain + "/points/query", query), found)
        self.upsert(plain, [{"id": 123456, "vector": [1, 1, 1]}])
        self.assertEqual(self.count("/collections/today"), before[plain][3] + 1)

    def test_stop(self):
        self.check_after(self.server.stop)

    def test_kill(self):
        self.check_after(self.server.kill)

    @one_node("every node has a folder of its own")
    def test_two_servers_on_one_folder(self):
        with self.assertRaises(RuntimeError):
            Server(folder=self.server.folder)
        self.assertEqual(self.call("GET", "/readyz").status, 200)


if __name__ == "__main__":
    unittest.main()
