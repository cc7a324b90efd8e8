//! Links and images in Markdown: a stack of brackets, destinations, and names with their definitions.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash as _, Hasher as _};
use std::ops::Range;

use bartizan_rules::invariant::part;

use super::address::{self, Escapes, LONGEST, Target};
use super::{ActiveWatch, Bracket, Next};

/// Brackets within an address; readers stop at 32.
const MAX_DEPTH: usize = 32;
/// Brackets that may be open at a time.
const MAX_OPEN: usize = 32;
/// Names of images, and of definitions, that are remembered.
const MAX_NAMES: usize = 256;
/// Bytes between double brackets that are read; a longer image is foreign.
const LONGEST_EMBEDDED: usize = 256;
/// Labels have at most 999 characters.
const LONGEST_LABEL: usize = 999 * 4;

impl ActiveWatch {
    pub(super) fn open_bracket(&mut self) -> Next {
        let is_image = self.at.checked_sub(1).and_then(|before| self.byte(before)) == Some(b'!');
        if self.brackets.len() >= MAX_OPEN {
            // The outermost is forgotten: what it would have made an image counts as one.
            let lost = self.brackets.remove(0);
            self.loose |= lost.is_image;
        }
        self.brackets.push(Bracket { at: self.at, is_image });
        Next::At(self.at + 1)
    }

    pub(super) fn close_bracket(&mut self) -> Next {
        let start = self.at;
        if !self.has(start, 2) {
            return Next::More;
        }
        let bracket = self.brackets.last().copied();
        let inside = bracket.map_or("", |bracket| self.slice(bracket.at + 1..start));
        let inside = if inside.len() > LONGEST_LABEL { "" } else { inside };
        self.step(inside.len());
        let name = name_of(inside);
        let hides = inside_hides(inside);
        // Without a bracket that opened it, one that a reader sees is not seen here: it may be an image's.
        let is_image = self.loose || bracket.is_none() || self.brackets.iter().any(|bracket| bracket.is_image);
        let own_image = bracket.is_none_or(|bracket| bracket.is_image);
        if self.byte(start + 1) == Some(b']') {
            let doubled = |open: &&Bracket| self.byte(open.at + 1) == Some(b'[');
            let link = self.brackets.iter().rev().find(doubled).copied();
            let image = self.brackets.iter().rev().filter(|open| open.is_image).find(doubled).copied();
            link.into_iter()
                .chain(image.filter(|image| link.is_some_and(|link| link.at != image.at)))
                .for_each(|open| self.embedded(open, start));
        }
        match self.byte(start + 1) {
            Some(b'(') => {
                let next = self.destination(bracket.map_or(start, |bracket| bracket.at), start + 2, is_image);
                if matches!(next, Next::At(_)) {
                    self.brackets.pop();
                }
                return next;
            }
            Some(b':') => {
                let (open, name) = bracket.map_or((start, 0), |bracket| (bracket.at, name));
                let next = self.definition(open, start + 2, name);
                if matches!(next, Next::At(_)) {
                    self.brackets.pop();
                }
                return next;
            }
            Some(b'[') if own_image || is_image => {
                let (rest, whole) = self.ahead(start + 2);
                let end = rest.find(']');
                if end.is_none() && !whole {
                    return Next::More;
                }
                let label = part(rest, 0..end.unwrap_or(0));
                let name = if label.trim().is_empty() { name } else { name_of(label) };
                let stop = start + 2 + end.map_or(0, |end| end + 1);
                self.image(bracket.map_or(start, |bracket| bracket.at)..stop, name);
            }
            _ if own_image || is_image => {
                self.image(bracket.map_or(start, |bracket| bracket.at)..start + 1, name);
            }
            _ => {}
        }
        // Code, a tag or an address binds tighter than a bracket: to its reader this one may be none.
        if let Some(bracket) = self.brackets.pop() {
            self.loose |= bracket.is_image && hides;
        }
        Next::At(start + 1)
    }

    /// `[[address|text]]`, which is a link to readers of wikis.
    fn embedded(&mut self, open: Bracket, end: usize) {
        let inside = self.slice(open.at + 2..end);
        self.step(inside.len().min(LONGEST_EMBEDDED));
        let mut targets = Vec::new();
        if inside.len() <= LONGEST_EMBEDDED {
            let parts = inside.split('|').chain(inside.split(['|', '[', ']']));
            targets.extend(parts.map(|part| address::read(part, Escapes::Markdown)));
            targets.dedup();
        } else if open.is_image {
            targets.push(Target::UNKNOWN);
        }
        let start = open.at - usize::from(open.is_image && open.at > self.base);
        for target in targets {
            self.see(start..end + 1, target, open.is_image);
        }
    }

    /// The address of a link or an image in Markdown.
    fn destination(&mut self, open: usize, from: usize, is_image: bool) -> Next {
        let Some((span, target)) = self.markdown_address(from) else { return Next::More };
        let start = if open > self.base && self.byte(open - 1) == Some(b'!') { open - 1 } else { open };
        if target != Target::Harmless {
            let Some(stop) = self.close_of(&span, b')') else { return Next::More };
            self.see(start..stop, target, is_image);
        }
        self.address(span);
        Next::At(self.at + 1)
    }

    /// The address that a name stands for.
    fn definition(&mut self, open: usize, from: usize, name: u64) -> Next {
        let Some((span, target)) = self.markdown_address(from) else { return Next::More };
        if target != Target::Harmless {
            let fetched = self.names.define(name, &target);
            self.see(open..span.end, target, fetched);
        }
        self.address(span);
        Next::At(self.at + 1)
    }

    /// An image by name: found where the name is known to be foreign, remembered where it may become so.
    fn image(&mut self, span: Range<usize>, name: u64) {
        if let Some(target) = self.names.image(name) {
            let mark = span.start > self.base && self.byte(span.start - 1) == Some(b'!');
            self.see(span.start - usize::from(mark)..span.end, target, true);
        }
    }

    /// A destination that begins here, in angle brackets or up to white space, and where it leads. `None`: more is needed.
    fn markdown_address(&mut self, from: usize) -> Option<(Range<usize>, Target)> {
        if from < self.lost_until {
            return Some((from..self.lost_until, Target::UNKNOWN));
        }
        let (rest, whole) = self.ahead(from);
        let lead = rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}', '>']).len();
        let body = part(rest, lead..rest.len());
        let mut start = from + lead;
        if body.is_empty() && !whole {
            return None;
        }
        let (body, ends): (_, &[char]) = match body.strip_prefix('<') {
            Some(inner) => {
                start += 1;
                (inner, &['>', '\n'])
            }
            None => (body, &[]),
        };
        let (mut depth, mut escaped, mut end) = (0usize, false, None);
        for (at, c) in body.char_indices() {
            let stops = match c {
                _ if escaped && c.is_ascii_punctuation() => false,
                _ if !ends.is_empty() => ends.contains(&c),
                '(' => {
                    depth += 1;
                    depth > MAX_DEPTH
                }
                // A closing bracket ends it unless one was opened in it.
                ')' => {
                    depth = depth.wrapping_sub(1);
                    depth == usize::MAX
                }
                _ => c.is_ascii_whitespace() || c.is_ascii_control(),
            };
            if stops {
                end = Some(at);
                break;
            }
            escaped = c == '\\' && !escaped;
        }
        self.step(lead + end.unwrap_or(body.len()));
        let Some(end) = end else {
            if !whole {
                return None;
            }
            let span = start..start + body.len();
            if lead + body.len() > LONGEST {
                self.lost_until = span.end;
                return Some((span, Target::UNKNOWN));
            }
            let target = address::read(body, Escapes::Markdown);
            return Some((span, target));
        };
        let source = part(body, 0..end);
        let target = address::read(source, Escapes::Markdown);
        Some((start..start + end, target))
    }
}

/// Names of images, and of definitions that lead elsewhere.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    images: HashSet<u64>,
    /// More images than are remembered: every definition is an image's.
    any_image: bool,
    definitions: HashMap<u64, Target>,
    /// More definitions than are remembered: every image has a foreign one.
    any_definition: bool,
}

impl Names {
    /// Remembers where a name leads. True: an image of this name was seen.
    fn define(&mut self, name: u64, target: &Target) -> bool {
        let full = self.definitions.len() >= MAX_NAMES;
        match self.definitions.get_mut(&name) {
            // Readers differ in which of two counts.
            Some(known) if known != target => *known = Target::UNKNOWN,
            Some(_) => {}
            None if full => self.any_definition = true,
            None => {
                self.definitions.insert(name, target.clone());
            }
        }
        self.any_image || self.images.contains(&name)
    }

    /// Where an image of this name leads, or remembers that there is one.
    fn image(&mut self, name: u64) -> Option<Target> {
        if self.images.len() < MAX_NAMES {
            self.images.insert(name);
        } else if !self.images.contains(&name) {
            self.any_image = true;
        }
        self.definitions.get(&name).cloned().or(self.any_definition.then_some(Target::UNKNOWN))
    }
}

/// True when a text holds what binds tighter than brackets in Markdown.
fn inside_hides(text: &str) -> bool {
    text.contains(['`', '<'])
}

/// A label as readers compare them: without case, blanks as one. Characters beyond ASCII are left out, since readers fold
/// their case each in its own way: different labels may then count as the same.
fn name_of(label: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut words = 0usize;
    for word in label.split(|c: char| c.is_whitespace()).filter(|word| !word.is_empty()) {
        if words > 0 {
            hasher.write_u8(b' ');
        }
        words += 1;
        word.bytes().filter(u8::is_ascii).for_each(|byte| hasher.write_u8(byte.to_ascii_lowercase()));
    }
    words.min(1).hash(&mut hasher);
    hasher.finish()
}
