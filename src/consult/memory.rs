//! Answers of a moment ago.

use std::collections::HashMap;

use crate::host::Timestamp;

/// Entries of one generation: twice as many are remembered at most.
const GENERATION: usize = 2048;

/// Answers of one VM by the keyed hash of their question: bounded, the oldest out first, each for its own time.
#[derive(Debug)]
pub struct Memory<T> {
    young: HashMap<[u8; 16], (T, Timestamp)>,
    old: HashMap<[u8; 16], (T, Timestamp)>,
}

impl<T> Default for Memory<T> {
    fn default() -> Memory<T> {
        Memory { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<T: Clone> Memory<T> {
    /// The answer to a question, while it counts.
    pub fn find(&self, tag: &[u8; 16], now: Timestamp) -> Option<T> {
        let (answer, until) = self.young.get(tag).or_else(|| self.old.get(tag))?;
        (now < *until).then(|| answer.clone())
    }

    /// Remembers an answer until then.
    pub fn keep(&mut self, tag: [u8; 16], answer: T, until: Timestamp, now: Timestamp) {
        if now >= until {
            return;
        }
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&tag);
        self.young.insert(tag, (answer, until));
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_forgets_in_time() {
        let mut memory = Memory::default();
        for number in 0..10_000_u64 {
            let mut tag = [0; 16];
            tag[..8].copy_from_slice(&number.to_le_bytes());
            memory.keep(tag, number, Timestamp(number + 100), Timestamp(number));
            assert_eq!(memory.find(&tag, Timestamp(number + 99)), Some(number));
            assert_eq!(memory.find(&tag, Timestamp(number + 100)), None);
            assert!(memory.young.len() + memory.old.len() <= 2 * GENERATION);
        }
        memory.clear();
        assert!(memory.young.is_empty() && memory.old.is_empty());
    }
}
