#!/usr/bin/env bash
# Fetches programs that were not written here and compiles them, unchanged, to WASI: SQLite (the
# amalgamation in the crate libsqlite3-sys, which the workspace's lock file names and checks), GNU bc
# and cmark (Debian 12's sources, which apt checks). Modules end up in target/foreign; nothing of
# them is part of this repository.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
root=$(cd "$here/../.." && pwd)
out=$root/target/foreign
mkdir -p "$out"
cd "$out"

# Debian's C compiler and C library for WASI, and the programs of this machine to compare with.
need=(clang-14 lld libclang-rt-14-dev-wasm32 wasi-libc bc cmark)
if ! dpkg-query -W "${need[@]}" > /dev/null 2>&1; then
    apt-get update -q
    apt-get install -y -q --no-install-recommends "${need[@]}"
fi
compile() {
    clang-14 --target=wasm32-wasi -O2 -s -w "$@"
}

if [ ! -f sqlite.wasm ]; then
    manifest=$(cargo metadata --format-version 1 --locked --manifest-path "$root/Cargo.toml" \
        | python3 -c 'import json, sys
print(next(p["manifest_path"] for p in json.load(sys.stdin)["packages"] if p["name"] == "libsqlite3-sys"))')
    source=$(dirname "$manifest")/sqlite3
    compile -I "$source" -D SQLITE_THREADSAFE=0 -D SQLITE_OMIT_LOAD_EXTENSION -D SQLITE_OMIT_WAL \
        -D _WASI_EMULATED_MMAN -D _WASI_EMULATED_GETPID -o sqlite.part "$source/sqlite3.c" "$here/sqlite_main.c" \
        -lwasi-emulated-mman -lwasi-emulated-getpid
    mv sqlite.part sqlite.wasm
fi

# Lists of Debian's source packages, beside those of the machine.
sources() {
    mkdir -p apt/lists/partial apt/parts
    if [ -f /etc/apt/sources.list.d/debian.sources ]; then
        sed 's/^Types:.*/Types: deb-src/' /etc/apt/sources.list.d/debian.sources > apt/parts/source.sources
    else
        sed -n 's/^deb /deb-src /p' /etc/apt/sources.list > apt/parts/source.list
    fi
    local apt=(apt-get -q -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$out/apt/parts"
        -o "Dir::State::lists=$out/apt/lists" -o APT::Sandbox::User=root)
    "${apt[@]}" update
    "${apt[@]}" source --download-only "$@"
}

if [ ! -f bc.wasm ] || [ ! -f cmark.wasm ]; then
    sources bc cmark
    for archive in bc_*.orig.tar.gz cmark_*.orig.tar.gz; do tar xf "$archive"; done
fi

if [ ! -f bc.wasm ]; then
    cd bc-*/
    # What `configure` would find; the library of `bc -l` is left out, because making it needs a bc.
    cat > config.h <<'CONFIG'
#define PACKAGE "bc"
#define VERSION "1.07.1"
#define HAVE_VPRINTF 1
#define HAVE_STDDEF_H 1
#define BC_COPYRIGHT "Copyright 1991-1994, 1997, 1998, 2000, 2004, 2006, 2008, 2012-2017 Free Software Foundation, Inc."
#define HAVE_STDARG_H 1
#define HAVE_STDLIB_H 1
#define HAVE_STRING_H 1
#define HAVE_STRINGS_H 1
#define HAVE_LIMITS_H 1
#define HAVE_UNISTD_H 1
#define HAVE_ERRNO_H 1
#define HAVE_SETVBUF 1
#define HAVE_ISGRAPH 1
#define HAVE_STRTOL 1
CONFIG
    printf '{ "", 0 }\n' > bc/libmath.h
    compile -D HAVE_CONFIG_H -I . -I h -I bc -D _WASI_EMULATED_SIGNAL -D _WASI_EMULATED_GETPID -o ../bc.part \
        bc/{main,bc,scan,execute,load,storage,util,global,warranty}.c lib/{number,getopt,getopt1}.c \
        -lwasi-emulated-signal -lwasi-emulated-getpid
    cd ..
    mv bc.part bc.wasm
fi

if [ ! -f cmark.wasm ]; then
    cd cmark-*/
    mkdir -p made
    printf '#include <stdbool.h>\n#define HAVE___BUILTIN_EXPECT\n#define CMARK_ATTRIBUTE(list) __attribute__(list)\n#define CMARK_INLINE inline\n' > made/config.h
    printf '#define CMARK_EXPORT\n#define CMARK_NO_EXPORT\n' > made/cmark_export.h
    printf '#define CMARK_VERSION ((0 << 16) | (30 << 8) | 2)\n#define CMARK_VERSION_STRING "0.30.2"\n' > made/cmark_version.h
    compile -I made -I src -o ../cmark.part src/*.c
    cd ..
    mv cmark.part cmark.wasm
fi
ls -l ./*.wasm
