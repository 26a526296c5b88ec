//! A node of the Headwater overlay.

#[cfg(feature = "net")]
pub mod admin;
pub mod config;
#[cfg(feature = "net")]
mod http;
pub mod hub;
#[cfg(feature = "net")]
pub mod node;
pub mod status;
#[cfg(feature = "net")]
pub mod web;
