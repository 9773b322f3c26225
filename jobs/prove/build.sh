#!/usr/bin/env bash
# Builds prove.wasm in the folder above, on Debian 12: winterfell needs a newer Rust than the one
# that the other programs are built by, so the compiler, the sources of its standard library and
# its linker are unpacked, not installed, into a cache outside the repository.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${1:-$here/../../target/prove}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)

version=1.96.0+dfsg1-1~deb12u2
if [ ! -x "$cache/root/usr/bin/rustc" ]; then
    cd "$cache"
    apt-get download rustc-web=$version libstd-rust-web-1.96=$version libstd-rust-web-dev=$version \
        rust-web-src=$version libllvm22 lld-22
    for package in ./*.deb; do dpkg -x "$package" root; done
    rm ./*.deb
fi
[ -f /usr/lib/wasm32-wasi/libc.a ] || apt-get install -y --no-install-recommends wasi-libc

root=$cache/root
cat > "$cache/rustc" <<RUSTC
#!/bin/sh
exec env LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu $root/usr/bin/rustc "\$@"
RUSTC
chmod +x "$cache/rustc"

# No path of this machine may end up in the module.
export RUSTC=$cache/rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$cache/build
export CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS="--remap-path-prefix=$here=/jobs/prove \
 --remap-path-prefix=$root/usr/lib/rustlib/src/rust=/rust --remap-path-prefix=$root/usr/src/rustc-1.96.0=/rust \
 --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo -Clinker=$root/usr/bin/wasm-ld-22 -Clink-self-contained=no \
 -Clink-arg=-L/usr/lib/wasm32-wasi -Clink-arg=/usr/lib/wasm32-wasi/crt1-command.o -Clink-arg=-lc"
cd "$here"
cargo build --locked --release --target wasm32-wasip1 -Zbuild-std=std,panic_abort
cp "$CARGO_TARGET_DIR/wasm32-wasip1/release/prove.wasm" "$here/../prove.wasm"
ls -l "$here/../prove.wasm"
