#!/bin/sh
# Proves that core needs neither std nor an allocator: builds the static library, links it into a C program, runs that.
# With "cortex-m" it also builds for a Cortex-M4F and prints the size of the linked code; that needs a toolchain with the
# target, or one that can build core from source (RUSTC, CARGO and BUILD_STD say which).
set -eu
cd "$(dirname "$0")"
target=${CARGO_TARGET_DIR:-$PWD/target}

host() {
    cargo build --release --locked
    cc -o "$target/no_std" main.c "$target/release/libemberkv_no_std.a"
    if nm "$target/no_std" | grep -E ' (malloc|calloc|realloc|posix_memalign)(@|$)|__rust_alloc|__rdl_alloc|_ZN3std'; then
        echo "no_std: the program refers to std or to an allocator" >&2
        exit 1
    fi
    "$target/no_std"
    echo "no_std: linked without std and without an allocator, sessions ran"
}

cortex_m() {
    triple=thumbv7em-none-eabihf
    # shellcheck disable=SC2086
    ${CARGO:-cargo} build --release --locked ${BUILD_STD:-} --target $triple
    lld=$(find "$(rustc --print sysroot)/lib/rustlib" -name rust-lld -type f | head -n 1)
    "$lld" -flavor gnu --gc-sections -e emberkv_no_std_sessions \
        -o "$target/no_std.elf" "$target/$triple/release/libemberkv_no_std.a"
    size "$target/no_std.elf"
}

case ${1:-host} in
host) host ;;
cortex-m) cortex_m ;;
*) echo "usage: run.sh [host|cortex-m]" >&2; exit 2 ;;
esac
