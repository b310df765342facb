//! Puts the memory map where the linker finds it.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it for build scripts"));
    fs::write(
        out.join("memory.x"),
        if env::var("DDR").is_ok() {
            "MEMORY { FLASH : ORIGIN = 0, LENGTH = 256K\nRAM : ORIGIN = 0xA0000000, LENGTH = 1M }\n"
        } else {
            include_str!("memory.x")
        },
    )
    .expect("the output directory is ours");
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    println!("cargo::rerun-if-env-changed=DDR");
    println!("cargo::rerun-if-changed=memory.x");
}
