"""Histories of single points, and whether they are linearizable.

Clients write down what they ask and what they are told; a point is a register that holds a version or nothing (GONE).
check() says whether there is one order of all operations, each at some moment between its call and its answer, in which
every read tells what the writes before it left. Points are independent of each other, so each is checked alone.

An operation without an answer may have happened or not, and may still happen: until settle() is called, which a test does
where that cannot be any more (the one server has been started again; all logs have been brought to agree). An operation
that was refused must never be seen.

The search is that of Wing and Gong (1993) in the form of Lowe (2017): events in the order of time, with the set of all
states that the point can be in. A state is its value and which of the calls that are under way have already happened.
"""
import threading
import time

GONE = None
OPEN, DONE, UNKNOWN, REFUSED = "open", "done", "unknown", "refused"


class Operation:
    __slots__ = ("kind", "key", "value", "called", "returned", "lost", "fate", "who")

    def __init__(self, kind, key, value, called, who=""):
        self.kind, self.key, self.value, self.called, self.who = kind, key, value, called, who
        self.returned, self.lost, self.fate = None, None, OPEN

    def __repr__(self):
        until = "%.6f" % self.returned if self.returned is not None else "..."
        return "%.6f - %s  %s %s %s (%s)%s" % (
            self.called, until, self.kind, self.key, "gone" if self.value is GONE else self.value, self.fate,
            " by " + self.who if self.who else "")


class Violation(AssertionError):
    """The operations of a point have no order."""


class TooMuch(AssertionError):
    """Too many operations under way at once for the search."""


class History:
    """Recorded by any number of threads."""

    def __init__(self):
        self.operations = []
        self.lock = threading.Lock()
        self.start = time.monotonic()

    def now(self):
        return time.monotonic() - self.start

    def call(self, kind, key, value=None, who=""):
        """Before a request is sent. kind: "write" (value GONE: a delete) or "read"."""
        with self.lock:
            operation = Operation(kind, key, value, self.now(), who)
            self.operations.append(operation)
        return operation

    def answer(self, operation, value=None):
        """It was done; of a read, the value."""
        with self.lock:
            operation.returned, operation.fate = self.now(), DONE
            if operation.kind == "read":
                operation.value = value

    def refuse(self, operation):
        """The answer says that it did not happen."""
        with self.lock:
            operation.returned, operation.fate = self.now(), REFUSED

    def lose(self, operation):
        """No answer came."""
        with self.lock:
            operation.fate, operation.lost = UNKNOWN, self.now()

    def settle(self, age_s=0):
        """What was lost (for longer than age_s) happened before this moment, or never will."""
        with self.lock:
            now = self.now()
            for operation in self.operations:
                if operation.fate == UNKNOWN and operation.returned is None and operation.lost <= now - age_s:
                    operation.returned = now

    def check(self, initial=GONE):
        """Raises Violation; returns the number of operations that were looked at."""
        keys = {}
        for operation in self.operations:
            keys.setdefault(operation.key, []).append(operation)
        for key in sorted(keys, key=repr):
            check_key(keys[key], initial)
        return len(self.operations)


def events_of(operations):
    """(time, calls before answers of the same moment, number) of what matters, and which may be left out."""
    seen = {o.value for o in operations if o.kind == "read" and o.fate == DONE}
    events, kept, optional = [], [], set()
    for o in operations:
        if o.fate == REFUSED or (o.kind == "read" and o.fate != DONE):
            continue  # never happened; told nothing
        if o.fate in (UNKNOWN, OPEN):
            if o.value is not GONE and o.value not in seen:
                continue  # nobody saw it: as if it never happened
            optional.add(len(kept))
        number = len(kept)
        kept.append(o)
        events.append((o.called, 0, number))
        if o.returned is not None:
            events.append((o.returned, 1, number))
    return sorted(events), kept, optional


def check_key(operations, initial=GONE, limit=200000):
    events, kept, optional = events_of(operations)
    under_way = set()
    states = {(initial, frozenset())}
    for moment, is_answer, number in events:
        if not is_answer:
            under_way.add(number)
            continue
        states = advance(states, number, under_way, kept, optional, limit)
        under_way.discard(number)
        if not states:
            near = [o for o in operations if abs(o.called - moment) < 2 or o is kept[number]]
            raise Violation("point %r has no order of its operations; the first that cannot be placed is\n  %r\n"
                            "of those around it:\n  %s" % (kept[number].key, kept[number],
                                                           "\n  ".join(map(repr, near[-40:]))))


def advance(states, number, under_way, kept, optional, limit):
    """The states in which operation `number` has happened (or was left out, where it may be)."""
    found, seen, todo = set(), set(states), list(states)
    while todo:
        value, happened = state = todo.pop()
        if number in happened:
            found.add((value, happened - {number}))
            continue
        if number in optional:
            found.add(state)
        for other in under_way - happened:
            o = kept[other]
            if o.kind == "read" and o.value != value:
                continue
            after = (value if o.kind == "read" else o.value, happened | {other})
            if after not in seen:
                seen.add(after)
                todo.append(after)
        if len(seen) > limit:
            raise TooMuch("point %r: more than %d states" % (kept[number].key, limit))
    return found
