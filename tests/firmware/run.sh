#!/bin/sh
# Firmware on emulated boards. What it needs comes from Debian by name; where that cannot be had it says SKIPPED and why.
#
#   run.sh              everything that CI runs: about four minutes, most of it compiling
#   run.sh cuts N SEED  N power cuts on each board
#   run.sh measure      instructions, stack and futures
#   run.sh conformance  the device contract on both boards
#   run.sh build TRIPLE only builds, for another target: thumbv7em-none-eabihf
#
# RUSTC and CARGO choose another toolchain that can build core from source (with RUSTC_BOOTSTRAP) for thumbv7m-none-eabi.
set -eu
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
target=${CARGO_TARGET_DIR:-$PWD/target}
export CARGO_TARGET_DIR="$target"
triple=thumbv7m-none-eabi
elf=$target/$triple/release
seed=${EMBER_FIRMWARE_SEED:-1}

skip() {
    echo "SKIPPED: firmware: $*"
    exit 0
}

# What to install: an emulator, and a compiler that comes with core's source.
packages="qemu-system-arm rustc-web cargo-web rust-web-src"

tools() {
    command -v qemu-system-arm >/dev/null && [ -e /usr/lib/rustlib/src/rust/library/core ] && return 0
    command -v apt-get >/dev/null || skip "no qemu-system-arm or no source of core, and no apt-get to install $packages"
    [ "$(id -u)" = 0 ] || skip "no qemu-system-arm or no source of core, and not root: apt-get install $packages"
    # shellcheck disable=SC2086
    (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages) \
        >/dev/null 2>&1 || skip "apt-get install $packages failed"
}

# The linker that every rustup toolchain has, or LLVM's.
linker() {
    find "$(rustc --print sysroot)/lib/rustlib" -name rust-lld -type f 2>/dev/null | head -n 1
}

build() {
    tools
    lld=$(linker)
    [ -n "$lld" ] || lld=$(command -v ld.lld) || skip "no rust-lld and no ld.lld"
    rustc=${RUSTC:-/usr/bin/rustc}
    "$rustc" --version | awk '{ split($2, v, "."); exit !(v[1] > 1 || v[2] >= 95) }' || skip "$rustc is older than 1.95"
    RUSTC=$rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Clinker=$lld" \
        "${CARGO:-/usr/bin/cargo}" build --release --locked -Zbuild-std=core --target $triple -p emberkv-firmware
    cargo build --release --locked -p emberkv-firmware-harness
    (cd "$root" && cargo build --release --locked -p emberkv)
}

# board medium words..: one run that must end well. ICOUNT: a clock that advances with instructions.
emulate() {
    board=$1 words=
    shift
    for word in "$@"; do words=$words,arg=$word; done
    image=$(mktemp)
    case $board in
    lm3s6965evb) interface=sd; head -c 1048576 /dev/zero >"$image" ;;
    *) interface=mtd; head -c 16777216 /dev/zero | tr '\0' '\377' >"$image" ;;
    esac
    status=0
    # shellcheck disable=SC2086
    timeout 300 qemu-system-arm -machine "${board%-async}" -display none -monitor none -serial null -nodefaults ${ICOUNT:-} \
        -semihosting-config "enable=on,target=native,arg=firmware$words" -kernel "$elf/$board" \
        -drive if=$interface,format=raw,file="$image" 2>"$image.err" >"$image.out" || status=$?
    sed "s/^/$board: /" "$image.out"
    [ $status = 0 ] || cat "$image.err" >&2
    rm -f "$image" "$image.err" "$image.out"
    return $status
}

conformance() {
    emulate lm3s6965evb conformance
    emulate emcraft-sf2 conformance
}

measure() {
    ICOUNT="-icount shift=4,align=off,sleep=off" emulate emcraft-sf2 measure
    emulate emcraft-sf2-async
}

cuts() {
    for board in lm3s6965evb emcraft-sf2; do
        "$target/release/harness" --board $board --firmware "$elf/$board" --emberkv "$target/release/emberkv" \
            --work "$target/firmware-images" --cuts "$1" --seed "$2" --inspect-every "$3"
    done
}

# Firmware that acknowledges before it syncs: a harness that lets it pass sees nothing.
canary() {
    if "$target/release/harness" --board lm3s6965evb --firmware "$elf/lm3s6965evb" --emberkv "$target/release/emberkv" \
        --work "$target/firmware-images" --cuts 25 --canary early-acks 2>"$target/canary.log"; then
        echo "firmware: early acknowledgements were not noticed" >&2
        exit 1
    fi
    grep "LOST\|NoState" "$target/canary.log"
}

case ${1:-all} in
all)
    cargo fmt --all --check
    cargo clippy --release --locked -p emberkv-firmware-harness -p emberkv-firmware-script --all-targets -- -D warnings
    build
    cargo test --release --locked -p emberkv-firmware-script
    conformance
    measure
    canary
    cuts 25 "$seed" 1
    ;;
cuts) build; cuts "${2:-1000}" "${3:-$seed}" 10 ;;
measure) build; measure ;;
conformance) build; conformance ;;
build) triple=${2:-$triple}; build ;;
*) echo "usage: run.sh [cuts N SEED|measure|conformance|build TRIPLE]" >&2; exit 2 ;;
esac
