//! Markdown and HTML in replies, of the pieces that readers give a meaning: what is left of a reply, whole or streamed in any
//! cutting, loads nothing from elsewhere and runs nothing. (Of a tag whose head has gone on a stream cuts out the rest.)

#![no_main]

use std::sync::LazyLock;

use bartizan_fuzz::proxy::{Proxy, Upstream, open};
use bartizan_fuzz::{Draw, Unstructured, golden, wire};
use libfuzzer_sys::fuzz_target;
use scraper::{Html, Node};
use serde_json::{Value, json};

static PROXY: LazyLock<Proxy> = LazyLock::new(|| {
    open(|document| {
        document["guards"]["standard"]["output"] = json!({ "exfiltration": "remove", "script": "remove", "secrets": "flag" });
    })
});

const PIECES: &[&str] = &[
    "![", "[", "]", "](", ")", "(", "<", ">", "<img ", "<a ", "<b ", "<video ", "</p>", "<p>", "<div>", "</a>", "src=", "href=",
    "srcset=", "style=", "alt=", "ping=", "onload=", "poster=", "background=", "formaction=", "srcdoc=", "xlink:href=", "\"",
    "'", "`", "``", "```\n", "\n", "\n\n", " ", "\t", "\\", "!", "&", ";", "=", "/", ":", "]: ", "[r]: ", "![r]", "[r]", "[]",
    "> ", "- ", "1. ", "    ", "x", "a b", "https://evil.test/", "//evil.test/x", "https:/\\evil.test", "/ok", "#y",
    "javascript:alert(1)", "&#104;ttps://evil.test", "https&colon;//evil.test", "https\\://evil.test",
    "http://evil.test/?q=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "www.evil.test/?q=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "url(", "é",
    "<!--", "-->", "*", "_", "~~", "<script>", "</script>", "|", "\u{c}", "<svg", "<style>", "@import ", "<textarea>", "<title>",
    "<![CDATA[", "]]>", "<?", "?>", "\u{200b}", "&Tab;", "&NewLine;", "\r\n", "\0", "<br>", "| a |\n|---|\n", "# ", "---\n",
];

const RUNS: [&str; 14] = [
    "script", "iframe", "object", "embed", "form", "base", "meta", "svg", "math", "link", "style", "frame", "frameset",
    "applet",
];

/// What a page of this HTML would fetch, send or run.
fn does(html: &str) -> Vec<String> {
    let mut found = Vec::new();
    for node in Html::parse_document(html).tree.values() {
        let Node::Element(element) = node else { continue };
        let name = element.name();
        if RUNS.contains(&name) {
            found.push(format!("<{name}>"));
        }
        for (attribute, value) in element.attrs() {
            let mut address = |value: &str, fetched: bool| found.extend(resolve(value, fetched));
            match attribute {
                "href" if name == "a" || name == "area" => address(value, false),
                "src" | "href" | "poster" | "background" | "data" | "action" | "formaction" | "ping" => address(value, true),
                "srcset" => value.split(|c: char| c.is_whitespace() || c == ',').for_each(|part| address(part, true)),
                "style" => value.to_lowercase().split("url(").skip(1).for_each(|rest| {
                    address(rest.split(')').next().unwrap_or_default().trim_matches(['"', '\'', ' ']), true);
                }),
                "srcdoc" => found.push("srcdoc".to_owned()),
                handler if handler.starts_with("on") && handler.len() > 2 => found.push(handler.to_owned()),
                _ => {}
            }
        }
    }
    found
}

fn resolve(value: &str, fetched: bool) -> Option<String> {
    let url = url::Url::parse("https://page.example/").ok()?.join(value).ok()?;
    match url.scheme() {
        "javascript" | "vbscript" => Some(url.to_string()),
        "http" | "https" | "ftp" if url.host_str() == Some("page.example") => None,
        "http" | "https" | "ftp" if fetched => Some(url.to_string()),
        "http" | "https" | "ftp" => {
            // An escape carries one byte.
            let bytes = |text: &str| text.len() - 2 * text.matches('%').count();
            let tail = bytes(url.path()) + url.query().map_or(0, |query| bytes(query) + 1);
            let carries = url.query().is_some() && tail >= 24 || tail >= 96 || url.host_str()?.len() >= 64;
            carries.then(|| url.to_string())
        }
        _ => None,
    }
}

/// The text as three readers show it.
fn pages(text: &str) -> [(&'static str, String); 3] {
    let mut options = comrak::Options::default();
    options.extension.autolink = true;
    options.extension.table = true;
    options.extension.strikethrough = true;
    options.render.r#unsafe = true;
    let mut plain = String::new();
    pulldown_cmark::html::push_html(&mut plain, pulldown_cmark::Parser::new_ext(text, pulldown_cmark::Options::all()));
    [("comrak", comrak::markdown_to_html(text, &options)), ("pulldown-cmark", plain), ("html", text.to_owned())]
}

fn harmless(text: &str, left: &str) {
    for (reader, page) in pages(left) {
        // A text with code is Markdown; the reader of HTML sees tags in it.
        if reader == "html" && text.contains(['`', '~']) {
            continue;
        }
        let found = does(&page);
        assert!(found.is_empty(), "{reader} still does {found:?}\n  of {text:?}\n  cut to {left:?}\n  page {page:?}");
    }
}

fn content(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).expect("the client gets JSON");
    body["choices"][0]["message"]["content"].as_str().expect("a text").to_owned()
}

fn run(u: &mut Unstructured<'_>) -> Draw<()> {
    let mut pieces = Vec::new();
    for _ in 0..u.int_in_range(0..=28u8)? {
        pieces.push(*u.choose(PIECES)?);
    }
    let text = pieces.concat();
    let path = "/v1/chat/completions";
    let reply = json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [{ "index": 0,
        "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }] }).to_string();
    let upstream = Upstream { content_type: "application/json", pieces: &[reply.as_bytes()] };
    let whole = PROXY.exchange(path, golden::request_for(path, false).to_string().as_bytes(), Some(upstream));
    let left = content(&whole.client);
    harmless(&text, &left);

    let event = |delta: Value, finish: Value| {
        let data = json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] });
        format!("data: {data}\n\n")
    };
    let mut body = event(json!({ "role": "assistant", "content": "" }), Value::Null);
    let cuts = wire::cuts(text.len(), u)?;
    let cuts: Vec<usize> = cuts.into_iter().map(|at| text.floor_char_boundary(at)).collect();
    for pair in cuts.windows(2) {
        body += &event(json!({ "content": text[pair[0]..pair[1]] }), Value::Null);
    }
    body += &event(json!({}), json!("stop"));
    body += "data: [DONE]\n\n";
    let upstream = Upstream { content_type: "text/event-stream", pieces: &[body.as_bytes()] };
    let streamed = PROXY.exchange(path, golden::request_for(path, true).to_string().as_bytes(), Some(upstream));
    let events = wire::read(&streamed.client, true);
    let values = events.iter().filter_map(|data| serde_json::from_str::<Value>(data).ok());
    let joined: String =
        values.map(|value| value["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned()).collect();
    harmless(&text, &joined);
    assert_eq!(joined == text, left == text, "streamed: {text:?} at {cuts:?}");
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    let _ = run(&mut Unstructured::new(data));
});
