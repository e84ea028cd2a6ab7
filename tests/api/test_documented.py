"""docs/api.md, "Every field": what the table says of every object of every request body is what the server does.

- The table has a row for every object that docs/openapi.yaml describes for requests, and names every field of it.
- Fields that work or are without effect stand in a body of test_matrix.py, and that body is accepted.
- Fields that are refused answer 400 with their name, in the same place of that body.
"""
import copy
import os
import re
import unittest

from description import description
from harness import ROOT, ApiTest
from test_matrix import ENDPOINTS, UUID, changed

HEAD = "| object | works | without effect | refused |"


def table():
    """{object: (works, without effect, refused)}, each a list of names."""
    with open(os.path.join(ROOT, "docs", "api.md")) as file:
        lines = file.read().split("\n")
    rows = {}
    for line in lines[lines.index(HEAD) + 2:]:
        if not line.startswith("|"):
            break
        cells = [re.findall(r"`([^`]+)`", cell) for cell in line.strip("|").split("|")]
        for name in cells[0]:
            assert name not in rows, name
            rows[name] = tuple(cells[1:])
    return rows


def alternatives(schema, name):
    """(schema, name of the object) without references and choices."""
    if "$ref" in schema:
        yield from alternatives(description().resolved(schema), schema["$ref"].split("/")[-1])
        return
    for key in ("anyOf", "allOf"):
        for part in schema.get(key, ()):
            if "required" in part and len(part) == 1:
                continue
            # What is put together from parts has one name; what is one of several has the name of that one.
            for found, own in alternatives(part, name):
                yield found, name if key == "allOf" else own
    yield schema, name


def objects(schema, name, seen):
    """{name of the object: its fields} of everything below a schema."""
    found = {}
    for part, own in alternatives(schema, name):
        for key, value in part.get("properties", {}).items():
            found.setdefault(own, set()).add(key)
            below = "%s.%s" % (own, key)
            if (id(value), own) not in seen:
                seen.add((id(value), own))
                merge(found, objects(value, below, seen))
        for key in ("items", "additionalProperties"):
            value = part.get(key)
            if isinstance(value, dict) and (id(value), own) not in seen:
                seen.add((id(value), own))
                merge(found, objects(value, own, seen))
    return found


def merge(into, more):
    for name, fields in more.items():
        into.setdefault(name, set()).update(fields)


def visit(schema, name, value, path):
    """(name of the object, path, the object) of every object in a body."""
    for part, own in alternatives(schema, name):
        if isinstance(value, dict) and ("properties" in part or "additionalProperties" in part):
            if not description().allows(part, value):
                continue
            properties = part.get("properties", {})
            if set(value) & set(properties):
                yield own, path, value
            for key, item in value.items():
                below = properties.get(key, part.get("additionalProperties"))
                if isinstance(below, dict):
                    yield from visit(below, "%s.%s" % (own, key) if key in properties else own, item, path + (key,))
        elif isinstance(value, list) and "items" in part:
            for i, item in enumerate(value):
                yield from visit(part["items"], own, item, path + (i,))


class EveryField(ApiTest):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.table = table()
        cls.described, cls.places = {}, {}
        for name, (method, path, body) in ENDPOINTS.items():
            _, operation = description().find(method, path.replace("{}", "/collections/c"))
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            merge(cls.described, objects(schema, name, set()))
            for own, at, value in visit(schema, name, body, ()):
                cls.places.setdefault(own, []).append((name, at, set(value)))

    def test_the_table_is_complete(self):
        said = {name: set(works) | set(ignored) for name, (works, ignored, _) in self.table.items()}
        self.assertEqual(said, self.described)

    def test_what_is_accepted_stands_in_a_body_that_is(self):
        """That the bodies are accepted is proven by test_matrix."""
        missing = {}
        for name, (works, ignored, _) in self.table.items():
            given = set().union(*(fields for _, _, fields in self.places.get(name, ())))
            if set(works) | set(ignored) > given:
                missing[name] = (set(works) | set(ignored)) - given
        self.assertEqual(missing, {})

    def test_what_is_refused_is_refused_by_name(self):
        path = self.collection({"a": {"size": 4, "distance": "Dot"}}, sparse_vectors={"s": {}})
        self.upsert(path, [{"id": i, "vector": {"a": [1, 2, 3, 4]}} for i in (1, UUID)])
        rows = 0
        for name, (_, _, refused) in self.table.items():
            for field in refused:
                endpoint, at, _ = self.places[name][0]
                method, route, body = ENDPOINTS[endpoint]
                if at:
                    body = changed(body, at, lambda o, k, f=field: o[k].__setitem__(f, "x"))
                else:
                    body = dict(copy.deepcopy(body), **{field: "x"})
                answer = self.call(method, route.replace("{}", path), body)
                self.assertEqual(answer.status, 400, (name, field, answer))
                self.assertTrue(answer.error.endswith(" is not supported"), (name, field, answer))
                self.assertIn(field, answer.error)
                rows += 1
        self.assertGreater(rows, 15)


if __name__ == "__main__":
    unittest.main()
