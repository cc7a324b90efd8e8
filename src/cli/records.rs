//! Lines of logs, one at a time: what a record is behind, and what is no record.
//!
//! A log may hold anything. No line is kept in memory that is longer than a record can be.

use std::collections::HashSet;
use std::fs::File;
use std::hash::BuildHasher as _;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

/// A longer line is no record: 32 findings with long paths are some 20 KiB.
pub(super) const MAX_LINE: usize = 1 << 20;

/// Records whose names are remembered at least, to find them once more.
const REMEMBERED: usize = 2_000_000;

/// The names of records that were read, without what is long ago.
pub(super) struct Seen {
    random: std::hash::RandomState,
    now: HashSet<u64>,
    before: HashSet<u64>,
}

impl Seen {
    pub(super) fn new() -> Seen {
        Seen { random: std::hash::RandomState::new(), now: HashSet::new(), before: HashSet::new() }
    }

    /// Worker, sequence and time name a record. A provisional one has no worker yet: its request does. One without any
    /// name is new.
    pub(super) fn is_new_record(
        &mut self,
        place: Option<(&str, u64)>,
        request: Option<&str>,
        time: Option<&str>,
    ) -> bool {
        match (place, request) {
            (Some(place), _) => self.is_new((place, time)),
            (None, Some(request)) => self.is_new((request, time)),
            (None, None) => true,
        }
    }

    fn is_new(&mut self, name: impl std::hash::Hash) -> bool {
        let hash = self.random.hash_one(name);
        if self.before.contains(&hash) || !self.now.insert(hash) {
            return false;
        }
        if self.now.len() >= REMEMBERED {
            self.before = std::mem::take(&mut self.now);
        }
        true
    }
}

/// What a line holds from its first object on, whatever is before it.
pub(super) fn object(line: &str) -> Option<&str> {
    line.get(line.find("{\"")?..)
}

/// The JSON objects in a log, whatever is before them on their lines.
pub(super) fn objects(text: &str) -> impl Iterator<Item = Value> {
    text.lines().filter_map(|line| {
        let mut values = serde_json::Deserializer::from_str(object(line)?).into_iter::<Value>();
        values.next()?.ok()
    })
}

/// Calls `each` with every line of a file, without its end, and with the bytes that it took. `None` is a line that is
/// too long or no UTF-8. `-` is stdin.
pub(super) fn lines(path: &Path, each: &mut dyn FnMut(Option<&str>, usize)) -> anyhow::Result<()> {
    let name = || path.display().to_string();
    let mut source: Box<dyn BufRead> = if path.as_os_str() == "-" {
        Box::new(BufReader::new(std::io::stdin().lock()))
    } else {
        Box::new(BufReader::with_capacity(1 << 18, File::open(path).with_context(name)?))
    };
    let mut line: Vec<u8> = Vec::new();
    loop {
        line.clear();
        let mut taken = 0;
        let mut is_whole = true;
        loop {
            let held = source.fill_buf().with_context(name)?;
            let end = memchr::memchr(b'\n', held);
            let part = held.get(..end.unwrap_or(held.len())).unwrap_or_default();
            is_whole &= line.len() + part.len() <= MAX_LINE;
            if is_whole {
                line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            source.consume(used);
            taken += used;
            if end.is_some() || used == 0 {
                break;
            }
        }
        if taken == 0 {
            return Ok(());
        }
        let text = if is_whole { std::str::from_utf8(&line).ok() } else { None };
        each(text.map(|text| text.strip_suffix('\r').unwrap_or(text)), taken);
    }
}
