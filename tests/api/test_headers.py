"""test_headers.py - every public header compiles alone and without a warning, as C99, C17, C++17 and C++20, and so does
every initialiser that it has.

usage: test_headers.py INCLUDE_FOLDER C_COMPILER [C++_COMPILER]"""

import os
import re
import subprocess
import sys
import unittest

INCLUDE, CC, *CXX = sys.argv[1:4]
WARNINGS = ["-Wall", "-Wextra", "-pedantic", "-Werror"]
FOLDER = os.path.join(INCLUDE, "whimbrel")
HEADERS = sorted(name for name in os.listdir(FOLDER) if name.endswith(".h"))


def source_of(header):
    """Includes the header and, for each WH_X_INIT in it, defines an object of the struct that the macro is named after."""
    with open(os.path.join(FOLDER, header), encoding="utf-8") as file:
        macros = re.findall(r"#define (WH_\w+)_INIT\b", file.read())
    objects = "".join(f"  {{ {m.lower()} x = {m}_INIT; sum += x.struct_size == sizeof x; }}\n" for m in macros)
    return f'#include "whimbrel/{header}"\nint f(void);\nint f(void) {{\n  int sum = 0;\n{objects}  return sum;\n}}\n', len(macros)


class Headers(unittest.TestCase):
    def compile_all(self, compiler, language, standards):
        n_initialisers = 0
        for header in HEADERS:
            source, n = source_of(header)
            n_initialisers += n
            for standard in standards:
                command = [compiler, "-x", language, f"-std={standard}", "-fsyntax-only", *WARNINGS, "-I", INCLUDE, "-"]
                result = subprocess.run(command, input=source, capture_output=True, text=True)
                self.assertEqual((result.returncode, result.stderr), (0, ""), f"{header} as {standard}")
        self.assertGreaterEqual(n_initialisers, 12)

    def test_the_folder_is_the_right_one(self):
        self.assertIn("whimbrel.h", HEADERS)

    def test_whimbrel_h_has_them_all(self):
        with open(os.path.join(FOLDER, "whimbrel.h"), encoding="utf-8") as file:
            included = re.findall(r'#include "whimbrel/(\w+\.h)"', file.read())
        self.assertEqual(sorted(included), [h for h in HEADERS if h != "whimbrel.h"])

    def test_c(self):
        self.compile_all(CC, "c", ["c99", "c17"])

    @unittest.skipUnless(CXX, "there is no C++ compiler")
    def test_cxx(self):
        self.compile_all(CXX[0], "c++", ["c++17", "c++20"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
