//! What is known of the texts of a long reply before it is judged: they were read slice by slice.

use std::collections::HashMap;
use std::rc::Rc;

use crate::redact::ActiveWatch;
use crate::scan::{Copies, Report, Text, TextReport};

/// What was read ahead.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    texts: HashMap<String, (TextReport, Rc<ActiveWatch>)>,
    /// What the scanner says of all of them as one conversation.
    together: Option<(Copies, Report)>,
}

impl Ahead {
    /// True for a text that was read.
    pub(crate) fn has(&self, text: &str) -> bool {
        self.texts.contains_key(text)
    }

    /// Adds what is known of a text.
    pub(crate) fn add(&mut self, text: String, report: TextReport, active: ActiveWatch) {
        self.texts.insert(text, (report, Rc::new(active)));
    }

    /// Adds what is known of all of them together.
    pub(crate) fn add_all(&mut self, texts: Copies, report: Report) {
        self.together = Some((texts, report));
    }

    /// What the scanner says of a text by itself.
    pub(crate) fn report(&self, text: &str) -> Option<&TextReport> {
        self.texts.get(text).map(|(report, _)| report)
    }

    /// The active content of a text.
    pub(crate) fn active(&self, text: &str) -> Option<Rc<ActiveWatch>> {
        self.texts.get(text).map(|(_, active)| Rc::clone(active))
    }

    /// What the scanner says of these texts together.
    pub(crate) fn all(&self, texts: &[Text<'_>], is_aside: &dyn Fn(usize) -> bool) -> Option<Report> {
        let (copies, report) = self.together.as_ref()?;
        copies.are_of(texts, is_aside).then(|| report.clone())
    }
}
