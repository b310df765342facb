//! The words of the command line: `emberkv VERB PATH ...`, and the help text.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use emberkv_raw::probe::Content;

use crate::size;

const EXAMPLES: &str = "\
Examples:
  emberkv create data.ember --capacity 64MiB --max-capacity 64GiB
  emberkv put data.ember greeting 'hello, world'
  emberkv get data.ember greeting
  emberkv put data.ember photo --file photo.jpg
  emberkv load data.ember --tree /usr/share/doc
  emberkv list data.ember --prefix README
  emberkv dump data.ember --format jsonl -o data.jsonl
  emberkv check data.ember
  emberkv merge data.ember --shrink
  emberkv salvage data.ember --to saved.ember
  emberkv backup data.ember --to copy.ember
  emberkv create /dev/sdx1
  emberkv bench /var/tmp --threads 4 --plot latency.svg

Exit codes:
  0  done
  1  the key is not there, or `check` or `salvage` found damage
  2  an error; one line on standard error says what and what to do

A key or value that begins with a dash follows `--`:  emberkv put data.ember -- -key -value
Keys come back in no particular order; `emberkv list data.ember | sort` sorts them.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "emberkv",
    version,
    about = "A crash-safe key-value store in one file, or on a disk or partition of its own",
    after_help = EXAMPLES,
    propagate_version = true
)]
pub(crate) struct Arguments {
    /// Memory for the buffer pool
    #[arg(long, global = true, value_name = "SIZE", default_value = "64MiB")]
    #[arg(value_parser = size::parse)]
    pub(crate) cache: u64,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make a new store; never touches a file that exists, nor a disk that is not blank
    #[command(visible_alias = "format")]
    Create(Create),
    /// Store a value; returns when it is on the medium
    Put(Put),
    /// Write the value of a key to standard output, as it is
    Get(Key),
    /// Delete a key; returns when that is on the medium
    Delete(Key),
    /// List the keys, one a line, in no particular order
    List(List),
    /// Store many entries from a file, standard input or a directory tree
    Load(Load),
    /// Write all entries as text, or as files below a directory
    Dump(Dump),
    /// Show sizes and counts
    Stat(Report),
    /// Verify every checksum and list what is damaged; changes nothing
    #[command(visible_alias = "scrub")]
    Check(Report),
    /// Reclaim now what writes reclaim bit by bit: space of overwritten and deleted entries
    Merge(Merge),
    /// Copy everything that can still be read into a new store; changes nothing in the old one
    Salvage(Salvage),
    /// Copy everything into a new store, which appears when it is whole
    Backup(Backup),
    /// Draw the segments, each by how much of it is alive
    Map(Report),
    /// Measure a store of its own in a directory, which is gone afterwards
    Bench(Bench),
    /// Print a script that makes a shell complete these words
    Completions(Completions),
}

/// `create PATH`
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The store's file, which must not exist, or a block device
    pub(crate) path: PathBuf,
    /// Size of the new file, all of it allocated now; at least five segments [default: 64MiB]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub(crate) capacity: Option<u64>,
    /// Size that the file may grow to by itself [default: the capacity given; without one the free
    /// space of the file system, at most 64GiB]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub(crate) max_capacity: Option<u64>,
    /// Segment size, a power of two [default: 128KiB to 4MiB, more only for stores above 64GiB]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub(crate) segment: Option<u64>,
    /// Overwrite a block device that holds exactly this; without it only a blank one is taken, and
    /// the refusal says what is there and the word to use here
    #[arg(long, value_name = "WHAT", value_parser = content)]
    pub(crate) destroy: Option<Content>,
}

/// What a block device may hold, by its name.
fn content(name: &str) -> Result<Content, String> {
    let unknown = || "run `create` without it first: it says what is there".to_owned();
    name.parse().ok().filter(|&content| content != Content::Blank).ok_or_else(unknown)
}

/// `put PATH KEY VALUE`
#[derive(Debug, Args)]
pub(crate) struct Put {
    /// The store
    pub(crate) path: PathBuf,
    /// The key: 1 to 4096 bytes
    #[arg(allow_negative_numbers = true)]
    pub(crate) key: OsString,
    /// The value; `-` reads it from standard input
    #[arg(allow_negative_numbers = true, required_unless_present = "file")]
    pub(crate) value: Option<OsString>,
    /// Take the value from this file, whatever its size
    #[arg(long, short, value_name = "FILE", conflicts_with = "value")]
    pub(crate) file: Option<PathBuf>,
}

/// `get PATH KEY` and `delete PATH KEY`
#[derive(Debug, Args)]
pub(crate) struct Key {
    /// The store
    pub(crate) path: PathBuf,
    /// The key
    #[arg(allow_negative_numbers = true)]
    pub(crate) key: OsString,
}

/// `list PATH`
#[derive(Debug, Args)]
pub(crate) struct List {
    /// The store
    pub(crate) path: PathBuf,
    /// Only the keys that begin with this
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) prefix: Option<OsString>,
    /// End each key with a NUL byte instead of a newline, for `xargs -0`
    #[arg(long, short = '0')]
    pub(crate) null: bool,
}

/// The text formats of `load` and `dump`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// KEY <tab> VALUE, one entry a line; \t \n \r \\ \0 \xHH stand for bytes that are not text
    Tsv,
    /// {"key": "..", "value": ".."} a line; key_base64 and value_base64 for bytes that are not
    /// UTF-8
    Jsonl,
}

const LOAD_HELP: &str = "\
The store is created where there is none: 64 MiB that grow up to the free space of the file
system, at most 64 GiB. For other sizes run `emberkv create` first.

Entries become durable in order. The load syncs after 8 MiB or 500 ms, whichever comes first, and
at its end; with --acks it prints `durable N` after each sync: the first N entries (or files) in
order are on the medium, whatever happens next. A load that was interrupted is simply run again;
with --resume it does not write again what the store already holds.

--tree DIR stores every regular file below DIR under its path relative to DIR, in the byte order
of these paths. Symbolic links and special files are skipped and counted; so is the store itself.
Only contents are stored: no owners, modes or times.";

/// `load PATH`
#[derive(Debug, Args)]
#[command(after_help = LOAD_HELP)]
pub(crate) struct Load {
    /// The store; created where there is none
    pub(crate) path: PathBuf,
    /// The file to read; `-` or nothing is standard input
    #[arg(conflicts_with = "tree")]
    pub(crate) input: Option<PathBuf>,
    /// Store the regular files below this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) tree: Option<PathBuf>,
    /// Form of the input [default: by its extension (.tsv .txt .jsonl .ndjson); standard input:
    /// tsv]
    #[arg(long, value_enum, conflicts_with = "tree")]
    pub(crate) format: Option<Format>,
    /// Do not write again what the store already holds
    #[arg(long)]
    pub(crate) resume: bool,
    /// Go on past files that cannot be read, and count them as skipped
    #[arg(long, requires = "tree")]
    pub(crate) skip_unreadable: bool,
    /// For scripts: print `durable N` on standard output after every sync
    #[arg(long)]
    pub(crate) acks: bool,
    /// Print the summary as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `dump PATH`
#[derive(Debug, Args)]
pub(crate) struct Dump {
    /// The store
    pub(crate) path: PathBuf,
    /// Form of the output [default: by the extension of --output, else tsv]
    #[arg(long, value_enum, conflicts_with = "tree")]
    pub(crate) format: Option<Format>,
    /// Write to this new file instead of standard output
    #[arg(long, short, value_name = "FILE", conflicts_with = "tree")]
    pub(crate) output: Option<PathBuf>,
    /// Write each value as a file below this directory, which must be new or empty
    #[arg(long, value_name = "DIR")]
    pub(crate) tree: Option<PathBuf>,
}

/// `merge PATH`
#[derive(Debug, Args)]
pub(crate) struct Merge {
    /// The store
    pub(crate) path: PathBuf,
    /// Give space that the store does not need back to the file system
    #[arg(long)]
    pub(crate) shrink: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const SALVAGE_HELP: &str = "\
Of each key the newest value that can be read is copied, also where a newer one is lost: so an old
value may come back, and a deleted key whose deletion is lost. Every damaged place is one line on
standard error. Exit code 1: something may be lost.";

/// `salvage PATH --to NEWPATH`
#[derive(Debug, Args)]
#[command(after_help = SALVAGE_HELP)]
pub(crate) struct Salvage {
    /// The damaged store
    pub(crate) path: PathBuf,
    /// The new store's file, which must not exist
    #[arg(long, value_name = "NEWPATH")]
    pub(crate) to: PathBuf,
    /// Print the summary as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `backup PATH --to NEWPATH`
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The store
    pub(crate) path: PathBuf,
    /// The copy's file, which must not exist
    #[arg(long, value_name = "NEWPATH")]
    pub(crate) to: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const BENCH_HELP: &str = "\
Four phases: every key is put once, then for the given time each keys are overwritten, overwritten
with durable puts, and read and compared. Puts and overwrites end with a sync, which counts for the
rate. With fewer bytes than the cache (--cache) the gets are cached ones.";

/// `bench DIR`
#[derive(Debug, Args)]
#[command(after_help = BENCH_HELP)]
pub(crate) struct Bench {
    /// A directory on the medium to measure
    pub(crate) path: PathBuf,
    /// Length of each phase but the first
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = seconds)]
    pub(crate) seconds: f64,
    /// Threads that work at once
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) threads: u32,
    /// Keys
    #[arg(long, default_value = "200000")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) keys: u64,
    /// Size of a value
    #[arg(long, value_name = "SIZE", default_value = "100", value_parser = size::parse)]
    pub(crate) value: u64,
    /// Draw latency over time into this file, as SVG
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A length of time that can be waited for.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.01..=86_400.0).contains(seconds));
    seconds.ok_or_else(|| "a number from 0.01 to 86400".to_owned())
}

/// `completions SHELL`
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

/// `stat PATH`, `check PATH` and `map PATH`
#[derive(Debug, Args)]
pub(crate) struct Report {
    /// The store
    pub(crate) path: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
