"""The checker of histories: what is not linearizable must be found, and what is must pass. Compared with all permutations."""
import itertools
import os
import random
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cluster"))
from test_map import Names  # noqa: E402
from history import DONE, GONE, REFUSED, UNKNOWN, History, Operation, TooMuch, Violation, check_key  # noqa: E402


def history(*rows):
    """(kind, value, called, returned or None, fate)"""
    operations = []
    for kind, value, called, returned, *fate in rows:
        o = Operation(kind, 7, value, called)
        o.returned, o.fate = returned, fate[0] if fate else DONE
        operations.append(o)
    return operations


def possible(operations, initial=GONE):
    """By trying every subset of what may be left out and every order."""
    told = [o for o in operations if o.fate == DONE]
    maybe = [o for o in operations if o.fate == UNKNOWN and o.kind == "write"]
    for n in range(len(maybe) + 1):
        for chosen in itertools.combinations(maybe, n):
            for order in itertools.permutations(told + list(chosen)):
                if any(b.returned is not None and b.returned < a.called
                       for i, a in enumerate(order) for b in order[i + 1:]):
                    continue
                value = initial
                for o in order:
                    if o.kind == "write":
                        value = o.value
                    elif o.value != value:
                        break
                else:
                    return True
    return False


class MustFail(unittest.TestCase):
    def fails(self, *rows):
        operations = history(*rows)
        self.assertFalse(possible(operations))
        with self.assertRaises(Violation):
            check_key(operations)

    def test_an_acknowledged_write_is_lost(self):
        self.fails(("write", 1, 0, 1), ("read", GONE, 2, 3))

    def test_a_deleted_point_is_back(self):
        self.fails(("write", 1, 0, 1), ("write", GONE, 2, 3), ("read", 1, 4, 5))

    def test_a_stale_read(self):
        self.fails(("write", 1, 0, 1), ("write", 2, 2, 3), ("read", 1, 4, 5))

    def test_reads_that_go_back(self):
        self.fails(("write", 1, 0, 1), ("write", 2, 2, 10), ("read", 2, 3, 4), ("read", 1, 5, 6))

    def test_a_refused_write_is_seen(self):
        self.fails(("write", 1, 0, 1, REFUSED), ("read", 1, 2, 3))

    def test_a_value_from_nowhere(self):
        self.fails(("write", 1, 0, 1), ("read", 5, 2, 3))

    def test_a_lost_write_that_was_seen_and_is_gone(self):
        self.fails(("write", 1, 0, None, UNKNOWN), ("read", 1, 2, 3), ("read", GONE, 4, 5))

    def test_a_lost_write_after_it_was_settled(self):
        self.fails(("write", 1, 0, 2, UNKNOWN), ("read", GONE, 3, 4), ("read", 1, 5, 6))

    def test_a_write_is_seen_before_it_was_asked_for(self):
        self.fails(("read", 1, 0, 1), ("write", 1, 2, 3))


class NamesOfTheMap(unittest.TestCase):
    """The rules of collections and an alias that tests/cluster/test_map.py brings: (kind, value, told, called, returned)."""

    def check(self, *rows):
        operations = []
        for kind, value, told, called, returned in rows:
            o = Operation(kind, 0, value, called)
            o.told, o.returned, o.fate = told, returned, DONE if returned is not None else UNKNOWN
            operations.append(o)
        check_key(operations, Names)

    def fails(self, *rows):
        with self.assertRaises(Violation):
            self.check(*rows)

    def test_a_name_is_given_twice(self):
        self.fails(("create", "x", True, 0, 1), ("create", "x", True, 2, 3))
        self.fails(("create", "x", True, 0, 3), ("create", "x", True, 1, 2))
        self.check(("create", "x", True, 0, 3), ("create", "x", False, 1, 2))

    def test_a_name_is_taken_by_nobody(self):
        self.fails(("create", "x", False, 0, 1))
        self.check(("create", "x", None, 0, None), ("create", "x", False, 1, 2))

    def test_a_change_without_an_answer_is_carried_out_twice(self):
        self.check(("create", "x", None, 0, None), ("delete", "x", True, 1, 2))
        self.fails(("create", "x", None, 0, None), ("delete", "x", True, 1, 2), ("delete", "x", True, 3, 4))

    def test_an_alias_of_nothing(self):
        self.fails(("point", "x", True, 0, 1))
        self.fails(("create", "x", True, 0, 1), ("point", "x", True, 2, 3), ("delete", "x", True, 4, 5),
                   ("read", (1, "x"), None, 6, 7))
        self.check(("create", "x", True, 0, 1), ("point", "x", True, 2, 3), ("delete", "x", True, 4, 5),
                   ("read", (1, None), None, 6, 7))

    def test_half_of_a_change_of_aliases(self):
        self.fails(("create", "x", True, 0, 1), ("point", "x", True, 2, 3), ("point", "y", False, 4, 5),
                   ("read", (1, None), None, 6, 7))

    def test_a_read_older_than_what_its_node_has_acknowledged(self):
        self.fails(("create", "x", True, 0, 1), ("create", "y", True, 2, 3), ("read", (0, frozenset()), None, 2, 5))
        self.check(("create", "x", True, 0, 1), ("create", "y", True, 2, 3), ("read", (0, frozenset("x")), None, 2, 5))


class MustPass(unittest.TestCase):
    def passes(self, *rows):
        operations = history(*rows)
        self.assertTrue(possible(operations))
        check_key(operations)

    def test_in_order(self):
        self.passes(("read", GONE, 0, 1), ("write", 1, 2, 3), ("read", 1, 4, 5), ("write", GONE, 6, 7), ("read", GONE, 8, 9))

    def test_at_the_same_time(self):
        self.passes(("write", 1, 0, 10), ("write", 2, 0, 10), ("read", 2, 1, 2), ("read", 1, 3, 4))

    def test_a_lost_write_may_happen_late_or_never(self):
        self.passes(("write", 1, 0, None, UNKNOWN), ("read", GONE, 2, 3), ("read", 1, 4, 5))
        self.passes(("write", 1, 0, None, UNKNOWN), ("read", GONE, 2, 3))
        self.passes(("write", 1, 0, 1), ("write", GONE, 2, None, UNKNOWN), ("read", 1, 3, 4), ("read", GONE, 5, 6))


class Random(unittest.TestCase):
    def test_as_all_permutations_say(self):
        rng = random.Random(5)
        verdicts = [0, 0]
        for _ in range(3000):
            rows = []
            for i in range(rng.randint(1, 6)):
                called = rng.randint(0, 8)
                kind = rng.choice(("write", "read", "read"))
                fate = rng.choice((DONE, DONE, DONE, UNKNOWN)) if kind == "write" else DONE
                returned = called + rng.randint(1, 6)
                if fate == UNKNOWN and rng.random() < 0.5:
                    returned = None
                value = rng.choice((GONE, i + 1)) if kind == "write" else rng.choice((GONE, 1, 2, 3))
                rows.append((kind, value, called * 10 + i, returned and returned * 10 + i, fate))
            operations = history(*rows)
            expected = possible(operations)
            verdicts[expected] += 1
            if expected:
                check_key(operations)
            else:
                with self.assertRaises(Violation):
                    check_key(operations)
        self.assertGreater(min(verdicts), 300)

    def test_a_long_history_and_one_wrong_read_in_it(self):
        rng = random.Random(6)
        events, value, operations, moment = [], GONE, [], 0.0
        for i in range(4000):  # each happens at its moment, and is under way around it
            moment += 1
            kind = rng.choice(("write", "read"))
            if kind == "write":
                value = GONE if rng.random() < 0.2 else i
            events.append((kind, value, moment - rng.random() * 3, moment + rng.random() * 3))
        operations = history(*events)
        check_key(operations)
        reads = [o for o in operations if o.kind == "read" and o.value is not GONE]
        late = reads[len(reads) // 2:]
        late[0].value = reads[0].value
        with self.assertRaises(Violation):
            check_key(operations)

    def test_many_reads_of_what_may_be_old(self):
        """A node that is cut off reads its old map, quickly."""
        rows = [("write", 1, 0, 1), ("write", 2, 2, 3)] + [("read", 1, 0, 4 + i) for i in range(500)]
        check_key(history(*rows))
        with self.assertRaises(Violation):
            check_key(history(*rows, ("read", 1, 3.5, 600)))

    def test_threads_record(self):
        h = History()
        o = h.call("write", 1, 5)
        h.answer(o)
        lost = h.call("write", 1, 6)
        h.lose(lost)
        h.settle()
        o = h.call("read", 1)
        h.answer(o, 6)
        self.assertEqual(h.check(), 3)
        o = h.call("read", 1)
        h.answer(o, 5)
        with self.assertRaises(Violation):
            h.check()

    def test_too_much_is_said(self):
        rows = [("write", i, 0, None, UNKNOWN) for i in range(30)] + [("read", i, 1, 100) for i in range(30)]
        with self.assertRaises(TooMuch):
            check_key(history(*rows, ("read", 77, 200, 300)))


if __name__ == "__main__":
    unittest.main()
