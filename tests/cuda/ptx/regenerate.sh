#!/bin/sh
# regenerate.sh [--check DIR] - compiles the .cu files beside it to the .ptx files that the tests read, which nvcc 13.0,
# V13.0.88, made; --check: into DIR, and fails when one differs (exit code 77 without that nvcc).
set -eu
cd "$(dirname "$0")"
root=$(cd ../../.. && pwd)
check=0
to=.
if [ "${1-}" = --check ]; then
  check=1
  to=$2
fi
if ! nvcc=$("$root/scripts/find-nvcc"); then
  [ $check = 1 ] && exit 77
  exit 1
fi
if [ $check = 1 ] && ! "$nvcc" --version | grep -q V13.0.88; then
  echo "regenerate: $nvcc is another release than 13.0.88" >&2
  exit 77
fi
for name in kernels planted exact_math hopper; do
  target=compute_80
  [ $name != hopper ] || target=compute_90a
  "$nvcc" -std=c++17 -arch=$target -ptx -O3 -fmad=false -ftz=false -prec-div=true -prec-sqrt=true -I"$root" "$name.cu" -o "$to/$name.ptx"
  if [ $check = 1 ] && ! cmp "$to/$name.ptx" "$name.ptx"; then
    echo "regenerate: $name.ptx is not what $name.cu and its headers give: run tests/cuda/ptx/regenerate.sh" >&2
    exit 1
  fi
done
