"""test_npz.py - .npz archives in and out of `run`: stored and deflated members, and archives that lie."""

import io
import os
import struct
import unittest
import zipfile

import program
from onnx_file import blob, npy, number, port
from program import MODEL_FILE, USAGE, FolderTest, run


def model():
    """s = a + b, d = a - b"""
    nodes = b"".join(blob(1, blob(1, "a") + blob(1, "b") + blob(2, y) + blob(4, op)) for y, op in (("s/um", "Add"), ("d", "Sub")))
    return number(1, 8) + blob(7, nodes + blob(11, port("a", 2)) + blob(11, port("b", 2)) + blob(12, port("s/um", 2)) + blob(12, port("d", 2))) + blob(8, number(2, 14))


def archive(compression=zipfile.ZIP_STORED, large=True, **members):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", compression) as z:
        for name, values in members.items():
            with z.open(name + ".npy", "w", force_zip64=large) as f:  # as numpy.savez does
                f.write(npy((len(values),), values))
    return data.getvalue()


@unittest.skipUnless(os.environ.get("WH_HAS_ZLIB"), "built without zlib")
class Npz(FolderTest):
    def setUp(self):
        super().setUp()
        self.model = self.put("m.onnx", model())

    def test_in_and_out(self):
        out = os.path.join(self.folder.name, "out.npz")
        for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            path = self.put("in.npz", archive(compression, a=[5, 6], b=[1, 2], labels=[0]))
            self.assertIn("f32[2]", self.assert_ok(run("run", self.model, "--inputs", path, "--output", out)))
            with zipfile.ZipFile(out) as z:
                self.assertIsNone(z.testzip())
                self.assertEqual(z.namelist(), ["s_um.npy", "d.npy"])
                self.assertEqual([struct.unpack("<2f", z.read(n)[-8:]) for n in z.namelist()], [(6, 8), (4, 4)])
            with open(out, "rb") as file:
                first = file.read()
            self.assert_ok(run("run", self.model, "--inputs", path, "--output", out))
            with open(out, "rb") as file:
                self.assertEqual(file.read(), first)
        again = os.path.join(self.folder.name, "again.npz")
        path = self.put("in.npz", archive(a=[5, 6]))
        self.assert_ok(run("run", self.model, "--inputs", path, "--input", "b=" + self.put("b.npy", npy((2,), [1, 2])), "--output", again))
        with zipfile.ZipFile(again) as z:
            self.assertEqual(struct.unpack("<2f", z.read("d.npy")[-8:]), (4, 4))

    def test_archives_that_lie(self):
        good = archive(zipfile.ZIP_DEFLATED, large=False, a=[5, 6], b=[1, 2])
        stored = archive(large=False, a=[5, 6], b=[1, 2])
        listed = good.index(b"PK\x01\x02")
        def changed(data, at, value):
            return data[:at] + value + data[at + len(value):]
        cases = [(b"", "too short|empty"), (b"x" * 100, "no list of its members"), (good[:-22], "no list of its members"), (changed(good, len(good) - 6, b"\xff\xff\xff\x7f"), "beyond its end"),
                 (changed(good, listed + 24, b"\xff\xff\xff\xff"), "compression or size"), (changed(good, listed + 42, b"\xff\xff\xff\x7f"), "not where it should be"),
                 (changed(good, listed + 20, b"\xff\xff\xff\x7f"), "cut"), (changed(good, listed + 8, b"\x01"), "encrypted"), (changed(good, listed + 10, b"\x63"), "compression"),
                 (changed(good, listed + 28, b"\xff\xff"), "list of members is cut"), (changed(stored, stored.index(b"NUMPY") + 130, b"\x77"), "'a' is damaged"),
                 (changed(good, 36, b"\xff\xff\xff\xff"), "'a' is damaged")]
        for i, (data, words) in enumerate(cases):
            with self.subTest(words):
                result = run("run", self.model, "--inputs", self.put(f"bad{i}.npz", data))
                self.assertEqual(result.returncode, MODEL_FILE, result.stderr)
                self.assertRegex(result.stderr, f"bad{i}.npz.*({words})")
        other = self.put("other.npz", archive(z=[1]))
        self.assert_fails(run("run", self.model, "--inputs", other), USAGE, "nothing in it is called as an input")
        wrong = self.put("wrong.npz", archive(a=[1, 2, 3], b=[1, 2]))
        self.assertIn("f32[2]", run("run", self.model, "--inputs", wrong).stderr)


if __name__ == "__main__":
    program.main()
