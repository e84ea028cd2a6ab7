"""docs/api.md, "Every field": what the table says of every object of every request body is what the server does.

- The table has a row for every object that docs/openapi.yaml describes for requests, and names every field of it.
- Fields that work or are without effect stand in a body of test_matrix.py, and that body is accepted.
- Fields that are refused answer 400 with their name, in the same place of that body.
- Every name that the parsers in api/ know stands in the table and every name of the table in the parsers; each of them is
  refused by name in every object whose row does not have it.
- The table of query parameters has those of docs/openapi.yaml and those of api/parameters.c; others are refused.
"""
import copy
import os
import re
import unittest

from description import description
from harness import ROOT, ApiTest, one_node
from test_matrix import ENDPOINTS, UUID, changed

HEAD = "| object | works | without effect | refused |"
PARAMETERS_HEAD = "| query parameter | | notes |"
GENERAL = {"wait", "timeout", "ordering", "consistency", "receipt"}  # taken by every route
OPEN = {"/", "/healthz", "/livez", "/readyz"}  # take whatever a probe adds


def source(name):
    with open(os.path.join(ROOT, name)) as file:
        return file.read()


def rows_below(head):
    """The cells of a table of docs/api.md, row by row."""
    lines = source("docs/api.md").split("\n")
    for line in lines[lines.index(head) + 2:]:
        if not line.startswith("|"):
            break
        yield line.strip("|").split("|")


def table():
    """{object: (works, without effect, refused)}, each a list of names."""
    rows = {}
    for row in rows_below(HEAD):
        cells = [re.findall(r"`([^`]+)`", cell) for cell in row]
        for name in cells[0]:
            assert name not in rows, name
            rows[name] = tuple(cells[1:])
    return rows


def parsed_names():
    """(names of fields that the parsers in api/ know, all words in quotes there). The names are those of the lists that
    parse_known_keys() and parse_object() take and of single look-ups; where a name comes out of a table of structs, it is among the words only."""
    names, words = set(), set()
    for file in sorted(os.listdir(os.path.join(ROOT, "api"))):
        if not file.endswith(".c"):
            continue
        text = source(os.path.join("api", file))
        words.update(re.findall(r'"(\w+)"', text))
        lists = dict(re.findall(r"const char \*const (\w+)\[\] = \{([^}]*)\}", text))
        used = re.findall(r"parse_(?:known_keys|object)\(([^;]*?)\);", text) + re.findall(r"json_get\(([^;]*?)\)", text)
        for arguments in used:
            for name in re.findall(r"\w+", arguments.split('"')[-1]):
                names.update(re.findall(r'"(\w+)"', lists.get(name, "")))
        names.update(re.findall(r'json_get\([^;"]*?, "(\w+)"\)', text))
        names.update(re.findall(r'parse_(?:u64|bool|double|string)_field\([^;"]*?, "(\w+)"', text))
        names.update(re.findall(r'parse_need_string\([^;"]*?, "(\w+)"', text))
        names.update(re.findall(r'u64_range \w+ = \{"(\w+)"', text))
    return names, words


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

    def with_field(self, path, name, field):
        """The answer to a body that is right but for one more field, in its first object of this name."""
        endpoint, at, _ = self.places[name][0]
        method, route, body = ENDPOINTS[endpoint]
        if at:
            body = changed(body, at, lambda o, k: o[k].__setitem__(field, "x"))
        else:
            body = dict(copy.deepcopy(body), **{field: "x"})
        return self.call(method, route.replace("{}", path), body)

    def test_what_is_refused_is_refused_by_name(self):
        path = self.collection({"a": {"size": 4, "distance": "Dot"}}, sparse_vectors={"s": {}})
        self.upsert(path, [{"id": i, "vector": {"a": [1, 2, 3, 4]}} for i in (1, UUID)])
        rows = 0
        for name, (_, _, refused) in self.table.items():
            for field in refused:
                answer = self.with_field(path, name, field)
                self.assertEqual(answer.status, 400, (name, field, answer))
                self.assertTrue(answer.error.endswith(" is not supported"), (name, field, answer))
                self.assertIn(field, answer.error)
                rows += 1
        self.assertGreater(rows, 15)

    def test_the_parsers_know_what_the_table_has(self):
        said = {field for row in self.table.values() for fields in row for field in fields}
        accepted = {field for works, ignored, _ in self.table.values() for field in works + ignored}
        names, words = parsed_names()
        self.assertGreater(len(names), 150)
        self.assertEqual(names - said, set(), "fields that a parser knows and docs/api.md does not name")
        self.assertEqual(accepted - words, set(), "fields of docs/api.md that no parser knows")

    @one_node("the parsers are the same on every node")
    def test_no_object_takes_a_field_of_another(self):
        """Whatever stands in no row of an object is refused there, also if it is known elsewhere."""
        path = self.collection({"a": {"size": 4, "distance": "Dot"}}, sparse_vectors={"s": {}})
        self.upsert(path, [{"id": i, "vector": {"a": [1, 2, 3, 4]}} for i in (1, UUID)])
        names = parsed_names()[0] | {field for row in self.table.values() for fields in row for field in fields}
        for name, row in self.table.items():
            if name == "StrictMode":  # switched off, it may say anything
                continue
            for field in sorted(names.difference(*row)):
                answer = self.with_field(path, name, field)
                self.assertIn(answer.status, (400, 422), (name, field, answer))
        self.assertEqual(self.get("/collections")["collections"], [{"name": path.split("/")[-1]}])

    def parameters(self):
        """(name, METHOD, path as described) of every query parameter that docs/openapi.yaml has."""
        for method, path in description().operations():
            operation = description().document["paths"][path][method.lower()]
            for parameter in map(description().resolved, operation.get("parameters", ())):
                if parameter["in"] == "query":
                    yield parameter["name"], method, path

    def test_the_table_of_query_parameters_is_complete(self):
        said = {name for row in rows_below(PARAMETERS_HEAD) for name in re.findall(r"`(\w+)`", row[0])}
        self.assertEqual(said, {name for name, _, _ in self.parameters()})
        text = source("api/parameters.c")
        table = text[text.index("general[]"):text.index("parameter_flag")]
        self.assertEqual(said, set(re.findall(r'"(\w+)"', table)))

    def test_other_query_parameters_are_refused(self):
        collection = self.collection({"size": 4, "distance": "Dot"})
        described = set(self.parameters())
        names = {name for name, _, _ in described}
        for method, path in sorted(description().operations()):
            if path in OPEN or "refused" in description().document["paths"][path][method.lower()]["tags"]:
                continue
            at = path.format(collection=collection.split("/")[-1], field="k", id="1", name="x", node="nobody", partition="0")
            for name in sorted(names - GENERAL) + ["wiat", "", "Wait"]:
                if (name, method, path) not in described:
                    self.refused(400, "Bad request: the query parameter `%s` of this route is not supported" % name,
                                 method, "%s?timeout=5&%s=true" % (at, name), {} if method != "GET" else None)
            self.refused(400, "query parameter wait: it stands there twice", method, at + "?wait=true&wait=true")
        self.refused(400, "query parameter using: ", "PUT", collection + "/points?using=a",
                     {"points": [{"id": 1, "vector": [1, 2, 3, 4]}]})
        self.refused(400, "query parameter degraded: expected true or false", "PUT", "/collections/other?degraded=yes",
                     {"vectors": {"size": 4, "distance": "Dot"}})
        self.refused(400, "query parameter partitions: expected all", "GET", "/v1/cluster?partitions=some")
        self.assertEqual(self.get("/collections")["collections"], [{"name": collection.split("/")[-1]}])
        self.server.described = False
        for path in OPEN:
            self.assertEqual(self.call("GET", path + "?probe=1").status, 200, path)
        self.server.described = True


if __name__ == "__main__":
    unittest.main()
