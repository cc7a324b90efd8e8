//! The walls of the house: which room imports which, and that no circle closes.
//!
//! A room is a folder or a file right below `src/`. `cargo test --test suite rooms -- --nocapture` prints the table.
//!
//! Between rooms every path counts. Inside a room a file may name what its own parents define: a folder and the file that
//! opens it are one thing to a reader. Every other path between two files counts, through re-exports to where a name is
//! defined. Tests and comments don't count.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A module: the names from the crate's root to it.
type Module = Vec<String>;

struct House {
    /// The code of each module, without comments and tests.
    code: BTreeMap<Module, String>,
    /// What a module's `use` makes of a name.
    names: BTreeMap<Module, BTreeMap<String, Module>>,
}

/// One path in the code of a module, from the crate's root. A `pub use` is a door, not a use.
struct Named {
    to: Module,
    is_door: bool,
}

impl House {
    fn read() -> House {
        let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut files = Vec::new();
        walk(&source, &mut files);
        let mut code = BTreeMap::new();
        let mut tests: Vec<Module> = Vec::new();
        for file in files {
            let module = module_of(file.strip_prefix(&source).unwrap());
            let text = std::fs::read_to_string(&file).unwrap();
            let lines = code_of(&text);
            for pair in lines.windows(2) {
                let file =
                    pair[1].trim_start_matches("pub ").strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';'));
                tests.extend(file.filter(|_| pair[0] == "#[cfg(test)]").map(|name| join(&module, name)));
            }
            code.insert(module, lines.join("\n"));
        }
        code.retain(|module, _| {
            let outside = matches!(module[0].as_str(), "lib" | "main" | "manual");
            !outside && !tests.iter().any(|test| module.starts_with(test))
        });
        let mut house = House { code, names: BTreeMap::new() };
        for module in house.code.keys() {
            let names = house.uses(module).into_iter().filter_map(|one| Some((one.to.last()?.clone(), one.to)));
            let names = names.collect();
            house.names.insert(module.clone(), names);
        }
        house
    }

    /// The paths of a module's `use`.
    fn uses(&self, module: &Module) -> Vec<Named> {
        let mut named = Vec::new();
        for (is_door, tree) in statements(&self.code[module]).0 {
            for path in spread(&tree) {
                named.extend(self.absolute(module, &path).map(|to| Named { to, is_door }));
            }
        }
        named
    }

    /// All paths of a module.
    fn paths(&self, module: &Module) -> Vec<Named> {
        let body = statements(&self.code[module]).1;
        let words = body.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
        let inline = words.map(|word| word.trim_matches(':')).filter(|word| word.contains("::"));
        let inline = inline.filter_map(|path| self.absolute(module, path)).map(|to| Named { to, is_door: false });
        self.uses(module).into_iter().chain(inline).collect()
    }

    /// A path from the crate's root; `None`: it leads to another crate, or is no path of modules.
    fn absolute(&self, module: &Module, path: &str) -> Option<Module> {
        let mut steps: Vec<String> = path.split("::").map(str::to_owned).collect();
        let mut base: Module = match steps[0].as_str() {
            "crate" => Vec::new(),
            "self" => module.clone(),
            "super" => module[..module.len() - 1].to_vec(),
            first if self.code.contains_key(&join(module, first)) => join(module, &steps.remove(0)),
            _ => return None,
        };
        if matches!(steps.first().map(String::as_str), Some("crate" | "self" | "super")) {
            steps.remove(0);
        }
        while steps.first().is_some_and(|step| step == "super") {
            base.pop();
            steps.remove(0);
        }
        base.extend(steps);
        Some(base)
    }

    /// The module that defines what a path names.
    fn defined_in(&self, path: &Module, depth: usize) -> Option<Module> {
        let length = (1..=path.len()).rev().find(|length| self.code.contains_key(&path[..*length]))?;
        let module = path[..length].to_vec();
        let next = path.get(length).and_then(|name| self.names.get(&module)?.get(name));
        match next {
            Some(target) if depth < 8 && target[..] != path[..length + 1] => {
                self.defined_in(&[target.as_slice(), &path[length + 1..]].concat(), depth + 1)
            }
            _ => Some(module),
        }
    }

    /// Which rooms a room's files name.
    fn rooms(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut rooms: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for module in self.code.keys() {
            let named = self.paths(module).into_iter().filter_map(|one| one.to.first().cloned());
            let known = |room: &String| *room != module[0] && self.code.keys().any(|other| other[0] == *room);
            rooms.entry(module[0].clone()).or_default().extend(named.filter(known));
        }
        rooms
    }

    /// Which files of the same room a file names.
    fn files(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut files: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for module in self.code.keys() {
            let named = self.paths(module).into_iter().filter(|one| !one.is_door);
            let named = named.filter_map(|one| self.defined_in(&one.to, 0));
            let counts = |to: &Module| to[0] == module[0] && !module.starts_with(to);
            files.insert(module.join("/"), named.filter(counts).map(|to| to.join("/")).collect());
        }
        files
    }
}

/// The trees of all `use`, without spaces and aliases, each with whether it is public; and what else there is.
fn statements(code: &str) -> (Vec<(bool, String)>, String) {
    let (mut uses, mut body) = (Vec::new(), String::new());
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        let public = line.strip_prefix("pub").map(|rest| match rest.strip_prefix('(') {
            Some(rest) => rest.split_once(')').map_or(rest, |(_, rest)| rest),
            None => rest,
        });
        let is_use = |text: &str| text.starts_with("use ") && text.contains("::");
        let public = public.map(str::trim_start);
        let Some(first) = Some(line).into_iter().chain(public).find(|text| is_use(text)) else {
            body += line;
            body.push('\n');
            continue;
        };
        let mut tree = first["use ".len()..].to_owned();
        while !tree.ends_with(';') {
            tree += lines.next().expect("a statement ends");
        }
        let names = tree.trim_end_matches(';').split(',').map(|name| name.split(" as ").next().unwrap_or_default());
        let closing = |name: &str| "}".repeat(name.matches('}').count());
        // What an alias cuts off may close a list.
        let whole = tree.trim_end_matches(';').split(',');
        let names = names.zip(whole).map(|(name, whole)| {
            if name.len() < whole.len() { format!("{name}{}", closing(&whole[name.len()..])) } else { name.to_owned() }
        });
        uses.push((line.starts_with("pub"), names.collect::<Vec<_>>().join(",").split_whitespace().collect()));
    }
    (uses, body)
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn module_of(file: &Path) -> Module {
    let path = file.with_extension("");
    let mut names: Module = path.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    if names.last().is_some_and(|name| name == "mod") {
        names.pop();
    }
    names
}

fn join(module: &Module, name: &str) -> Module {
    [module.as_slice(), &[name.to_owned()]].concat()
}

/// `a::{b, c::{d}}` as `a::b` and `a::c::d`. The tree has no spaces.
fn spread(tree: &str) -> Vec<String> {
    let Some(open) = tree.find('{') else { return vec![tree.to_owned()] };
    let (before, inner) = (&tree[..open], &tree[open + 1..tree.rfind('}').unwrap()]);
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inner[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inner[start..]);
    let parts = parts.into_iter().filter(|part| !part.is_empty()).flat_map(spread);
    parts
        .map(|part| if part == "self" { before.trim_end_matches(':').to_owned() } else { format!("{before}{part}") })
        .collect()
}

/// Sets of more than one node, each of which leads to each.
fn circles(edges: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<BTreeSet<String>> {
    let reach = |from: &String| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(node) = open.pop() {
            open.extend(edges.get(&node).into_iter().flatten().filter(|next| seen.insert((*next).clone())).cloned());
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<String>> = edges.keys().map(|node| (node, reach(node))).collect();
    let circle = |node: &String| -> BTreeSet<String> {
        reached[node]
            .iter()
            .filter(|other| reached.get(other).is_some_and(|back| back.contains(node)))
            .cloned()
            .collect()
    };
    edges.keys().map(circle).filter(|circle| circle.len() > 1).collect()
}

#[test]
fn no_circle_closes_between_rooms() {
    let rooms = House::read().rooms();
    for (room, imports) in &rooms {
        println!("{room:12} {}", imports.iter().cloned().collect::<Vec<_>>().join(" "));
    }
    assert_eq!(circles(&rooms), BTreeSet::new());
    let imports = |room: &str, other: &str| rooms[room].contains(other);
    assert!(imports("policy", "guard") && imports("transaction", "policy"), "the table is read");
    for room in ["authn", "authz", "capture", "document", "guard", "protocol", "quota", "redact", "route", "scan"] {
        assert!(!imports(room, "policy") && !imports(room, "transaction"), "{room} knows only its own section");
    }
}

#[test]
fn no_circle_of_more_than_two_files_closes_inside_a_room() {
    let files = House::read().files();
    let found: BTreeSet<_> = circles(&files).into_iter().filter(|circle| circle.len() > 2).collect();
    for circle in &found {
        for file in circle {
            let next: Vec<&String> = files[file].intersection(circle).collect();
            println!("{file} -> {next:?}");
        }
    }
    assert_eq!(found, BTreeSet::new());
}

/// Public modules whose head has no example that runs, and why.
const WITHOUT_EXAMPLE: [(&str, &str); 6] = [
    ("src/cli", "the command line: its help and tests/suite/cli.rs show it"),
    ("src/cli/schema", "as above"),
    ("src/manual", "pages"),
    ("src/quota/fleet", "begins with a service and a whole policy: tests/suite/fleet.rs"),
    ("rules/engine/src/tables", "the form of what the compiler writes"),
    ("rules/compiler/src/rulefile", "begins with a file: tests/suite/rules.rs"),
];

/// Every public module shows in its head, or at its first item, how it is used.
/// The lines of a file without comments and without the tests at its end.
fn code_of(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> =
        text.lines().map(str::trim).filter(|line| !line.starts_with("//") && !line.is_empty()).collect();
    if let Some(tests) = lines.windows(2).position(|pair| pair == ["#[cfg(test)]", "mod tests {"]) {
        lines.truncate(tests);
    }
    lines
}

/// Expressions that look something up and put a default in its place: `table.get(at).copied().unwrap_or(0)`.
fn silent_defaults(code: &str) -> Vec<&str> {
    let starts = code.match_indices(".get(").chain(code.match_indices(".get_mut("));
    let ends_in_default = |(start, call): (usize, &str)| {
        let mut at = start + call.len();
        loop {
            // Behind the call's closing bracket.
            let mut depth = 1;
            let length = code[at..].find(|c| {
                depth += i32::from(c == '(') - i32::from(c == ')');
                depth == 0
            })?;
            at += length + 1;
            let next = code[at..].trim_start();
            let name: String =
                next.strip_prefix('.')?.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if name.starts_with("unwrap_or") {
                return Some(&code[start..code.len() - next.len() + 1 + name.len()]);
            }
            at = code.len() - next.len() + next.find('(').filter(|open| *open == name.len() + 1)? + 1;
        }
    };
    starts.filter_map(ends_in_default).collect()
}

/// Where a text is scanned and masked, a default behind a bare lookup would hide that something was not looked for:
/// `bartizan_rules::invariant` records it. What may be absent is a `match`, a `let else` or a `?` that says what follows.
#[test]
fn no_lookup_of_the_scanner_or_the_masker_has_a_silent_default() {
    assert_eq!(silent_defaults("a.get(b(c)).copied()\n  .unwrap_or(0)").len(), 1);
    assert!(silent_defaults("sure(a.get(b)).copied().unwrap_or(0); c.get(d)?; e.get(f).map(|g| g + 1)").is_empty());
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let (mut files, mut found) = (Vec::new(), Vec::new());
    for folder in ["src/scan", "src/redact", "rules/engine/src"] {
        walk(&root.join(folder), &mut files);
    }
    // Validators judge the form of a value, of which a name or a neighbour may be absent.
    files.retain(|file| !file.starts_with(root.join("src/redact/validate")));
    assert!(files.len() > 40, "{}", files.len());
    let is_checked = |file: &Path| {
        let name = file.file_name().unwrap().to_str().unwrap();
        !matches!(name, "invariant.rs" | "tests.rs" | "oracles.rs" | "samples.rs" | "stages.rs" | "steps.rs")
    };
    for file in files.iter().filter(|file| is_checked(file)) {
        let text = std::fs::read_to_string(file).unwrap();
        let code = code_of(&text).join("\n");
        found.extend(silent_defaults(&code).into_iter().map(|found| format!("{}: {found}", file.display())));
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_public_module_has_an_example() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut without = BTreeSet::new();
    let mut modules = 0;
    for source in ["src", "rules/engine/src", "rules/compiler/src"] {
        let mut files = Vec::new();
        walk(&root.join(source), &mut files);
        let texts: BTreeMap<Module, String> = files
            .iter()
            .map(|file| {
                (module_of(file.strip_prefix(root.join(source)).unwrap()), std::fs::read_to_string(file).unwrap())
            })
            .collect();
        for (parent, text) in &texts {
            let of_lib = parent.len() == 1 && parent[0] == "lib";
            for name in text.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')) {
                let module = if of_lib { vec![name.to_owned()] } else { join(parent, name) };
                modules += 1;
                if !texts[&module].lines().any(|line| line.starts_with("//! ```") || line.starts_with("/// ```")) {
                    without.insert(format!("{source}/{}", module.join("/")));
                }
            }
        }
    }
    assert!(modules > 40, "the modules are found");
    assert_eq!(without, WITHOUT_EXAMPLE.iter().map(|(module, _)| (*module).to_owned()).collect());
}

/// The search finds what it is there to find.
#[test]
fn a_circle_is_found() {
    let edges = |all: &[(&str, &[&str])]| {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        all.iter().map(|(from, to)| ((*from).to_owned(), owned(to))).collect::<BTreeMap<String, BTreeSet<String>>>()
    };
    let open = edges(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[])]);
    assert!(circles(&open).is_empty());
    let closed = edges(&[("a", &["b"]), ("b", &["c"]), ("c", &["a"]), ("d", &["a"])]);
    assert_eq!(circles(&closed).len(), 1);
    assert_eq!(spread("crate::{a::{self,B},c::D}"), ["crate::a", "crate::a::B", "crate::c::D"]);
}
