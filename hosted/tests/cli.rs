//! The command line, as a user and as a script meet it: the built program, its exit codes, every
//! byte of its output. Grouped by what is looked at; `support` runs the program.

#[path = "cli/bad_input.rs"]
mod bad_input;
#[path = "cli/block.rs"]
mod block;
#[path = "cli/firmware.rs"]
mod firmware;
#[path = "cli/full_disk.rs"]
mod full_disk;
#[path = "cli/kill.rs"]
mod kill;
#[path = "cli/salvage.rs"]
mod salvage;
#[path = "cli/support.rs"]
mod support;
#[path = "cli/text.rs"]
mod text;
#[path = "cli/tree.rs"]
mod tree;
#[path = "cli/verbs.rs"]
mod verbs;
