"""Holds what goes over the wire against docs/openapi.yaml.

harness.Server.call() gives every request and its answer to check(), which raises AssertionError when

- the answer has a status, a content type or a body that is not described for that route, or
- the server accepted a request that is not described: a body, a query parameter.

Objects have no keys but those described. A request that was refused may look like anything.
"""
import functools
import json
import os
import re
import urllib.parse

import jsonschema
import yaml

PATH = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "docs", "openapi.yaml")
METHODS = ("get", "put", "post", "delete", "patch")
NUMBER = {"type": "number"}


def is_integer(checker, value):
    return isinstance(value, int) and not isinstance(value, bool)


def items(validator, schema, array, whole):
    """As the standard's, but quick for lists of numbers: most of what is sent are vectors."""
    if schema == NUMBER and isinstance(array, list) and all(type(x) in (int, float) for x in array):
        return
    yield from jsonschema.Draft202012Validator.VALIDATORS["items"](validator, schema, array, whole)


Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator, {"items": items},
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine("integer", is_integer))


class Twice(Exception):
    """A key stands twice in an object: which one counts is not described."""


def object_of(pairs):
    """A JSON object without what is null, which means "not given"."""
    if len({key for key, _ in pairs}) != len(pairs):
        raise Twice
    return {key: value for key, value in pairs if value is not None}


def readings(text):
    """What the text of a parameter can mean: itself, a boolean, an integer."""
    yield text
    if text in ("true", "false"):
        yield text == "true"
    if re.fullmatch("[0-9]+", text):
        yield int(text)


class Description:
    def __init__(self, path=PATH):
        with open(path) as file:
            self.document = yaml.load(file, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        self.resolver = jsonschema.RefResolver("", self.document)
        self.routes = []  # (pattern, path as described, its methods), more exact ones before more general ones
        for path, item in sorted(self.document["paths"].items(), key=lambda x: x[0].count("{")):
            pattern = re.compile("/".join("[^/]+" if part.startswith("{") else re.escape(part) for part in path.split("/")))
            self.routes.append((pattern, path, item))

    def resolved(self, value):
        while "$ref" in value:
            value = self.resolver.resolve(value["$ref"])[1]
        return value

    def operations(self):
        """{(METHOD, path as described)}"""
        return {(method.upper(), path) for path, item in self.document["paths"].items() for method in item
                if method in METHODS}

    def find(self, method, path):
        """(path as described or None, operation or None)"""
        known = None
        for pattern, described, item in self.routes:
            if pattern.fullmatch(path):
                known = known or described
                if method.lower() in item:
                    return described, item[method.lower()]
        return known, None

    def errors(self, schema, value):
        """What is wrong with a value, as a text, or None."""
        if self.allows(schema, value):
            return None
        error = jsonschema.exceptions.best_match(Validator(schema, resolver=self.resolver).iter_errors(value))
        return "%s: %s" % ("/".join(str(step) for step in error.absolute_path) or "(whole)", error.message[:1000])

    def allows(self, schema, value):
        return Validator(schema, resolver=self.resolver).is_valid(value)

    # ---- answers ----

    def undescribed(self, known, answer):
        """No such path, or not with that method: what every server must say."""
        if answer.status in (401, 403, 413):
            return
        expected = 405 if known else 404
        assert answer.status == expected, "not described (%d was expected)" % expected
        wrong = self.errors({"$ref": "#/components/schemas/Error"}, answer.json)
        assert wrong is None, wrong

    def check_answer(self, operation, answer):
        response = operation["responses"].get(str(answer.status))
        assert response is not None, "the status is not described"
        content = self.resolved(response).get("content", {})
        kind = answer.headers.get("content-type", "").split(";")[0]
        assert kind in content, "the content type %r is not described" % kind
        if kind == "application/json":
            wrong = self.errors(content[kind]["schema"], answer.json)
            assert wrong is None, "in the answer, " + wrong

    # ---- requests ----

    def check_parameters(self, operation, query):
        described = {p["name"]: p for p in map(self.resolved, operation.get("parameters", [])) if p["in"] == "query"}
        for name, text in urllib.parse.parse_qsl(query, keep_blank_values=True):
            assert name in described, "the query parameter %s is not described" % name
            assert any(self.errors(described[name]["schema"], value) is None for value in readings(text)), \
                "the query parameter %s=%s is not as described" % (name, text)

    def check_lines(self, body):
        for number, line in enumerate(body.split(b"\n"), 1):
            if line.strip():
                wrong = self.errors({"$ref": "#/components/schemas/Point"},
                                    json.loads(line.decode(), object_pairs_hook=object_of))
                assert wrong is None, "in line %d, %s" % (number, wrong)

    def check_body(self, operation, kind, body):
        content = self.resolved(operation.get("requestBody", {})).get("content")
        if content is None:
            return
        # JSON is read as JSON whatever the content type says.
        kind = kind if kind in content else "application/json"
        if kind == "application/x-ndjson":
            self.check_lines(body)
        elif kind == "application/json":
            try:
                value = json.loads(body.decode(), object_pairs_hook=object_of)
            except Twice:
                return
            wrong = self.errors(content[kind]["schema"], value)
            assert wrong is None, "in the body that was accepted, " + wrong

    # ---- both ----

    def check(self, method, target, headers, body, answer):
        path, _, query = target.partition("?")
        path = path.rstrip("/") or "/"
        known, operation = self.find(method, path)
        try:
            if operation is None:
                self.undescribed(known, answer)
                return
            self.check_answer(operation, answer)
            if answer.status == 200:
                self.check_parameters(operation, query)
                kind = next((v for k, v in headers.items() if k.lower() == "content-type"), "")
                self.check_body(operation, kind.split(";")[0], body or b"")
        except (AssertionError, ValueError) as error:
            raise AssertionError("docs/openapi.yaml: %s %s: %r\n%s" % (method, target, answer, error)) from None


@functools.lru_cache(maxsize=1)
def description():
    return Description()


def check(method, target, headers, body, answer):
    """One request as it was sent and its answer (harness.Answer)."""
    if method.lower() in METHODS:
        description().check(method, target, headers, body, answer)
