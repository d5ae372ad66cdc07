"""test_abi.py - scripts/check-abi notices what a change of the public headers does to programs that were built before.

usage: test_abi.py SOURCE_FOLDER C_COMPILER"""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT, CC = sys.argv[1:3]
SCRIPT = os.path.join(ROOT, "scripts", "check-abi")
DESCRIPTION = os.path.join(ROOT, "docs", "abi", "libwhimbrel.so.0.txt")


def check(*arguments):
    result = subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, env={**os.environ, "CC": CC})
    return result.returncode, result.stdout + result.stderr


class Abi(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="whimbrel-abi-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.include = os.path.join(self.folder, "include")
        shutil.copytree(os.path.join(ROOT, "include"), self.include)
        self.description = os.path.join(self.folder, "abi.txt")
        shutil.copy(DESCRIPTION, self.description)

    def change(self, header, old, new):
        path = os.path.join(self.include, "whimbrel", header)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        self.assertIn(old, text)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace(old, new, 1))

    def check(self, *arguments):
        return check("--include", self.include, "--description", self.description, *arguments)

    def release(self):
        with open(self.description, encoding="utf-8") as file:
            text = file.read()
        with open(self.description, "w", encoding="utf-8") as file:
            file.write(text.replace("released no", "released yes"))

    def assert_says(self, *sentences, compatible):
        code, output = self.check()
        self.assertEqual(code, 1, output)
        for sentence in sentences:
            self.assertIn(f"check-abi: {'compatible' if compatible else 'NOT COMPATIBLE'}: {sentence}", output)
        self.assertEqual("NOT COMPATIBLE" in output, not compatible, output)

    def test_the_headers_are_as_described(self):
        self.assertEqual(check(), (0, ""))

    def test_a_struct_grows_at_its_end(self):
        self.change("runner.h", "  uint32_t reserved;\n} wh_runner_options;", "  uint32_t reserved;\n  uint64_t added;\n} wh_runner_options;")
        self.assert_says("wh_runner_options.added is new, behind the 64 bytes of before", compatible=True)

    def test_what_fills_padding_is_not_told_by_the_size(self):
        self.change("session.h", "  uint32_t n_to_follow; /*", "  uint32_t n_to_follow, added; /*")
        self.assert_says("wh_batch.added is new and lies within the 48 bytes of before", compatible=False)

    def test_a_member_in_the_middle_moves_the_others(self):
        self.change("device.h", "  uint32_t n_threads;            /*", "  double added; uint32_t n_threads; /*")
        self.assert_says("wh_device_options.n_threads was '24 4 uint32_t' (offset, bytes, type) and is '32 4 uint32_t'", compatible=False)

    def test_a_struct_without_its_size_cannot_grow(self):
        self.change("runner.h", "  int64_t value;\n} wh_bound;", "  int64_t value;\n  double added;\n} wh_bound;")
        self.assert_says("wh_bound.added is new, and the struct has no struct_size", compatible=False)

    def test_a_member_of_another_type_or_name(self):
        self.change("runner.h", "  int64_t value;\n} wh_bound;", "  uint64_t value;\n} wh_bound;")
        self.assert_says("wh_bound.value was '8 8 int64_t'", compatible=False)
        self.change("runner.h", "  uint64_t value;\n} wh_bound;", "  int64_t most;\n} wh_bound;")
        self.assert_says("wh_bound.value is gone", compatible=False)

    def test_enums_and_constants(self):
        self.change("status.h", "X(ERR_INTERNAL, 11,", "X(ERR_INTERNAL, 12,")
        self.change("text.h", "WH_TOKENIZE_ADD_BOS 4u", "WH_TOKENIZE_ADD_BOS 8u")
        self.assert_says("WH_ERR_INTERNAL of wh_status was 11 and is 12", "constant WH_TOKENIZE_ADD_BOS was '4' and is '8'",
                         compatible=False)

    def test_a_new_enumerator(self):
        self.change("status.h", 'X(ERR_INTERNAL, 11, "internal error")', 'X(ERR_INTERNAL, 11, "internal error") X(ERR_NEW, 12, "new")')
        self.assert_says("WH_ERR_NEW of wh_status is new", compatible=True)

    def test_functions(self):
        self.change("status.h", "WH_API const char *wh_status_name(wh_status status);",
                    "WH_API const char *wh_status_name(wh_status status);\nWH_API int wh_added(void);")
        self.assert_says("function wh_added is new", compatible=True)
        self.assertIn("wh_added is declared but libwhimbrel.map does not export it", self.check()[1])
        self.change("status.h", "const char *wh_status_name(wh_status status)", "const char *wh_status_name(int status)")
        self.assert_says("function wh_status_name was 'const char *(wh_status)' and is 'const char *(int)'", compatible=False)

    def test_a_name_of_a_parameter_is_nothing(self):
        self.change("status.h", "wh_status_name(wh_status status)", "wh_status_name(wh_status s)")
        self.assertEqual(self.check(), (0, ""))

    def test_a_function_that_goes(self):
        self.change("status.h", "WH_API const char *wh_status_name(wh_status status);", "")
        self.assert_says("function wh_status_name is gone", compatible=False)
        self.assertIn("exports wh_status_name, which no header declares", self.check()[1])

    def test_what_was_released_is_not_overwritten(self):
        self.change("runner.h", "  int64_t value;\n} wh_bound;", "  uint64_t value;\n} wh_bound;")
        self.release()
        with open(self.description, encoding="utf-8") as file:
            before = file.read()
        code, output = self.check("--update")
        self.assertEqual(code, 1)
        self.assertIn("libwhimbrel.so.0 was released: raise WH_SOVERSION", output)
        with open(self.description, encoding="utf-8") as file:
            self.assertEqual(file.read(), before)

    def test_what_is_compatible_may_be_written_down(self):
        self.change("runner.h", "  uint32_t reserved;\n} wh_runner_options;", "  uint32_t reserved;\n  uint64_t added;\n} wh_runner_options;")
        self.release()
        self.assertEqual(self.check("--update")[0], 0)
        self.assertEqual(self.check(), (0, ""))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
