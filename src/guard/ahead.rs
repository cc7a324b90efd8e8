//! What is known of the texts of a long reply before it is judged: they were read slice by slice.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use crate::redact::ActiveWatch;
use crate::scan::{Copies, Report, Text, TextReport};

/// What was read ahead.
#[derive(Debug)]
pub(crate) struct Ahead {
    /// Texts in which something was found, or that were not scanned whole.
    texts: HashMap<String, (TextReport, Rc<ActiveWatch>)>,
    /// All others: there may be a million.
    plain: HashSet<String>,
    /// What is known of those.
    nothing: (TextReport, Rc<ActiveWatch>),
    /// What the scanner says of all of them as one conversation.
    together: Option<(Copies, Report)>,
}

impl Default for Ahead {
    fn default() -> Self {
        let nothing = TextReport { complete: true, ..TextReport::default() };
        let nothing = (nothing, Rc::new(ActiveWatch::of("")));
        Ahead { texts: HashMap::new(), plain: HashSet::new(), nothing, together: None }
    }
}

impl Ahead {
    /// True for a text that was read.
    pub(crate) fn has(&self, text: &str) -> bool {
        self.known(text).is_some()
    }

    /// Adds what is known of a text.
    pub(crate) fn add(&mut self, text: String, report: TextReport, active: ActiveWatch) {
        if report == self.nothing.0 && active.found().is_empty() && active.addresses().is_empty() {
            self.plain.insert(text);
        } else {
            self.texts.insert(text, (report, Rc::new(active)));
        }
    }

    fn known(&self, text: &str) -> Option<&(TextReport, Rc<ActiveWatch>)> {
        self.texts.get(text).or_else(|| self.plain.contains(text).then_some(&self.nothing))
    }

    /// Adds what is known of all of them together.
    pub(crate) fn add_all(&mut self, texts: Copies, report: Report) {
        self.together = Some((texts, report));
    }

    /// True for a text in which nothing was found.
    pub(crate) fn is_plain(&self, text: &str) -> bool {
        self.plain.contains(text)
    }

    /// What the scanner says of a text by itself.
    pub(crate) fn report(&self, text: &str) -> Option<&TextReport> {
        self.known(text).map(|(report, _)| report)
    }

    /// The active content of a text.
    pub(crate) fn active(&self, text: &str) -> Option<Rc<ActiveWatch>> {
        self.known(text).map(|(_, active)| Rc::clone(active))
    }

    /// What the scanner says of these texts together.
    pub(crate) fn all(&self, texts: &[Text<'_>], is_aside: &dyn Fn(usize) -> bool) -> Option<Report> {
        let (copies, report) = self.together.as_ref()?;
        copies.are_of(texts, is_aside).then(|| report.clone())
    }
}
