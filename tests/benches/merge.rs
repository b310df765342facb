//! Measures merging, on a device in memory.
//!
//! ```text
//! cargo bench -p emberkv-tests --bench merge -- amplification [TURNS]      bytes written for each byte
//! cargo bench -p emberkv-tests --bench merge -- latency [PUTS] [PLOT.svg]  device bytes and time of a put, p50 to the most
//! cargo bench -p emberkv-tests --bench merge -- fresh [PAIRS] [ENTRIES]    puts and deletes of ever new keys
//! ```
//! Without an argument it does a little of each.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

#[path = "merge/amplification.rs"]
mod amplification;
#[path = "merge/fresh.rs"]
mod fresh;
#[path = "merge/latency.rs"]
mod latency;
#[path = "merge/plot.rs"]
mod plot;

fn main() {
    // Cargo adds `--bench`.
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let number = |index: usize, otherwise: u64| {
        let given = arguments.get(index).map(|text| text.replace('_', ""));
        given.map_or(otherwise, |text| text.parse().expect("a number"))
    };
    match arguments.first().map(String::as_str) {
        Some("amplification") => amplification::measure(number(1, 8)),
        Some("latency") => latency::measure(number(1, 400_000), arguments.get(2)),
        Some("fresh") => fresh::measure(number(1, 100_000_000), number(2, 1_000_000)),
        None => {
            amplification::measure(2);
            latency::measure(50_000, None);
            fresh::measure(200_000, 5_000);
        }
        Some(other) => panic!("{other}: neither amplification nor latency nor fresh"),
    }
}
