//! The scan of a body whose texts take longer than a callback may: it goes on slice by slice, and its report is good for
//! these texts only.

use std::rc::Rc;

use crate::host::Timestamp;
use crate::policy::Policy;
use crate::scan::{Copies, Report, Slices, Text, VerdictMemory};

/// The scan of a body's texts, which is not over.
#[derive(Debug)]
pub struct Scanning(Slices);

/// What a scan that took several slices says.
#[derive(Debug)]
pub struct Reported {
    report: Report,
    /// The texts that it is about.
    texts: Rc<Copies>,
}

/// What is known of the scan of a request's texts.
#[derive(Debug, Default)]
pub struct Scans {
    /// What it says, when it took several slices.
    pub reported: Option<Reported>,
    /// By then it must be over.
    pub until: Option<Timestamp>,
}

/// How the texts of a body are scanned.
#[derive(Debug)]
pub struct Means<'m> {
    /// What a scan said of the texts that the body had by then.
    pub known: &'m mut Option<Reported>,
    /// It may be asked for once more.
    pub keeps: bool,
    /// Reports of texts that other requests brought. It must have been used only with this policy's scanner.
    pub memory: &'m mut VerdictMemory,
    /// Steps that the scan may take now.
    pub steps: usize,
}

impl Means<'_> {
    /// What the scanner says of these texts.
    ///
    /// # Errors
    /// The scan, where it takes longer.
    pub(super) fn report(
        self,
        policy: &Policy,
        texts: &[Text<'_>],
        is_aside: &dyn Fn(usize) -> bool,
    ) -> Result<Report, Scanning> {
        let Means { known, keeps, memory, steps } = self;
        let fits = |known: &Reported| known.texts.are_of(texts, is_aside);
        if let Some(Reported { report, texts }) = known.take().filter(fits) {
            if keeps {
                *known = Some(Reported { report: report.clone(), texts });
            }
            return Ok(report);
        }
        let budget = policy.limits.budget();
        let report = policy.scanner.scan_within(Some(memory), texts, is_aside, budget, steps);
        report.ok_or_else(|| Scanning(policy.scanner.slices(texts, is_aside, budget)))
    }
}

impl Scanning {
    /// Scans for about `steps` steps.
    ///
    /// # Errors
    /// The rest of the scan, where it is not over.
    pub fn go_on(self, memory: &mut VerdictMemory, steps: usize) -> Result<Reported, Scanning> {
        let texts = self.0.copies();
        let report = self.0.go_on(Some(memory), steps).map_err(Scanning)?;
        Ok(Reported { report, texts })
    }
}
