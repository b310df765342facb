//! Puts the memory map where the linker finds it.

use std::path::PathBuf;
use std::{env, fs};

/// The end of the first MiB of the external memory of `emcraft-sf2`.
const EXTERNAL_STACK: &str = "0xA0100000";

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it for build scripts"));
    fs::write(out.join("memory.x"), include_str!("memory.x"))
        .expect("the output directory is ours");
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    // Opening by a future takes about 40 KiB of stack: see README.md.
    println!("cargo::rustc-link-arg-bin=emcraft-sf2-async=--defsym=_stack_start={EXTERNAL_STACK}");
    println!("cargo::rerun-if-changed=memory.x");
}
