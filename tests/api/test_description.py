"""docs/openapi.yaml against the table of routes in api/routes.c, and against itself. That answers and requests are as it says,
harness.py checks with everything that the other tests send."""
import os
import re
import unittest

import yaml

from description import METHODS, PATH, description
from harness import ROOT, ApiTest


def served():
    """{(METHOD, pattern with {} for a piece that varies): what is refused, or None}, as in api/routes.c"""
    with open(os.path.join(ROOT, "api", "routes.c")) as file:
        text = file.read()
    names = dict(re.findall(r'(?m)^#define ([A-Z]+) "(.*)"$', text))
    table = text[text.index("api_routes[] = {"):text.index("api_n_routes")]
    routes = {}
    for method, first, rest, more in re.findall(r'\{HTTP_([A-Z]+),\s*("[^"]*"|[A-Z]+)((?:\s*"[^"]*")*)\s*,([^}]*(?:\{\}[^}]*)*)\}', table):
        path = names.get(first, first.strip('"')) + "".join(re.findall(r'"([^"]*)"', rest))
        routes[method, path] = next(iter(re.findall(r'NULL,\s*"([^"]*)"', more)), None)
    assert len(routes) == len(re.findall(r"\{HTTP_", table)), "a line of the table of routes was not understood"
    return routes


def refs(value):
    """Every reference below a value, and every schema that names properties."""
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        value = value.values()
    if not isinstance(value, str):
        for item in value if hasattr(value, "__iter__") else ():
            yield from refs(item)


class Strict(yaml.SafeLoader):
    """A mapping with one key twice is an error."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        assert len(keys) == len(set(keys)), "line %d: a key stands twice: %s" % (node.start_mark.line + 1, keys)
        return super().construct_mapping(node, deep)


class TheDescription(unittest.TestCase):
    maxDiff = None

    def test_every_route_is_described_and_no_other(self):
        described = {(method, re.sub(r"\{\w+\}", "{}", path)) for method, path in description().operations()}
        self.assertEqual(described, set(served()))

    def test_what_is_refused_is_said_to_be(self):
        document = description().document["paths"]
        said = {(method, re.sub(r"\{\w+\}", "{}", path)) for method, path in description().operations()
                if "refused" in document[path][method.lower()]["tags"]}
        self.assertEqual(said, {route for route, feature in served().items() if feature})
        for method, path in description().operations():
            operation = document[path][method.lower()]
            self.assertEqual("refused" in operation["tags"], operation["summary"].startswith("Refused: "), path)

    def test_it_is_whole(self):
        with open(PATH) as file:
            document = yaml.load(file, Strict)
        self.assertTrue(document["openapi"].startswith("3.1"))
        used = set(refs(document))
        there = {"#/components/%s/%s" % (kind, name) for kind, group in document["components"].items() for name in group
                 if kind != "securitySchemes"}
        self.assertEqual(used, there)
        names = [operation["operationId"] for item in document["paths"].values()
                 for method, operation in item.items() if method in METHODS]
        self.assertEqual(len(names), len(set(names)))
        tags = {tag["name"] for tag in document["tags"]}
        for path, item in document["paths"].items():
            in_path = re.findall(r"\{(\w+)\}", path)
            given = [description().resolved(p)["name"] for p in item.get("parameters", [])]
            self.assertEqual(given, in_path, path)
            for method in set(item) & set(METHODS):
                self.assertLessEqual(set(item[method]["tags"]), tags, path)
                self.assertTrue(item[method]["responses"], path)

    def test_objects_are_closed(self):
        """Of what is an object with named fields, no other field may be there, or it may say nothing about the others."""
        def visit(schema, where):
            if not isinstance(schema, dict):
                return
            if "properties" in schema and where not in self.OPEN:
                self.assertTrue({"additionalProperties", "unevaluatedProperties"} & set(schema), where)
            for key, value in schema.items():
                if key == "properties":
                    for name, item in value.items():
                        visit(item, "%s/%s" % (where, name))
                elif isinstance(value, dict):
                    visit(value, where)
                elif isinstance(value, list):
                    for item in value:
                        visit(item, where)
        for name, schema in description().document["components"]["schemas"].items():
            visit(schema, name)

    # Parts that others are put together from and that these close; what is kept as it was given.
    OPEN = {"Targets", "SearchFields", "SearchVector", "GroupFields", "RecommendExamples", "StrictMode"}


class TheServer(ApiTest):
    def test_every_described_route_is_there(self):
        """Whatever it says to a request without a body: not that there is no such path or method."""
        for method, path in sorted(description().operations()):
            answer = self.call(method, path.format(collection="none", field="k", id="1", name="x", node="x", partition="0"))
            self.assertNotEqual(answer.status, 405, (method, path))
            if answer.status == 404:
                self.assertRegex(answer.error, "Collection `none` doesn't exist!|there is no (node|API key)", (method, path))

    def test_the_check_can_fail(self):
        path = self.collection({"size": 2, "distance": "Dot"})
        schemas = description().document["components"]["schemas"]
        held = schemas["CountPoints"]["properties"].pop("exact")
        try:
            self.call("POST", path + "/points/count", {})
            with self.assertRaisesRegex(AssertionError, r"(?s)docs/openapi\.yaml.*in the body"):
                self.call("POST", path + "/points/count", {"exact": True})
        finally:
            schemas["CountPoints"]["properties"]["exact"] = held
        held = schemas["PointCount"]["properties"].pop("count")
        try:
            with self.assertRaisesRegex(AssertionError, r"(?s)docs/openapi\.yaml.*in the answer"):
                self.call("POST", path + "/points/count", {})
        finally:
            schemas["PointCount"]["properties"]["count"] = held
        with self.assertRaisesRegex(AssertionError, "query parameter wait is not described"):
            self.call("GET", "/collections?wait=true")


if __name__ == "__main__":
    unittest.main()
