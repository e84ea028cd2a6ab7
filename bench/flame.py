#!/usr/bin/python3
"""A flame graph as SVG from samples of perf.

    perf record -g -e cpu-clock -F 1999 -p PID -- sleep 5
    perf script -F comm,ip,sym | bench/flame.py --comm MHD --title "..." > docs/flame-search.svg
    perf script -F comm,ip,sym | bench/flame.py --comm MHD --top 40        # functions by their own time, as text

The width of a box is the share of the samples in which the function was on the stack; the lowest row is the thread. Boxes narrower
than --least percent are left out.
"""
import argparse
import collections
import html
import re
import sys

ROW, WIDTH, PAD, TEXT = 17, 1200, 10, 6.6
KERNEL = re.compile(r"^(do_|__x64|__sys|tcp_|__tcp|ip_|__ip|sock_|__sock|entry_|ep_|skb_|net_|__net|inet|__do_|x64_|sys_|asm_|\[k)")


def stacks(lines, comm):
    """(names from the thread down to the leaf) of each sample."""
    frames, name = None, None
    for line in lines:
        line = line.rstrip("\n")
        if not line.strip():
            if frames is not None and name and (not comm or comm in name):
                yield (name,) + tuple(reversed(frames))
            frames = None
        elif not line[0].isspace():
            frames, name = [], line.strip()
        elif frames is not None:
            parts = line.split(None, 1)
            symbol = parts[1] if len(parts) > 1 else "[unknown]"
            frames.append(re.sub(r"\.(isra|part|constprop|cold)\.\d+|\.cold|@.*$", "", symbol))
    if frames and name and (not comm or comm in name):
        yield (name,) + tuple(reversed(frames))


class Box:
    def __init__(self, name):
        self.name, self.samples, self.inside = name, 0, {}

    def add(self, names):
        self.samples += 1
        if names:
            self.inside.setdefault(names[0], Box(names[0])).add(names[1:])


def colour(name):
    """Warm for our own code, blue for the system: the tint comes from the name, so that it stays the same."""
    tint = sum(ord(c) * (i + 1) for i, c in enumerate(name)) % 55
    return "rgb(%d,%d,%d)" % ((110 + tint, 160 + tint, 225) if KERNEL.match(name) else (225 + tint // 2, 120 + 2 * tint, 60))


def draw(box, x, depth, all_samples, least, out):
    width = (WIDTH - 2 * PAD) * box.samples / all_samples
    share = 100 * box.samples / all_samples
    if share < least:
        return depth
    label = html.escape(box.name)
    out.append('<g><title>%s: %.1f %%</title><rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s" rx="1"/>'
               % (label, share, x, depth, max(width - 0.4, 0.2), ROW - 1, colour(box.name)))
    room = int((width - 6) / TEXT)
    if room >= 3:
        short = box.name if len(box.name) <= room else box.name[:room - 1] + "…"
        out.append('<text x="%.1f" y="%d">%s</text>' % (x + 3, depth + ROW - 5, html.escape(short)))
    out.append("</g>")
    deepest = depth
    for inner in sorted(box.inside.values(), key=lambda b: b.name):
        deepest = max(deepest, draw(inner, x, depth + ROW, all_samples, least, out))
        x += (WIDTH - 2 * PAD) * inner.samples / all_samples
    return deepest


def svg(root, title, least):
    out = []
    top = 34
    height = draw(root, PAD, top, root.samples, least, out) + ROW + PAD
    return "\n".join([
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="monospace" font-size="11">' % (WIDTH, height),
        '<rect width="100%" height="100%" fill="#fdfdf8"/>',
        '<text x="%d" y="20" font-size="14">%s (%d samples)</text>' % (PAD, html.escape(title), root.samples)] + out + ["</svg>", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comm", default="", help="threads whose name contains this")
    parser.add_argument("--under", default="", help="only what is below this function")
    parser.add_argument("--title", default="flame graph")
    parser.add_argument("--least", type=float, default=0.2)
    parser.add_argument("--top", type=int, default=0)
    options = parser.parse_args()
    root, own = Box("all"), collections.Counter()
    for names in stacks(sys.stdin, options.comm):
        if options.under:
            if options.under not in names:
                continue
            names = names[names.index(options.under):]
        root.add(names)
        own[names[-1]] += 1
    if root.samples == 0:
        raise SystemExit("no samples")
    if options.top:
        for name, n in own.most_common(options.top):
            print("%5.1f %%  %s" % (100 * n / root.samples, name))
    else:
        sys.stdout.write(svg(root, options.title, options.least))


if __name__ == "__main__":
    main()
