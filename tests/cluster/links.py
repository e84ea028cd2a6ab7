"""The network between the nodes of a test's cluster: every connection from one node to another passes through this process, which
can cut it silently, in one direction or both, or make it slow. Needs no privileges.

A node is told to advertise a port of ours; what connects there is handed on to its own port. Who connected is found by the
socket: /proc/net/tcp names its inode, /proc/PID/fd says which of our nodes has it. What a cut direction carries is neither
read nor refused; it arrives when the cut ends, as after lost packets. The end of a connection does not pass a cut either.
"""
import collections
import os
import select
import socket
import threading
import time

CHUNK = 1 << 16
BACKLOG = 64


def inode_of(port, to_port):
    """Of the socket on this machine that is connected from port to to_port."""
    mine = (":%04X" % port, ":%04X" % to_port)
    with open("/proc/net/tcp") as table:
        for line in table:
            words = line.split()
            if words[1].endswith(mine[0]) and words[2].endswith(mine[1]):
                return words[9]
    return None


def has_socket(pid, inode):
    folder = "/proc/%d/fd" % pid
    try:
        for name in os.listdir(folder):
            try:
                if os.readlink(os.path.join(folder, name)) == "socket:[%s]" % inode:
                    return True
            except OSError:
                pass
    except OSError:
        pass
    return False


class Flow:
    """One direction of a connection."""

    def __init__(self, source, target, sender, receiver):
        self.source, self.target, self.sender, self.receiver = source, target, sender, receiver
        self.waiting = collections.deque()  # (when it may leave, bytes)
        self.ended = False                  # the source will send no more


class Links:
    def __init__(self):
        self.lock = threading.Lock()
        self.nodes, self.listeners, self.flows = {}, {}, []
        self.cuts, self.delays = set(), {}
        self.wake_read, self.wake_write = socket.socketpair()
        self.stopping = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def add(self, node, port=0):
        """Returns the port (0: any) by which others reach this node; node.rpc is its own."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(BACKLOG)
        with self.lock:
            self.nodes[node.name] = node
            self.listeners[listener] = node.name
        self.wake()
        return listener.getsockname()[1]

    # ---- faults ----

    def cut(self, sender, receiver):
        """Nothing passes from sender to receiver, until heal()."""
        with self.lock:
            self.cuts.add((sender, receiver))

    def isolate(self, name):
        for other in self.nodes:
            if other != name:
                self.cut(name, other)
                self.cut(other, name)

    def delay(self, name, seconds):
        """What goes from and to the node takes so long."""
        with self.lock:
            self.delays[name] = seconds

    def heal(self):
        with self.lock:
            self.cuts.clear()
            self.delays.clear()
        self.wake()

    # ---- the thread ----

    def wake(self):
        self.wake_write.send(b"x")

    def close(self):
        self.stopping = True
        self.wake()
        self.thread.join()
        for s in [*self.listeners, *(f.source for f in self.flows), *(f.target for f in self.flows)]:
            s.close()
        self.wake_read.close()
        self.wake_write.close()

    def is_cut(self, flow):
        with self.lock:
            return (flow.sender, flow.receiver) in self.cuts

    def run(self):
        while not self.stopping:
            now = time.monotonic()
            reading = [self.wake_read, *self.listeners]
            writing = []
            timeout = 0.25
            for flow in self.flows:
                if self.is_cut(flow):
                    continue
                if flow.waiting and flow.waiting[0][0] <= now:
                    writing.append(flow.target)
                elif flow.waiting:
                    timeout = min(timeout, flow.waiting[0][0] - now)
                if not flow.ended and len(flow.waiting) < 64:
                    reading.append(flow.source)
            readable, writable, _ = select.select(reading, writing, [], timeout)
            self.step(set(readable), set(writable))

    def step(self, readable, writable):
        if self.wake_read in readable:
            self.wake_read.recv(CHUNK)
        for listener in [s for s in self.listeners if s in readable]:
            self.accept(listener)
        gone = set()
        for flow in self.flows:
            if self.is_cut(flow):
                continue
            try:
                self.move(flow, readable, writable)
            except OSError:
                gone.update((flow.source, flow.target))
            if flow.ended and not flow.waiting:
                gone.update((flow.source, flow.target))
        if gone:
            self.flows = [f for f in self.flows if f.source not in gone and f.target not in gone]
            for s in gone:
                s.close()

    def move(self, flow, readable, writable):
        if flow.source in readable:
            data = flow.source.recv(CHUNK)
            if data:
                pause = max(self.delays.get(flow.sender, 0), self.delays.get(flow.receiver, 0))
                flow.waiting.append((time.monotonic() + pause, data))
            else:
                flow.ended = True
        if flow.target in writable:
            when, data = flow.waiting.popleft()
            sent = flow.target.send(data)
            if sent < len(data):
                flow.waiting.appendleft((when, data[sent:]))

    def accept(self, listener):
        source, address = listener.accept()
        receiver = self.listeners[listener]
        inode = inode_of(address[1], listener.getsockname()[1])
        sender = next((name for name, node in self.nodes.items()
                       if inode and node.runs() and has_socket(node.process.pid, inode)), None)
        target = socket.socket()
        try:
            target.connect(("127.0.0.1", self.nodes[receiver].rpc))
        except OSError:
            source.close()
            target.close()
            return
        for s in (source, target):
            s.setblocking(False)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.flows.append(Flow(source, target, sender, receiver))
        self.flows.append(Flow(target, source, receiver, sender))
