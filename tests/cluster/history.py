"""Histories of single points (or of other small things), and whether they are linearizable.

Clients write down what they ask and what they are told; a point is a register that holds a version or nothing (GONE).
check() says whether there is one order of all operations, each at some moment between its call and its answer, in which
every read tells what the writes before it left. Points are independent of each other, so each is checked alone. What is
not a register brings its own rules (a class like Register; test_map.py has one for collections and aliases).

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
IMPOSSIBLE = object()
LIMIT = 200000  # states of one key at a moment


class Operation:
    """told: what the answer said, where there is more to say than that it was done; None: no answer came."""
    __slots__ = ("kind", "key", "value", "told", "called", "returned", "lost", "fate", "who")

    def __init__(self, kind, key, value, called, who=""):
        self.kind, self.key, self.value, self.called, self.who = kind, key, value, called, who
        self.told, self.returned, self.lost, self.fate = None, None, None, OPEN

    def __repr__(self):
        until = "%.6f" % self.returned if self.returned is not None else "..."
        return "%.6f - %s  %s %s %s (%s%s)%s" % (
            self.called, until, self.kind, self.key, "gone" if self.value is GONE else self.value, self.fate,
            "" if self.told is None else ": %r" % self.told, " by " + self.who if self.who else "")


class Register:
    """The rules of a point. Made anew for each key, of its operations."""
    initial = GONE

    def __init__(self, operations):
        self.seen = {o.value for o in operations if o.kind == "read" and o.fate == DONE}

    def without_trace(self, o):
        """An operation without an answer that may be left out at once: nobody saw it."""
        return o.value is not GONE and o.value not in self.seen

    @staticmethod
    def step(value, o):
        """The value after the operation, or IMPOSSIBLE when it was told something else."""
        if o.kind == "read":
            return value if o.value == value else IMPOSSIBLE
        return o.value


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

    def call(self, kind, key, value=None, who="", since=None):
        """Before a request is sent. kind: "write" (value GONE: a delete) or "read"; or what the rules know. since: it may
        have happened since then (what may be told from an older state)."""
        with self.lock:
            operation = Operation(kind, key, value, self.now() if since is None else since, who)
            self.operations.append(operation)
        return operation

    def answer(self, operation, value=None):
        """It was done; of a read, the value, of others what was told."""
        with self.lock:
            operation.returned, operation.fate = self.now(), DONE
            if operation.kind == "read":
                operation.value = value
            else:
                operation.told = value

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

    def check(self, rules=Register):
        """Raises Violation; returns the number of operations that were looked at."""
        keys = {}
        for operation in self.operations:
            keys.setdefault(operation.key, []).append(operation)
        for key in sorted(keys, key=repr):
            check_key(keys[key], rules)
        return len(self.operations)


def without_weaker_reads(operations):
    """Reads say nothing more when another one was told the same within the time of theirs."""
    within, weaker = {}, set()
    reads = [o for o in operations if o.kind == "read" and o.fate == DONE]
    for o in sorted(reads, key=lambda o: (-o.called, o.returned)):
        if within.get(o.value, o.returned + 1) <= o.returned:
            weaker.add(o)
        else:
            within[o.value] = o.returned
    return [o for o in operations if o not in weaker]


def events_of(operations, rules):
    """(time, calls before answers of the same moment, number) of what matters, and which may be left out."""
    events, kept, optional = [], [], set()
    for o in without_weaker_reads(operations):
        if o.fate == REFUSED or (o.kind == "read" and o.fate != DONE):
            continue  # never happened; told nothing
        if o.fate in (UNKNOWN, OPEN):
            if rules.without_trace(o):
                continue  # as if it never happened
            optional.add(len(kept))
        number = len(kept)
        kept.append(o)
        events.append((o.called, 0, number))
        if o.returned is not None:
            events.append((o.returned, 1, number))
    return sorted(events), kept, optional


def check_key(operations, rules=Register):
    rules = rules(operations)
    events, kept, optional = events_of(operations, rules)
    under_way = set()
    states = {(rules.initial, frozenset())}
    for moment, is_answer, number in events:
        if not is_answer:
            under_way.add(number)
            continue
        states = advance(states, number, under_way, kept, optional, rules)
        under_way.discard(number)
        if not states:
            near = [o for o in operations if abs(o.called - moment) < 2 or o is kept[number]]
            raise Violation("point %r has no order of its operations; the first that cannot be placed is\n  %r\n"
                            "of those around it:\n  %s" % (kept[number].key, kept[number],
                                                           "\n  ".join(map(repr, near[-40:]))))


def advance(states, number, under_way, kept, optional, rules):
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
            next_value = rules.step(value, kept[other])
            after = (next_value, happened | {other})
            if next_value is not IMPOSSIBLE and after not in seen:
                seen.add(after)
                todo.append(after)
        if len(seen) > LIMIT:
            raise TooMuch("point %r: more than %d states" % (kept[number].key, LIMIT))
    return found
