"""Nodes whose disk and wall clock have faults when a test says so: faulty.c, preloaded into them."""
import mmap
import os
import struct
import unittest

from nodes import QUIVERD

LIBRARY = os.path.join(os.path.dirname(os.path.abspath(QUIVERD)), "tests", "cluster", "faulty.so")
needs_faults = unittest.skipUnless(os.path.exists(LIBRARY), LIBRARY + " is not built")


def prepare(node):
    """Before its start."""
    path = node.data + ".faults"
    with open(path, "w+b") as f:
        f.truncate(mmap.PAGESIZE)
        node.orders = mmap.mmap(f.fileno(), mmap.PAGESIZE)
    node.environment = {"LD_PRELOAD": LIBRARY, "QUIVER_FAULTS": path}


def order(node, sync_s=0.0, part="", full=False, wall_s=0.0):
    """From now on each sync of the files that have `part` in their path takes so much longer (-1: until the next order), the disk
    is full or not, the wall clock is so far off."""
    if part:
        node.orders[24:24 + len(part) + 1] = part.encode() + b"\0"
    node.orders[:24] = struct.pack("=qqq", int(sync_s * 1e6), full, int(wall_s * 1e6))
    if not part:
        node.orders[24:25] = b"\0"
