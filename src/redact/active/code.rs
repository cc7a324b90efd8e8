//! Code in Markdown, which no reader of Markdown follows: fenced blocks and code spans, as far as every reader agrees.
//!
//! A line or a backtick that could be read in two ways ends the agreement: a fence within a quotation, a fence that may
//! are in an HTML block, a closing fence of another depth. From there on nothing counts as code. A backtick without a
//! partner on its line, a dollar sign or an open tag does so up to the next blank line. An answer that begins with a tag
//! is read as HTML: nothing in it is code. A fence that readers draw is no code either.

use bartizan_rules::invariant::part;

use super::{ActiveWatch, Next};

/// What is known of the lines that were read.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    /// The line in which the place that is read is was looked at.
    begun: bool,
    /// Up to the end of the line all is code.
    skipping: bool,
    /// Nothing counts as code any more.
    doubt: bool,
    /// The fence that is open.
    fence: Option<Fence>,
    /// A code span or a formula may be open up to the next blank line.
    loose: bool,
    /// An HTML block may be open up to the next blank line.
    html: bool,
    /// A tag began in this paragraph.
    tagged: bool,
    /// A tag began at the head of a line: it may reach over blank lines.
    reaching: bool,
    /// A line of a drawing that says where a click leads.
    clicks: bool,
    /// The line before was not blank.
    follows: bool,
    /// The line before was of dashes: what comes may be the document's data.
    ruled: bool,
    /// The text has begun.
    started: bool,
}

#[derive(Clone, Copy, Debug)]
struct Fence {
    sign: u8,
    length: usize,
    indent: usize,
    /// The reader's program draws it: what it names is fetched.
    drawn: bool,
}

/// What begins a line of a drawing that makes a part of it a link.
const CLICK: &str = "click ";

/// Languages of fences that readers draw instead of showing their source.
const DRAWN: [&str; 9] = ["mermaid", "vega", "vega-lite", "vegalite", "plantuml", "puml", "graphviz", "dot", "d2"];

/// True when the words behind a fence name a language that is drawn, however they are wrapped: `{.mermaid}`.
fn is_drawn(info: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '-';
    info.split(|c| !word(c)).any(|one| DRAWN.iter().any(|known| known.eq_ignore_ascii_case(one)))
}

impl Lines {
    /// Nothing counts as code from here on.
    pub(super) fn doubt(&mut self) {
        self.doubt = true;
    }

    /// No code span counts up to the next blank line.
    pub(super) fn loosen(&mut self) {
        self.loose = true;
    }

    /// A tag begins.
    pub(super) fn tag(&mut self) {
        self.tagged = true;
    }

    /// In a fence that is drawn.
    pub(super) fn is_drawn(&self) -> bool {
        self.fence.is_some_and(|fence| fence.drawn)
    }

    /// In a drawing, where an address is fetched and not followed.
    pub(super) fn fetches(&self) -> bool {
        self.is_drawn() && !self.clicks
    }

    pub(super) fn line_ended(&mut self) {
        self.begun = false;
        self.skipping = false;
    }

    fn blank(&mut self) {
        (self.loose, self.html, self.tagged, self.follows, self.ruled) = (false, false, false, false, false);
    }
}

impl ActiveWatch {
    /// Looks at the line that begins here, and passes over code. `None`: there is no code at this place.
    pub(super) fn pass_code(&mut self) -> Option<Next> {
        if !self.lines.begun {
            match self.begin_line() {
                Next::More => return Some(Next::More),
                Next::At(next) => {
                    self.lines.begun = true;
                    if next > self.at {
                        return Some(Next::At(next));
                    }
                }
            }
        }
        if !self.lines.skipping {
            return None;
        }
        let rest = part(&self.text, self.at.saturating_sub(self.base)..self.text.len());
        let length = rest.find(['\n', '\r']).unwrap_or(rest.len());
        if length == 0 {
            self.lines.skipping = false;
            return None;
        }
        Some(Next::At(self.at + length))
    }

    /// A carriage return by itself ends a line to some readers.
    pub(super) fn carriage_return(&mut self) -> Next {
        if !self.has(self.at, 2) {
            return Next::More;
        }
        if self.byte(self.at + 1) != Some(b'\n') {
            self.lines.fence = None;
            self.lines.doubt();
        }
        Next::At(self.at + 1)
    }

    /// Where reading goes on in this line: behind a fence, or where the line begins.
    fn begin_line(&mut self) -> Next {
        let start = self.at;
        let (rest, whole) = self.ahead(start);
        let lead = rest.bytes().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let body = part(rest, lead..rest.len());
        let Some(first) = body.bytes().next() else {
            return if whole { Next::At(start) } else { Next::More };
        };
        let end = body.find('\n');
        if body == "\r" && !whole {
            return Next::More;
        }
        let is_blank = body.starts_with('\n') || body.starts_with("\r\n");
        if let Some(fence) = self.lines.fence {
            let indent: usize = columns(part(rest, 0..lead));
            if first == fence.sign {
                if end.is_none() && !whole {
                    return Next::More;
                }
                let line = part(body, 0..end.unwrap_or(body.len())).trim_end();
                if line.len() >= fence.length && line.bytes().all(|byte| byte == fence.sign) {
                    let closes = indent == fence.indent || fence.indent == 0 && indent <= 3;
                    let stop = start + lead + line.len();
                    self.lines.fence = None;
                    self.lines.doubt |= !closes || end.is_none() && !self.ended;
                    if fence.drawn {
                        self.lines.blank();
                        self.lines.doubt |= self.tags.any();
                        self.brackets.clear();
                        self.loose = false;
                    }
                    return Next::At(if closes { stop } else { start });
                }
            }
            if is_blank || indent >= fence.indent {
                if fence.drawn && end.is_none() && body.len() < CLICK.len() && !whole {
                    return Next::More;
                }
                self.lines.clicks = body.starts_with(CLICK);
                self.lines.skipping = !fence.drawn;
                self.lines.loose |= fence.drawn;
            } else {
                self.lines.fence = None;
                self.lines.doubt();
            }
            return Next::At(start);
        }
        if is_blank {
            self.lines.blank();
            return Next::At(start);
        }
        let marks = |byte: &u8| byte.is_ascii_digit() || b" \t>-*+.):|".contains(byte);
        let marked = rest.bytes().take_while(marks).count();
        let after = part(rest, marked..rest.len());
        let sign = match after.bytes().next() {
            None if !whole => return Next::More,
            Some(b'[') if after.len() == 1 && !whole => return Next::More,
            Some(sign) => sign,
            None => 0,
        };
        // A footnote's text is a block of its own, whose end readers see in different places.
        let (mut next, mut fence, mut doubt) = (start, None, after.starts_with("[^"));
        if matches!(sign, b'`' | b'~') {
            let length = after.bytes().take_while(|byte| *byte == sign).count();
            if length == after.len() && !whole {
                return Next::More;
            }
            if length >= 3 {
                let stop = after.find(['\n', '\r']);
                if stop.is_none() && !whole {
                    return Next::More;
                }
                let line_end = stop.and_then(|stop| after.get(stop..)).unwrap_or_default();
                if line_end == "\r" && !whole {
                    return Next::More;
                }
                let info = part(after, length..stop.unwrap_or(after.len()));
                if sign == b'~' || !info.contains('`') {
                    let lines = &self.lines;
                    let sure = lead == marked
                        && !part(rest, 0..lead).contains('\t')
                        && (lead <= 3 || !lines.follows)
                        && !(lines.doubt || lines.html || lines.ruled || self.in_tag())
                        && (line_end.starts_with('\n') || line_end.starts_with("\r\n") || stop.is_none() && self.ended);
                    if sure {
                        fence = Some(Fence { sign, length, indent: lead, drawn: is_drawn(info) });
                        next = start + marked + length + info.len();
                    }
                    doubt = !sure;
                }
            }
        }
        let dashes = matches!(rest.get(..lead + 3), Some(head) if head.ends_with("---") || head.ends_with("+++"));
        let is_document = !self.lines.started && sign == b'<';
        let any_tag = self.tags.any();
        let lines = &mut self.lines;
        lines.started = true;
        lines.doubt |= doubt || is_document;
        lines.html |= sign == b'<';
        lines.reaching = lines.reaching && any_tag || sign == b'<';
        lines.ruled = dashes;
        lines.follows = fence.is_none();
        if fence.is_some() {
            lines.fence = fence;
            lines.blank();
            self.brackets.clear();
            self.loose = false;
        }
        Next::At(next)
    }

    /// True while Markdown may see an open tag: one that is not closed before a blank line is none, but in an HTML block.
    fn in_tag(&self) -> bool {
        self.tags.any() && (self.lines.tagged || self.lines.reaching)
    }

    /// A code span, or a backtick that opens none.
    pub(super) fn backticks(&mut self) -> Next {
        let start = self.at;
        let (rest, whole) = self.ahead(start);
        let length = rest.bytes().take_while(|byte| *byte == b'`').count();
        if length == rest.len() && !whole {
            return Next::More;
        }
        let lines = &self.lines;
        if lines.doubt || lines.loose || lines.html || self.in_tag() {
            self.lines.loosen();
            return Next::At(start + length);
        }
        let inner = part(rest, length..rest.len());
        let line = inner.find(['\n', '\r']);
        let inner = part(inner, 0..line.unwrap_or(inner.len()));
        // Runs of another length are a part of the code.
        let (mut open, mut partner) = (0, 0);
        while partner != length && open + partner < inner.len() {
            open += partner;
            let rest = part(inner, open..inner.len());
            open += rest.find('`').unwrap_or(rest.len());
            partner = part(inner, open..inner.len()).bytes().take_while(|byte| *byte == b'`').count();
        }
        if line.is_none() && !whole && open + partner == inner.len() {
            return Next::More;
        }
        let inside = part(inner, 0..open);
        let formula = inside.contains('$');
        let is_span = partner == length && !inside.contains('|');
        if formula || !is_span {
            self.lines.loosen();
        }
        Next::At(start + if is_span { 2 * length + open } else { length })
    }
}

/// How far white space indents; a tab counts as four columns.
fn columns(lead: &str) -> usize {
    lead.bytes().map(|byte| if byte == b'\t' { 4 } else { 1 }).sum()
}
