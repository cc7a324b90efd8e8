//! Calls of ours to other services: who asked, and whom the answer goes to.
//!
//! Every call is made in the root context's name. Envoy drops the calls of a stream with the stream and says
//! nothing, and the SDK's list of tokens would keep an entry of each; the root context's are always answered.
//! The SDK hands an answer to whatever context was running when the call was made, or to nobody when that is
//! gone, so that only the token decides here.

use std::collections::HashMap;

use super::host::{self, Buffer, Map};
use crate::authn::Fetch;
use crate::callout::{Answer, Call, CallFailure};
use crate::quota::fleet::Batch;

/// Calls that are in flight. `S`: what a stream is.
pub struct Calls<S> {
    root: u32,
    open: HashMap<u32, (Asker<S>, usize)>,
}

/// Who asked.
pub enum Asker<S> {
    /// The worker, for an issuer's keys.
    Keys(Fetch),
    /// The worker, to tell what requests have used.
    Settlement(Batch),
    /// The worker, for the copy of a checkpoint of its records.
    Checkpoint,
    /// A stream, by its context.
    Stream(u32, S),
}

impl<S> Calls<S> {
    /// Those of a root context.
    pub fn new(root: u32) -> Calls<S> {
        Calls { root, open: HashMap::new() }
    }

    /// Makes a call and gives its token. What follows acts on `context` again.
    ///
    /// # Errors
    /// The asker, when the proxy does not take the call: nothing was sent.
    pub fn make(&mut self, call: &Call, asker: Asker<S>) -> Result<u32, Asker<S>> {
        let context = if let Asker::Stream(context, _) = &asker { *context } else { self.root };
        let made = host::act_on(self.root).and_then(|()| host::call(call));
        // When even this fails, the stream is gone.
        let _ = host::act_on(context);
        match made {
            Ok(token) => {
                self.open.insert(token, (asker, call.most()));
                Ok(token)
            }
            Err(_) => Err(asker),
        }
    }

    /// How many are in flight.
    pub fn count(&self) -> usize {
        self.open.len()
    }

    /// Nobody waits for this answer any more.
    pub fn forget(&mut self, token: u32) {
        self.open.remove(&token);
    }

    /// An answer over HTTP has come. A connection that was refused comes as 503, a timeout as 504. `None`: nobody waits
    /// for it.
    pub fn http_answered(&mut self, token: u32, size: usize) -> Option<(Asker<S>, Answer)> {
        let (asker, most) = self.close(token)?;
        let answer = match (status(), read(Buffer::CallBody, size, most)) {
            (Some(status), Ok(body)) => Answer::Http { status, body },
            (None, _) => Answer::Failed(CallFailure::Unreadable),
            (_, Err(failure)) => Answer::Failed(failure),
        };
        Some((asker, answer))
    }

    /// An answer over gRPC has come, or only its status.
    pub fn grpc_answered(&mut self, token: u32, status: u32, size: usize) -> Option<(Asker<S>, Answer)> {
        let (asker, most) = self.close(token)?;
        let answer = match status {
            0 => read(Buffer::GrpcMessage, size, most).map_or_else(Answer::Failed, Answer::Grpc),
            status => Answer::Failed(CallFailure::Status(status)),
        };
        Some((asker, answer))
    }

    /// The worker's own calls are answered while the root context runs.
    fn close(&mut self, token: u32) -> Option<(Asker<S>, usize)> {
        let asked = self.open.remove(&token)?;
        // The answer lies in the context that made the call.
        let _ = host::act_on(self.root);
        Some(asked)
    }
}

fn status() -> Option<u16> {
    let headers = host::headers(Map::CallHeaders).ok()?;
    let (_, value) = headers.iter().find(|(name, _)| name == b":status")?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn read(buffer: Buffer, size: usize, most: usize) -> Result<Vec<u8>, CallFailure> {
    if size > most {
        return Err(CallFailure::TooLong);
    }
    host::buffer(buffer, 0, size).map_err(|_| CallFailure::Unreadable)
}
