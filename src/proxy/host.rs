//! The proxy-wasm ABI 0.2.1 imports that Bartizan needs, declared here so that every status comes
//! back to the caller: the SDK's own wrappers panic on a status they did not expect, and a panic
//! takes the worker's whole VM with it. This is the one file with `unsafe`.
//!
//! Memory: the host allocates what it returns through the SDK's `proxy_on_memory_allocate`, which
//! makes a boxed slice of exactly the asked size. [`take`] turns it into a `Vec` again.

#![allow(unsafe_code)]

use std::ptr;

use proxy_wasm::hostcalls;

use crate::callout::Call;
use crate::host::{Fault, SetOutcome, Shared};

/// Name and value of a header, bytes as they came: not always UTF-8.
pub type Header = (Vec<u8>, Vec<u8>);

const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const CAS_MISMATCH: u32 = 8;

/// A buffer of the stream or the plugin.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum Buffer {
    /// The request's body.
    RequestBody = 0,
    /// The response's body.
    ResponseBody = 1,
    /// The body of the answer to a call of ours.
    CallBody = 4,
    /// The message of the answer to a gRPC call of ours.
    GrpcMessage = 5,
    /// The plugin's configuration.
    PluginConfiguration = 7,
}

/// A header map of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Map {
    /// Request headers.
    RequestHeaders = 0,
    /// Request trailers.
    RequestTrailers = 1,
    /// Response headers.
    ResponseHeaders = 2,
    /// Response trailers.
    ResponseTrailers = 3,
    /// Headers of the answer to a call of ours.
    CallHeaders = 6,
}

/// What a metric counts.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum MetricKind {
    /// Only grows.
    Counter = 0,
    /// A value that is told again.
    Gauge = 1,
    /// A distribution.
    Histogram = 2,
}

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, message: *const u8, size: usize) -> u32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_get_buffer_bytes(kind: u32, start: usize, max: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_buffer_bytes(kind: u32, start: usize, length: usize, data: *const u8, size: usize) -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_remove_header_map_value(map: u32, key: *const u8, key_size: usize) -> u32;
    fn proxy_get_property(path: *const u8, path_size: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, value_size: usize) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
        cas: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(key: *const u8, key_size: usize, value: *const u8, value_size: usize, cas: u32) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, offset: i64) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
    fn proxy_get_metric(id: u32, value: *mut u64) -> u32;
    fn proxy_call_foreign_function(
        name: *const u8,
        name_size: usize,
        argument: *const u8,
        argument_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_continue_stream(kind: u32) -> u32;
    fn proxy_close_stream(kind: u32) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn random_get(out: *mut u8, size: usize) -> u16;
}

/// Takes over a block that the host allocated in this module's memory.
fn take(data: *mut u8, size: usize) -> Vec<u8> {
    if data.is_null() || size == 0 {
        return Vec::new();
    }
    // SAFETY: the host got `data` from `proxy_on_memory_allocate(size)`, which is a boxed slice of
    // `size` bytes that nobody else owns.
    unsafe { Vec::from_raw_parts(data, size, size) }
}

/// Runs an import that returns a block; the status decides whether there is one.
fn block(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Vec<u8>, u32> {
    let mut data: *mut u8 = ptr::null_mut();
    let mut size = 0;
    match call(&raw mut data, &raw mut size) {
        OK => Ok(take(data, size)),
        status => Err(status),
    }
}

fn done(status: u32, what: &'static str) -> Result<(), Fault> {
    if status == OK { Ok(()) } else { Err(Fault(what)) }
}

/// Writes a line to the proxy's log. There is nowhere to report a failure of this.
pub fn log(level: log::Level, message: &str) {
    let level = match level {
        log::Level::Trace => 0,
        log::Level::Debug => 1,
        log::Level::Info => 2,
        log::Level::Warn => 3,
        log::Level::Error => 4,
    };
    // SAFETY: the pointer and length are of a live string.
    let _ = unsafe { proxy_log(level, message.as_ptr(), message.len()) };
}

/// The time now, in nanoseconds since the Unix epoch; 0 when the host has none, which fails every token.
pub fn now() -> u64 {
    let mut time = 0;
    // SAFETY: the pointer is of a live integer.
    match unsafe { proxy_get_current_time_nanoseconds(&raw mut time) } {
        OK => time,
        _ => 0,
    }
}

/// Bytes of a buffer; empty when there are none.
pub fn buffer(kind: Buffer, start: usize, max: usize) -> Result<Vec<u8>, Fault> {
    // SAFETY: the out-pointers are live.
    match block(|data, size| unsafe { proxy_get_buffer_bytes(kind as u32, start, max, data, size) }) {
        Ok(bytes) => Ok(bytes),
        Err(NOT_FOUND) => Ok(Vec::new()),
        Err(_) => Err(Fault("get_buffer_bytes")),
    }
}

/// Puts `bytes` in the place of the whole buffer.
pub fn replace_buffer(kind: Buffer, bytes: &[u8]) -> Result<(), Fault> {
    // SAFETY: the pointer and length are of a live slice.
    let status = unsafe { proxy_set_buffer_bytes(kind as u32, 0, usize::MAX >> 1, bytes.as_ptr(), bytes.len()) };
    done(status, "set_buffer_bytes")
}

/// All pairs of a header map, in one call.
pub fn headers(map: Map) -> Result<Vec<Header>, Fault> {
    // SAFETY: the out-pointers are live.
    match block(|data, size| unsafe { proxy_get_header_map_pairs(map as u32, data, size) }) {
        Ok(bytes) => decode_pairs(&bytes).ok_or(Fault("get_header_map_pairs")),
        Err(NOT_FOUND) => Ok(Vec::new()),
        Err(_) => Err(Fault("get_header_map_pairs")),
    }
}

/// Sets a header to one value.
pub fn set_header(map: Map, name: &[u8], value: &[u8]) -> Result<(), Fault> {
    // SAFETY: the pointers and lengths are of live slices.
    let status =
        unsafe { proxy_replace_header_map_value(map as u32, name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
    done(status, "replace_header_map_value")
}

/// Removes every value of a header.
pub fn remove_header(map: Map, name: &[u8]) -> Result<(), Fault> {
    // SAFETY: the pointer and length are of a live slice.
    let status = unsafe { proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) };
    done(status, "remove_header_map_value")
}

/// Reads a property; `None` when there is none.
pub fn property(path: &[&str]) -> Option<Vec<u8>> {
    let path = path.join("\0");
    // SAFETY: the pointer and length are of a live string, the out-pointers are live.
    block(|data, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) }).ok()
}

/// Sets a property of one name; access logs read it as filter state `wasm.<name>`.
pub fn set_property(name: &str, value: &[u8]) -> Result<(), Fault> {
    // SAFETY: the pointers and lengths are of live slices.
    let status = unsafe { proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
    done(status, "set_property")
}

/// Reads the store that all workers share.
pub fn shared_get(key: &str) -> Result<Shared, Fault> {
    let mut cas = 0;
    // SAFETY: the pointer and length are of a live string, the out-pointers are live.
    let read = block(|data, size| unsafe { proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &raw mut cas) });
    match read {
        Ok(value) => Ok(Shared { value, cas }),
        Err(NOT_FOUND) => Ok(Shared::default()),
        Err(_) => Err(Fault("get_shared_data")),
    }
}

/// Writes to the store that all workers share.
pub fn shared_set(key: &str, value: &[u8], cas: u32) -> Result<SetOutcome, Fault> {
    // SAFETY: the pointers and lengths are of live slices.
    match unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas) } {
        OK => Ok(SetOutcome::Stored),
        CAS_MISMATCH => Ok(SetOutcome::Conflict),
        _ => Err(Fault("set_shared_data")),
    }
}

/// Answers the client in the upstream's place. Once per stream.
pub fn reply(status: u16, headers: &[(&str, &str)], body: &[u8], details: &str) -> Result<(), Fault> {
    let pairs = encode_pairs(headers);
    // SAFETY: the pointers and lengths are of live slices.
    let status = unsafe {
        proxy_send_local_response(
            u32::from(status),
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            pairs.as_ptr(),
            pairs.len(),
            -1,
        )
    };
    done(status, "send_local_response")
}

/// Lets a request go on that was held.
pub fn continue_request() -> Result<(), Fault> {
    const REQUEST: u32 = 0;
    // SAFETY: takes no pointers.
    done(unsafe { proxy_continue_stream(REQUEST) }, "continue_stream")
}

/// Lets a response go on that was held, with what its buffer holds. Envoy does so when the callback has returned.
pub fn continue_response() -> Result<(), Fault> {
    const RESPONSE: u32 = 1;
    // SAFETY: takes no pointers.
    done(unsafe { proxy_continue_stream(RESPONSE) }, "continue_stream")
}

/// Makes a call and gives its token. Through the SDK, which keeps a list of the tokens whose answers it will
/// deliver; it knows every status that Envoy gives here.
pub fn call(call: &Call) -> Result<u32, Fault> {
    match call {
        Call::Http(call) => {
            let mut headers = vec![
                (":method", call.method),
                (":path", &*call.path),
                (":authority", &*call.authority),
                (":scheme", "https"),
            ];
            headers.extend(call.headers.iter().map(|(name, value)| (*name, value.as_str())));
            let body = (!call.body.is_empty()).then_some(&*call.body);
            hostcalls::dispatch_http_call(&call.cluster, headers, body, Vec::new(), call.timeout)
                .map_err(|_| Fault("http_call"))
        }
        Call::Grpc(call) => {
            let service = grpc_service(&call.cluster).ok_or(Fault("a cluster's name is too long"))?;
            let message = Some(&*call.message);
            hostcalls::dispatch_grpc_call(&service, call.service, call.method, Vec::new(), message, call.timeout)
                .map_err(|_| Fault("grpc_call"))
        }
    }
}

/// `envoy.config.core.v3.GrpcService{envoy_grpc{cluster_name}}`. Envoy accepts a plain name too, but tries to read it as
/// this message first, and some names can be read so. `None`: longer than a length of one byte says.
fn grpc_service(cluster: &str) -> Option<String> {
    let length = |bytes: usize| u8::try_from(bytes).ok().filter(|length| *length < 0x80).map(char::from);
    Some(format!("\n{}\n{}{cluster}", length(cluster.len() + 2)?, length(cluster.len())?))
}

/// Resets the client's stream: the last resort when even a reply fails.
pub fn reset_stream() {
    const DOWNSTREAM: u32 = 1;
    // SAFETY: takes no pointers. There is nothing left to do when this fails too.
    let _ = unsafe { proxy_close_stream(DOWNSTREAM) };
}

/// Defines a metric and gives its id. Metrics are never freed: the caller bounds them.
pub fn define_metric(kind: MetricKind, name: &str) -> Result<u32, Fault> {
    let mut id = 0;
    // SAFETY: the pointer and length are of a live string, the out-pointer is live.
    let status = unsafe { proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &raw mut id) };
    done(status, "define_metric").map(|()| id)
}

/// Adds to a counter or gauge.
pub fn increment_metric(id: u32, offset: i64) {
    // SAFETY: takes no pointers. A metric that can't be counted must not fail a request.
    let _ = unsafe { proxy_increment_metric(id, offset) };
}

/// Records a value of a gauge or histogram.
pub fn record_metric(id: u32, value: u64) {
    // SAFETY: takes no pointers. A metric that can't be counted must not fail a request.
    let _ = unsafe { proxy_record_metric(id, value) };
}

/// Records a value of a gauge that workers share, where it is above theirs.
pub fn raise_metric(id: u32, value: u64) {
    let mut before = 0;
    // SAFETY: the out-pointer is live. A metric that can't be read must not fail a request.
    let _ = unsafe { proxy_get_metric(id, &raw mut before) };
    if value > before {
        record_metric(id, value);
    }
}

/// Bytes of this VM's linear memory.
pub fn memory() -> u64 {
    const PAGE: u64 = 65_536;
    core::arch::wasm32::memory_size::<0>() as u64 * PAGE
}

/// Calls a function of the host by name; `None` when it has none of that name or refuses.
pub fn foreign(name: &str, argument: &[u8]) -> Option<Vec<u8>> {
    // SAFETY: the pointers and lengths are of live slices, the out-pointers are live.
    block(|data, size| unsafe {
        proxy_call_foreign_function(name.as_ptr(), name.len(), argument.as_ptr(), argument.len(), data, size)
    })
    .ok()
}

/// Random bytes from WASI, which Envoy takes from BoringSSL.
pub fn random(out: &mut [u8]) -> Result<(), Fault> {
    const SUCCESS: u16 = 0;
    // SAFETY: the pointer and length are of a live slice.
    match unsafe { random_get(out.as_mut_ptr(), out.len()) } {
        SUCCESS => Ok(()),
        _ => Err(Fault("random_get")),
    }
}

/// Asks for a tick of the root context every `millis` milliseconds.
pub fn tick_every(millis: u32) -> Result<(), Fault> {
    // SAFETY: takes no pointers.
    done(unsafe { proxy_set_tick_period_milliseconds(millis) }, "set_tick_period")
}

/// Makes the calls that follow act on another stream.
pub fn act_on(context: u32) -> Result<(), Fault> {
    // SAFETY: takes no pointers.
    done(unsafe { proxy_set_effective_context(context) }, "set_effective_context")
}

/// The ABI's form of a header map: a count, the lengths of every name and value, then each name and
/// value with a NUL behind it. All integers are little-endian u32.
fn decode_pairs(bytes: &[u8]) -> Option<Vec<Header>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let word = |at: usize| -> Option<usize> {
        let four = bytes.get(at..at.checked_add(4)?)?;
        Some(u32::from_le_bytes(four.try_into().ok()?) as usize)
    };
    let count = word(0)?;
    let mut at = count.checked_mul(8)?.checked_add(4)?;
    let mut text = |size: usize| -> Option<Vec<u8>> {
        let end = at.checked_add(size)?;
        let text = bytes.get(at..end)?.to_vec();
        at = end.checked_add(1)?;
        Some(text)
    };
    (0..count)
        .map(|pair| {
            let sizes = pair.checked_mul(8)?.checked_add(4)?;
            Some((text(word(sizes)?)?, text(word(sizes.checked_add(4)?)?)?))
        })
        .collect()
}

fn encode_pairs(pairs: &[(&str, &str)]) -> Vec<u8> {
    let word = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = word(pairs.len()).to_vec();
    for (name, value) in pairs {
        bytes.extend(word(name.len()));
        bytes.extend(word(value.len()));
    }
    for (name, value) in pairs {
        for text in [name, value] {
            bytes.extend(text.as_bytes());
            bytes.push(0);
        }
    }
    bytes
}
