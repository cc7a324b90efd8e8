//! The proxy-wasm edge: carries bytes, headers and the time to the core and its verdicts back.
//! Nothing is decided here. Built for wasm32 only.

mod calls;
mod envoy;
mod host;
mod root;
mod stream;
mod worker;

use proxy_wasm::types::LogLevel;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|context| Box::new(root::Root::new(context)));
}}
