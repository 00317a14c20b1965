#!/bin/sh
# finish.sh FOLDER: the same files whoever builds, and whenever. Bytecode is named by the hash of its source, not by
# its time; times are SOURCE_DATE_EPOCH; what only tests, compilers and debuggers read is left out.
set -eu
packages=$(find "$1" -type d -name site-packages)
if [ -n "$packages" ]; then
  cd "$packages"
  find . -type d \( -name tests -o -name test -o -name include \) -prune -exec rm -rf {} +
  find . -type f \( -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' -o -name '*.c' -o -name '*.cpp' -o -name '*.h' \
    -o -name '*.a' -o -name '*.pyi' \) -delete
  rm -f pyarrow/libarrow_python.so pyarrow/libarrow_python.so.*.*  # what a linker asks for: copies, not links
  rm -rf pip pip-* setuptools setuptools-* pkg_resources _distutils_hack distutils-precedence.pth
  # Parts of large packages that no service uses: Arrow's servers, its own S3 client (archives are read by s3fs), the
  # other 400 interfaces of AWS.
  rm -f pyarrow/*arrow_flight* pyarrow/*arrow_python_flight* pyarrow/_flight* pyarrow/_substrait* pyarrow/*arrow_s3* pyarrow/_s3fs*
  if [ -d botocore/data ]; then
    find botocore/data -mindepth 1 -maxdepth 1 -type d ! -name s3 ! -name sts ! -name 'sso*' -exec rm -rf {} +
  fi
  # Symbols for debuggers, where the image's stage has binutils. The libraries in *.libs were patched, and would break.
  if command -v strip >/dev/null; then
    find . -name '*.so*' -type f ! -path '*.libs/*' -exec strip --strip-unneeded {} +
  fi
fi
find "$1" -name '*.pyc' -delete
# Packages carry templates, and files for newer Pythons, that do not compile; ours do.
PYTHONHASHSEED=0 python -m compileall -q -j 1 --invalidation-mode unchecked-hash "$1" || test -n "$packages"
find "$1" -exec touch -h -d "@${SOURCE_DATE_EPOCH:?}" {} +
