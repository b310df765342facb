//! What one put costs with merges going on, in a store that is as full as 95 % of admission: device bytes and time.

use std::time::Instant;

use emberkv_core::{Pacing, Store};
use emberkv_tests::churn::{Aim, Rig, Shape, Sizes};

use super::plot::{Series, draw};

/// Columns of the plot: each shows the slowest of its puts.
const COLUMNS: usize = 1000;
const SHARES: [(&str, f64); 6] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999), ("max", 1.0)];

struct Measured {
    bytes: Vec<u64>,
    nanoseconds: Vec<u64>,
}

fn churn(pacing: Pacing, puts: u64) -> Measured {
    let mut shape = Shape::block(128, 256 << 10).with_pacing(pacing);
    shape.config.frames = 1024;
    shape.config.keys_max = 400_000;
    let device = shape.device();
    let mut arena = shape.arena(&device);
    let store = Store::format(device, &mut arena, &shape.config).expect("formats");
    let mut rig = Rig::new(store, Sizes::Of(100), 1);
    rig.fill(95).expect("fills");
    let mut aimer = rig.aimer(Aim::Uniform);
    // The first turn reaches the steady state.
    for _ in 0..2 * rig.key_count {
        rig.overwrite(&mut aimer).expect("overwrites");
    }
    let mut measured = Measured { bytes: Vec::new(), nanoseconds: Vec::new() };
    for _ in 0..puts {
        let start = Instant::now();
        let call = rig.overwrite(&mut aimer).expect("overwrites");
        measured.nanoseconds.push(start.elapsed().as_nanos() as u64);
        measured.bytes.push(call.read + call.written);
    }
    measured
}

fn line(name: &str, values: &[u64], unit: f64) {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    print!("| {name} |");
    for (_, share) in SHARES {
        let index = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len()) - 1;
        print!(" {:.1} |", sorted[index] as f64 / unit);
    }
    println!();
}

/// Prints the table; draws the slowest puts over time.
pub(crate) fn measure(puts: u64, plot: Option<&String>) {
    let names: Vec<&str> = SHARES.iter().map(|&(name, _)| name).collect();
    println!("| a put of 100 bytes | {} |", names.join(" | "));
    println!("|---|---|---|---|---|---|---|");
    let (even, at_once) = (churn(Pacing::Incremental, puts), churn(Pacing::OneShot, puts));
    for (name, measured) in [("incremental", &even), ("one shot", &at_once)] {
        line(&format!("{name}, KiB on the device"), &measured.bytes, 1024.0);
        line(&format!("{name}, microseconds"), &measured.nanoseconds, 1000.0);
    }
    if let Some(path) = plot {
        let columns = |measured: &Measured| -> Vec<f64> {
            let chunk = measured.nanoseconds.len().div_ceil(COLUMNS).max(1);
            let most = |puts: &[u64]| puts.iter().copied().max().unwrap_or(0) as f64 / 1000.0;
            measured.nanoseconds.chunks(chunk).map(most).collect()
        };
        let (even, at_once) = (columns(&even), columns(&at_once));
        let series = [
            Series { name: "one shot", colour: "#c33", columns: &at_once },
            Series { name: "incremental", colour: "#06c", columns: &even },
        ];
        let title = "The slowest put of each moment, while segments are merged";
        std::fs::write(path, draw(title, "puts", puts, &series)).expect("the plot is written");
        println!("plot: {path}");
    }
}
