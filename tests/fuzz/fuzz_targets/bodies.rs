//! Golden requests, changed by their structure, with a credential somewhere in them.
//!
//! Nothing may panic. The credential is refused, or gone from what the upstream gets, or the record says that
//! something was not scanned. What is sent on is the body that came, but for what was masked.

#![no_main]

use std::sync::LazyLock;

use bartizan_fuzz::proxy::{Proxy, open, unscanned};
use bartizan_fuzz::shape::{Hand, Pool, is_edit_of, strings};
use bartizan_fuzz::{Draw, SECRET, Unstructured, golden};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

struct Setup {
    block: Proxy,
    mask: Proxy,
    bodies: Vec<(&'static str, Value)>,
    pool: Pool,
}

static SETUP: LazyLock<Setup> = LazyLock::new(|| {
    let block = open(|_| {});
    let mask = open(|document| document["guards"]["standard"]["secrets"] = json!({ "action": "mask" }));
    let files = golden::golden(".request.json");
    let whole = files.iter().map(|one| (one.path, serde_json::from_str::<Value>(&one.text).expect("JSON")));
    let clean = whole.clone().filter_map(|(path, body)| Some((path, golden::scanned_throughout(&block, path, body)?)));
    let bodies: Vec<_> = clean.clone().chain(clean.clone()).chain(whole.clone()).collect();
    let parts: Vec<Value> = whole.map(|(_, body)| body).collect();
    Setup { block, mask, pool: Pool::new(&parts), bodies }
});

fn run(u: &mut Unstructured<'_>) -> Draw<()> {
    let setup = &*SETUP;
    let (path, mut body) = u.choose(&setup.bodies)?.clone();
    let hand = Hand::draw(u)?;
    let masks: bool = u.arbitrary()?;
    setup.pool.change(&mut body, u)?;
    let mut planted = body.clone();
    setup.pool.plant(&mut planted, SECRET, u)?;
    let proxy = if masks { &setup.mask } else { &setup.block };
    let text = hand.write(&planted);
    let done = proxy.ask(path, text.as_bytes());
    if done.refused.is_some() {
        return Ok(());
    }
    let sent: Value = serde_json::from_slice(&done.sent).expect("what is sent on is JSON");
    assert!(is_edit_of(&sent, &planted, SECRET, &["stream_options"]), "{path}: {planted}\nbecame {sent}");
    let there = strings(&sent).iter().any(|text| text.contains(SECRET));
    if there && unscanned(&done.record).is_empty() {
        panic!("{path}: not read, and not said: {text}\n{}", done.record);
    }
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    let _ = run(&mut Unstructured::new(data));
});
