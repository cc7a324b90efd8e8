//! Conditions: the language by facts of CEL's public conformance suite, its bounds, and what follows in a request.

use crate::common;

use bartizan::condition::{Condition, Expression, Fact, Facts, Given, MAX_BYTES, STEPS, Value};
use bartizan::policy::Policy;
use common::command::{Folder, bartizan};
use common::pipeline::{Pipeline, Run, ask};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

/// Nothing is there but a list of tools and a moment.
struct Bare(Vec<String>);

impl Facts for Bare {
    fn given(&self, fact: &Fact) -> Given<'_> {
        match fact {
            Fact::Tools => Given::Value(Value::texts(self.0.iter().map(String::as_str))),
            Fact::Model => Given::Value(Value::text("m")),
            // 2027-01-15T08:00:00Z, a Friday.
            Fact::Now => Given::Value(Value::Timestamp(1_800_000_000_000_000_000)),
            Fact::Claim(name) if &**name == "/level" => Given::Value(Value::Int(3)),
            Fact::Claim(name) if &**name == "/big" => Given::Unreadable,
            _ => Given::Absent,
        }
    }
}

/// `true`, `false`, `error` (goes wrong when it is evaluated) or `fault` (refused when it is loaded).
fn outcome(text: &str) -> &'static str {
    let bare = Bare(vec!["a".to_owned(), "bc".to_owned()]);
    match Condition::compile(text) {
        Err(_) => "fault",
        Ok(condition) => match condition.holds(&bare) {
            Ok(true) => "true",
            Ok(false) => "false",
            Err(_) => "error",
        },
    }
}

#[test]
fn the_language_is_cels() {
    for (wanted, texts) in [
        (
            "true",
            &[
                // Logic: what decides wins over what goes wrong, on either side.
                "!(false && (2 / 0 > 3 ? false : true))",
                "!((2 / 0 > 3 ? false : true) && false)",
                "true || (2 / 0 > 3 ? false : true)",
                "(2 / 0 > 3 ? false : true) || true",
                "!!true",
                "!!!false",
                "false ? false : true ? true : false",
                "dyn([1, 2, 3][3]) || true",
                "dyn(true) && true",
                // Whole numbers.
                "42 + (-7) == 35",
                "-42 - (-12) == -30",
                "43 % (-5) == 3",
                "-42 % (-5) == -2",
                "-3 % 5 == -3",
                "-7 / 2 == -3",
                "-(-42) == 42",
                "--42 == 42",
                "0x1F == 31",
                "-0x10 == -16",
                "-9223372036854775808 < 0",
                "5 + (15 + 20) == (5 + 15) + 20",
                "1 + 2 * 3 - 4 == 3",
                // Fractions.
                "4.25 + 15.25 == 19.5",
                "1.0 / 0.0 > 1e308",
                "!(double('NaN') == double('NaN'))",
                ".5 == 0.5",
                "1e3 == 1000.0",
                // Two kinds of numbers: on one line, exactly.
                "dyn(1) == 1.0",
                "1 < 1.5",
                "2.5 > 2",
                "dyn(3.0) in [5, 4, 3]",
                "dyn(9007199254740993) > 9007199254740992.0",
                "!(dyn(1) == 'a')",
                "dyn(1) != null",
                // Texts.
                "'a' + 'b' == 'ab'",
                r#""\u0041\x42\103" == 'ABC'"#,
                r#"r'\n' == '\\n'"#,
                "'''a\n'b''' == \"a\\n'b\"",
                "size('four') == 4",
                "'\u{1f431}x'.size() == 2",
                "'foobar'.startsWith('foo') && 'foobar'.endsWith('bar') && 'foobar'.contains('oba')",
                "'a' < 'b' && 'A' < 'a' && '' < 'a'",
                "'TacoCat'.lowerAscii() == 'tacocat' && 'taco\u{3a9}'.upperAscii() == 'TACO\u{3a9}'",
                "int('-7') == -7 && int(-123.9) == -123 && int(timestamp('2004-09-16T23:59:59Z')) == 1095379199",
                "string(17) == '17' && string(true) == 'true'",
                // Lists.
                "[0, 1] + [2] == [0, 1, 2]",
                "[7, 8, 9][0] == 7 && [7, 8, 9][dyn(0.0)] == 7",
                "size([1, 2, 3]) == 3 && [].size() == 0",
                "'alpha' in ['alpha', 'beta'] && !(7 in [])",
                "[1, 'foo', 3].exists(e, e != '1')",
                "[1, 2, 3].exists(e, 6 / (2 - e) == 6)",
                "![1, 2, 3].all(e, 6 / (2 - e) == 6)",
                "[].all(e, e > 0) && ![].exists(e, e == 2)",
                "[6, 7, 8].exists_one(foo, foo % 5 == 2)",
                "![0, 1, 2, 3, 4].exists_one(n, n % 2 == 1)",
                "[1, 2,] == [1, 2]",
                // Moments and times.
                "timestamp('2009-02-13T23:31:30Z') == timestamp(1234567890)",
                "timestamp('2009-02-13T23:31:20Z') + duration('10s') == timestamp('2009-02-13T23:31:30Z')",
                "timestamp('2009-02-13T23:31:30Z') - timestamp('2009-02-13T23:31:00Z') == duration('30s')",
                "timestamp('2009-02-13T23:31:30+01:00') == timestamp('2009-02-13T22:31:30Z')",
                "timestamp('2009-02-13T23:31:20.123456789Z').getMilliseconds() == 123",
                "timestamp('2009-02-13T23:31:30Z').getDate() == 13",
                "timestamp('2009-02-13T23:31:30Z').getDate('+11:00') == 14",
                "timestamp('2009-02-13T23:31:30Z').getDate('-02:30') == 13",
                "timestamp('2009-02-13T23:31:30Z').getDayOfMonth() == 12",
                "timestamp('2009-02-13T23:31:30Z').getDayOfWeek() == 5",
                "timestamp('2009-02-13T23:31:30Z').getDayOfYear() == 43",
                "timestamp('2024-12-31T00:00:00Z').getDayOfYear() == 365",
                "timestamp('2009-02-13T23:31:30Z').getFullYear() == 2009",
                "timestamp('2009-02-13T23:31:30Z').getHours('02:00') == 1",
                "timestamp('2009-02-13T23:31:30Z').getMonth() == 1",
                "timestamp('2000-02-29T00:00:00Z').getDate() == 29 && timestamp('0001-01-01T00:00:00Z').getFullYear() == 1",
                "duration('10000s').getHours() == 2 && duration('3730s').getMinutes() == 62",
                "duration('-1.5h') == duration('-90m') && duration('1ms') < duration('1s')",
                // What there is to ask for.
                "tools == ['a', 'bc'] && model == 'm' && 'a' in tools && tools[1] == 'bc'",
                "now.getDayOfWeek() == 5 && now.getHours('+02:00') == 10 && now < timestamp('2027-01-16T00:00:00Z')",
                "has(principal.claims.level) && principal.claims.level >= 3 && principal.claims['level'] == 3",
                "'level' in principal.claims && !('other' in principal.claims) && !has(principal.claims.a.b)",
                "!('x-team' in request.headers) && !has(principal.tenant) && has(principal.claims.big)",
                "!has(principal.tenant) || principal.tenant == 'acme'",
                "true // a comment",
                "// a comment\n true",
            ][..],
        ),
        (
            "error",
            &[
                "2 / 0 > 4 ? true : false",
                "true && 1 / 0 != 0",
                "1 / 0 != 0 && true",
                "false || 1 / 0 != 0",
                "34 % 0 == 0",
                "9223372036854775807 + 1 > 0",
                "-9223372036854775808 - 1 < 0",
                "-(-9223372036854775808) > 0",
                "(-9223372036854775808) * -1 > 0",
                "(-9223372036854775808) / -1 > 0",
                "5000000000 * 5000000000 > 0",
                "[1, 2, 3][3] == 1",
                "[1][-1] == 1",
                "[7, 8][dyn(0.1)] == 7",
                "[1, 2, 3].exists(e, e / 0 == 17)",
                "[1, 2, 3].all(e, e / 0 != 17)",
                "[1, 'foo', 3].all(e, e % 2 == 1)",
                "[3, 2, 1, 0].exists_one(n, 12 / n > 1)",
                "int('x') == 1",
                "int(1e99) == 1",
                "dyn('foo') < 1024",
                "dyn(null) < dyn(null) || dyn([1]) < dyn([2])",
                "timestamp(253402300800) > now",
                "timestamp('9999-12-31T23:59:59Z') + duration('1s') > now",
                "timestamp('9999-12-31T23:59:59Z') - timestamp('0001-01-01T00:00:00Z') > duration('1s')",
                "timestamp('x' + model) > now",
                "principal.tenant == 'acme'",
                "principal.claims.other == 1",
                "principal.claims.big == 1",
                "principal.claims.level",
                "principal.claims.level.exists(x, x == 1)",
                "request.headers['x-team'] == 'a'",
                "tools[2] == 'a'",
            ],
        ),
        (
            "fault",
            &[
                "",
                " ",
                "1",
                "'true'",
                "true &&",
                "&& true",
                "(true",
                "true)",
                "true true",
                "!0",
                "-false == 1",
                "1 == 'a'",
                "1 == 1.0",
                "[1] == ['a']",
                "'a' in [1]",
                "1 in 1",
                "true ? 1 : 'a'",
                "'a' ? true : false",
                "true && 32",
                "null < null",
                "[0] < [1]",
                "'foo' < 1024",
                "47.5 % 5.5 == 1.0",
                "'a' - 'b' == 'c'",
                "9223372036854775808 > 0",
                "-9223372036854775809 < 0",
                "0x == 0",
                "1e999 > 0.0",
                "1u == 1",
                "uint(1) == 1",
                "b'a' == 'a'",
                "{'a': 1} == 1",
                "type(1) == 1",
                "'a'.matches('a')",
                "matches('a', 'a')",
                "[1].map(x, x) == [1]",
                "[1].filter(x, true) == [1]",
                "[1].all(x, [2].all(y, x < y))",
                "[1].exists(1, true)",
                "[1].exists(for, true)",
                "[1].exists(x)",
                "x == 1",
                "[1].exists(x, true) && x == 1",
                "while == 1",
                "'a",
                "'a\nb' == ''",
                r"'\q' == ''",
                r"'\ud800' == ''",
                r"'\u12' == ''",
                "1 ~ 2",
                "size() == 1",
                "size(1) == 1",
                "size('a', 'b') == 1",
                "startsWith('a', 'b')",
                "'a'.startsWith()",
                "'a'.startsWith(1)",
                "'a'.size",
                "has(model)",
                "has(principal)",
                "has(request.headers)",
                "principal == principal",
                "request.headers == 'a'",
                "request.headers[model] == 'a'",
                "request.headers['X-Team'] == 'a'",
                "request.headers['x team'] == 'a'",
                "model in request.headers",
                "principal.claims == 1",
                "principal.name == 'a'",
                "request.user == 'a'",
                "model.name == 'a'",
                "model[0] == 'a'",
                "timestamp('2027-02-29T00:00:00Z') > now",
                "timestamp('2027-01-01') > now",
                "duration('1d') > duration('1h')",
                "now.getHours('Europe/Berlin') == 9",
                "now.getHours(model) == 9",
                "duration('1h').getHours('UTC') == 1",
                "now.getWeek() == 1",
                "a.b.c",
                ". == 1",
                "\u{e4} == 1",
                "\0",
            ],
        ),
    ] {
        for text in texts {
            assert_eq!(outcome(text), wanted, "{text}: {:?}", Condition::compile(text).map(|_| ()));
        }
    }
}

#[test]
fn what_nests_or_is_long_is_refused_before_it_is_parsed() {
    let nested = |open: &str, close: &str, times: usize| format!("{}true{}", open.repeat(times), close.repeat(times));
    assert_eq!(outcome(&nested("(", ")", 32)), "true");
    assert_eq!(outcome(&nested("(", ")", 33)), "fault");
    assert_eq!(outcome(&nested("!(", ")", 32)), "true");
    // As deep as it gets: every level waits at every tightness.
    let level = "true||true&&1==1+1*-int(double(";
    assert_eq!(outcome(&level.repeat(30)), "fault");
    for text in [nested("(", ")", 10_000), "[".repeat(10_000), "!".repeat(10_000), "-".repeat(1000), "a.".repeat(500)] {
        assert_eq!(outcome(&text), "fault", "{}", text.len());
    }
    assert_eq!(outcome(&format!("{}true", "!".repeat(1000))), "true");
    assert_eq!(outcome(&format!("true{}", " && true".repeat(120))), "true");
    assert_eq!(outcome(&format!("1{} > 0", " + 1".repeat(40))), "true");
    assert_eq!(outcome(&format!("1{} > 0", " + 1".repeat(100))), "fault");
    assert_eq!(outcome(&format!("{}true", "false ? false : ".repeat(32))), "true");
    let fault = Condition::compile(&"x".repeat(MAX_BYTES + 1)).unwrap_err();
    assert_eq!(fault.message, "1025 bytes, expected at most 1024");
}

#[test]
fn an_evaluation_has_an_end() {
    let many = Bare((0..60_000).map(|number| format!("t{number}")).collect());
    let cheap = Condition::compile("'t59999' in tools").unwrap();
    assert_eq!(cheap.holds(&many), Ok(true));
    // The square of the list is not gone over.
    let square = Condition::compile("tools.all(t, t in tools)").unwrap();
    assert_eq!(square.holds(&many).unwrap_err().message, "more than 100000 steps");
    let square = Condition::compile("tools.all(t, t in tools) || true").unwrap();
    assert!(square.holds(&many).is_err());
}

#[test]
fn faults_say_where() {
    for (text, fault) in [
        ("modle == 'a'", "unknown name \"modle\"; did you mean `model`? (column 1)"),
        ("true && prinzipal.tenant == 'a'", "unknown name \"prinzipal\"; did you mean `principal`? (column 9)"),
        ("principal.tennant == 'a'", "unknown field of principal \"tennant\"; did you mean `tenant`? (column 11)"),
        ("'\u{e4}\u{f6}' == 1", "== has no meaning for a text and a whole number (column 6)"),
        ("model.startWith('a')", "unknown function \"startWith\"; did you mean `startsWith`? (column 7)"),
        ("size(tools) == 'a'", "== has no meaning for a whole number and a text (column 13)"),
        ("model == 'a' &&", "expected a value, found the end (column 16)"),
        ("model = 'a'", "'=' has no meaning here (column 7)"),
        ("model", "expected a condition that is true or false, found a text (column 1)"),
        (
            "now.getHours('Europe/Berlin') < 9",
            "names of zones are not offered, because their rules change: expected \"UTC\" or an offset such as \"+02:00\" (column 14)",
        ),
    ] {
        assert_eq!(Condition::compile(text).unwrap_err().to_string(), fault, "{text}");
    }
}

/// Texts of the language, or nearly.
fn expressions() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "1",
        "-1",
        "0x1f",
        "2.5",
        "-2.5",
        "'a'",
        "\"\\n\\u00e4\"",
        "true",
        "false",
        "null",
        "[]",
        "tools",
        "model",
        "now",
        "principal.subject",
        "principal.claims.level",
        "principal.claims['a b']",
        "request.headers['x-a']",
        "has(principal.tenant)",
        "request.bytes",
        "tools.exists(t, t == 'a')",
        "duration('1h')",
        "dyn(1)",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(6, 40, 3, |inner| {
        let binary =
            prop::sample::select(vec!["&&", "||", "==", "!=", "<", "<=", ">", ">=", "in", "+", "-", "*", "/", "%"]);
        prop_oneof![
            (inner.clone(), binary, inner.clone()).prop_map(|(left, sign, right)| format!("{left} {sign} {right}")),
            inner.clone().prop_map(|of| format!("({of})")),
            inner.clone().prop_map(|of| format!("dyn({of})")),
            inner.clone().prop_map(|of| format!("!({of})")),
            inner.clone().prop_map(|of| format!("-({of})")),
            inner.clone().prop_map(|of| format!("--({of})")),
            inner.clone().prop_map(|of| format!("[{of}][0]")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("[{a}, {b}].all(x, x == {a})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("({a}) ? ({b}) : {c}")),
        ]
    })
}

proptest! {
    #[test]
    fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let text = String::from_utf8_lossy(&bytes);
        if let Err(fault) = Expression::compile(&text) {
            prop_assert!(fault.column <= text.chars().count() + 1);
        }
    }

    #[test]
    fn no_likely_text_breaks_it(parts in prop::collection::vec(prop::sample::select(vec![
        "(", ")", "[", "]", "{", "}", ".", ",", "?", ":", "!", "-", "+", "*", "%", "&&", "||", "==", "<", "in ", "has(", "'", "\"", "\\",
        "'''", "r'", "1", "0x", "1e", "u", "true", "model", "tools", ".all(x,", "x", "now", ".getHours(", "principal", ".claims", "\u{e4}",
        "\n", "//", "dyn(", "request", ".headers", "['x']",
    ]), 0..60)) {
        let text = parts.concat();
        if let Ok(expression) = Expression::compile(&text) {
            let _ = expression.value(&Bare(vec!["a".to_owned(); 9]));
        }
    }

    #[test]
    fn what_is_written_reads_the_same(text in expressions()) {
        if let Ok(expression) = Expression::compile(&text) {
            let written = expression.canonical();
            if written.len() <= MAX_BYTES {
                let again = Expression::compile(&written);
                prop_assert_eq!(again.as_ref().map(Expression::canonical), Ok(written.clone()), "{}", text);
                let bare = Bare(vec!["a".to_owned()]);
                let (one, other) = (expression.value(&bare), again.as_ref().unwrap().value(&bare));
                prop_assert_eq!(format!("{:?}", one.ok()), format!("{:?}", other.ok()), "{} and {}", text, written);
            }
        }
    }

    /// Steps grow no faster than the expression's length times the list's.
    #[test]
    fn steps_are_bounded(text in expressions(), length in 0_usize..50) {
        if let Ok(expression) = Expression::compile(&text) {
            let bare = Bare(vec!["a".to_owned(); length]);
            let steps = expression.steps(&bare);
            prop_assert!(steps <= (text.len() + 1) * (length + 4) * 2, "{} steps for {}", steps, text);
            prop_assert!(steps <= STEPS);
        }
    }
}

fn pipeline(change: impl FnOnce(&mut Json)) -> Pipeline {
    Pipeline::new(|document| {
        document["roles"]["analyst"]["quotas"] = json!([]);
        change(document);
    })
}

fn send(pipeline: &mut Pipeline, claims: &Json, headers: &[(&str, &str)], body: &Json) -> Run {
    let mut all = json!({ "iss": "https://idp.example", "aud": "llm", "sub": "alice", "roles": ["analyst"],
        "exp": common::pipeline::NOW + 600 });
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    let bearer = format!("Bearer {}", pipeline.sign(&all));
    let mut with = vec![("authorization", bearer.as_str())];
    with.extend(headers);
    pipeline.post("/v1/chat/completions", &with, body.to_string().as_bytes())
}

#[test]
fn a_role_counts_only_where_its_condition_holds() {
    for (when, claims, headers, reason) in [
        ("request.headers['x-team'] == 'red'", json!({}), &[("x-team", "red")][..], ""),
        ("request.headers['x-team'] == 'red'", json!({}), &[("x-team", "blue")], "rbac.condition"),
        // What is not there, or there twice, goes wrong: the role does not count.
        ("request.headers['x-team'] == 'red'", json!({}), &[], "rbac.condition"),
        ("request.headers['x-team'] == 'red'", json!({}), &[("x-team", "red"), ("x-team", "red")], "rbac.condition"),
        ("!('x-team' in request.headers)", json!({}), &[], ""),
        ("principal.claims.level >= 3", json!({ "level": 3 }), &[], ""),
        ("principal.claims.level >= 3", json!({ "level": 2.5 }), &[], "rbac.condition"),
        ("principal.claims.level >= 3", json!({ "level": "3" }), &[], "rbac.condition"),
        ("principal.claims.level >= 3", json!({}), &[], "rbac.condition"),
        ("'llm' in principal.claims.realm.groups", json!({ "realm": { "groups": ["x", "llm"] } }), &[], ""),
        ("'llm' in principal.claims.realm.groups", json!({ "realm": { "groups": [["llm"]] } }), &[], "rbac.condition"),
        ("principal.claims.long != ''", json!({ "long": "x".repeat(4200) }), &[], "rbac.condition"),
        ("has(principal.claims.long)", json!({ "long": "x".repeat(4200) }), &[], ""),
        ("principal.subject == 'alice' && principal.issuer == 'corp' && !has(principal.tenant)", json!({}), &[], ""),
        ("principal.roles == ['analyst']", json!({}), &[], ""),
        ("request.path == '/v1/chat/completions' && request.method == 'POST'", json!({}), &[], ""),
        ("request.operation == 'chat' && request.protocol == 'openai'", json!({}), &[], ""),
        ("model == 'small' && !request.stream && request.choices == 1 && request.bytes > 10", json!({}), &[], ""),
        ("tools == ['search_a']", json!({}), &[], ""),
        ("request.maxOutputTokens <= 50", json!({}), &[], ""),
        ("now == timestamp(1800000000)", json!({}), &[], ""),
        ("model == 'large'", json!({}), &[], "rbac.condition"),
    ] {
        let mut pipeline = pipeline(|document| document["roles"]["analyst"]["when"] = json!(when));
        let body = json!({ "model": "small", "messages": [{ "role": "user", "content": "hi" }], "max_tokens": 50,
            "tools": [{ "type": "function", "function": { "name": "search_a" } }] });
        let run = send(&mut pipeline, &claims, headers, &body);
        assert_eq!(run.reason(), reason, "{when} {claims} {headers:?}");
        if !reason.is_empty() {
            let reply = run.outcome.as_ref().unwrap_err();
            assert_eq!(reply.status, 403);
            let told = String::from_utf8(reply.body.clone()).unwrap();
            assert!(told.contains("The conditions of your role do not hold"), "{told}");
            assert!(!run.finished.record.contains("blue"), "{}", run.finished.record);
        }
    }
}

#[test]
fn another_role_may_grant_what_one_does_not() {
    let mut pipeline = pipeline(|document| {
        document["roles"]["analyst"]["when"] = json!("request.headers['x-break-glass'] == 'yes'");
        document["roles"]["analyst"]["maxOutputTokens"] = json!(4000);
        document["roles"]["clerk"] = json!({ "operations": ["chat"], "models": ["small"], "maxOutputTokens": 10 });
    });
    let body = json!({ "model": "small", "messages": [{ "role": "user", "content": "hi" }] });
    let both = json!({ "roles": ["analyst", "clerk"] });
    for (headers, roles, cap) in
        [(&[][..], json!(["clerk"]), 10), (&[("x-break-glass", "yes")], json!(["analyst", "clerk"]), 4000)]
    {
        let run = send(&mut pipeline, &both, headers, &body);
        assert_eq!((&run.record()["user.roles"], run.body()["max_tokens"].clone()), (&roles, json!(cap)));
    }
    // The reason is that of the role that got furthest.
    let other = json!({ "model": "other", "messages": [{ "role": "user", "content": "hi" }] });
    assert_eq!(send(&mut pipeline, &both, &[], &other).reason(), "rbac.model");
}

#[test]
fn a_request_without_a_body_is_judged_too() {
    let mut pipeline =
        pipeline(|document| document["roles"]["reader"]["when"] = json!("request.headers['x-a'] == 'b'"));
    let bearer = format!("Bearer {}", pipeline.token(&["reader"], 600));
    let all = |header: &'static str| {
        vec![(":method", "GET"), (":path", "/v1/models"), ("authorization", bearer.as_str()), ("x-a", header)]
    };
    let (passed, refused) = (all("b"), all("c"));
    assert_eq!(pipeline.send(&passed, None).reason(), "");
    assert_eq!(pipeline.send(&refused, None).reason(), "rbac.condition");
}

#[test]
fn a_role_in_shadow_records_what_its_condition_would_refuse() {
    let mut pipeline = pipeline(|document| {
        document["roles"]["analyst"]["when"] = json!("model == 'other'");
        document["roles"]["analyst"]["mode"] = json!("shadow");
    });
    let run = send(&mut pipeline, &json!({}), &[], &ask("hi"));
    assert_eq!(run.reason(), "");
    assert!(run.finished.record.contains("rbac.condition"), "{}", run.finished.record);
}

#[test]
fn a_request_that_names_several_models_is_judged_with_each() {
    let body = json!({ "model": "small", "models": ["default"], "messages": [{ "role": "user", "content": "hi" }] });
    for (when, reason) in [("model == 'small'", "rbac.condition"), ("model in ['small', 'default']", "")] {
        let mut pipeline = pipeline(|document| document["roles"]["analyst"]["when"] = json!(when));
        assert_eq!(send(&mut pipeline, &json!({}), &[], &body).reason(), reason, "{when}");
    }
}

#[test]
fn a_guard_is_applied_only_where_its_condition_does_not_fail() {
    let address = "Write to alice@example.com.";
    for (when, masked) in [
        ("model == 'small'", true),
        ("model == 'default'", false),
        // What goes wrong holds.
        ("principal.claims.team == 'red'", true),
        ("request.maxOutputTokens > 5", true),
    ] {
        let mut pipeline = pipeline(|document| document["guards"]["standard"]["when"] = json!(when));
        let body = json!({ "model": "small", "messages": [{ "role": "user", "content": address }] });
        let (sent, answer) = pipeline.answered(
            &body,
            "application/json",
            &[br#"{"choices": [{"index": 0, "message": {"role": "assistant", "content": "AKIAQ7EXAMPL3TE5TKXQ"}}]}"#],
        );
        assert_eq!(!String::from_utf8_lossy(&sent).contains("alice@example.com"), masked, "{when}");
        // Its reply is guarded where the request is.
        assert_eq!(!answer.text().contains("AKIAQ7"), masked, "{when}");
    }
}

#[test]
fn a_quota_counts_only_where_its_condition_does_not_fail() {
    let quota = |when: &str| json!([{ "per": "subject", "requests": 1, "window": "1h", "when": when }]);
    let plain = json!({ "model": "small", "messages": [{ "role": "user", "content": "hi" }] });
    let stream = json!({ "model": "small", "stream": true, "messages": [{ "role": "user", "content": "hi" }] });
    let red: &[(&str, &str)] = &[("x-team", "red")];
    for (when, free, counted) in [
        // Known when the body has come, or from the headers alone.
        ("request.stream", (&plain, &[][..]), (&stream, &[][..])),
        ("request.headers['x-team'] == 'red'", (&plain, &[("x-team", "blue")][..]), (&plain, red)),
        // What goes wrong is counted.
        ("request.headers['x-team'] == 'red'", (&plain, &[("x-team", "blue")][..]), (&plain, &[][..])),
    ] {
        let mut pipeline = pipeline(|document| document["roles"]["analyst"]["quotas"] = quota(when));
        let mut go = |(body, headers): (&Json, &[(&str, &str)])| {
            send(&mut pipeline, &json!({}), headers, body).reason().to_owned()
        };
        for _ in 0..3 {
            assert_eq!(go(free), "", "{when}");
        }
        assert_eq!(go(counted), "", "{when}");
        assert_eq!(go(counted), "quota.requests", "{when}");
        assert_eq!(go(free), "", "{when}");
    }
    // Tokens and requests in flight, with another quota beside them.
    let mut pipeline = pipeline(|document| {
        document["roles"]["analyst"]["quotas"] = json!([
            { "per": "subject", "tokens": 300, "window": "1h", "when": "request.stream" },
            { "per": "subject", "requests": 9, "window": "1h" } ]);
    });
    for _ in 0..5 {
        assert_eq!(send(&mut pipeline, &json!({}), &[], &plain).reason(), "");
    }
    let reasons: Vec<String> =
        (0..4).map(|_| send(&mut pipeline, &json!({}), &[], &stream).reason().to_owned()).collect();
    assert_eq!(reasons.iter().find(|reason| !reason.is_empty()).map(String::as_str), Some("quota.tokens"));
}

fn errors(change: impl FnOnce(&mut Json)) -> Vec<String> {
    let mut document = pipeline(|_| {}).document;
    change(&mut document);
    let errors = Policy::from_json(document.to_string().as_bytes(), &|_| None).err().unwrap_or_default();
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn a_document_with_a_faulty_condition_is_refused() {
    for (at, when, error) in [
        (
            "/roles/analyst",
            "modle == 'a'",
            "roles.analyst.when: unknown name \"modle\"; did you mean `model`? (column 1)",
        ),
        (
            "/guards/standard",
            "model",
            "guards.standard.when: expected a condition that is true or false, found a text (column 1)",
        ),
        (
            "/roles/analyst",
            "request.headers['authorization'] != ''",
            "roles.analyst.when: request.headers['authorization'] carries credentials, and no condition reads those",
        ),
        (
            "/guards/standard",
            "'x-bartizan-reason' in request.headers",
            "guards.standard.when: request.headers['x-bartizan-reason'] is a name of Bartizan's own, which no client may send",
        ),
    ] {
        let found = errors(|document| document.pointer_mut(at).unwrap()["when"] = json!(when));
        assert_eq!(found, [error]);
    }
    let found = errors(|document| {
        document["authn"]["tokenFrom"] = json!(["x-token"]);
        document["roles"]["analyst"]["quotas"] =
            json!([{ "per": "role", "requests": 1, "window": "1s", "when": "'x-token' in request.headers" }]);
    });
    assert_eq!(
        found,
        ["roles.analyst.quotas[0].when: request.headers['x-token'] carries credentials, and no condition reads those"]
    );
}

const SMALL: &str = "version: 1\nname: small\nauthn: {unsafeAnonymous: true}\nroutes:\n\
    - {match: {path: /v1/chat/completions}, protocol: openai}\nroles:\n  anonymous:\n    operations: [chat]\n    models: ['*']\n";

#[test]
fn check_points_into_the_expression() {
    let folder = Folder::new("conditions-check");
    for (written, line, column) in [
        ("    when: true && modle == 'a'\n", 10, 19),
        ("    when: \"true && modle == \\\"a\\\"\"\n", 10, 20),
        ("    when: 'true && modle == ''a'''\n", 10, 20),
        ("    when: |\n      true &&\n      modle == 'a'\n", 12, 7),
    ] {
        let file = folder.file("policy.yaml", &format!("{SMALL}{written}"));
        let output = bartizan(&["check", "--json", file.to_str().unwrap()]);
        let report: Json = serde_json::from_slice(&output.stdout).unwrap();
        let error = &report["files"][0]["errors"][0];
        assert_eq!(
            (error["line"].clone(), error["column"].clone()),
            (json!(line), json!(column)),
            "{written}: {error}"
        );
    }
}

#[test]
fn explain_says_what_does_not_hold() {
    let folder = Folder::new("conditions-explain");
    let when = "    when: request.headers['x-team'] == 'red' && principal.tenant == 'acme' && now.getHours() < 9\n";
    let policy = folder.file("policy.yaml", &format!("{SMALL}{when}"));
    let request = folder.file("request.json", &ask("hi").to_string());
    let explain = |more: &[&str]| {
        let mut arguments =
            vec!["explain", "--config", policy.to_str().unwrap(), "--request", request.to_str().unwrap()];
        arguments.extend(more);
        String::from_utf8(bartizan(&arguments).stdout).unwrap()
    };
    let told = explain(&["--at", "2027-01-31T10:00:00Z"]);
    for line in [
        "403 rbac.condition",
        "when of role: not granted",
        "request.headers['x-team'] == 'red': request.headers['x-team'] is not there",
        "principal.tenant == 'acme': principal.tenant is not there",
        "now.getHours() < 9: false",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    let held = ["--at", "2027-01-31T08:00:00Z", "--header", "x-team: red", "--principal", r#"{"tenant": "acme"}"#];
    assert!(!explain(&held).contains("rbac.condition"));
}
