"""Waiting for the processes that a benchmark asks."""
import os
import time

PATIENCE_S = 600


def cpu_s(pids):
    """Processor time that they have taken."""
    ticks = 0
    for pid in pids:
        with open("/proc/%d/stat" % pid) as f:
            fields = f.read().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def settle(pids, quiet_s=0.03):
    """Until nothing is built or merged in the background any more: three seconds in each of which they take less than quiet_s."""
    quiet, deadline = 0, time.monotonic() + PATIENCE_S
    while quiet < 3:
        before = cpu_s(pids)
        time.sleep(1)
        quiet = quiet + 1 if cpu_s(pids) - before < quiet_s else 0
        if time.monotonic() > deadline:
            raise SystemExit("the nodes do not come to rest within %d s" % PATIENCE_S)
