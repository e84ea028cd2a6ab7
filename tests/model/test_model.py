"""The model of the replication: its small configuration holds, and the bugs seeded into it do not (tests/model/replication.pml)."""
import os
import re
import subprocess
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def model(*arguments):
    run = subprocess.run([os.path.join(ROOT, "scripts", "model")] + list(arguments), text=True, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT)
    print(run.stdout)
    return run


class ModelTest(unittest.TestCase):
    def test_every_state_of_the_small_configuration(self):
        run = model()
        self.assertEqual(run.returncode, 0)
        self.assertGreaterEqual(int(re.search(r"(\d+) states", run.stdout)[1]), 1000000)

    def test_seeded_bugs_break_it(self):
        run = model("--mutants")
        self.assertEqual(run.returncode, 0)
        self.assertGreaterEqual(len(re.findall(r"^mutant +\d+ fails", run.stdout, re.M)), 20)

    def test_what_matters_is_reached(self):
        run = model("--witnesses")
        self.assertEqual(run.returncode, 0)
        self.assertEqual(len(re.findall(r"^witness \d found", run.stdout, re.M)), 4)


if __name__ == "__main__":
    unittest.main()
