"""The program `quiver` against a real quiverd, for the tests of the command line."""
import ctypes
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "api"))
from harness import ROOT, Server  # noqa: E402

QUIVER = os.environ.get("QUIVER", os.path.join(ROOT, "build", "quiver"))
DONE, FAILED, USAGE, UNREACHABLE, MISSING, STOPPED = 0, 1, 2, 3, 4, 130


def vectors(n, dim, shift=0):
    """Different in every row, and not all in one direction."""
    return [[float((i * 7 + j * 3 + shift) % 11) + i / 64 for j in range(dim)] for i in range(n)]


def fvecs(rows):
    return b"".join(struct.pack("<i%df" % len(r), len(r), *r) for r in rows)


def ivecs(rows):
    return b"".join(struct.pack("<i%di" % len(r), len(r), *r) for r in rows)


def bvecs(rows):
    return b"".join(struct.pack("<i%dB" % len(r), len(r), *r) for r in rows)


def write_hdf5(path, distance, **sets):
    """A file in the layout of ann-benchmarks, through the HDF5 library itself: name=(type, rows), type "f" or "i"."""
    folder = "/usr/lib/x86_64-linux-gnu"
    base = ctypes.CDLL(os.path.join(folder, "libhdf5_serial.so.103"), mode=ctypes.RTLD_GLOBAL)
    easy = ctypes.CDLL(os.path.join(folder, "libhdf5_serial_hl.so.100"))
    base.H5Fcreate.restype = ctypes.c_int64
    base.H5Fcreate.argtypes = [ctypes.c_char_p, ctypes.c_uint, ctypes.c_int64, ctypes.c_int64]
    base.H5Fclose.argtypes = [ctypes.c_int64]
    base.H5open()
    file = base.H5Fcreate(path.encode(), 2, 0, 0)  # 2: replace
    for name, (kind, rows) in sets.items():
        shape = (ctypes.c_uint64 * 2)(len(rows), len(rows[0]))
        flat = [v for row in rows for v in row]
        if kind == "f":
            make, data = easy.H5LTmake_dataset_float, (ctypes.c_float * len(flat))(*flat)
        else:
            make, data = easy.H5LTmake_dataset_int, (ctypes.c_int * len(flat))(*flat)
        make.argtypes = [ctypes.c_int64, ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
        if make(file, name.encode(), 2, shape, data) < 0:
            raise RuntimeError("HDF5 does not write " + name)
    attribute = easy.H5LTset_attribute_string
    attribute.argtypes = [ctypes.c_int64, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p]
    attribute(file, b"/", b"distance", distance.encode())
    base.H5Fclose(file)


class CliTest(unittest.TestCase):
    """One server for all tests of a class, one folder for the files of each test."""
    flags = ()

    @classmethod
    def setUpClass(cls):
        cls.server = Server(*cls.flags)

    @classmethod
    def tearDownClass(cls):
        cls.server.close()

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="quiver-cli-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.name = self.id().split(".")[-1]

    def environment(self):
        keep = {k: v for k, v in os.environ.items() if not k.startswith("QUIVER_")}
        return dict(keep, QUIVER_URL="http://127.0.0.1:%d" % self.server.port,
                    XDG_STATE_HOME=os.path.join(self.folder, "state"))

    def start(self, *arguments, **more):
        return subprocess.Popen([QUIVER] + [str(a) for a in arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, env=dict(self.environment(), **more))

    def run_quiver(self, *arguments, stdin="", **more):
        process = self.start(*arguments, **more)
        out, err = process.communicate(stdin.encode(), timeout=120)
        return process.returncode, out.decode(), err.decode()

    def good(self, *arguments, **more):
        """Standard output of a command that must succeed."""
        code, out, err = self.run_quiver(*arguments, **more)
        self.assertEqual(code, DONE, "" if code == DONE else out + err + self.server.state())
        return out

    def good_json(self, *arguments):
        return json.loads(self.good(*arguments, "--json"))

    def refused(self, expected, words, *arguments, **more):
        """A command that must end with this code and say these words."""
        code, out, err = self.run_quiver(*arguments, **more)
        self.assertEqual(code, expected, out + err)
        self.assertIn(words, err)
        self.assertNotIn("Traceback", err)
        return out, err

    def file(self, name, content):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(content if isinstance(content, bytes) else content.encode())
        return path

    def points(self, collection, ids, **more):
        body = {"ids": ids, "with_vector": True, "with_payload": True}
        body.update(more)
        return self.server.call("POST", "/collections/%s/points" % collection, body).result

    def count(self, collection):
        return self.server.call("POST", "/collections/%s/points/count" % collection, {}).result["count"]

    def has_state(self):
        return any(files for _, _, files in os.walk(os.path.join(self.folder, "state")))
