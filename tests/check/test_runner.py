"""What scripts/test counts: failures, crashes and silence must never look like success."""
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True
spec = importlib.util.spec_from_file_location(
    "run_tests", os.path.join(ROOT, "scripts", "run_tests.py"))
run_tests = importlib.util.module_from_spec(spec)
spec.loader.exec_module(run_tests)


class Programs(unittest.TestCase):
    def counts(self, result, stdout):
        count = run_tests.count_program(result, stdout)
        return count.passed, count.failed, count.skipped

    def test_tap_lines_are_counted(self):
        tap = "1..3\nok 1 - a\nnot ok 2 - b\n# ../x.c:8: error\nok 3 # SKIP c\n# not ok - group\n"
        self.assertEqual(self.counts("FAIL", tap), (1, 1, 1))

    def test_two_groups_in_one_program(self):
        self.assertEqual(self.counts("OK", "1..1\nok 1 - a\n1..2\nok 1 - b\nok 2 - c\n"), (3, 0, 0))

    def test_death_after_success_is_a_failure(self):
        self.assertEqual(self.counts("FAIL", "1..2\nok 1 - a\n"), (1, 1, 0))
        self.assertEqual(self.counts("TIMEOUT", ""), (0, 1, 0))
        self.assertEqual(self.counts("ERROR", "ok 1 - a\nok 2 - b\n"), (2, 1, 0))

    def test_a_program_without_tap_is_one_test(self):
        self.assertEqual(self.counts("OK", "recall 0.99\n"), (1, 0, 0))
        self.assertEqual(self.counts("FAIL", "recall 0.2\n"), (0, 1, 0))

    def test_a_skipped_program_has_not_passed(self):
        self.assertEqual(self.counts("SKIP", ""), (0, 0, 1))


class Python(unittest.TestCase):
    def run_folder(self, text, word=""):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "test_x.py"), "w") as file:
                file.write("import unittest\n" + text)
            report = os.path.join(folder, "report")
            run = subprocess.run(
                ["/usr/bin/python3", os.path.join(ROOT, "tests", "run_python.py"), folder, report,
                 word], stdout=subprocess.DEVNULL)
            with open(report) as file:
                counts = json.load(file)
        self.assertEqual(run.returncode, 1 if counts["failed"] else 0)
        return counts["passed"], counts["failed"], counts["skipped"]

    def test_each_outcome(self):
        self.assertEqual(self.run_folder("""
class T(unittest.TestCase):
    def test_pass(self):
        pass
    def test_fail(self):
        self.fail()
    def test_error(self):
        raise OSError
    def test_subtests(self):
        for i in range(3):
            with self.subTest(i):
                self.assertEqual(i, 5)
    @unittest.skip("why")
    def test_skip(self):
        pass
    @unittest.expectedFailure
    def test_unexpected_success(self):
        pass
"""), (1, 4, 1))

    def test_a_module_that_cannot_be_loaded_fails(self):
        self.assertEqual(self.run_folder("import no_such_module\n", "word"), (0, 1, 0))

    def test_a_class_that_cannot_be_set_up_fails(self):
        self.assertEqual(self.run_folder("""
class T(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        raise OSError
    def test_never_runs(self):
        pass
"""), (0, 1, 0))

    def test_selection_by_word(self):
        self.assertEqual(self.run_folder("""
class T(unittest.TestCase):
    def test_wanted(self):
        pass
    def test_other(self):
        self.fail()
""", "wanted"), (1, 0, 0))


class OwnProgram(unittest.TestCase):
    def counts(self, text):
        with tempfile.TemporaryDirectory() as folder:
            program = os.path.join(folder, "run")
            with open(program, "w") as file:
                file.write("#!/bin/sh\n" + text)
            os.chmod(program, 0o755)
            count = run_tests.run_own(folder, folder, "")
        return count.passed, count.failed, count.skipped

    def test_its_report_counts(self):
        self.assertEqual(self.counts("""echo '{"passed": 7, "failed": 2, "skipped": 1}' >"$2"; exit 1\n"""), (7, 2, 1))

    def test_silence_is_a_failure(self):
        self.assertEqual(self.counts("echo 9 passed, 0 failed\n"), (0, 1, 0))


if __name__ == "__main__":
    unittest.main()
