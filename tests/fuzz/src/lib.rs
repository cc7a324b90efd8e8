//! What the fuzz targets share: a proxy of one worker, JSON that is changed by its structure, and the golden exchanges
//! that they begin with.
//!
//! Everything is drawn from the fuzzer's bytes, so that a finding is repeated by its file.

pub mod golden;
pub mod proxy;
pub mod shape;
pub mod wire;

pub use libfuzzer_sys::arbitrary::{Result as Draw, Unstructured};

/// A credential that the shipped rules know. Nobody has it.
pub const SECRET: &str = "AKIAQ7EXAMPL3TE5TKXQ";
