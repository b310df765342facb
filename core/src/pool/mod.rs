//! The buffer pool: a fixed number of page-sized frames, the only place where bytes of the log are held in memory.

mod frames;
mod page_table;

pub use frames::Pool;
pub use page_table::PageTable;
