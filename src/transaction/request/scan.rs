//! A request whose texts take longer to scan than a callback may: they are scanned slice by slice, and between two slices
//! the worker serves others.

use super::body::Inspection;
use crate::host::{Host, Timestamp};
use crate::reason::Reason;
use crate::transaction::context::Context;
use crate::transaction::pending_call::Held;
use crate::transaction::stages::Scanning;
use crate::transaction::{Event, MOST_SCAN, Next, Refused, State, Step, Wait, WorkerState};

/// How often a body whose scan waits is in the VM's memory.
const COPIES: usize = 2;

/// A request whose texts are being scanned. Its body is held.
#[derive(Debug)]
pub(in crate::transaction) struct AwaitingScan {
    held: Box<Held>,
    body: Vec<u8>,
    scanning: Scanning,
    deadline: Timestamp,
}

impl AwaitingScan {
    pub(in crate::transaction) fn handle(
        self: Box<Self>,
        event: Event<'_>,
        context: &mut Context,
        vm: &mut WorkerState,
        host: &mut dyn Host,
    ) -> Next {
        let next = match event {
            Event::Resumed => context.scan_on(*self, vm, host),
            Event::Expired => Err(Reason::Overloaded.into()),
            event => return context.otherwise(State::Scan(self), event, vm, host),
        };
        context.judged(next, vm)
    }

    fn wait(self) -> Next {
        let deadline = self.deadline;
        Next::new(State::Scan(Box::new(self)), Step::Await(Wait { call: None, deadline }))
    }
}

impl Context {
    /// Scans what remains of a body's texts, slice by slice.
    pub(super) fn scan_later(
        &mut self,
        mut held: Box<Held>,
        scanning: Scanning,
        body: Vec<u8>,
        vm: &mut WorkerState,
        host: &mut dyn Host,
    ) -> Result<Next, Refused> {
        // While it waits the body is here beside the proxy's own buffer, and so are its texts.
        if !self.copy(body.len().saturating_mul(COPIES), vm) {
            return Err(Reason::Overloaded.into());
        }
        let deadline = *held.scans.until.get_or_insert_with(|| Timestamp(host.now().0.saturating_add(MOST_SCAN)));
        Ok(AwaitingScan { held, body, scanning, deadline }.wait())
    }

    /// The next slice. After the last one the body is read once more, and judged by the report.
    fn scan_on(
        &mut self,
        AwaitingScan { mut held, body, scanning, deadline }: AwaitingScan,
        vm: &mut WorkerState,
        host: &mut dyn Host,
    ) -> Result<Next, Refused> {
        let steps = vm.steps();
        match scanning.go_on(vm.verdicts(&self.policy), steps) {
            Err(scanning) => Ok(AwaitingScan { held, body, scanning, deadline }.wait()),
            Ok(reported) => {
                held.scans.reported = Some(reported);
                let inspection: Inspection = self.again(*held, None, &body, vm, host)?;
                self.inspected(inspection, body, vm, host)
            }
        }
    }
}
