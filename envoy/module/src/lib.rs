//! The module that Envoy loads: all of it is the library's. The library is compiled for size, and what links it decides how
//! the whole is optimised: here for speed, with vectors.

pub use bartizan::policy;
