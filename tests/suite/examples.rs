//! The examples of the manual's pages are policies.

use crate::common;

use bartizan::policy::Policy;
use serde_json::{Value, json};

const PAGES: [(&str, &str); 3] = [
    ("conditions", include_str!("../../src/manual/conditions.md")),
    ("opa", include_str!("../../src/manual/opa.md")),
    ("opinions", include_str!("../../src/manual/opinions.md")),
];

/// The sections of an example take the place of those of a small policy.
#[test]
fn each_example_is_a_policy() {
    let mut tried = 0;
    for (name, page) in PAGES {
        for example in page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()) {
            let example: Value =
                serde_norway::from_str(example).unwrap_or_else(|error| panic!("{name}: {error}\n{example}"));
            let mut document: Value = serde_norway::from_str(&common::data("good.yaml")).unwrap();
            document["authn"] = json!({ "unsafeAnonymous": true });
            document["guards"] = json!({ "standard": {}, "strict": {} });
            let roles = json!({ "anonymous": { "operations": ["chat"], "models": ["*"] } });
            document["roles"] = roles.clone();
            document["audit"] = json!({});
            document["abuse"] = Value::Null;
            let sections = document.as_object_mut().unwrap();
            sections.retain(|_, section| !section.is_null());
            sections.extend(example.as_object().unwrap().clone());
            document["roles"]["anonymous"] = roles["anonymous"].clone();
            let compiled =
                Policy::from_json(document.to_string().as_bytes(), &|_| Some("a secret of sixteen bytes".into()));
            assert!(compiled.is_ok(), "{name}: {:#?}", compiled.err());
            tried += 1;
        }
    }
    assert!(tried >= 4, "{tried}");
}
