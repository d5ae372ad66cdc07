"""onnx_file.py - ONNX and .npy files made by hand: the tests of the program need no packages."""

import struct


def varint(v):
    out = b""
    while v >= 128:
        out, v = out + bytes([v & 127 | 128]), v >> 7
    return out + bytes([v])


def number(field, v):
    return varint(field << 3) + varint(v)


def blob(field, data):
    data = data.encode() if isinstance(data, str) else data
    return varint(field << 3 | 2) + varint(len(data)) + data


def port(name, *dims, dtype=1):
    shape = b"".join(blob(1, number(1, d) if isinstance(d, int) else blob(2, d)) for d in dims)
    return blob(1, name) + blob(2, blob(1, number(1, dtype) + blob(2, shape)))


def npy(shape, values):
    head = ("{'descr': '<f4', 'fortran_order': False, 'shape': %s, }" % (shape,)).ljust(117) + "\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(head)) + head.encode() + struct.pack("<%df" % len(values), *values)
