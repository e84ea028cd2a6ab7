#!/usr/bin/python3
"""run_python.py FOLDER REPORT [WORD]: runs FOLDER/test_*.py, writes the counts as JSON to REPORT. WORD may be several: a|b.

Called by scripts/run_tests.py. A test counts once, however many of its subtests fail; a module or a
class that cannot be set up counts as one failure.
"""
import json
import sys
import time
import unittest


class Result(unittest.TextTestResult):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.failed_ids = set()
        self.skipped_ids = set()
        self.started_ids = set()
        self.started_at = 0.0

    def startTest(self, test):
        super().startTest(test)
        self.started_ids.add(test.id())
        self.started_at = time.monotonic()

    def stopTest(self, test):
        seconds = time.monotonic() - self.started_at
        if seconds >= 1:
            self.stream.writeln("    %.1f s" % seconds)
        super().stopTest(test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.failed_ids.add(test.id())

    def addError(self, test, err):
        super().addError(test, err)
        self.failed_ids.add(test.id())

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.failed_ids.add(test.id())

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.failed_ids.add(test.id())

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.skipped_ids.add(test.id())


def select(suite, word):
    chosen = unittest.TestSuite()
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            chosen.addTest(select(test, word))
        elif any(w in test.id() for w in word.split("|")) or "_FailedTest" in test.id():
            chosen.addTest(test)
    return chosen


def main():
    folder, report = sys.argv[1:3]
    word = sys.argv[3] if len(sys.argv) > 3 else ""
    suite = select(unittest.TestLoader().discover(folder, "test_*.py"), word)
    runner = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=Result)
    result = runner.run(suite)
    passed = result.started_ids - result.failed_ids - result.skipped_ids
    with open(report, "w") as file:
        json.dump({"passed": len(passed), "failed": len(result.failed_ids),
                   "skipped": len(result.skipped_ids - result.failed_ids)}, file)
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
