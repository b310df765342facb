//! The two decision tables of recovery, cell by cell: what a segment's header copies say, and whether the first place
//! without a whole group is torn or corrupt. `core/docs/FORMAT.md` has the rules; the reasons stand here beside each cell.

#[path = "decisions/bench.rs"]
mod bench;
#[path = "decisions/crafted.rs"]
mod crafted;
#[path = "decisions/headers.rs"]
mod headers;
#[path = "decisions/sealed.rs"]
mod sealed;
#[path = "decisions/torn.rs"]
mod torn;
