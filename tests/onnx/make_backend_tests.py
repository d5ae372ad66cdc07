#!/usr/bin/env python3
"""make_backend_tests.py OUT - writes the installed onnx package's own backend tests as folders of files.

One folder per test, as libonnx-testdata has them: model.onnx, test_data_set_0/{input,output}_I.pb, and tolerance.txt
(relative, absolute) where a test has others than the usual 1e-3 and 1e-7. The package makes its node tests in Python when
they are run, so that nothing else holds them as files. `light` are nine networks whose weights are constants, with the
outputs for the input that the package's runner gives them.
"""

import os
import shutil
import sys

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.case.model import collect_testcases
from onnx.backend.test.loader import DATA_DIR, load_model_tests

USUAL = (1e-3, 1e-7)


def proto_of(value, info):
    """The value as the message that the model's type of it asks for."""
    if isinstance(value, onnx.TensorProto):
        return value
    kind = info.type.WhichOneof("value")
    if kind == "map_type":
        return numpy_helper.from_dict(value, info.name)
    if kind == "sequence_type":
        return numpy_helper.from_list(value, info.name)
    if kind == "optional_type":
        return numpy_helper.from_optional(value, info.name)
    return numpy_helper.from_array(np.asarray(value), info.name)


def write(path, message):
    with open(path, "wb") as f:
        f.write(message.SerializeToString())


def write_case(out, case):
    folder = os.path.join(out, case.kind, case.name)
    for i, (inputs, outputs) in enumerate(case.data_sets):
        data = os.path.join(folder, f"test_data_set_{i}")
        os.makedirs(data)
        for kind, values, infos in (("input", inputs, case.model.graph.input), ("output", outputs, case.model.graph.output)):
            for j, value in enumerate(values):
                write(os.path.join(data, f"{kind}_{j}.pb"), proto_of(value, infos[j]))
    write(os.path.join(folder, "model.onnx"), case.model)
    if (case.rtol, case.atol) != USUAL:
        with open(os.path.join(folder, "tolerance.txt"), "w") as f:
            f.write(f"{case.rtol!r} {case.atol!r}\n")


def write_light(out):
    light = os.path.join(DATA_DIR, "light")
    for name in sorted(os.listdir(light)):
        if not name.endswith(".onnx"):
            continue
        stem = name[: -len(".onnx")]
        folder = os.path.join(out, "light", "test_" + stem)
        data = os.path.join(folder, "test_data_set_0")
        os.makedirs(data)
        model = onnx.load(os.path.join(light, name))
        weights = {w.name for w in model.graph.initializer}
        infos = [i for i in model.graph.input if i.name not in weights]
        for j, info in enumerate(infos):
            shape = [d.dim_value for d in info.type.tensor_type.shape.dim]
            n = int(np.prod(shape))
            write(os.path.join(data, f"input_{j}.pb"), numpy_helper.from_array((np.arange(n).reshape(shape) / n).astype(np.float32)))
        shutil.copy(os.path.join(light, name), os.path.join(folder, "model.onnx"))
        shutil.copy(os.path.join(light, stem + "_output_0.pb"), os.path.join(data, "output_0.pb"))


def main():
    out = sys.argv[1]
    for case in load_model_tests(kind="node") + [c for c in collect_testcases() if c.model is not None]:
        write_case(out, case)
    for kind in ("pytorch-converted", "pytorch-operator"):
        shutil.copytree(os.path.join(DATA_DIR, kind), os.path.join(out, kind))
    write_light(out)


if __name__ == "__main__":
    main()
