//! The decision tables of recovery, cell by cell: what a segment's header copies say, whether the first place without a
//! whole group is torn or corrupt, what tells where a sealed segment ends, which segments are free; and what one damaged
//! place does to a store that merged. `core/docs/FORMAT.md` has the rules; the reasons stand here beside each cell.

#[path = "decisions/announced.rs"]
mod announced;
#[path = "decisions/bench.rs"]
mod bench;
#[path = "decisions/crafted.rs"]
mod crafted;
#[path = "decisions/headers.rs"]
mod headers;
#[path = "decisions/rot.rs"]
mod rot;
#[path = "decisions/sealed.rs"]
mod sealed;
#[path = "decisions/torn.rs"]
mod torn;
