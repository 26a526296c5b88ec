//! The `moq` command.

fn main() {}
