//! What the provider keeps: batches, files, responses and conversations are read, stopped and taken back by whom the policy
//! says, and what comes is judged as a reply is.

use crate::common;

use common::pipeline::{Answer, Pipeline};
use serde_json::{Value, json};

const JSON: &str = "application/json";
const SECRET: &str = "AKIAQ7EXAMPL3TE5TKXQ";

fn pipeline(state: &str) -> Pipeline {
    pipeline_with(json!({ "default": "deny", "reference": "flag", "lines": "scan", "state": state }))
}

fn pipeline_with(unscanned: Value) -> Pipeline {
    Pipeline::new(|document| {
        document["routes"] = json!([{ "match": { "pathPrefix": "/v1/" }, "protocol": "openai" }]);
        let role = &mut document["roles"]["analyst"];
        role["operations"] = json!(["batch", "files", "chat", "responses", "conversations"]);
        role["models"] = json!(["*"]);
        role.as_object_mut().unwrap().remove("maxOutputTokens");
        document["guards"]["standard"] = json!({ "secrets": { "action": "block" }, "output": { "secrets": "mask" } });
        document["unscanned"] = unscanned;
    })
}

/// The reason of a refusal, or the reply as it went on.
fn call(pipeline: &mut Pipeline, who: &str, call: &str, body: Option<&Value>, reply: &Value) -> Result<Answer, String> {
    let (method, path) = call.split_once(' ').unwrap();
    let text = body.map(|body| body.to_string().into_bytes());
    let answer = [(":status", "200"), ("content-type", JSON)];
    let body = text.as_deref().map(|text| (JSON, text));
    let came = pipeline.called(who, (method, path), body, &answer, &[reply.to_string().into_bytes()]);
    came.map_err(|reply| reply.reason.to_owned())
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

fn made(pipeline: &mut Pipeline, who: &str) {
    let batch = json!({ "input_file_id": "file-1", "endpoint": "/v1/chat/completions", "completion_window": "24h" });
    call(pipeline, who, "POST /v1/batches", Some(&batch), &json!({ "id": "batch_1", "object": "batch" })).unwrap();
    let ask = json!({ "model": "small", "input": "hello" });
    let came = json!({ "id": "resp_1", "object": "response", "output": [] });
    call(pipeline, who, "POST /v1/responses", Some(&ask), &came).unwrap();
    call(pipeline, who, "POST /v1/conversations", Some(&json!({})), &json!({ "id": "conv_1" })).unwrap();
}

const CALLS: [&str; 12] = [
    "GET batches/batch_1",
    "POST batches/batch_1/cancel",
    "GET responses/resp_1",
    "GET responses/resp_1?stream=true&include[]=a",
    "DELETE responses/resp_1",
    "POST responses/resp_1/cancel",
    "GET responses/resp_1/input_items",
    "GET conversations/conv_1",
    "DELETE conversations/conv_1",
    "GET conversations/conv_1/items",
    "GET conversations/conv_1/items/msg_1",
    "DELETE conversations/conv_1/items/msg_1",
];

#[test]
fn what_is_kept_is_its_callers_by_the_policy() {
    for prefix in ["/v1/", "/v1/v1/"] {
        let routed = |one: &str| one.replacen(' ', &format!(" {prefix}"), 1);
        for (state, own, other) in
            [("own", "", "body.unscanned"), ("flag", "", ""), ("deny", "body.unscanned", "body.unscanned")]
        {
            let mut pipeline = pipeline(state);
            made(&mut pipeline, "alice");
            for one in CALLS {
                for (who, reason) in [("alice", own), ("bob", other)] {
                    let came = call(&mut pipeline, who, &routed(one), None, &json!({}));
                    assert_eq!(came.as_ref().map_or_else(String::as_str, |_| ""), reason, "{state} {who} {one}");
                    if let Ok(answer) = came {
                        let unscanned = if state == "flag" { json!(["state"]) } else { Value::Null };
                        assert_eq!(answer.record["bartizan.unscanned"], unscanned, "{state} {one}");
                    }
                }
            }
        }
    }
}

/// A secret could be cut in two.
#[test]
fn a_stream_from_its_middle_is_nobodys_own() {
    for (state, reason) in [("own", "body.unscanned"), ("deny", "body.unscanned"), ("flag", "")] {
        let mut pipeline = pipeline(state);
        made(&mut pipeline, "alice");
        for query in ["stream=true&starting_after=3", "starting%5Fafter=3", "a=b;starting_after=3"] {
            let came = call(&mut pipeline, "alice", &format!("GET /v1/responses/resp_1?{query}"), None, &json!({}));
            assert_eq!(came.err().unwrap_or_default(), reason, "{state} {query}");
        }
    }
}

#[test]
fn a_body_for_a_conversation_is_read_and_its_owner_asked() {
    let item = |text: &str| json!({ "items": [{ "type": "message", "role": "user", "content": text }] });
    let mut pipeline = pipeline("own");
    made(&mut pipeline, "alice");
    for (who, path, body, reason) in [
        ("alice", "conversations/conv_1/items", item("hello"), ""),
        ("alice", "conversations/conv_1/items", item(SECRET), "scan.secret"),
        ("bob", "conversations/conv_1/items", item("hello"), "body.unscanned"),
        ("alice", "conversations/conv_2/items", item("hello"), "body.unscanned"),
        ("alice", "conversations/conv_1", json!({ "metadata": { "a": "b" } }), ""),
        ("bob", "conversations/conv_1", json!({ "metadata": { "a": "b" } }), "body.unscanned"),
    ] {
        let came = call(&mut pipeline, who, &format!("POST /v1/{path}"), Some(&body), &json!({ "id": "conv_1" }));
        assert_eq!(came.err().unwrap_or_default(), reason, "{who} {path}");
    }
}

#[test]
fn a_list_shows_its_callers_own() {
    let list =
        json!({ "object": "list", "data": [{ "id": "batch_0" }, { "id": "batch_1" }, { "x": 1 }], "has_more": false });
    for (state, left) in [("own", json!([{ "id": "batch_1" }])), ("flag", list["data"].clone())] {
        let mut pipeline = pipeline(state);
        made(&mut pipeline, "alice");
        let came = call(&mut pipeline, "alice", "GET /v1/batches?limit=2", None, &list).unwrap();
        assert_eq!(json_of(&came)["data"], left);
        assert_eq!(json_of(&came)["has_more"], json!(false));
        let others = call(&mut pipeline, "bob", "GET /v1/files", None, &list).unwrap();
        assert_eq!(json_of(&others)["data"], if state == "own" { json!([]) } else { left });
    }
    let refused = call(&mut pipeline("deny"), "alice", "GET /v1/files", None, &list);
    assert_eq!(refused.err().unwrap(), "body.unscanned");
}

#[test]
fn no_other_call_is_let_through() {
    let mut pipeline = pipeline("flag");
    for (one, reason) in [
        ("PUT /v1/batches/batch_1", "route.method"),
        ("DELETE /v1/batches/batch_1", "route.method"),
        ("GET /v1/batches/batch_1/cancel", "route.method"),
        ("POST /v1/files/file-1", "route.method"),
        ("DELETE /v1/files/file-1/content", "route.method"),
        ("GET /v1/responses", "route.method"),
        ("POST /v1/responses/compact", "route.method"),
        ("GET /v1/files/file-1/other", "route.unmatched"),
        ("GET /v1/files/..", "route.unmatched"),
        ("GET /v1/files/%2e%2e", "route.unmatched"),
        ("GET /v1/files/a%2fb", "route.unmatched"),
        ("GET /v1/files/a;b/content", "route.unmatched"),
        ("GET /v1/responses/", "route.unmatched"),
    ] {
        assert_eq!(call(&mut pipeline, "alice", one, None, &json!({})).err().unwrap(), reason, "{one}");
    }
    let body = Some(&json!({}));
    let cancel = call(&mut pipeline, "alice", "POST /v1/batches/batch_1/cancel", body, &json!({}));
    assert_eq!(cancel.err().unwrap(), "body.shape");
}

#[test]
fn a_stored_response_is_judged_as_a_new_one() {
    let mut pipeline = pipeline("flag");
    let text = format!("The key is {SECRET}.");
    let part = json!({ "type": "output_text", "text": text, "annotations": [] });
    let item = json!({ "type": "message", "id": "msg_1", "role": "assistant", "content": [part] });
    let usage = json!({ "input_tokens": 3, "output_tokens": 2 });
    let response = json!({ "id": "resp_1", "object": "response", "model": "small", "output": [item], "usage": usage });
    let items = json!({ "object": "list", "data": [item], "has_more": false });
    for (one, reply) in [("GET /v1/responses/resp_1", &response), ("GET /v1/responses/resp_1/input_items", &items)] {
        let came = call(&mut pipeline, "alice", one, None, reply).unwrap();
        assert!(!came.text().contains(SECRET) && came.text().contains("The key is "), "{}", came.text());
        assert_eq!(came.record["bartizan.masked"], json!(1));
        assert_eq!(came.record["gen_ai.usage.output_tokens"], Value::Null, "paid before: {}", came.record);
    }
    let (first, second) = text.split_at(15);
    let delta = |text: &str| json!({ "type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": text });
    let events = [delta(first), delta(second), json!({ "type": "response.completed", "response": response })];
    let frames: Vec<Vec<u8>> = events
        .iter()
        .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap()).into_bytes())
        .collect();
    let answer = [(":status", "200"), ("content-type", "text/event-stream")];
    let came = pipeline.called("alice", ("GET", "/v1/responses/resp_1?stream=true"), None, &answer, &frames);
    let came = came.unwrap();
    assert!(!came.text().contains(SECRET) && !came.text().contains(second), "{}", came.text());
    assert!(came.text().contains("response.completed"));
}

fn line(text: &str) -> String {
    let message = json!({ "role": "assistant", "content": text });
    let body = json!({ "id": "chatcmpl-1", "object": "chat.completion", "model": "small",
        "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }], "usage": { "prompt_tokens": 3, "completion_tokens": 2 } });
    json!({ "id": "1", "custom_id": "one", "response": { "status_code": 200, "body": body }, "error": null })
        .to_string()
}

fn content(pipeline: &mut Pipeline, kind: &str, file: &[u8]) -> Answer {
    let answer = [(":status", "200"), ("content-type", kind), ("content-length", "999")];
    let pieces: Vec<Vec<u8>> = file.chunks(50).map(<[u8]>::to_vec).collect();
    pipeline.called("alice", ("GET", "/v1/files/file-1/content"), None, &answer, &pieces).ok().unwrap()
}

#[test]
fn lines_of_a_file_are_answers() {
    let mut pipeline = pipeline("flag");
    for kind in ["application/octet-stream", "application/jsonl", "text/plain", JSON, "application/binary", "image/png"]
    {
        let (plain, secret) = (line("The keep is tall."), line(&format!("Say {SECRET} now.")));
        let file = format!("{plain}\n{secret}\n\n{plain}");
        let came = content(&mut pipeline, kind, file.as_bytes());
        let lines: Vec<String> = came.text().lines().map(str::to_owned).collect();
        assert_eq!((lines.len(), &lines[0], &lines[3]), (4, &plain, &plain), "{kind}");
        assert!(lines[1].contains("Say ") && !lines[1].contains(SECRET), "{}", lines[1]);
        assert_eq!(came.record["bartizan.unscanned"], json!(["state"]), "{kind}");
    }
    // Another file of lines: every string is a text.
    let came = content(&mut pipeline, JSON, json!({ "prompt": SECRET, "x": [{ SECRET: 1 }] }).to_string().as_bytes());
    assert!(!came.text().contains(SECRET), "{}", came.text());
}

#[test]
fn calls_in_results_are_the_roles() {
    let mut pipeline = pipeline("flag");
    let call =
        |name: &str| json!({ "id": "call_1", "type": "function", "function": { "name": name, "arguments": "{}" } });
    let chat = |name: &str| {
        let message = json!({ "role": "assistant", "content": null, "tool_calls": [call(name)] });
        json!({ "object": "chat.completion", "choices": [{ "index": 0, "message": message, "finish_reason": "tool_calls" }] })
    };
    let response = |name: &str| {
        let item = json!({ "type": "function_call", "id": "fc_1", "name": name, "arguments": "{}" });
        json!({ "object": "response", "output": [item] })
    };
    let of = |body: Value| json!({ "custom_id": "a", "response": { "status_code": 200, "body": body } }).to_string();
    let file = [chat("search_walls"), chat("delete_walls"), response("search_walls"), response("delete_walls")].map(of);
    let came = content(&mut pipeline, "application/jsonl", file.join("\n").as_bytes());
    let lines: Vec<String> = came.text().lines().map(str::to_owned).collect();
    assert_eq!((&lines[0], &lines[2]), (&file[0], &file[2]));
    assert!(!came.text().contains("delete_walls"), "{}", came.text());
    let second: Value = serde_json::from_str(&lines[1]).unwrap();
    assert_eq!(second["response"]["body"]["choices"][0]["finish_reason"], "stop");
}

#[test]
fn what_is_no_line_is_a_file_for_the_policy() {
    let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
    let mixed = [line("The keep is tall.").as_bytes(), b"\nplain text\n", line(SECRET).as_bytes()].concat();
    for file in [&bytes, &mixed, &b"a,b\n1,2\n".to_vec()] {
        let mut flagged = pipeline_with(json!({ "default": "deny", "file": "flag", "state": "flag" }));
        let came = content(&mut flagged, "application/octet-stream", file);
        assert_eq!(&came.body, file);
        assert_eq!(came.record["bartizan.unscanned"], json!(["state", "file"]));
        assert_eq!(came.record["bartizan.coverage"], "partial");
        let mut denied = pipeline("flag");
        let came = content(&mut denied, "application/octet-stream", file);
        let last = came.text().lines().last().unwrap().to_owned();
        assert_eq!(serde_json::from_str::<Value>(&last).unwrap()["error"]["code"], "content_filter");
        assert!(!came.text().contains(SECRET) && !came.text().contains("plain text"));
        assert_eq!(came.record["bartizan.reason"], "reply.unreadable");
        assert_eq!(came.record["bartizan.unscanned"], json!(["state", "file"]));
    }
    let answer = [(":status", "200"), ("content-type", "application/jsonl"), ("content-encoding", "br")];
    let mut denied = pipeline("flag");
    let came =
        denied.called("alice", ("GET", "/v1/files/file-1/content"), None, &answer, &[b"x".to_vec()]).ok().unwrap();
    assert_eq!((came.status(), &came.record["bartizan.unscanned"]), ("502", &json!(["state", "file"])));
}

#[test]
fn an_uploaded_file_and_a_batchs_results_are_its_callers_own() {
    let mut pipeline = pipeline("own");
    let form = "--b1\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n\
        --b1\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\r\n";
    let ask = json!({ "custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body":
        { "model": "small", "messages": [{ "role": "user", "content": "Hello." }], "max_tokens": 5 } });
    let form = format!("{form}{ask}\r\n--b1--\r\n");
    let answer = [(":status", "200"), ("content-type", JSON)];
    let body = Some(("multipart/form-data; boundary=b1", form.as_bytes()));
    let file = json!({ "id": "file-7", "object": "file" }).to_string().into_bytes();
    pipeline.called("alice", ("POST", "/v1/files"), body, &answer, &[file]).ok().unwrap();
    made(&mut pipeline, "alice");
    let done = json!({ "id": "batch_1", "input_file_id": "file-1", "output_file_id": "file-8", "error_file_id": null });
    let reads = |pipeline: &mut Pipeline, who: &str, file: &str| {
        call(pipeline, who, &format!("GET /v1/files/{file}"), None, &json!({})).err().unwrap_or_default()
    };
    assert_eq!(reads(&mut pipeline, "alice", "file-8"), "body.unscanned");
    call(&mut pipeline, "alice", "GET /v1/batches/batch_1", None, &done).unwrap();
    for (who, file, reason) in [
        ("alice", "file-7", ""),
        ("alice", "file-8", ""),
        ("alice", "file-1", "body.unscanned"),
        ("bob", "file-7", "body.unscanned"),
        ("bob", "file-8", "body.unscanned"),
    ] {
        assert_eq!(reads(&mut pipeline, who, file), reason, "{who} {file}");
    }
}
