//! A node of the Headwater overlay.

pub mod config;
