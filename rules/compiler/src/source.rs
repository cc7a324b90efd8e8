//! The tables as Rust source: constants of the filter.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use bartizan_rules::program::Op;
use bartizan_rules::words::{Kind, Level, Pack, PiiType, Zone};
use bartizan_rules::{lexicon, normalise};
use sha2::{Digest, Sha256};

use crate::lower::Compiler;
use crate::shape::Shape;
use crate::{layout, rulefile};

/// The bundle as Rust, to be included where the tables live.
pub(crate) fn source(bundle: &rulefile::Bundle) -> Result<String, Vec<String>> {
    let mut out = String::from("// Generated from rules/ by build.rs. Do not edit.\n\n");
    let json = serde_json::to_string(bundle).map_err(|error| vec![error.to_string()])?;
    let digest: String = Sha256::digest(json.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let _ = writeln!(out, "/// SHA-256 of the bundle.\npub(super) const DIGEST: &str = \"{digest}\";\n");
    let mut words = Words::default();
    let (mut rules, mut nears, mut patterns) = (Vec::new(), Vec::new(), Vec::new());
    let (mut owners, mut compiler) = (Vec::new(), Compiler::default());
    let mut starts = Vec::new();
    let mut base = 0;
    for (at, rule) in bundle.rules.iter().enumerate() {
        let group = |index: &u32| bundle.groups.get(*index as usize).map(Vec::as_slice).unwrap_or_default();
        for word in rule.keywords.iter().flat_map(group) {
            words.add(rule.raw, word, format!("Use::Keyword({at})"));
        }
        for near in &rule.near {
            let place = nears.len();
            nears.push(format!(
                "ShippedNear {{ rule: {at}, within: {}, ordered: {}, groups: {}, base: {base} }}",
                near.within,
                near.ordered,
                near.all.len()
            ));
            base += near.all.len();
            for (slot, index) in near.all.iter().enumerate() {
                group(index).iter().for_each(|word| words.add(false, word, format!("Use::Slot({place}, {slot})")));
            }
            for word in near.unless.iter().flat_map(group) {
                words.add(false, word, format!("Use::Unless({place})"));
            }
        }
        let first = patterns.len();
        let keywords: Vec<&[u8]> = rule.keywords.iter().flat_map(group).map(|word| word.as_bytes()).collect();
        for pattern in &rule.patterns {
            patterns.push(pattern.clone());
            owners.push(at);
            compiler
                .add(pattern, rule.digits.is_some() && rule.raw)
                .map_err(|fault| vec![format!("{}: pattern '{pattern}': {fault}", rule.id)])?;
            if rule.raw {
                compiler.anchor(&keywords);
            }
            for anchor in compiler.anchors.last().into_iter().flatten() {
                let word = String::from_utf8_lossy(&anchor.word);
                words.add(true, &word, format!("Use::Start({})", starts.len()));
                starts.push(format!(
                    "Start {{ program: {}, least: {}, most: {} }}",
                    owners.len() - 1,
                    anchor.least,
                    anchor.most
                ));
            }
        }
        rules.push(shipped_rule(rule, first..patterns.len()).map_err(|fault| vec![fault])?);
    }
    words.disguised(&bundle.disguise);
    table(&mut out, "Every rule, ordered by id", "RULES", "ShippedRule", &rules);
    table(&mut out, "Every co-occurrence", "NEARS", "ShippedNear", &nears);
    let _ = writeln!(out, "/// Places of all co-occurrences.\npub(super) const PLACES: usize = {base};\n");
    table(&mut out, "Where patterns may begin beside words", "WORD_STARTS", "Start", &starts);
    let anchored = compiler.anchors.iter().map(|anchors| !anchors.is_empty());
    numbers(&mut out, "By pattern: it is looked for around words alone", "ANCHORED", "bool", anchored);
    compiler.find_shapes();
    let group = |shape: &Option<Shape>| {
        let Shape { least, most, after, seconds, .. } = shape.unwrap_or(Shape::NONE);
        format!("Group {{ least: {least}, most: {most}, after: {after}, seconds: {seconds} }}")
    };
    let groups: Vec<String> = compiler.shapes.iter().map(group).collect();
    table(&mut out, "By pattern: the first group of digits in its matches", "GROUPS", "Group", &groups);
    let shaped = compiler.shapes.iter().map(Option::is_some);
    numbers(&mut out, "By pattern: it is looked for around groups of digits alone", "SHAPED", "bool", shaped);
    shapes(&mut out, &compiler);
    numbers(&mut out, "By pattern: its rule", "OWNERS", "u16", owners);
    programs(&mut out, compiler);
    words.write(&mut out)?;
    Ok(out)
}

fn shipped_rule(rule: &rulefile::BundledRule, patterns: std::ops::Range<usize>) -> Result<String, String> {
    let pack = named(Pack::ALL, Pack::as_str, &rule.pack)?;
    let level = named(Level::ALL, Level::as_str, &rule.level)?;
    let kind = match (pack, &rule.kind) {
        (Pack::Pii, Some(kind)) => Kind::Pii(named(PiiType::ALL, PiiType::as_str, kind)?),
        (Pack::Secrets, _) => Kind::Secret,
        _ => Kind::Attack,
    };
    let kind = match kind {
        Kind::Pii(of) | Kind::Own(of, _) => format!("Kind::Pii(PiiType::{of:?})"),
        other => format!("Kind::{other:?}"),
    };
    let zone = |word: &String| Ok(format!("1 << Zone::{:?} as u8", named(Zone::ALL, Zone::as_str, word)?));
    let zones = rule.scope.iter().map(zone).collect::<Result<Vec<String>, String>>()?;
    Ok(format!(
        "ShippedRule {{ id: {:?}, title: {:?}, pack: Pack::{pack:?}, level: Level::{level:?}, kind: {kind}, shadow: {}, raw: {}, \
         zones: {}, digits: {}, beside: {}, both: {}, patterns: {}..{}, window: {}, validate: {:?} }}",
        rule.id,
        rule.title,
        rule.shadow,
        rule.raw,
        if zones.is_empty() { "255".into() } else { zones.join(" | ") },
        rule.digits.unwrap_or(0),
        rule.beside,
        rule.both,
        patterns.start,
        patterns.end,
        rule.window,
        rule.validate.as_deref().unwrap_or_default(),
    ))
}

/// The value of a closed list that is spelled so.
fn named<T: Copy>(all: &[T], word: fn(T) -> &'static str, wanted: &str) -> Result<T, String> {
    all.iter().copied().find(|value| word(*value) == wanted).ok_or_else(|| format!("{wanted}: no such word"))
}

/// The patterns' programs, and the automaton of how they begin.
fn programs(out: &mut String, mut compiler: Compiler) {
    let mut programs = Vec::new();
    let mut firsts = Vec::new();
    let (mut places, mut kinds): (Vec<usize>, Vec<Vec<u8>>) = (Vec::new(), Vec::new());
    let mut at_lines = Vec::new();
    for program in 0..compiler.programs.len() {
        at_lines.push(compiler.begins_a_line(program));
        firsts.push(compiler.lookahead(program, 0));
        let of = compiler.places(program);
        places.push(kinds.iter().position(|known| *known == of).unwrap_or(kinds.len()));
        if places.last() == Some(&kinds.len()) {
            kinds.push(of);
        }
        let ops = compiler.ops(program);
        let ops = ops.iter().map(op);
        programs.push(format!("&[{}]", ops.collect::<Vec<_>>().join(", ")));
    }
    let beginnings = compiler.beginnings();
    table(out, "Every pattern", "PROGRAMS", "&[Op]", &programs);
    numbers(out, "What each may begin with", "PROGRAM_FIRSTS", "u16", firsts);
    numbers(out, "By pattern: it begins where a line does", "AT_LINES", "bool", at_lines);
    numbers(out, "Which table of places each has", "PROGRAM_PLACES", "u8", places);
    let kinds: Vec<String> = kinds.iter().map(|table| format!("{table:?}")).collect();
    table(out, "Tables of places", "PLACE_TABLES", "[u8; 256]", &kinds);
    let sets: Vec<String> = compiler
        .sets
        .iter()
        .map(|(ascii, ranges)| format!("Set {{ ascii: {ascii:?}, ranges: &{ranges:?} }}"))
        .collect();
    table(out, "Sets of characters", "SETS", "Set", &sets);
    let lookaheads: Vec<String> =
        compiler.lookaheads.iter().map(|(bytes, end)| format!("ByteSet {{ bytes: {bytes:?}, end: {end} }}")).collect();
    table(out, "What may come next", "LOOKAHEADS", "ByteSet", &lookaheads);
    numbers(out, "Classes of bytes", "BEGIN_CLASSES", "u8", beginnings.classes);
    numbers(out, "Units of the automaton", "BEGIN_UNITS", "u32", beginnings.units);
    numbers(out, "Where each list of patterns begins", "BEGIN_LISTS", "u16", beginnings.lists);
    numbers(out, "Lists of patterns", "BEGIN_PATTERNS", "u16", beginnings.patterns);
    numbers(out, "Lists by groups of digits", "BEGIN_GROUPS", "u16", beginnings.groups);
    numbers(out, "Patterns that are looked for by themselves", "BROAD", "u16", beginnings.broad);
    numbers(out, "Bytes before the first digit of each, at most", "BEFORE_DIGIT", "u16", compiler.before.clone());
    let (lengths, befores): (Vec<u8>, Vec<u16>) = compiler.runs.iter().copied().unzip();
    numbers(out, "Tokens on end in each, at least", "RUN_LENGTH", "u8", lengths);
    numbers(out, "Bytes before these, at most", "BEFORE_RUN", "u16", befores);
    numbers(out, "Looked for together with others, and not only around digits", "FAR", "u16", compiler.far());
    let _ = writeln!(
        out,
        "/// The same of all that are looked for around digits only.\npub(super) const BEFORE_ANY: usize = {};",
        compiler.before_any()
    );
    let _ = writeln!(
        out,
        "/// How patterns begin.\npub(super) static BEGINNINGS: Beginnings = Beginnings {{\n    classes: &BEGIN_CLASSES, \
         units: &BEGIN_UNITS, roots: {:?}, lists: &BEGIN_LISTS, patterns: &BEGIN_PATTERNS, groups: &BEGIN_GROUPS,\n}};\n\
         /// Sets of characters and of bytes.\npub(super) static TABLES: Tables = Tables {{ sets: &SETS, lookaheads: &LOOKAHEADS }};\n",
        beginnings.roots
    );
}

/// Which patterns may begin around a group of digits, by what is before it and by its length.
fn shapes(out: &mut String, compiler: &Compiler) {
    let mut lists: BTreeMap<Vec<u16>, usize> = BTreeMap::new();
    let (mut programs, mut ends, mut numbered) = (Vec::new(), vec![0], Vec::new());
    for of in compiler.by_shape() {
        let next = lists.len();
        numbered.push(*lists.entry(of).or_insert_with_key(|of| {
            programs.extend(of.iter().copied());
            ends.push(programs.len());
            next
        }));
    }
    numbers(out, "By kind and length of a group of digits: the list of patterns", "SHAPE_LISTS", "u8", numbered);
    numbers(out, "Where each list begins", "SHAPE_ENDS", "u16", ends);
    numbers(out, "Lists of patterns", "SHAPE_PROGRAMS", "u16", programs);
}

/// An instruction as Rust.
fn op(op: &Op) -> String {
    match op {
        Op::Literal(bytes) => format!("Op::Literal(&{bytes:?})"),
        Op::Fold(word) => format!("Op::Fold(&{word:?})"),
        Op::Split { first, second, lookaheads } => {
            format!("Op::Split {{ first: {first}, second: {second}, lookaheads: {lookaheads:?} }}")
        }
        Op::Look(look) => format!("Op::Look(Look::{look:?})"),
        Op::Set(_) | Op::Repeat(_) | Op::Jump(_) | Op::Open | Op::Close | Op::Match => format!("Op::{op:?}"),
    }
}

fn table(out: &mut String, doc: &str, name: &str, of: &str, rows: &[String]) {
    let _ = writeln!(out, "/// {doc}.\npub(super) static {name}: [{of}; {}] = [", rows.len());
    for row in rows.chunks(if of.len() < 6 { 16 } else { 1 }) {
        let _ = writeln!(out, "    {},", row.join(", "));
    }
    out.push_str("];\n\n");
}

fn numbers<N: ToString>(out: &mut String, doc: &str, name: &str, of: &str, rows: impl IntoIterator<Item = N>) {
    let rows: Vec<String> = rows.into_iter().map(|number| number.to_string()).collect();
    table(out, doc, name, of, &rows);
}

/// The words of both views, each with what it speaks for.
#[derive(Default)]
struct Words {
    normalised: BTreeMap<String, Vec<String>>,
    raw: BTreeMap<String, Vec<String>>,
}

impl Words {
    fn add(&mut self, raw: bool, word: &str, purpose: String) {
        let uses = if raw { &mut self.raw } else { &mut self.normalised }.entry(word.into()).or_default();
        if !uses.contains(&purpose) {
            uses.push(purpose);
        }
    }

    /// Common words rotated, mirrored and reversed, where that is no word itself.
    fn disguised(&mut self, disguise: &[String]) {
        let common: BTreeSet<String> = disguise.iter().map(|word| normalise::to_string(word)).collect();
        let spelled = |word: &str, letter: fn(u8) -> u8| word.bytes().map(|b| char::from(letter(b))).collect();
        for word in common.iter().filter(|word| word.bytes().all(|b| b.is_ascii_lowercase())) {
            let forms: [(String, &str); 3] = [
                (spelled(word, |b| (b - b'a' + 13) % 26 + b'a'), "Use::Rotated"),
                (spelled(word, |b| b'z' - (b - b'a')), "Use::Mirrored"),
                (word.bytes().rev().map(char::from).collect(), "Use::Reversed"),
            ];
            for (form, purpose) in forms {
                if !common.contains(&form) && !self.normalised.contains_key(&form) {
                    self.add(false, &form, purpose.into());
                }
            }
        }
    }

    fn write(&self, out: &mut String) -> Result<(), Vec<String>> {
        let mut lists: BTreeMap<&Vec<String>, u16> = BTreeMap::new();
        let (mut uses, mut ends) = (Vec::new(), vec![0usize]);
        let mut list = |of| {
            *lists.entry(of).or_insert_with(|| {
                uses.extend(of.iter().cloned());
                ends.push(uses.len());
                (ends.len() - 2) as u16
            })
        };
        let mut packed = Vec::new();
        for (word, of) in &self.normalised {
            if word.starts_with('*') {
                return Err(vec![format!("keyword '{word}': an open start is not built")]);
            }
            let open_end = word.len() > 1 && word.ends_with('*');
            let text = word.strip_suffix('*').filter(|_| open_end).unwrap_or(word);
            let known = lexicon::Word {
                uses: list(of),
                bound_end: !open_end && text.chars().next_back().is_some_and(lexicon::is_bounded),
                wide: text.chars().any(|c| matches!(c, '\u{80}'..='\u{dff}')),
                phrase: text.contains(' '),
                open_end,
            };
            packed.push((text, layout::packed(known)));
        }
        packed.sort_unstable();
        // A word with and one without an open end may be spelled alike: they are one after the other.
        let texts: Vec<&str> = packed.iter().map(|(text, _)| *text).collect();
        for (at, (text, bits)) in packed.iter_mut().enumerate() {
            *bits |= if texts.get(at + 1) == Some(text) { lexicon::MORE } else { 0 };
        }
        let first = texts.iter().enumerate().filter(|(at, text)| *at == 0 || texts.get(at - 1) != Some(text));
        let units = layout::words(first.map(|(at, word)| (word.as_bytes(), at as u32)));
        let starts = layout::starts(packed.iter().map(|(text, bits)| (text.as_bytes(), bits >> 16 & 1 == 1)));
        let literals: Vec<(Vec<u8>, u16)> = self.raw.iter().map(|(w, of)| (w.clone().into_bytes(), list(of))).collect();
        let layout = layout::literals(&literals);
        numbers(out, "The table of normalised words", "UNITS", "u32", units);
        numbers(out, "Filter of four letters and digits", "STARTS", "u64", starts);
        numbers(out, "What is known of each", "WORDS", "u32", packed.iter().map(|(_, bits)| bits));
        table(out, "What words speak for, list after list", "USES", "Use", &uses);
        numbers(out, "Where each list begins", "USE_LISTS", "u16", ends);
        numbers(out, "Filter of three bytes", "TRIPLES", "u64", layout.triples);
        numbers(out, "Buckets of raw keywords", "BUCKETS", "u16", layout.buckets);
        let literal = |text: &[u8], triple: u32, offset: u8, uses: u16| {
            format!("Literal {{ text: &{text:?}, triple: {triple}, offset: {offset}, uses: {uses} }}")
        };
        let list: Vec<String> = layout.list.iter().map(|(w, t, o, u)| literal(w, *t, *o, *u)).collect();
        let short: Vec<String> = layout.short.iter().map(|(w, t, u)| literal(w, *t, 0, *u)).collect();
        let single: Vec<String> = layout.single.iter().map(|(w, u)| literal(w, 0, 0, *u)).collect();
        table(out, "Raw keywords", "LITERAL_LIST", "Literal", &list);
        table(out, "Raw keywords of two bytes", "SHORT_LITERALS", "Literal", &short);
        table(out, "Raw keywords of one byte", "SINGLE_LITERALS", "Literal", &single);
        out.push_str(
            "/// The words of the normalised view.\npub(super) static LEXICON: Lexicon = \
             Lexicon { units: &UNITS, starts: &STARTS, words: &WORDS };\n\
             /// The keywords of the raw view.\npub(super) static LITERALS: Literals = Literals {\n    \
             triples: &TRIPLES, buckets: &BUCKETS, list: &LITERAL_LIST, short: &SHORT_LITERALS, \
             single: &SINGLE_LITERALS,\n};\n",
        );
        Ok(())
    }
}
