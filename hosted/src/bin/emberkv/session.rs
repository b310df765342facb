//! A load under way: what is stored, up to where it is durable, who is told about it.
//!
//! Entries are stored in order and a sync covers all before it, so "the first N are durable" is the
//! whole truth about a load at any moment. N only ever grows after a sync that succeeded.

use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use serde_json::json;

use crate::failure::{At, Failure};
use crate::host::HostStore;
use crate::output::Output;
use crate::size;

/// Sync when so many bytes are not durable yet.
const SYNC_BYTES: u64 = 8 << 20;

/// Sync when something has not been durable for so long.
const SYNC_AGE: Duration = Duration::from_millis(500);

/// What the entries of a load are called, in messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Files of a tree.
    Files,
    /// Lines of a text.
    Entries,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Entries => "entries",
        }
    }
}

/// A load under way.
pub(crate) struct Session<'s, 'm> {
    /// The store.
    pub(crate) store: &'s mut HostStore<'m>,
    /// Its path.
    pub(crate) path: &'s Path,
    /// The progress bar; hidden where nobody watches.
    pub(crate) bar: ProgressBar,
    /// Things met that are not stored.
    pub(crate) skipped: u64,
    unit: Unit,
    acks: Option<Output>,
    started: Instant,
    /// When the oldest entry that is not durable was stored.
    waiting_since: Option<Instant>,
    waiting_bytes: u64,
    done: u64,
    durable: u64,
    bytes: u64,
    unchanged: u64,
}

impl<'s, 'm> Session<'s, 'm> {
    /// A load into `store` that begins now.
    pub(crate) fn new(
        store: &'s mut HostStore<'m>,
        path: &'s Path,
        unit: Unit,
        acks: Option<Output>,
        bar: ProgressBar,
    ) -> Self {
        Self {
            store,
            path,
            bar,
            skipped: 0,
            unit,
            acks,
            started: Instant::now(),
            waiting_since: None,
            waiting_bytes: 0,
            done: 0,
            durable: 0,
            bytes: 0,
            unchanged: 0,
        }
    }

    /// Counts an entry that was put, and syncs when it is time.
    pub(crate) fn stored(&mut self, bytes: u64) -> Result<(), Failure> {
        self.done += 1;
        self.bytes += bytes;
        self.waiting_bytes += bytes;
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        if self.waiting_bytes >= SYNC_BYTES || since.elapsed() >= SYNC_AGE {
            self.sync()?;
        }
        Ok(())
    }

    /// Counts an entry that the store already held. It was there before this load, so it is durable
    /// as soon as all before it is.
    pub(crate) fn unchanged(&mut self) {
        self.done += 1;
        self.unchanged += 1;
        if self.waiting_since.is_none() {
            self.durable = self.done;
        }
    }

    /// How long the oldest entry that is not durable may wait; `None` if there is none. Less than a
    /// second.
    pub(crate) fn time_to_sync(&self) -> Option<Duration> {
        self.waiting_since.map(|since| SYNC_AGE.saturating_sub(since.elapsed()))
    }

    /// Makes all that was stored durable, and says so.
    pub(crate) fn sync(&mut self) -> Result<(), Failure> {
        self.store.sync().at(self.path)?;
        self.waiting_since = None;
        self.waiting_bytes = 0;
        self.durable = self.done;
        self.bar.set_message(format!("{} {} durable", self.durable, self.unit.name()));
        self.acknowledge()
    }

    /// Prints the line for scripts. A reader that has gone does not end the load: it asked for the
    /// data to be stored in the first place.
    fn acknowledge(&mut self) -> Result<(), Failure> {
        let Some(output) = &mut self.acks else { return Ok(()) };
        let told = output.line(&format!("durable {}", self.durable)).and_then(|()| output.flush());
        match told {
            Err(Failure::PipeClosed) => {
                self.acks = None;
                Ok(())
            }
            told => told,
        }
    }

    /// Makes durable what a failed load did store, and adds to the failure up to where it is.
    pub(crate) fn abandon(mut self, failure: Failure) -> Failure {
        self.bar.finish_and_clear();
        if self.waiting_since.is_some() {
            // A second failure says nothing new; `durable` stays where it was.
            let _ = self.sync();
        }
        let unit = self.unit.name();
        failure.with_remark(&match self.durable {
            0 => format!("no {unit} were loaded"),
            1 => format!("the first of the {unit} is durable"),
            durable => format!("the first {durable} {unit} are durable"),
        })
    }

    /// Ends a load that went through, and answers its summary.
    pub(crate) fn finish(mut self) -> Result<Summary, Failure> {
        self.sync()?;
        self.bar.finish_and_clear();
        Ok(Summary {
            unit: self.unit,
            done: self.done,
            durable: self.durable,
            bytes: self.bytes,
            unchanged: self.unchanged,
            skipped: self.skipped,
            elapsed: self.started.elapsed(),
        })
    }
}

/// What a load did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Summary {
    unit: Unit,
    done: u64,
    durable: u64,
    bytes: u64,
    unchanged: u64,
    skipped: u64,
    elapsed: Duration,
}

impl Summary {
    /// For a person.
    pub(crate) fn line(&self) -> String {
        let mut line = format!(
            "loaded {} {}, {} bytes in {:.2} s ({:.1} MB/s)",
            self.done - self.unchanged,
            self.unit.name(),
            self.bytes,
            self.elapsed.as_secs_f64(),
            self.megabytes_per_second(),
        );
        if self.unchanged > 0 {
            line.push_str(&format!(", {} unchanged", self.unchanged));
        }
        if self.skipped > 0 {
            line.push_str(&format!(", {} skipped", self.skipped));
        }
        line.push_str("; all durable");
        line
    }

    /// For a script; `created` is the capacity and the most that it may grow to, if the load made
    /// the store.
    pub(crate) fn json(&self, created: Option<(u64, u64)>) -> String {
        json!({
            (self.unit.name()): self.done - self.unchanged,
            "bytes": self.bytes,
            "seconds": self.elapsed.as_secs_f64(),
            "mb_per_s": self.megabytes_per_second(),
            "unchanged": self.unchanged,
            "skipped": self.skipped,
            "durable": self.durable,
            "created": created.map(|(capacity, max)| json!({
                "capacity": capacity,
                "capacity_max": max,
            })),
        })
        .to_string()
    }

    /// Millions of bytes a second.
    fn megabytes_per_second(&self) -> f64 {
        // Counts below 2^53 are exact in f64, and this is for reading.
        self.bytes as f64 / 1e6 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

/// What to say about a store that was just made.
pub(crate) fn created_line(path: &Path, capacity: u64, capacity_max: u64) -> String {
    let growth = if capacity_max > capacity {
        format!(" that grows to at most {}", size::human(capacity_max))
    } else {
        String::new()
    };
    let place = crate::failure::shown(path);
    format!("created {place}: a store of {}{growth}", size::human(capacity))
}
