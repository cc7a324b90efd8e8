//! The HTTP+SSE transport: HTTP with server-sent events (revision 2024-11-05).
//!
//! A client opens the server's stream, whose first event names the address that messages are posted to; every answer
//! comes on that stream. So the address is the session, and it is bound to the caller as a session's id is: with a
//! keyed hash at its end, of which the server never knows. Nothing is stored.
//!
//! A client of this transport reads no HTTP answer to a message. In the place of a request that is refused the server gets a
//! `ping`, which it must answer, under an id that says what was refused; on the stream, that answer becomes the refusal.

/// The revision that defines the transport, and that only it speaks.
pub const REVISION: &str = "2024-11-05";

/// The message that goes to the server in the place of a refused request.
pub(super) fn ping(id: &str) -> Vec<u8> {
    serde_json::json!({ "jsonrpc": "2.0", "id": id, "method": "ping" }).to_string().into_bytes()
}
