#!/usr/bin/python3
"""embed_page.py FILE NAME: prints C source that defines `const char NAME[]` and `NAME_bytes`."""
import sys

path, name = sys.argv[1:3]
with open(path, "rb") as file:
    data = file.read()
print("/* Made from %s by cli/embed_page.py. */" % path.split("/")[-1])
print("#include <stddef.h>\n")
print("extern const char %s[];\nextern const size_t %s_bytes;" % (name, name))
print("const char %s[] = {" % name)
for at in range(0, len(data), 16):
    print("\t" + " ".join("%d," % (byte if byte < 128 else byte - 256) for byte in data[at:at + 16]))
print("\t0};\nconst size_t %s_bytes = %d;" % (name, len(data)))
