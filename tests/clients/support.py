"""What the client tests share: the server to talk to, names for collections, embeddings without a model."""
import hashlib
import itertools
import math
import os
import re

URL = os.environ["QUIVER_URL"]
ROOT = os.environ["QUIVER_SOURCE_DIR"]
numbers = itertools.count(1)


def new_name(prefix):
    """A collection name that no other test has."""
    return "%s-%d-%d" % (prefix, os.getpid(), next(numbers))


def words(text):
    return re.findall(r"\w+", text.lower())


def word_slot(word, slots):
    return int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "little") % slots


def embed(text, size=256):
    """Counts of words, hashed into slots and normalised: texts with the same words are near."""
    vector = [0.0] * size
    for word in words(text):
        vector[word_slot(word, size)] += 1.0
    norm = math.sqrt(sum(x * x for x in vector)) or 1.0
    return [x / norm for x in vector]


def embed_sparse(text):
    """(indices, values): how often each word occurs, by a number made from the word."""
    counts = {}
    for word in words(text):
        slot = word_slot(word, 1 << 30)
        counts[slot] = counts.get(slot, 0.0) + 1.0
    return sorted(counts), [counts[slot] for slot in sorted(counts)]


DOCUMENTS = [
    ("The heart pumps blood through the body.", {"topic": "medicine", "page": 1}),
    ("Blood cells carry oxygen.", {"topic": "medicine", "page": 2}),
    ("A compiler turns source code into machine code.", {"topic": "software", "page": 1}),
    ("A linker joins object files into a program.", {"topic": "software", "page": 2}),
    ("Bread needs flour, water, salt and yeast.", {"topic": "kitchen", "page": 1}),
    ("Yeast makes the dough rise while it rests.", {"topic": "kitchen", "page": 2}),
    ("The river carries sand to the sea.", {"topic": "nature", "page": 1}),
    ("Wind shapes the dunes of sand.", {"topic": "nature", "page": 2}),
]
