"""Nodes that share a secret, and those that do not know it."""
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import unittest

from nodes import PATIENCE, QUIVERD, Cluster, ClusterTest, free_ports


class Keys(ClusterTest):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="quiver-keys-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.right = self.key("right", "the secret of this cluster\n")
        self.wrong = self.key("wrong", "the secret of another cluster\n")

    def key(self, name, text, mode=0o600):
        path = os.path.join(self.folder, name)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def refused(self, command, *words, **environment):
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE, text=True,
                                env=dict(os.environ, **environment))
        self.assertEqual(result.returncode, 1, result.stdout)
        for word in words:
            self.assertIn(word, result.stdout)

    def metric(self, node, name):
        for line in node.call("GET", "/metrics")[1].splitlines():
            if line.startswith(name + " "):
                return int(line.split()[1])
        self.fail("no metric " + name)

    def test_a_cluster_with_a_key(self):
        c = self.cluster(3, "--cluster-key-file", self.right)
        self.create(c[0], "t", shards=6)
        self.known(c, "t")
        self.upsert(c[1], "t", range(60))
        for node in c.nodes:
            self.assertEqual(self.count(node, "t"), 60)
            self.assertEqual(self.metric(node, "quiver_rpc_refused_total"), 0)
        d = c.new_node("d", "--join", c[0].address)
        d.start()
        c.wait_ready()
        self.assertEqual(self.count(d, "t"), 60)
        # With another key, or none, nobody gets in.
        x = c.new_node("x")
        x.flags = ["--join", c[0].address]
        self.refused(x.command(*x.flags), "must prove that they know its key", "--cluster-key-file")
        x.flags += ["--cluster-key-file", self.wrong]
        self.refused(x.command(*x.flags), "are not the same", "--cluster-key-file")
        self.assertFalse(os.path.exists(os.path.join(x.data, "node")))
        c.wait(lambda: "turned away a caller from 127.0.0.1" in c[0].log(), "the warning")
        self.assertGreater(self.metric(c[0], "quiver_rpc_refused_total"), 0)
        # A member that comes back with the wrong one is not heard, and says why; with the right one it is a member again.
        self.assertEqual(d.stop(), 0)
        d.flags = ["--cluster-key-file", self.wrong]
        d.start()
        c.wait(lambda: "does not know the key of this cluster" in d.log(), "it is told")
        status, text = c.wait(lambda: d.runs() and self.readiness(d), "d answers")
        self.assertEqual(status, 503)
        self.assertEqual(d.stop(), 0)
        d.flags = ["--cluster-key-file", self.right]
        d.start()
        c.wait_ready()
        self.assertEqual(self.count(d, "t"), 60)

    def readiness(self, node):
        try:
            return node.call("GET", "/readyz")
        except OSError:
            return None

    def test_raw_frames_are_refused(self):
        """A stranger that speaks the protocol, and one that does not."""
        c = self.cluster(1, "--cluster-key-file", self.right)
        port = c[0].rpc
        for data in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                     b"QRP1" + struct.pack("<I", 80 << 20),      # a length beyond what is taken before the proof
                     b"QRP1" + struct.pack("<I", 44) + b"QRPC" + bytes(40)):
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as s:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                while s.recv(65536):
                    pass
        self.create(c[0], "t")
        self.assertTrue(c[0].ready())

    def test_wrong_frames_without_a_key(self):
        """Each is answered with what is wrong with it, or the connection is closed; nothing else happens."""
        c = self.cluster(1)

        def exchange(frame, length=None):
            with socket.create_connection(("127.0.0.1", c[0].rpc), timeout=PATIENCE) as s:
                s.sendall(b"QRP1" + struct.pack("<I", len(frame) if length is None else length) + frame)
                s.shutdown(socket.SHUT_WR)
                data = b""
                while True:
                    more = s.recv(65536)
                    if not more:
                        return data
                    data += more

        def head(version):
            return b"QRPC" + struct.pack("<HBBQQQIQ", version, 1, 0, 5, 2, 1, 0, 0)

        self.assertIn(b"speaks version 9 of the protocol between nodes", exchange(head(9)))
        self.assertIn(b"garbled", exchange(head(1)))
        self.assertIn(b"not a message of quiver", exchange(bytes(44)))
        self.assertEqual(exchange(head(1), 1 << 31), b"")
        self.assertEqual(exchange(head(1), 0), b"")
        self.create(c[0], "t")
        self.assertTrue(c[0].ready())

    def test_a_key_from_the_environment(self):
        os.environ["QUIVER_CLUSTER_KEY"] = "a secret in the environment"
        try:
            c = self.cluster(1)
            d = c.new_node("d", "--join", c[0].address)
            d.start()
            c.wait_ready()
        finally:
            del os.environ["QUIVER_CLUSTER_KEY"]
        x = c.new_node("x")
        self.refused(x.command("--join", c[0].address), "must prove")

    def test_other_machines_only_with_a_key(self):
        port = free_ports(1)[0]
        start = [QUIVERD, "--data", os.path.join(self.folder, "x"), "--http", "127.0.0.1:0", "--node", "a",
                 "--rpc", "0.0.0.0:%d" % port, "--advertise", "127.0.0.1:%d" % port,
                 "--bootstrap", "a@127.0.0.1:%d" % port]
        self.refused(start, "can be reached from other machines", "--cluster-key-file", "--rpc-insecure")
        for more in (["--rpc-insecure"], ["--cluster-key-file", self.right]):
            process = subprocess.Popen(start + more, stderr=subprocess.PIPE, text=True)
            for line in process.stderr:
                if "serves http" in line:
                    break
            process.terminate()
            process.communicate()
            self.assertEqual(process.returncode, 0)

    def test_bad_key_files(self):
        start = [QUIVERD, "--data", os.path.join(self.folder, "x"), "--http", "127.0.0.1:0", "--node", "a",
                 "--bootstrap", "a@127.0.0.1:1"]
        self.refused(start + ["--cluster-key-file", os.path.join(self.folder, "none")], "No such file")
        self.refused(start + ["--cluster-key-file", self.key("short", "x\n")], "16 to 4096 bytes")
        self.refused(start + ["--cluster-key-file", self.key("long", "x" * 5000)], "16 to 4096 bytes")
        self.refused(start, "16 to 4096 bytes", QUIVER_CLUSTER_KEY="secret")


if __name__ == "__main__":
    unittest.main()
