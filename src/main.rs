//! The binary: logging, then the command.

fn main() {}
