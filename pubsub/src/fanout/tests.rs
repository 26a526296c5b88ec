//! Stories of one track, its sources and its readers, told with virtual time.

mod harness;
mod story;
