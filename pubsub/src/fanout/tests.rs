//! Stories of one track, its sources and its readers, told with virtual time.

mod fetch;
mod filter;
mod harness;
mod joining;
mod memory;
mod random;
mod recovery;
mod resume;
mod story;
