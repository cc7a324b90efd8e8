//! How a long scan lets others have their turn. Scanning is written as one function that may rest at certain places, and
//! this drives it: to its end, or slice by slice. So there is one way to scan, and slices change no report.
//!
//! The memory of verdicts belongs to the worker, and other requests use it while a scan rests. It is lent for each slice.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use super::memory::{Known, VerdictMemory};
use super::{Report, TextReport};

/// What a scan shares with whoever drives it.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Steps of one slice.
    slice: Cell<usize>,
    /// Steps that are left of it, where they are counted here.
    left: Cell<usize>,
    /// What is remembered, while it is lent.
    memory: RefCell<Option<VerdictMemory>>,
}

impl Default for Pace {
    /// All at once.
    fn default() -> Self {
        Pace { slice: Cell::new(usize::MAX), left: Cell::new(usize::MAX), memory: RefCell::new(None) }
    }
}

impl Pace {
    /// Steps that may be taken before the next rest.
    pub(super) fn slice(&self) -> usize {
        self.slice.get()
    }

    /// Counts steps that were taken outside of a scan, and rests when the slice is over.
    pub(crate) async fn spend(&self, steps: usize) {
        self.left.set(self.left.get().saturating_sub(steps));
        if self.left.get() == 0 {
            self.rest().await;
        }
    }

    /// Lets the driver decide when the scan goes on.
    pub(super) async fn rest(&self) {
        Rest { is_over: false }.await;
    }

    /// The report of something that is scanned: the one that is remembered, or what the scan says now.
    pub(super) async fn remembered(&self, known: &Known<'_>, scan: impl Future<Output = TextReport>) -> TextReport {
        let place = self.memory.borrow().as_ref().and_then(|memory| memory.place(known));
        let Some(place) = place else { return scan.await };
        if let Some(report) = self.memory.borrow_mut().as_mut().and_then(|memory| memory.recall(place)) {
            return report;
        }
        let report = scan.await;
        if let Some(memory) = self.memory.borrow_mut().as_mut() {
            memory.keep(place, &report);
        }
        report
    }

    /// Goes on with a scan for one slice. `None`: it is not over.
    pub(super) fn advance<T>(
        &self,
        scan: Pin<&mut (impl Future<Output = T> + ?Sized)>,
        memory: Option<&mut VerdictMemory>,
        steps: usize,
    ) -> Option<T> {
        self.slice.set(steps);
        self.left.set(steps.max(1));
        let polled = match memory {
            None => scan.poll(&mut Context::from_waker(Waker::noop())),
            Some(memory) => {
                self.memory.replace(Some(std::mem::replace(memory, VerdictMemory::lent())));
                let polled = scan.poll(&mut Context::from_waker(Waker::noop()));
                if let Some(back) = self.memory.take() {
                    *memory = back;
                }
                polled
            }
        };
        match polled {
            Poll::Ready(report) => Some(report),
            Poll::Pending => None,
        }
    }

    /// Goes on with a scan until it is over.
    pub(super) fn finish<T>(&self, scan: impl Future<Output = T>, memory: Option<&mut VerdictMemory>) -> T {
        let (mut scan, mut memory) = (pin!(scan), memory);
        loop {
            if let Some(report) = self.advance(scan.as_mut(), memory.as_deref_mut(), usize::MAX) {
                return report;
            }
        }
    }

    /// Scans a request for at most `steps` steps. `None`: it takes more.
    pub(super) fn within(
        &self,
        scan: impl Future<Output = Report>,
        memory: Option<&mut VerdictMemory>,
        steps: usize,
    ) -> Option<Report> {
        self.advance(pin!(scan), memory, steps)
    }
}

/// One rest.
struct Rest {
    is_over: bool,
}

impl Future for Rest {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.is_over, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}
