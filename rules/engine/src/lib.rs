//! What finds Bartizan's rules in a text: the parts that run in the filter.
//!
//! | module | what it is |
//! |---|---|
//! | [`normalise`] | text as the rules see it, with the way back to the original bytes |
//! | [`lexicon`] | words of normalised text: a double-array trie |
//! | [`letters`] | letters and digits of any script, by tables |
//! | [`literals`] | keywords of text as it came: a filter of three letters, then a comparison |
//! | [`near`] | words of several groups close together: proximity |
//! | [`beginnings`] | which patterns may begin at a place: a prefix automaton |
//! | [`program`] | patterns: a bounded backtracker |
//! | [`scorer`] | the learned scorer |
//! | [`patterns`] | the policy's own patterns |
//! | [`invariant`] | what is noted where a table does not fit |
//! | [`tables`], [`words`] | what is known of a rule, and the closed words of all of them |
//!
//! Everything is linear in the text and bounded. `DESIGN.md` says why these and no libraries. Nothing here reads a
//! rule file: tables come from `bartizan-rules-compiler`.

pub mod beginnings;
pub mod invariant;
pub mod letters;
pub mod lexicon;
pub mod literals;
pub mod near;
pub mod normalise;
pub mod patterns;
pub mod program;
pub mod scorer;
pub mod tables;
pub mod words;
