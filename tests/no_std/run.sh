#!/bin/sh
# Proves that core needs neither std nor an allocator: builds the static library, links it into a C program, runs that.
# With "cortex-m" it also builds for a Cortex-M4F and prints the size of the linked code; that needs a toolchain with the
# target, or one that can build core from source (RUSTC, CARGO and BUILD_STD say which). "size" prints what each part of a
# store costs a Cortex-M4 in code, beside the recorded figures; "record" records them; "stack" prints the deepest stack of
# each call (a nightly compiler, or RUSTC_BOOTSTRAP=1).
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

# The library of `size` with these features, linked with what they need and nothing else.
link_size() {
    triple=thumbv7em-none-eabi
    # shellcheck disable=SC2086
    ${CARGO:-cargo} build --quiet --release --locked ${BUILD_STD:-} --target $triple -p emberkv-size \
        --config profile.release.overflow-checks=false --no-default-features --features "$1"
    lld=$(find "$(rustc --print sysroot)/lib/rustlib" -name rust-lld -type f | head -n 1)
    "$lld" -flavor gnu --gc-sections -e emberkv_size -o "$target/size.elf" "$target/$triple/release/libemberkv_size.a"
}

# Rows: a name for the table, then the features. The first row is what every program has.
rows() {
    cat <<'ROWS'
open, put, get, sync:
 + delete:delete
 + batches:batch
 + iteration:iterate
 + merge_step:merge
 + snapshots:snapshots
 + failed writes made anew (rehome):rehome
 + growing with the device (resize):resize
 + hints:hints
 + chunked values and streams (chunks):streams
 + opens behind damage (salvage):salvage
 + check, scrub_step (check):check
 + open_or_format:format
open, put, get, sync, delete, merge_step, snapshots:delete merge snapshots
the same, asynchronous:delete merge snapshots asynchronous
everything:delete batch iterate merge snapshots rehome resize hints streams salvage check format
ROWS
}

# Bytes of code and constants of each row, and how many more than recorded.
measure() {
    rows | while IFS=: read -r name features; do
        link_size "$features"
        bytes=$(size -A "$target/size.elf" | awk '$1 == ".text" || $1 == ".rodata" { sum += $2 } END { print sum }')
        recorded=$(awk -F '\t' -v name="$name" '$1 == name { print $2 }' size/figures.txt 2>/dev/null || true)
        printf '%s\t%s\t%+d\n' "$name" "$bytes" $((bytes - ${recorded:-bytes}))
    done
}

show() {
    awk -F '\t' '{ printf "%-55s %7d bytes %+6d\n", $1, $2, $3 }'
}

stack() {
    RUSTFLAGS="${RUSTFLAGS:-} -Zemit-stack-sizes"
    export RUSTFLAGS
    link_size "delete batch iterate merge snapshots format"
    calls=$(llvm-nm "$target/size.elf" | awk '$3 ~ /^ember_/ { list = list "," $3 } END { print substr(list, 2) }')
    (llvm-readobj --stack-sizes "$target/size.elf"; llvm-objdump -d --no-show-raw-insn "$target/size.elf") |
        awk -v skip='^ember' -v entry="$calls" -f stack.awk
}

case ${1:-host} in
host) host ;;
cortex-m) cortex_m ;;
size) measure | show ;;
record) measure | cut -f 1,2 >size/figures.new && mv size/figures.new size/figures.txt ;;
stack) stack ;;
*) echo "usage: run.sh [host|cortex-m|size|record|stack]" >&2; exit 2 ;;
esac
