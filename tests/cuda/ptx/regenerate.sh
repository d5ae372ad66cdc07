#!/bin/sh
# regenerate.sh - compiles the .cu files beside it to the .ptx files that the tests read. Needs nvcc; the PTX that is
# checked in was made by release 13.0, V13.0.88.
set -eu
cd "$(dirname "$0")"
root=$(cd ../../.. && pwd)
for name in kernels planted exact_math; do
  nvcc -std=c++17 -arch=compute_80 -ptx -O3 -fmad=false -ftz=false -prec-div=true -prec-sqrt=true -I"$root" "$name.cu" -o "$name.ptx"
done
