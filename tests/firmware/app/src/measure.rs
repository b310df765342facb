//! Counts what calls cost: placeholder.
