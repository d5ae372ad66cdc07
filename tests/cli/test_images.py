"""test_images.py - `run --image`: PNG and JPEG files as inputs, what is done to their pixels, and files that lie."""

import base64
import os
import struct
import unittest
import zlib

import program
from onnx_file import blob, number, port
from program import LIMIT, MODEL_FILE, OK, UNSUPPORTED, USAGE, FolderTest, run

# 24 x 16: the left half (200, 30, 60), the right (20, 180, 90), before JPEG
JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZGNywtQFdBRkxOUlNSMj5aYVpQYEpRUk//"
    "2wBDAQ4ODhMREyYVFSZPNS01T09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT0//wAARCAAQABgDAREAAhEBAxEB"
    "/8QAFQABAQAAAAAAAAAAAAAAAAAABAX/xAAYEAEAAwEAAAAAAAAAAAAAAAAABEOBwf/EABgBAQEAAwAAAAAAAAAAAAAAAAYBAgQH/8QAGREBAAIDAAAAAAAA"
    "AAAAAAAAAAEGQ4LB/9oADAMBAAIRAxEAPwCI1y8yBZnUkTtGLbhaCSQydZMgWZ1JE7Ri24Wgk//Z")


def png(width, height, rows, kind=2, claim=None):
    """`rows`: bytes of each; kind 2: RGB, 6: RGBA. `claim`: the size in the header, when it lies."""
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    head = struct.pack(">IIBBBBB", *(claim or (width, height)), 8, kind, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def identity(*dims, dtype=1):
    graph = blob(1, blob(1, "x") + blob(2, "y") + blob(4, "Identity")) + blob(11, port("x", *dims, dtype=dtype)) + blob(12, port("y", *dims, dtype=dtype))
    return number(1, 8) + blob(7, graph) + blob(8, number(2, 13))


@unittest.skipUnless(os.environ.get("WH_HAS_IMAGES"), "built without libpng or libjpeg")
class Images(FolderTest):
    def values(self, model, *arguments):
        """The tensor that the model got: its shape's text, and the elements."""
        out = os.path.join(self.folder.name, "out")
        text = self.assert_ok(run("run", self.put("m.onnx", model), *arguments, "--output", out))
        with open(os.path.join(out, "y.npy"), "rb") as file:
            data = file.read()
        length = 10 + struct.unpack("<H", data[8:10])[0]
        shape = data[data.index(b"'shape': (") + 10:].split(b")")[0].decode()
        elements = list(data[length:]) if b"|u1" in data[:length] else list(struct.unpack(f"<{(len(data) - length) // 4}f", data[length:]))
        return shape, elements, text

    def near(self, got, wanted, bound=1e-5):
        self.assertEqual(len(got), len(wanted))
        for a, b in zip(got, wanted):
            self.assertAlmostEqual(a, b, delta=bound)

    def test_layouts_and_scales(self):
        x = "x=" + self.put("a.png", png(2, 1, [[255, 0, 51, 0, 102, 204]]))
        shape, got, text = self.values(identity(1, 3, "h", "w"), "--image", x)
        self.assertEqual(shape, "1, 3, 1, 2")
        self.near(got, [1, 0, 0, 0.4, 0.2, 0.8])
        self.assertIn("a.png, 2x1 to 2x1, rgb", text)
        self.near(self.values(identity(1, "h", "w", 3), "--image", x)[1], [1, 0, 0.2, 0, 0.4, 0.8])
        self.near(self.values(identity(3, 1, 2), "--image", x, "--image-channels", "bgr")[1], [0.2, 0.8, 0, 0.4, 1, 0])
        self.near(self.values(identity(1, 3, 1, 2), "--image", x, "--image-mean", "0.5,0.1,0", "--image-std", "0.5,1,2")[1], [1, -1, -0.1, 0.3, 0.1, 0.4])
        self.near(self.values(identity("n", "c", 1, 2), "--image", x, "--image-layout", "nchw", "--image-scale", "1")[1], [255, 0, 0, 102, 51, 204])
        self.near(self.values(identity(1, 1, 1, 2), "--image", x)[1], [(0.299 * 255 + 0.114 * 51) / 255, (0.587 * 102 + 0.114 * 204) / 255])
        self.assertEqual(self.values(identity(1, "h", "w", 3, dtype=2), "--image", x)[1], [255, 0, 51, 0, 102, 204])

    def test_transparent_pixels_lie_over_white(self):
        x = "x=" + self.put("a.png", png(2, 1, [[0, 0, 0, 0, 255, 0, 0, 255]], kind=6))
        self.assertEqual(self.values(identity(1, "h", "w", 3, dtype=2), "--image", x)[1], [255, 255, 255, 255, 0, 0])

    def test_sizes(self):
        ramp = self.put("ramp.png", png(4, 2, [[v for v in (0, 80, 160, 240) for _ in range(3)]] * 2))
        def grey(width, height, *arguments):
            return self.values(identity(1, 1, height, width), "--image", f"x={ramp}", "--image-scale", "1", *arguments)[1]
        # a triangle two pixels wide on each side: (3 a + 3 b + c) / 7
        self.near(grey(2, 1), [400 / 7, 1280 / 7], 1e-3)
        self.near(grey(8, 2)[:8], [0, 20, 60, 100, 140, 180, 220, 240], 1e-3)
        self.near(grey(2, 2, "--image-fit", "crop"), [80, 160] * 2, 1e-3)
        self.near(grey(4, 4, "--image-fit", "letterbox", "--image-pad", "7"), [7] * 4 + [0, 80, 160, 240] * 2 + [7] * 4, 1e-3)
        shape, got, text = self.values(identity("n", 3, "h", "w"), "--image", f"x={ramp}", "--image-size", "2x1")
        self.assertEqual(shape, "1, 3, 1, 2")
        self.assertIn("4x2, stretched to 2x1", text)

    def test_jpeg(self):
        x = self.put("a.jpg", JPEG)
        got = self.values(identity(1, 16, 24, 3, dtype=2), "--image", f"x={x}")[1]
        for at, wanted in ((8 * 24 + 4, (200, 30, 60)), (8 * 24 + 20, (20, 180, 90))):
            self.near(got[3 * at:3 * at + 3], wanted, 3)

    def test_several_are_a_batch(self):
        a, b = self.put("a.png", png(1, 1, [[255, 0, 0]])), self.put("b.png", png(2, 2, [[0, 0, 255] * 2] * 2))
        shape, got, _ = self.values(identity("n", 3, 1, 1), "--image", f"x={a}", "--image", f"x={b}")
        self.assertEqual(shape, "2, 3, 1, 1")
        self.near(got, [1, 0, 0, 0, 0, 1])
        path = self.put("m.onnx", identity(3, 1, 1))
        self.assert_fails(run("run", path, "--image", f"x={a}", "--image", f"x={b}"), USAGE, "takes one picture")

    def test_bench_and_verify_take_them(self):
        path, x = self.put("m.onnx", identity(1, 3, 1, 1)), "x=" + self.put("a.png", png(1, 1, [[255, 0, 0]]))
        self.assert_ok(run("bench", path, "--image", x, "-r", "2"))
        self.assert_ok(run("verify", path, "--image", x))

    def test_files_that_lie(self):
        path = self.put("m.onnx", identity(1, 3, "h", "w"))
        whole = png(40, 40, [os.urandom(120) for _ in range(40)])
        flipped = whole[:200] + bytes([whole[200] ^ 255]) + whole[201:]
        cases = [(png(1, 1, [[0, 0, 0]], claim=(60000, 60000)), LIMIT, "60000 x 60000 pixels"), (whole[:len(whole) // 2], MODEL_FILE, "PNG is damaged"),
                 (whole[:20], MODEL_FILE, "PNG cannot be read"), (flipped, MODEL_FILE, "PNG is damaged"), (JPEG[:280], MODEL_FILE, "JPEG cannot be read"),
                 (JPEG[:30], MODEL_FILE, "JPEG cannot be read"), (b"GIF89a", MODEL_FILE, "neither a PNG nor a JPEG"),
                 (JPEG.replace(b"\x00\x10\x00\x18\x03", b"\xff\x10\xff\x18\x03"), LIMIT, "pixels; at most 64 million")]
        for i, (data, code, words) in enumerate(cases):
            with self.subTest(i):
                self.assert_fails(run("run", path, "--image", "x=" + self.put(f"bad{i}", data)), code, f"bad{i}", words)

    def test_wrong_arguments(self):
        a = self.put("a.png", png(1, 1, [[0, 0, 0]]))
        cases = [(identity(1, 3, "h", "w"), ("--image", f"z={a}"), USAGE, "no such input"), (identity(1, 7, 2, 2), ("--image", f"x={a}"), USAGE, "7 channels"),
                 (identity(2, 2), ("--image", f"x={a}"), USAGE, "2 dimensions"), (identity(1, 3, 2, 2, dtype=7), ("--image", f"x={a}"), UNSUPPORTED, "takes i64"),
                 (identity(1, 3, "h", "w"), ("--image", f"x={a}", "--image-size", "3"), USAGE, "640x480"),
                 (identity(1, 3, "h", "w"), ("--image", f"x={a}", "--image-size", "0x3"), USAGE, "640x480"),
                 (identity(1, 3, "h", "w"), ("--image", f"x={a}", "--image-mean", "1,2"), USAGE, "one number, or three"),
                 (identity(1, 3, "h", "w"), ("--image", f"x={a}", "--image-std", "0"), USAGE, "not by 0"),
                 (identity(64, 3, "h", "w"), ("--image", f"x={a}", "--image-size", "16384x16384"), LIMIT, "too large")]
        for model, arguments, code, words in cases:
            self.assert_fails(run("run", self.put("m.onnx", model), *arguments), code, words)


if __name__ == "__main__":
    program.main()
