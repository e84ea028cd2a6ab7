"""Collections, payload indexes, aliases and cluster views."""
import time
import unittest

from harness import DEFAULTS, ApiTest, one_node

VECTORS = {"size": 4, "distance": "Cosine"}


class Collections(ApiTest):
    def test_life(self):
        self.assertEqual(self.get("/collections/life/exists"), {"exists": False})
        self.refused(404, "Not found: Collection `life` doesn't exist!", "GET", "/collections/life")
        path = self.collection(VECTORS, name="life")
        self.assertEqual(self.get(path + "/exists"), {"exists": True})
        self.assertIn({"name": "life"}, self.get("/collections")["collections"])
        self.refused(409, "Wrong input: Collection `life` already exists!", "PUT", path,
                     {"vectors": VECTORS})
        self.assertIs(self.ok("DELETE", path), True)
        self.assertIs(self.ok("DELETE", path), False)
        self.assertEqual(self.get(path + "/exists"), {"exists": False})
        self.refused(404, "doesn't exist", "POST", path + "/points/query", {"query": [1, 2, 3, 4]})
        # A collection of the same name later is a new one.
        path = self.collection(VECTORS, name="life")
        self.assertEqual(self.count(path), 0)

    def test_info_has_everything_that_clients_need(self):
        path = self.collection(VECTORS, shard_number=2)
        info = self.get(path)
        self.assertEqual(info["status"], "green")
        self.assertEqual(info["optimizer_status"], "ok")
        for key in ("indexed_vectors_count", "points_count", "segments_count"):
            self.assertIsInstance(info[key], int)
        config = info["config"]
        self.assertEqual(config["params"], {
            "vectors": VECTORS, "shard_number": 2, "replication_factor": DEFAULTS["replication_factor"],
            "write_consistency_factor": 1, "on_disk_payload": True})
        self.assertEqual(config["hnsw_config"], {
            "m": 16, "ef_construct": 100, "full_scan_threshold": 10000,
            "max_indexing_threads": 0, "on_disk": False})
        self.assertEqual(sorted(config["optimizer_config"]), sorted((
            "deleted_threshold", "vacuum_min_vector_number", "default_segment_number",
            "max_segment_size", "memmap_threshold", "indexing_threshold", "flush_interval_sec",
            "max_optimization_threads")))
        self.assertEqual(config["wal_config"], {"wal_capacity_mb": 32, "wal_segments_ahead": 0})
        self.assertIsNone(config["quantization_config"])
        self.assertEqual(info["payload_schema"], {})

    def test_vectors_are_given_back_as_given(self):
        for vectors in (VECTORS, {"": VECTORS}, {"a": VECTORS, "size": {"size": 2, "distance": "Dot"}},
                        {"distance": "Euclid", "size": 3, "on_disk": True, "datatype": "float32"},
                        {"b": {"size": 4, "distance": "Manhattan", "hnsw_config": {"m": 8},
                               "quantization_config": {"scalar": {"type": "int8"}}}}):
            path = self.collection(vectors)
            self.assertEqual(self.get(path)["config"]["params"]["vectors"], vectors)
        sparse = {"words": {"modifier": "idf", "index": {"on_disk": False}}, "plain": {}}
        path = self.collection(sparse_vectors=sparse)
        params = self.get(path)["config"]["params"]
        self.assertEqual(params["vectors"], {})
        self.assertEqual(params["sparse_vectors"], sparse)

    def test_settings_are_accepted_and_given_back(self):
        path = self.collection(
            VECTORS, on_disk_payload=False, write_consistency_factor=1, replication_factor=1,
            sharding_method="auto", hnsw_config={"m": 24, "payload_m": 8},
            optimizers_config={"indexing_threshold": 77}, wal_config={"wal_capacity_mb": 8},
            quantization_config={"scalar": {"type": "int8", "quantile": 0.99, "always_ram": True}},
            strict_mode_config={"enabled": False}, metadata={"owner": "me"}, index={"type": "hnsw"})
        config = self.get(path)["config"]
        self.assertIs(config["params"]["on_disk_payload"], False)
        self.assertEqual(config["hnsw_config"]["m"], 24)
        self.assertEqual(config["hnsw_config"]["payload_m"], 8)
        self.assertEqual(config["optimizer_config"]["indexing_threshold"], 77)
        self.assertEqual(config["wal_config"]["wal_capacity_mb"], 8)
        self.assertEqual(config["quantization_config"]["scalar"]["quantile"], 0.99)
        self.assertEqual(config["metadata"], {"owner": "me"})
        self.assertEqual(config["index"], {"type": "hnsw"})

    def test_null_is_absent(self):
        path = self.collection(VECTORS, sparse_vectors=None, shard_number=None, hnsw_config=None,
                               quantization_config=None, metadata=None, init_from=None)
        self.assertEqual(self.get(path)["config"]["params"]["shard_number"], DEFAULTS["shard_number"])

    def test_create_refusals_change_nothing(self):
        before = self.get("/collections")
        for status, words, body in (
                (422, "vectors.size: value 0 invalid, must be from 1 to 65536",
                 {"vectors": {"size": 0, "distance": "Dot"}}),
                (422, "65537", {"vectors": {"size": 65537, "distance": "Dot"}}),
                (422, "hnsw_config.ef_construct",
                 {"vectors": VECTORS, "hnsw_config": {"ef_construct": 1}}),
                (422, "shard_number", {"vectors": VECTORS, "shard_number": 0}),
                (400, "Format error in JSON body: ", {"vectors": {"size": "x", "distance": "Dot"}}),
                (400, "expected one of Cosine", {"vectors": {"size": 4, "distance": "Far"}}),
                (400, "missing field `distance`", {"vectors": {"size": 4}}),
                (400, "multivector_config is not supported",
                 {"vectors": dict(VECTORS, multivector_config={"comparator": "max_sim"})}),
                (400, "is not supported", {"vectors": VECTORS, "sharding_method": "custom"}),
                (400, "`foo` of a collection is not supported", {"vectors": VECTORS, "foo": 1})):
            self.refused(status, words, "PUT", "/collections/bad", body)
        for name in ("a%2Fb", "a:b", "what%3F", "s*", "%22", "x" * 256):
            self.assertEqual(self.call("PUT", "/collections/" + name, {"vectors": VECTORS}).status,
                             400, name)
        self.assertEqual(self.get("/collections"), before)

    def test_patch(self):
        path = self.collection({"a": VECTORS}, metadata={"x": 1, "y": 2})
        self.upsert(path, [{"id": 1, "vector": {"a": [1, 0, 0, 0]}}])
        self.assertIs(self.ok("PATCH", path, {
            "vectors": {"a": {"hnsw_config": {"m": 32}, "on_disk": True}},
            "hnsw_config": {"ef_construct": 123}, "optimizers_config": {"indexing_threshold": 1},
            "params": {"on_disk_payload": False}, "metadata": {"y": None, "z": 3},
            "quantization_config": {"scalar": {"type": "int8"}}}), True)
        info = self.get(path)
        config = info["config"]
        self.assertEqual(config["params"]["vectors"]["a"],
                         dict(VECTORS, hnsw_config={"m": 32}, on_disk=True))
        self.assertEqual(config["hnsw_config"]["ef_construct"], 123)
        self.assertEqual(config["optimizer_config"]["indexing_threshold"], 1)
        self.assertIs(config["params"]["on_disk_payload"], False)
        self.assertEqual(config["metadata"], {"x": 1, "z": 3})
        self.assertEqual(config["quantization_config"], {"scalar": {"type": "int8"}})
        self.assertEqual(info["points_count"], 1)
        self.refused(400, "Not existing vector name error: b", "PATCH", path,
                     {"vectors": {"b": {"on_disk": True}}})
        self.refused(400, "is not supported", "PATCH", path, {"shard_number": 3})
        self.refused(404, "doesn't exist", "PATCH", "/collections/none", {"metadata": {}})
        self.assertEqual(self.get(path)["config"], config)

    def test_payload_indexes(self):
        path = self.collection(VECTORS)
        self.upsert(path, [{"id": i, "vector": [1, 0, 0, i], "payload": {"m": {"k": "v%d" % i}}}
                           for i in range(1, 6)])
        schemas = {
            "m.k": "keyword", "n": "integer", "f": "float", "b": "bool", "g": "geo", "d": "datetime",
            "u": "uuid", "t": {"type": "text", "tokenizer": "multilingual", "min_token_len": 2,
                               "max_token_len": 20, "lowercase": True},
            "tenant": {"type": "keyword", "is_tenant": True}}
        for field, schema in schemas.items():
            result = self.put(path + "/index?wait=true",
                              {"field_name": field, "field_schema": schema})
            self.assertEqual(result["status"], "completed")
            # Again, and nothing changes.
            self.put(path + "/index?wait=true", {"field_name": field, "field_schema": schema})
        shown = self.get(path)["payload_schema"]
        self.assertEqual(set(shown), set(schemas))
        for field, schema in schemas.items():
            if isinstance(schema, str):
                self.assertEqual(shown[field]["data_type"], schema)
                self.assertNotIn("params", shown[field])
            else:
                self.assertEqual(shown[field]["data_type"], schema["type"])
                self.assertEqual(shown[field]["params"], schema)
            self.assertIsInstance(shown[field]["points"], int)
        self.assertEqual(shown["m.k"]["points"], 5)
        self.ok("DELETE", path + "/index/m.k?wait=true")
        self.ok("DELETE", path + "/index/m.k?wait=true")
        self.assertNotIn("m.k", self.get(path)["payload_schema"])
        self.assertEqual(self.count(path, {"must": [{"key": "m.k", "match": {"value": "v3"}}]}), 1)

    def test_payload_index_refusals(self):
        path = self.collection(VECTORS)
        for status, words, body in (
                (400, "field_schema", {"field_name": "a"}),
                (400, "expected one of keyword", {"field_name": "a", "field_schema": "json"}),
                (400, "missing field `field_name`", {"field_schema": "keyword"}),
                (400, "tokenizer", {"field_name": "a",
                                    "field_schema": {"type": "text", "tokenizer": "ngram"}}),
                (400, "Wrong input: ", {"field_name": "a..b", "field_schema": "keyword"})):
            self.refused(status, words, "PUT", path + "/index", body)
        self.refused(404, "doesn't exist", "PUT", "/collections/none/index",
                     {"field_name": "a", "field_schema": "keyword"})
        self.assertEqual(self.get(path)["payload_schema"], {})

    def test_aliases(self):
        one, two = self.collection(VECTORS, name="one"), self.collection(VECTORS, name="two")
        self.upsert(one, [{"id": 1, "vector": [1, 0, 0, 0]}])

        def change(*actions):
            return self.post("/collections/aliases", {"actions": list(actions)})

        self.assertIs(change({"create_alias": {"collection_name": "one", "alias_name": "now"}}), True)
        self.assertEqual(self.get("/aliases")["aliases"],
                         [{"alias_name": "now", "collection_name": "one"}])
        self.assertEqual(self.get(one + "/aliases")["aliases"],
                         [{"alias_name": "now", "collection_name": "one"}])
        self.assertEqual(self.get(two + "/aliases")["aliases"], [])
        self.assertEqual(self.count("/collections/now"), 1)
        self.assertEqual(self.get("/collections/now/exists"), {"exists": True})
        self.assertEqual(self.get("/collections/now")["points_count"], 1)
        self.upsert("/collections/now", [{"id": 2, "vector": [0, 1, 0, 0]}])
        self.assertEqual(self.count(one), 2)
        # The switch, in one step.
        change({"delete_alias": {"alias_name": "now"}},
               {"create_alias": {"collection_name": "two", "alias_name": "now"}})
        self.assertEqual(self.count("/collections/now"), 0)
        change({"rename_alias": {"old_alias_name": "now", "new_alias_name": "then"}})
        self.assertEqual(self.get("/collections/now/exists"), {"exists": False})
        self.assertEqual(self.count("/collections/then"), 0)
        # All or nothing.
        answer = self.call("POST", "/collections/aliases", {"actions": [
            {"create_alias": {"collection_name": "one", "alias_name": "x"}},
            {"create_alias": {"collection_name": "nowhere", "alias_name": "y"}}]})
        self.assertEqual(answer.status, 404)
        self.assertEqual([a["alias_name"] for a in self.get("/aliases")["aliases"]], ["then"])
        answer = self.call("POST", "/collections/aliases", {"actions": [
            {"create_alias": {"collection_name": "one", "alias_name": "two"}}]})
        self.assertEqual(answer.status, 409)
        for bad in ({}, {"actions": 5}, {"actions": [{}]}, {"actions": [{"drop": {}}]},
                    {"actions": [{"create_alias": {"alias_name": "x"}}]}):
            self.assertEqual(self.call("POST", "/collections/aliases", bad).status, 400, bad)
        change({"delete_alias": {"alias_name": "then"}})
        self.assertEqual(self.get("/aliases")["aliases"], [])

    @one_node("tests/cluster has the views of several")
    def test_cluster_views(self):
        path = self.collection(VECTORS, shard_number=3)
        self.upsert(path, [{"id": i, "vector": [1, 0, 0, 0]} for i in range(100)])
        self.assertEqual(self.get("/cluster")["status"], "disabled")
        view = self.get(path + "/cluster")
        self.assertEqual(view["shard_count"], 3)
        self.assertEqual([s["shard_id"] for s in view["local_shards"]], [0, 1, 2])
        self.assertEqual({s["state"] for s in view["local_shards"]}, {"Active"})
        self.assertEqual(sum(s["points_count"] for s in view["local_shards"]), 100)
        self.assertTrue(all(s["points_count"] > 0 for s in view["local_shards"]))
        self.assertEqual(view["remote_shards"], [])
        self.assertEqual(view["shard_transfers"], [])
        self.assertIsInstance(view["peer_id"], int)

    @one_node("there are enough")
    def test_too_few_nodes(self):
        body = {"vectors": VECTORS, "replication_factor": 2}
        self.refused(422, "replication_factor", "PUT", "/collections/copies", body)
        self.assertEqual(self.get("/collections/copies/exists"), {"exists": False})
        self.put("/collections/copies?degraded=true", body)
        self.assertEqual(self.get("/collections/copies")["config"]["params"]["replication_factor"], 2)
        self.ok("DELETE", "/collections/copies")

    def test_becomes_green(self):
        path = self.collection(VECTORS)
        self.upsert(path, [{"id": i, "vector": [1, i, 0, 0]} for i in range(3000)])
        deadline = time.monotonic() + 60
        while self.get(path)["status"] != "green":
            self.assertLess(time.monotonic(), deadline, "stays yellow")
            time.sleep(0.05)
        self.assertEqual(self.get(path)["points_count"], 3000)


if __name__ == "__main__":
    unittest.main()
