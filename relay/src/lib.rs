//! A node of the Headwater overlay.

#[cfg(feature = "net")]
pub mod admin;
pub mod config;
#[cfg(feature = "net")]
mod http;
pub mod hub;
pub mod status;
#[cfg(feature = "net")]
pub mod web;
