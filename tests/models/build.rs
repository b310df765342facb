//! Takes the protocols of `hosted/src` as they are for loom, and the whole of `hosted/src` for shuttle;
//! each once more for each seeded bug: a copy in which one piece of text is another. Where that piece is not found exactly
//! once, the build fails, so a bug cannot fall behind the code.

use std::fs;
use std::path::{Path, PathBuf};

/// The protocols: files that need nothing of the engine.
const PROTOCOLS: [&str; 3] = ["signal", "handover", "spread"];

/// Name, file, what it says, what it says with the bug.
const BUGS: [(&str, &str, &str, &str); 8] = [
    (
        "looks_before_it_is_counted",
        "spread",
        "self.reader().fetch_add(1, Ordering::SeqCst);\n        let is_open = self.gate.0.word.load(Ordering::SeqCst) == OPEN;",
        "let is_open = self.gate.0.word.load(Ordering::SeqCst) == OPEN;\n        self.reader().fetch_add(1, Ordering::SeqCst);",
    ),
    (
        "leaves_a_writer_asleep",
        "spread",
        "if waits.load(Ordering::SeqCst) == 1 && waits.swap(0, Ordering::SeqCst) == 1 {",
        "if waits.swap(0, Ordering::SeqCst) == 9 {",
    ),
    (
        "sleeps_without_a_second_look",
        "signal",
        "if self.ticket() == since {",
        "if self.ticket().0.wrapping_sub(since.0) < 9 {\n            let since = self.ticket();",
    ),
    (
        "counts_after_the_glance_at_sleepers",
        "signal",
        "self.word.fetch_add(1, Ordering::SeqCst);\n        if self.sleepers.load(Ordering::SeqCst) > 0 {",
        "let sleepers = self.sleepers.load(Ordering::SeqCst);\n        self.word.fetch_add(1, Ordering::SeqCst);\n        if sleepers > 0 {",
    ),
    (
        "glances_before_the_ticket",
        "handover",
        "let ticket = batch.signal.ticket();\n            if self.durable.load(Ordering::SeqCst) >= target {",
        "let durable = self.durable.load(Ordering::SeqCst);\n            let lead = batch.lead.swap(false, Ordering::SeqCst);\n            let ticket = batch.signal.ticket();\n            if lead {\n                return Followed::Lead;\n            }\n            if durable >= target {",
    ),
    (
        "passes_the_lead_without_a_wake_up",
        "handover",
        "self.batch(batch).signal.notify_one();",
        "let _ = batch;",
    ),
    (
        "acknowledges_what_gathers",
        "handover",
        "waiting.durable.store(durable, Ordering::SeqCst);\n        waiting.expected",
        "waiting.durable.store(durable.max(self.newest), Ordering::SeqCst);\n        waiting.expected",
    ),
    ("fails_in_silence", "handover", "self.failures.fetch_add(1, Ordering::SeqCst);", ""),
];

/// Bugs in the whole: as above.
const WHOLE_BUGS: [(&str, &str, &str, &str); 2] = [
    (
        "db_that_acknowledges_what_gathers",
        "handover",
        "waiting.durable.store(durable, Ordering::SeqCst);\n        waiting.expected",
        "waiting.durable.store(durable.max(self.newest), Ordering::SeqCst);\n        waiting.expected",
    ),
    (
        "db_that_tells_nobody_of_an_operation_that_is_done",
        "shared",
        "state.engine.complete(op.id, result);\n        self.progress.notify_all();",
        "state.engine.complete(op.id, result);",
    ),
];

/// A module of the hosted crate, with the paths that it has here.
fn module(hosted: &Path, name: &str, sync: &str, bug: Option<(&str, &str)>) -> String {
    let text = text(hosted, name, bug);
    let text = text.replace("crate::sync", "\0").replace("crate::", "super::").replace('\0', sync);
    format!("pub(crate) mod {name} {{\n{text}\n}}\n")
}

/// Its text without what cannot stand inside of another file.
fn text(hosted: &Path, name: &str, bug: Option<(&str, &str)>) -> String {
    let path = hosted.join(name).with_extension("rs");
    println!("cargo::rerun-if-changed={}", path.display());
    let mut text = fs::read_to_string(&path).expect("the hosted crate lies beside this one");
    if let Some((from, to)) = bug {
        assert_eq!(text.matches(from).count(), 1, "the seeded bug's place in {name}: {from}");
        text = text.replace(from, to);
    }
    // Documentation of a file cannot stand inside of another, and its unit tests run over there.
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("//!")).collect();
    lines.join("\n")
}

/// All modules of the hosted crate but `sync`, and its root around them.
fn whole(hosted: &Path, bug: Option<(&str, &str, &str)>) -> String {
    let root = text(hosted, "lib", None);
    let is_module = |line: &str| line.ends_with(';') && line.contains("mod ");
    let mut all: String = root
        .lines()
        .filter(|line| !is_module(line) && *line != "#[doc(hidden)]")
        .map(|line| format!("{}\n", line.replace("crate::", "self::")))
        .collect();
    for name in root.lines().filter(|line| is_module(line)) {
        let name = name.trim_end_matches(';').rsplit(' ').next().unwrap_or_default();
        if name != "sync" {
            let bug = bug.filter(|bug| bug.0 == name).map(|(_, from, to)| (from, to));
            // Small, because a store is opened for every schedule.
            let smaller = ("VERSIONS_MAX: u32 = 1 << 18", "VERSIONS_MAX: u32 = 1 << 8");
            let change = bug.or((name == "builder").then_some(smaller));
            all += &module(hosted, name, "crate::shuttle_sync", change);
        }
    }
    all
}

/// Fewer slots and turns, since every step is tried in every order.
fn small_spread(text: &str) -> String {
    text.replace("SLOTS: usize = 8", "SLOTS: usize = 2")
        .replace("LOOKS: u32 = 100", "LOOKS: u32 = 1")
}

fn main() {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(std::env::var("OUT_DIR").expect("cargo sets it"));
    let hosted = root.join("../../hosted/src");
    let protocols = |bug: Option<(&str, &str, &str)>| -> String {
        PROTOCOLS
            .iter()
            .map(|&name| {
                let bug = bug.filter(|bug| bug.0 == name).map(|(_, from, to)| (from, to));
                let text = module(&hosted, name, "crate::loom_sync", bug);
                if name == "spread" { small_spread(&text) } else { text }
            })
            .collect()
    };
    let mut all = format!("variant!(sound {{ {} }});\n", protocols(None));
    for (name, file, from, to) in BUGS {
        all += &format!("variant!({name} {{ {} }});\n", protocols(Some((file, from, to))));
    }
    all += &format!("whole!(sound_db {{ {} }});\n", whole(&hosted, None));
    for (name, file, from, to) in WHOLE_BUGS {
        all += &format!("whole!({name} {{ {} }});\n", whole(&hosted, Some((file, from, to))));
    }
    fs::write(out.join("variants.rs"), all).expect("cargo's directory can be written");
}
