//! The `moq` command as a library, so that tests can reach its parts.

pub mod media;
