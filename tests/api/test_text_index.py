"""Options of text indexes: what a condition finds is what the options say, sealed or in memory, index or payload."""
import unittest

from harness import ApiTest, ids

TEXTS = {
    1: "The Runner was running through Caf\u00e9s",
    2: "runs a cafe",
    3: "Die Katzen laufen durch M\u00fcnchen",
    4: "quick brown fox",
    5: "brown and quick foxes",
    6: "\u5411\u91cf\u6570\u636e\u5e93 fox",
    7: ["two strings", "quick", "brown"],
    8: 17,
}


class TextIndexTest(ApiTest):
    def indexed(self, **schema):
        """A collection whose points are there before the index (built later) and after it."""
        path = self.collection({"size": 1, "distance": "Dot"}, shard_number=2)
        points = [{"id": i, "vector": [i], "payload": {"t": t, "list": [{"t": t}]}} for i, t in TEXTS.items()]
        self.upsert(path, points[:4])
        for field in ("t", "list[].t"):
            self.put(path + "/index?wait=true", {"field_name": field, "field_schema": dict(schema, type="text")})
        self.upsert(path, points[4:])
        return path

    def find(self, path, **match):
        found = []
        for key in ("t", "list[].t"):
            page = self.post(path + "/points/scroll", {"filter": {"must": [{"key": key, "match": match}]}})
            found.append(ids(page["points"]))
        self.assertEqual(found[0], found[1], match)
        return found[0]

    def test_stemmer_and_stop_words(self):
        path = self.indexed(stemmer={"type": "snowball", "language": "english"}, stopwords="english")
        self.assertEqual(self.find(path, text="running"), [1, 2])
        self.assertEqual(self.find(path, text="the fox"), [4, 5, 6])
        self.assertEqual(self.find(path, text="the"), [])
        self.assertEqual(self.find(path, phrase="quick brown"), [4])
        self.assertEqual(self.find(path, phrase="brown quick"), [5])
        self.assertEqual(self.find(path, text_any="cafe katzen"), [2, 3])
        german = self.indexed(stemmer={"type": "snowball", "language": "german"},
                              stopwords={"languages": ["german"], "custom": ["Laufen"]})
        self.assertEqual(self.find(german, text="die Katze"), [3])
        self.assertEqual(self.find(german, text="laufen"), [])

    def test_ascii_folding(self):
        path = self.indexed(ascii_folding=True)
        self.assertEqual(self.find(path, text="cafes"), [1])
        self.assertEqual(self.find(path, text="MUNCHEN"), [3])
        self.assertEqual(self.find(path, text="m\u00dcnchen"), [3])
        self.assertEqual(self.find(self.indexed(), text="munchen"), [])

    def test_tokenizers(self):
        self.assertEqual(self.find(self.indexed(tokenizer="prefix", min_token_len=2), text="qui bro"), [4, 5])
        self.assertEqual(self.find(self.indexed(tokenizer="whitespace", lowercase=False), text="The"), [1])
        self.assertEqual(self.find(self.indexed(tokenizer="multilingual"), text="\u6570\u636e"), [6])
        self.assertEqual(self.find(self.indexed(tokenizer="word"), text="\u6570\u636e"), [])
        self.assertEqual(self.find(self.indexed(min_token_len=4), text="fox"), [])

    def test_all_tokens_must_be_in_one_string(self):
        path = self.indexed(phrase_matching=True)
        self.assertEqual(self.find(path, text="quick brown"), [4, 5])
        self.assertEqual(self.find(path, phrase="quick brown"), [4])
        self.assertEqual(self.find(path, text="two strings"), [7])

    def test_another_definition_of_the_field_is_another_index(self):
        path = self.indexed()
        self.assertEqual(self.find(path, text="foxes"), [5])
        schema = {"type": "text", "stemmer": {"type": "snowball", "language": "english"}}
        for field in ("t", "list[].t"):
            self.put(path + "/index?wait=true", {"field_name": field, "field_schema": schema})
        self.assertEqual(self.find(path, text="foxes"), [4, 5, 6])
        shown = self.get(path)["payload_schema"]["t"]
        self.assertEqual((shown["data_type"], shown["params"]), ("text", schema))
        self.ok("DELETE", path + "/index/t?wait=true")
        self.ok("DELETE", path + "/index/list[].t?wait=true")
        self.assertEqual(self.find(path, text="foxes"), [5])  # a substring again
        self.assertEqual(self.find(path, text="fox"), [4, 5, 6])

    def test_the_same_after_a_restart(self):
        path = self.indexed(stemmer={"type": "snowball", "language": "english"}, stopwords={"custom": ["FOX"]},
                            ascii_folding=True)
        wanted = [self.find(path, text=t) for t in ("cafe", "fox", "runs", "brown")]
        self.server.stop()
        self.server.start()
        self.assertEqual([self.find(path, text=t) for t in ("cafe", "fox", "runs", "brown")], wanted)
        self.assertEqual(wanted, [[1, 2], [], [1, 2], [4, 5, 7]])

    def test_refusals(self):
        path = self.collection({"size": 1, "distance": "Dot"})
        for more, status, words in (
                ({"stemmer": {"type": "snowball", "language": "klingon"}}, 400, "`klingon`"),
                ({"stemmer": {"type": "magic"}}, 400, "`magic`"), ({"stemmer": {}}, 400, "type"),
                ({"stopwords": "tamil"}, 400, "`tamil`"), ({"stopwords": ["the"]}, 400, "stopwords"),
                ({"stopwords": {"custom": [1]}}, 400, "custom"), ({"stopwords": {"more": []}}, 400, "`more`"),
                ({"min_token_len": 3, "max_token_len": 2}, 422, "min_token_len"),
                ({"tokenizer": "bytes"}, 400, "tokenizer")):
            self.refused(status, words, "PUT", path + "/index?wait=true",
                         {"field_name": "t", "field_schema": dict(more, type="text")})
        self.assertEqual(self.get(path)["payload_schema"], {})


if __name__ == "__main__":
    unittest.main()
