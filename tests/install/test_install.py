"""test_install.py - what `cmake --install` puts under a prefix, used as a stranger would: by pkg-config and by CMake's
find_package, from C99 and C++17, with either library, also after the prefix was moved.

usage: test_install.py CMAKE BUILD_FOLDER C_COMPILER [C++_COMPILER]

Programs are run on the model that WH_TEST_MODEL names, and must say what the installed `whimbrel` says; without a model
they are built and asked for their usage only."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

CMAKE, BUILD, CC, *CXX = sys.argv[1:5]
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
EXAMPLE = os.path.join(ROOT, "examples", "continue.c")
GRAPH = os.path.join(ROOT, "examples", "graph.c")
CHANCES = "0.333 0.333 0.333\n0.000 0.500 0.500\n0.000 1.000 0.000\n"  # of its three rows
MODEL = os.environ.get("WH_TEST_MODEL")
PROMPT, N_TOKENS = "The capital of France is", "12"
# What README says that the program and the library need of the system, by the beginnings of their names.
SYSTEM = ("libhwloc", "libxxhash", "libpcre2-8", "libutf8proc", "libjansson", "libgomp", "libomp", "libm", "libc", "ld-linux")
PICTURES = ("libpng", "libjpeg", "libz")  # the program alone


def run(*command, env=None, check=True):
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **(env or {})})
    if check and result.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: exit code {result.returncode}\n{result.stdout}{result.stderr}")
    return result.stdout


def dynamic(path, tag):
    """Values of a tag of the dynamic section: NEEDED, SONAME, RPATH ..."""
    return re.findall(rf"\({tag}\)[^\[]*\[([^\]]*)\]", run("readelf", "-d", path))


def libdir_of(prefix):
    for folder, _, files in os.walk(prefix):
        if "whimbrel.pc" in files:
            return os.path.dirname(folder)
    raise AssertionError(f"no whimbrel.pc under {prefix}")


class Installed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="whimbrel-install-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.prefix = os.path.join(cls.folder, "first", "prefix")
        run(CMAKE, "--install", BUILD, "--prefix", cls.prefix)
        cls.libdir = libdir_of(cls.prefix)
        cls.shared = os.path.join(cls.libdir, "libwhimbrel.so")
        cls.program = os.path.join(cls.prefix, "bin", "whimbrel")
        cls.answer = run(cls.program, "run", MODEL, "-p", PROMPT, "-n", N_TOKENS, "--quiet") if MODEL else None

    def flags(self, libdir, *options):
        env = {"PKG_CONFIG_PATH": os.path.join(libdir, "pkgconfig")}
        return run("pkg-config", *options, "--cflags", "--libs", "whimbrel", env=env).split()

    def build(self, name, libdir, *options, compiler=(CC, "-std=c99"), source=EXAMPLE):
        program = os.path.join(self.folder, name)
        run(*compiler, "-Wall", "-Wextra", "-Werror", "-pedantic", source, *self.flags(libdir, *options), "-o", program)
        return program

    def check_answer(self, program, libdir=None):
        env = {"LD_LIBRARY_PATH": libdir or ""}
        if not MODEL:
            self.assertIn("whimbrel", run("ldd", program, env=env) + program)
            self.assertEqual(subprocess.run([program], capture_output=True, env={**os.environ, **env}).returncode, 2)
            return
        self.assertEqual(run(program, MODEL, PROMPT, N_TOKENS, env=env), self.answer)

    def test_files(self):
        headers = sorted(os.listdir(os.path.join(self.prefix, "include", "whimbrel")))
        self.assertEqual(headers, sorted(os.listdir(os.path.join(ROOT, "include", "whimbrel"))))
        for name in ("libwhimbrel.a", "libwhimbrel.so", "libwhimbrel.so.0"):
            self.assertTrue(os.path.exists(os.path.join(self.libdir, name)), name)
        for name in ("man/man1/whimbrel.1", "bash-completion/completions/whimbrel", "zsh/site-functions/_whimbrel",
                     "fish/vendor_completions.d/whimbrel.fish"):
            self.assertTrue(os.path.exists(os.path.join(self.prefix, "share", name)), name)

    def test_shared_object(self):
        self.assertEqual(dynamic(self.shared, "SONAME"), ["libwhimbrel.so.0"])
        with open(os.path.join(ROOT, "api", "libwhimbrel.map"), encoding="utf-8") as file:
            listed = re.findall(r"^  (wh_\w+);$", file.read(), re.M)
        exported = [line.split()[-1] for line in run("nm", "-D", "--defined-only", self.shared).splitlines()]
        self.assertEqual(sorted(re.sub("@.*", "", name) for name in exported if not name.startswith("WHIMBREL_")), sorted(listed))
        self.assertGreater(len(listed), 50)

    def test_needs_only_what_is_said(self):
        for path in (self.shared, self.program):
            self.assertEqual(dynamic(path, "RPATH") + dynamic(path, "RUNPATH"), [], path)
            for name in dynamic(path, "NEEDED"):
                allowed = SYSTEM + (PICTURES if path == self.program else ())
                self.assertTrue(name.startswith(allowed), f"{path} needs {name}")
        self.assertNotIn("libwhimbrel", " ".join(dynamic(self.program, "NEEDED")))

    def test_nothing_is_stripped(self):
        for path in (self.shared, self.program):
            self.assertIn(".symtab", run("readelf", "-SW", path), path)

    def test_no_file_names_the_first_prefix_or_the_build(self):
        for folder, _, files in os.walk(self.prefix):
            for name in files:
                if not name.endswith((".pc", ".cmake", ".h", ".1", ".bash", ".fish")):
                    continue
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    text = file.read()
                for place in (self.prefix, ROOT, os.path.abspath(BUILD)):
                    self.assertNotIn(place, text, name)

    def test_pkg_config_shared(self):
        program = self.build("shared", self.libdir)
        self.assertIn("libwhimbrel.so.0", dynamic(program, "NEEDED"))
        self.check_answer(program, self.libdir)

    def test_a_graph(self):
        program = self.build("graph", self.libdir, source=GRAPH)
        self.assertEqual(run(program, env={"LD_LIBRARY_PATH": self.libdir}), CHANCES)
        if CXX:
            program = self.build("graph_cxx", self.libdir, compiler=(*CXX, "-x", "c++", "-std=c++17"), source=GRAPH)
            self.assertEqual(run(program, env={"LD_LIBRARY_PATH": self.libdir}), CHANCES)

    def test_one_version(self):
        env = {"PKG_CONFIG_PATH": os.path.join(self.libdir, "pkgconfig")}
        version = run("pkg-config", "--modversion", "whimbrel", env=env).strip()
        self.assertEqual(run(self.program, "--version"), f"whimbrel {version}\n")
        self.assertTrue(os.path.exists(os.path.join(self.libdir, f"libwhimbrel.so.{version}")))

    def test_pkg_config_static(self):
        """A prefix without the shared object: the archive holds every layer, and the file says what it needs."""
        prefix = os.path.join(self.folder, "archive")
        shutil.copytree(self.prefix, prefix, symlinks=True)
        libdir = libdir_of(prefix)
        for name in os.listdir(libdir):
            if name.startswith("libwhimbrel.so"):
                os.remove(os.path.join(libdir, name))
        program = self.build("static", libdir, "--static")
        self.assertNotIn("libwhimbrel", " ".join(dynamic(program, "NEEDED")))
        self.check_answer(program)

    @unittest.skipUnless(CXX, "there is no C++ compiler")
    def test_pkg_config_cxx(self):
        program = self.build("cxx", self.libdir, compiler=(*CXX, "-x", "c++", "-std=c++17"))
        self.check_answer(program, self.libdir)

    def test_backends_lie_where_the_libraries_lie(self):
        """LIBDIR/whimbrel, for the program and for a program of the shared library; the build's test backend is one."""
        os.makedirs(os.path.join(self.libdir, "whimbrel"), exist_ok=True)
        shutil.copy(os.path.join(BUILD, "whimbrel-backend-host2.so"), os.path.join(self.libdir, "whimbrel"))
        self.assertIn("host2", run(self.program, "devices", "--device", "host2"))
        source = os.path.join(self.folder, "device.c")
        with open(source, "w", encoding="utf-8") as file:
            file.write('#include <stdio.h>\n#include <whimbrel/whimbrel.h>\nint main(void) {\n'
                       "  wh_device_options o = WH_DEVICE_OPTIONS_INIT;\n  wh_device *d = NULL;\n"
                       '  o.name = "host2";\n  if (wh_device_create(&o, &d) != WH_OK)\n'
                       '    return printf("%s\\n", wh_last_error()->message), 1;\n'
                       '  wh_device_destroy(d);\n  return puts("opened") < 0;\n}\n')
        program = os.path.join(self.folder, "device")
        run(CC, source, *self.flags(self.libdir), "-o", program)
        self.assertEqual(run(program, env={"LD_LIBRARY_PATH": self.libdir}), "opened\n")

    def test_gpus_are_components_of_their_own(self):
        """Without them nothing of a GPU is installed, opened or looked for; with them their backends are found."""
        prefix = os.path.join(self.folder, "components")
        run(CMAKE, "--install", BUILD, "--prefix", prefix)
        program = os.path.join(prefix, "bin", "whimbrel")
        found = [name for _, _, files in os.walk(prefix) for name in files if re.search("cuda|hip|ptxemu|nvidia", name)]
        self.assertEqual(found, [])
        result = subprocess.run([program, "devices", "--json"], capture_output=True, text=True, env={**os.environ, "LD_DEBUG": "libs"})
        self.assertIn("find library=libc.so", result.stderr)  # the loader does tell
        self.assertNotRegex(result.stderr, "libcuda|libamdhip|libnvidia|whimbrel-backend")
        self.assertEqual([d["name"] for d in json.loads(result.stdout)["devices"]], ["cpu"])
        self.assertEqual(json.loads(result.stdout)["unavailable"], [])
        for component, name in (("cuda", "cuda:emulated"), ("hip", "hip")):
            if not os.path.exists(os.path.join(BUILD, f"whimbrel-backend-{component}.so")):
                continue
            run(CMAKE, "--install", BUILD, "--prefix", prefix, "--component", component)
            result = subprocess.run([program, "devices", "--device", name], capture_output=True, text=True)
            if component == "cuda":
                self.assertTrue(result.stdout.startswith("cuda:emulated: "), result.stderr)
            elif result.returncode:  # no driver: it is found, and says so
                self.assertRegex(result.stderr, r"^whimbrel: hip: .*\n$")
            installed = os.listdir(os.path.join(libdir_of(prefix), "whimbrel"))
            self.assertIn(f"whimbrel-backend-{component}.so", installed)

    def check_cmake(self, prefix):
        build = tempfile.mkdtemp(dir=self.folder)
        run(CMAKE, "-S", os.path.join(HERE, "consumer"), "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}", f"-DEXAMPLE={EXAMPLE}",
            f"-DWITH_CXX={'ON' if CXX else 'OFF'}", f"-DCMAKE_C_COMPILER={CC}", *(f"-DCMAKE_CXX_COMPILER={c}" for c in CXX))
        run(CMAKE, "--build", build)
        for name in ("with_whimbrel", "with_whimbrel_static", *(["with_cxx"] if CXX else [])):
            program = os.path.join(build, name)
            self.assertEqual("libwhimbrel.so.0" in dynamic(program, "NEEDED"), "static" not in name, name)
            self.check_answer(program)  # CMake gives programs of a build tree the place of their libraries

    def test_cmake_package(self):
        self.check_cmake(self.prefix)

    def test_cmake_package_of_another_version_is_refused(self):
        build = tempfile.mkdtemp(dir=self.folder)
        source = os.path.join(build, "source")
        os.mkdir(source)
        with open(os.path.join(source, "CMakeLists.txt"), "w", encoding="utf-8") as file:
            file.write("cmake_minimum_required(VERSION 3.16)\nproject(x LANGUAGES NONE)\nfind_package(whimbrel 0.2 REQUIRED)\n")
        result = subprocess.run([CMAKE, "-S", source, "-B", build, f"-DCMAKE_PREFIX_PATH={self.prefix}"], capture_output=True, text=True)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("0.1.0", result.stderr)

    def test_a_moved_prefix(self):
        moved = os.path.join(self.folder, "second", "place")
        shutil.copytree(self.prefix, moved, symlinks=True)
        libdir = libdir_of(moved)
        hidden = self.prefix + ".hidden"
        os.rename(self.prefix, hidden)
        try:
            for option in self.flags(libdir):
                if option.startswith(("-I", "-L")):
                    self.assertTrue(os.path.realpath(option[2:]).startswith(os.path.realpath(moved)), option)
            self.check_answer(self.build("moved", libdir), libdir)
            self.check_cmake(moved)
        finally:
            os.rename(hidden, self.prefix)


if __name__ == "__main__":
    if not MODEL:
        print("no answers are compared: WH_TEST_MODEL names no model", file=sys.stderr)
    unittest.main(argv=sys.argv[:1])
