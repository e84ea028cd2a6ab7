"""Each rule of scripts/check must pass a good tree and fail on a bad one, at the right line."""
import os
import re
import subprocess
import tempfile
import unittest

CHECK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts", "check")
ROOT = os.path.dirname(os.path.dirname(CHECK))

MESON = """may_use = [
  ['base', []],
  ['model', ['base']],
  ['rpc', ['base', 'model']],
  ['store', ['base', 'model']],
  ['http', ['base', 'model']],
  ['index', ['base', 'model']],
  ['shard', ['base', 'model', 'rpc', 'store', 'index']],
]
sources = files('base/good.c')
"""
GOOD = """/* A good file. */
#include "base/good.h"

int good(int a, int b)
{
	return a + b; /* not strcpy(a, b), which "fsync(1)" would be */
}
"""


class Check(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.root = self.directory.name
        with open(os.path.join(ROOT, ".clang-format")) as file:
            self.write(".clang-format", file.read())
        self.write("meson.build", MESON)
        self.write("base/good.c", GOOD)
        self.write("base/good.h", "/* Declares good(). */\n#pragma once\n\nint good(int a, int b);\n")

    def tearDown(self):
        self.directory.cleanup()

    def write(self, path, text, executable=False):
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w") as file:
            file.write(text)
        if executable:
            os.chmod(full, 0o755)

    def check(self, *rules):
        run = subprocess.run([CHECK, "--root", self.root, *rules], text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        problems = re.findall(r"^(\S+:\d+): (\S+): (.*)$", run.stdout, re.M)
        self.assertEqual(run.returncode, 1 if problems else 0, run.stdout)
        return [(where, rule) for where, rule, _ in problems]

    def assert_found(self, rule, *where):
        self.assertEqual(self.check(rule), [(place, rule) for place in where])

    def assert_clean(self, rule):
        self.assertEqual(self.check(rule), [])

    def test_good_tree_passes_every_rule(self):
        self.assertEqual(self.check(), [])

    def test_format(self):
        self.write("base/bad.c", "int bad(void)\n{\n  return 0;\n}\n")
        self.assert_found("format", "base/bad.c:2")

    def test_fix_repairs_the_format(self):
        self.write("base/bad.c", "int bad(void) {\n  return 0;\n}\n")
        subprocess.run([CHECK, "--root", self.root, "--fix", "format"], check=True,
                       stdout=subprocess.DEVNULL)
        self.assert_clean("format")

    def test_layers_edge_upwards(self):
        self.write("model/bad.c", '#include "base/good.h"\n#include "store/store.h"\n')
        self.assert_found("layers", "model/bad.c:2")

    def test_layers_edge_between_siblings(self):
        self.write("rpc/bad.c", '#include "store/store.h"\n')
        self.write("base/bad.c", '#include "model/id.h"\n')
        self.assert_found("layers", "base/bad.c:1", "rpc/bad.c:1")

    def test_layers_hidden_by_a_comment_or_a_condition(self):
        self.write("rpc/bad.c", '/* x */\n#if 0\n#  include "store/store.h"\n#endif\n')
        self.write("rpc/good.c", '/*\n#include "store/store.h"\n*/\n')
        self.assert_found("layers", "rpc/bad.c:3")

    def test_layers_private_header(self):
        self.write("shard/good.c", '#include "store/store.h"\n#include "index/vindex.h"\n')
        self.write("store/good.c", '#include "store/wal.h"\n')
        self.assert_clean("layers")
        self.write("shard/bad.c", '#include "store/wal.h"\n')
        self.assert_found("layers", "shard/bad.c:1")

    def test_layers_full_path(self):
        self.write("base/bad.c", '#include "good.h"\n')
        self.assert_found("layers", "base/bad.c:1")

    def test_layers_own_header_in_angle_brackets(self):
        self.write("model/bad.c", "#include <base/good.h>\n")
        self.assert_found("layers", "model/bad.c:1")

    def test_layers_leave_tests_alone(self):
        self.write("tests/unit/rpc/test_x.c", '#include "store/wal.h"\n')
        self.assert_clean("layers")

    def test_one_file_wrong_folder(self):
        self.write("store/bad.c", "#include <nng/nng.h>\n#include <faiss/c_api/Index_c.h>\n")
        self.assert_found("one-file", "store/bad.c:1", "store/bad.c:2")

    def test_one_file_second_user(self):
        self.write("http/a.c", "#include <microhttpd.h>\n")
        self.assert_clean("one-file")
        self.write("http/b.c", "#include <microhttpd.h>\n")
        self.assert_found("one-file", "http/b.c:1")

    def test_one_file_raft(self):
        self.write("cluster/a.c", "#include <raft.h>\n")
        self.assert_clean("one-file")
        self.write("coordinator/b.c", "#include <raft.h>\n")
        self.assert_found("one-file", "coordinator/b.c:1")

    def test_one_file_faiss_in_many_files_of_index(self):
        self.write("index/a.c", "#include <faiss/c_api/Index_c.h>\n")
        self.write("index/b.cc", "#include <faiss/IndexHNSW.h>\n")
        self.assert_clean("one-file")

    def test_one_file_sync_and_clock(self):
        body = "void f(int fd, struct timespec *t)\n{\n\t%s;\n}\n"
        self.write("store/io_real.c", body % "fdatasync(fd)")
        self.write("base/clock_real.c", body % "clock_gettime(0, t)")
        self.assert_clean("one-file")
        self.write("store/wal.c", body % "fdatasync(fd)")
        self.write("shard/x.c", body % "return clock_gettime(0, t)")
        self.write("shard/y.c", body % "io->fsync(fd)")
        self.assert_found("one-file", "shard/x.c:3", "store/wal.c:3")

    def test_banned(self):
        self.write("base/bad.c", "void f(char *a)\n{\n\tstrcpy(a, \"\");\n\treturn atoi(a);\n}\n")
        self.assert_found("banned", "base/bad.c:3", "base/bad.c:4")

    def test_banned_words_in_text_are_fine(self):
        self.write("base/fine.c", 'const char *s = "strcpy(a, b)"; /* gets(x) */\n// strtok(x)\n')
        self.assert_clean("banned")

    def test_size_of_function(self):
        self.write("base/fine.c", "void f(void)\n{\n%s}\n" % ("\t;\n" * 70))
        self.assert_clean("size")
        self.write("base/bad.c", "void f(void)\n{\n%s}\n" % ("\t;\n" * 71))
        self.assert_found("size", "base/bad.c:2")

    def test_size_of_file(self):
        self.write("base/fine.h", "\n" * 800)
        self.assert_clean("size")
        self.write("base/bad.h", "\n" * 801)
        self.assert_found("size", "base/bad.h:801")

    def test_size_of_parameter_list(self):
        self.write("base/fine.h", "int f(int a, int b, int c, int (*d)(int, int), int e, int g);\n")
        self.assert_clean("size")
        self.write("base/bad.h", "int f(int a, int b, int c,\n      int d, int e, int f, int g);\n")
        self.write("base/bad.c", "static int f(int a, int b, int c, int d, int e, int f, int g)\n"
                                 "{\n}\n")
        self.assert_found("size", "base/bad.c:1", "base/bad.h:1")

    def test_listed(self):
        self.write("base/meson.build", "sources = files(\n  'named.c',\n)\n")
        self.write("base/named.c", "")
        self.write("tests/unit/base/meson.build", "unit_tests = {\n  'named': [],\n}\n")
        self.write("tests/unit/base/test_named.c", "")
        self.assert_clean("listed")
        self.write("base/med.c", "")
        self.write("base/forgotten.c", "")
        self.write("tests/unit/base/test_forgotten.c", "")
        self.assert_found("listed", "base/forgotten.c:1", "base/med.c:1",
                          "tests/unit/base/test_forgotten.c:1")

    def test_cppcheck(self):
        self.write("base/bad.c", "int f(void);\nint f(void)\n{\n\tint a[2] = {0, 0};\n"
                                 "\treturn a[2];\n}\n")
        self.assert_found("cppcheck", "base/bad.c:5")

    def test_scripts(self):
        self.write("scripts/good", "#!/bin/bash\nset -e\ncd /tmp\n", executable=True)
        self.assert_clean("scripts")
        self.write("scripts/bad", "#!/bin/bash\nrm $1\n", executable=True)
        self.write("scripts/bad.py", "def f(:\n    pass\n")
        self.assert_found("scripts", "scripts/bad.py:1", "scripts/bad:2")

    @unittest.skipUnless(os.path.exists("/usr/bin/clang-tidy"), "clang-tidy is not installed")
    def test_tidy(self):
        self.write("base/bad.c", "int f(int a);\nint f(int a)\n{\n\tint *p = 0;\n"
                                 "\treturn a ? *p : 0;\n}\n")
        self.write("build/compile_commands.json",
                   '[{"directory": "%s/build", "file": "../base/bad.c",'
                   ' "command": "cc -c ../base/bad.c"}]' % self.root)
        run = subprocess.run([CHECK, "--root", self.root, "--tidy", "tidy"], text=True,
                             stdout=subprocess.PIPE)
        self.assertEqual(run.returncode, 1, run.stdout)
        self.assertIn("base/bad.c:5: tidy:", run.stdout)


if __name__ == "__main__":
    unittest.main()
