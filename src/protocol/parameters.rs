//! Parameters by which a caller chooses beside `model` and `tools`, in the dialects of servers and routers. All of
//! their text is scanned besides.
//!
//! A request may hide one in another (`fallbacks: [{"model": "a", "api_base": "https://..."}]`, `extra_body`), so that
//! every object below a parameter of the table is searched as the body is.

use super::Json;
use super::account::Draft;
use super::dialect::Dialect;
use super::json::folds_to;
use super::request::Reader;
use crate::reason::{Denial, Reason};

/// What becomes of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// It names models. Each is checked as `model` is.
    Models,
    /// It chooses what is the operator's to choose. The role must allow it.
    Operator,
    /// It is an option of this router: on its dialect it passes, else the role must allow it.
    Routing(&'static str),
}

/// One parameter.
#[derive(Debug)]
struct Parameter {
    name: &'static str,
    class: Class,
    /// What it chooses, for the manual; no part of the filter.
    #[cfg(test)]
    chooses: &'static str,
}

const fn models(name: &'static str, chooses: &'static str) -> Parameter {
    parameter(name, Class::Models, chooses)
}

const fn operator(name: &'static str, chooses: &'static str) -> Parameter {
    parameter(name, Class::Operator, chooses)
}

const fn routing(name: &'static str, router: &'static str, chooses: &'static str) -> Parameter {
    parameter(name, Class::Routing(router), chooses)
}

const fn parameter(name: &'static str, class: Class, _chooses: &'static str) -> Parameter {
    Parameter {
        name,
        class,
        #[cfg(test)]
        chooses: _chooses,
    }
}

/// Sorted by name, because they are searched by halves.
const TABLE: [Parameter; 69] = [
    operator("adapter", "adapter of the model"),
    operator("adapter_id", "adapter of the model"),
    operator("adapter_source", "where an adapter is loaded from"),
    operator("adapters", "adapters of the model"),
    routing("allowed_model_region", "litellm", "region of the deployments that may answer"),
    operator("api_base", "endpoint"),
    operator("api_key", "key"),
    operator("api_type", "kind of the endpoint"),
    operator("api_version", "version of the endpoint"),
    operator("aws_access_key_id", "key"),
    operator("aws_bedrock_runtime_endpoint", "endpoint"),
    operator("aws_profile_name", "key"),
    operator("aws_region_name", "endpoint"),
    operator("aws_role_name", "key"),
    operator("aws_secret_access_key", "key"),
    operator("aws_session_token", "key"),
    operator("aws_sts_endpoint", "endpoint"),
    operator("aws_web_identity_token", "key"),
    operator("azure_ad_token", "key"),
    operator("base_model", "model that an adapter belongs to"),
    operator("base_url", "endpoint"),
    operator("chat_template", "template that the prompt is written with"),
    models("content_policy_fallbacks", "models after a refusal"),
    models("context_window_fallback_dict", "models for longer prompts"),
    models("context_window_fallbacks", "models for longer prompts"),
    operator("custom_llm_provider", "provider, and with it endpoint and key"),
    operator("data_sources", "search service, with endpoint and key"),
    models("default_fallbacks", "models after a failure"),
    operator("default_headers", "headers to the provider"),
    operator("deployment_id", "deployment"),
    operator("disable_global_guardrails", "whether the router's own guards run"),
    models("draft_model", "model that drafts"),
    operator("engine", "deployment"),
    routing("extra_body", "gemini", "parameters to the provider"),
    operator("extra_headers", "headers to the provider"),
    operator("extra_query", "query to the provider"),
    models("fallback_models", "models after a failure"),
    models("fallbacks", "models after a failure"),
    operator("headers", "headers to the provider"),
    models("judge_model", "model that judges"),
    operator("kv_transfer_params", "host that the cache comes from"),
    operator("litellm_params", "deployment, with endpoint and key"),
    operator("logits_processors", "code that the server runs"),
    operator("lora", "adapter of the model"),
    operator("lora_id", "adapter of the model"),
    operator("lora_request", "adapter of the model"),
    models("model_group_alias", "models by another name"),
    operator("model_list", "deployments, with endpoints and keys"),
    models("models", "models after a failure"),
    operator("organization", "account"),
    operator("plugins", "plug-ins that the router runs"),
    operator("preset", "stored parameters and instructions"),
    operator("prompt_id", "stored prompt"),
    routing("provider", "openrouter", "providers that may answer, and their order"),
    routing("providerOptions", "vercel", "providers that may answer, and their order"),
    operator("region_name", "endpoint"),
    routing("route", "openrouter", "whether `models` are tried in turn"),
    routing("router_settings_override", "litellm", "retries, timeouts, fallbacks"),
    operator("search_parameters", "search that the provider runs"),
    models("speculative_model", "model that drafts"),
    routing("transforms", "openrouter", "whether the middle of a long prompt is left out"),
    operator("user_config", "deployments, with endpoints and keys"),
    operator("vertex_ai_credentials", "key"),
    operator("vertex_ai_location", "endpoint"),
    operator("vertex_ai_project", "account"),
    operator("vertex_credentials", "key"),
    operator("vertex_location", "endpoint"),
    operator("vertex_project", "account"),
    operator("watsonx_url", "endpoint"),
];

/// Notes every such parameter of a body.
///
/// # Errors
/// [`Reason::BodyShape`] for a key that only a lenient parser reads as one.
pub(super) fn read(reader: &mut Reader<'_, '_>, dialect: Option<&Dialect>) -> Result<(), Denial> {
    let Json::Object(entries) = reader.body else { return Err(Reason::BodyShape.into()) };
    for (key, value) in entries.iter().filter(|(_, value)| !matches!(value, Json::Null)) {
        match exact(key) {
            Some(parameter) => note(&mut reader.out, parameter, value, dialect),
            None if reader.is_own_key(key) => {}
            None => {
                if let Some(parameter) = TABLE.iter().find(|parameter| folds_to(key, parameter.name)) {
                    return Err(Denial::new(Reason::BodyShape).with_param(parameter.name));
                }
            }
        }
    }
    Ok(())
}

fn exact(key: &str) -> Option<&'static Parameter> {
    TABLE.binary_search_by(|parameter| parameter.name.cmp(key)).ok().and_then(|place| TABLE.get(place))
}

fn note(out: &mut Draft, parameter: &'static Parameter, value: &Json<'_>, dialect: Option<&Dialect>) {
    // Client libraries send options that nobody set as an empty object or list.
    if matches!(value, Json::Object(entries) if entries.is_empty())
        || matches!(value, Json::Array(items) if items.is_empty())
    {
        return;
    }
    match parameter.class {
        Class::Models => named(value, &mut out.models),
        Class::Routing(router) if dialect.is_some_and(|dialect| dialect.word == router) => {}
        Class::Operator | Class::Routing(_) => {
            if !out.choices_of_operator.contains(&parameter.name) {
                out.choices_of_operator.push(parameter.name);
            }
        }
    }
    below(out, value, dialect);
}

/// The parameters in the objects below one. Which spelling a server reads here is its own affair, so that any counts.
fn below(out: &mut Draft, value: &Json<'_>, dialect: Option<&Dialect>) {
    match value {
        Json::Array(items) => items.iter().for_each(|item| below(out, item, dialect)),
        Json::Object(entries) => {
            for (key, inner) in entries.iter().filter(|(_, inner)| !matches!(inner, Json::Null)) {
                match TABLE.iter().find(|parameter| folds_to(key, parameter.name)) {
                    Some(parameter) => note(out, parameter, inner, dialect),
                    None => {
                        if let (true, Json::String(model)) = (folds_to(key, "model"), inner) {
                            out.models.push(model.to_string());
                        }
                        below(out, inner, dialect);
                    }
                }
            }
        }
        _ => {}
    }
}

/// A name, names in a list, or objects that hold some: `["a", {"b": ["c"]}, {"model": "d"}]`. Where an object has no
/// `model`, its keys are models that fall back to its values; who asks for a key has asked for the model already.
fn named(value: &Json<'_>, models: &mut Vec<String>) {
    match value {
        Json::String(name) => models.push(name.to_string()),
        Json::Array(items) => items.iter().for_each(|item| named(item, models)),
        // `below` takes `model` itself.
        Json::Object(entries) if entries.iter().any(|(key, _)| folds_to(key, "model")) => {}
        Json::Object(entries) => entries.iter().for_each(|(_, inner)| named(inner, models)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enums::Operation;
    use crate::protocol::{Exchange, Protocol};

    /// A chat with this more in its body.
    fn chat(more: &str) -> String {
        format!(r#"{{"model":"m","max_tokens":1,"messages":[],{more}}}"#)
    }

    /// The same as formats and dialects read it.
    fn read(format: &str, dialect: Option<&str>, more: &str) -> Result<Exchange, Denial> {
        let protocol = Protocol::named(format).unwrap();
        let protocol = dialect.map_or(Some(protocol.clone()), |word| protocol.in_dialect(word)).unwrap();
        let body = chat(more);
        protocol.read_request(Operation::Chat, None, &Json::parse(body.as_bytes(), 16).unwrap())
    }

    /// One parameter with the value `x`, wherever a request may have it, and how it must come out.
    fn every_place(format: &str, dialect: Option<&str>, Parameter { name, class, .. }: &Parameter) -> usize {
        let own = format!(r#""{name}":"x""#);
        let shouted = own.replacen(name, &name.to_uppercase(), 1);
        let places = [
            own.clone(),
            format!(r#""fallbacks":[{{"model":"f",{own}}}]"#),
            format!(r#""extra_body":{{{own}}}"#),
            format!(r#""provider":[{{"a":{{{own}}}}}]"#),
            format!(r#""extra_body":{{{shouted}}}"#),
        ];
        let passes = matches!(class, Class::Routing(router) if Some(*router) == dialect);
        let is_model = *class == Class::Models;
        for place in &places {
            let exchange = read(format, dialect, place).unwrap();
            let what = format!("{format} {dialect:?} {place}");
            assert_eq!(exchange.models.iter().any(|model| model == "x"), is_model, "{what}");
            assert_eq!(exchange.choices_of_operator.contains(name), !passes && !is_model, "{what}");
            let body = chat(place);
            let json = Json::parse(body.as_bytes(), 16).unwrap();
            let mut texts = exchange.segments.iter().filter(|one| !one.is_key).filter_map(|one| json.at(&one.path));
            assert!(texts.any(|text| text.as_str() == Some("x")), "{what}: the value is scanned");
        }
        assert!(read(format, dialect, &shouted).is_err(), "{shouted}");
        places.len()
    }

    #[test]
    fn the_table_is_sorted_and_its_routers_are_dialects() {
        assert!(TABLE.windows(2).all(|pair| pair[0].name < pair[1].name));
        for Parameter { name, class, .. } in &TABLE {
            if let Class::Routing(router) = class {
                assert!(Protocol::named("openai").unwrap().in_dialect(router).is_some(), "{name}: {router}");
            }
        }
    }

    #[test]
    fn every_parameter_counts_in_every_dialect_and_wherever_it_is_nested() {
        let mut tried = 0;
        for format in ["openai", "anthropic"] {
            let dialects = Protocol::named(format).unwrap().dialects();
            for dialect in std::iter::once(None).chain(dialects.iter().copied().map(Some)) {
                tried += TABLE.iter().map(|parameter| every_place(format, dialect, parameter)).sum::<usize>();
            }
        }
        println!("{tried} places of parameters tried");
    }

    #[test]
    fn what_is_empty_chooses_nothing() {
        for format in ["openai", "anthropic"] {
            for Parameter { name, .. } in &TABLE {
                for empty in ["null", "{}", "[]"] {
                    for place in [
                        format!(r#""{name}":{empty}"#),
                        format!(r#""metadata":{{}},"fallbacks":[{{"{name}":{empty}}}]"#),
                    ] {
                        let exchange = read(format, None, &place).unwrap();
                        assert!(
                            exchange.choices_of_operator.is_empty() && exchange.models.is_empty(),
                            "{format} {place}"
                        );
                    }
                }
                let full = read(format, None, &format!(r#""{name}":[{{}}]"#)).unwrap();
                assert!(exact(name).unwrap().class == Class::Models || full.choices_of_operator == [*name], "{name}");
            }
        }
    }

    #[test]
    fn models_are_found_in_every_form() {
        let body = r#""models":["a"],"fallbacks":[{"m":["b","c"]},{"model":"d","messages":[{"role":"user","content":"no"}],
            "stop":["no"]},"e"],"context_window_fallback_dict":{"m":"f"},
            "router_settings_override":{"fallbacks":[{"m":["g"]}],"model_group_alias":{"h":"i"}}"#;
        assert_eq!(read("openai", None, body).unwrap().models, ["a", "b", "c", "e", "d", "f", "g", "i"]);
        let gateway = r#""providerOptions":{"gateway":{"order":["azure"],"models":["a","b"]}}"#;
        let exchange = read("openai", Some("vercel"), gateway).unwrap();
        assert_eq!((exchange.models.len(), exchange.choices_of_operator.len()), (2, 0));
    }

    /// `REFERENCE=write cargo test --lib protocol::parameters` writes the table of the page.
    #[test]
    fn the_manual_holds_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/manual/parameters.md");
        let mut table = "| parameter | what it chooses | what happens to it |\n|---|---|---|\n".to_owned();
        for Parameter { name, class, chooses } in &TABLE {
            let fate = match class {
                Class::Models => "checked as `model`".to_owned(),
                Class::Operator => "refused, or `parameters.allow`".to_owned(),
                Class::Routing(router) => {
                    format!("passes with `dialect: {router}`; else refused, or `parameters.allow`")
                }
            };
            table.push_str(&format!("| `{name}` | {chooses} | {fate} |\n"));
        }
        let page = std::fs::read_to_string(path).unwrap();
        let (head, old) = page.split_once("<!-- parameters -->\n\n").expect("the mark that the table follows");
        if std::env::var("REFERENCE").is_ok_and(|word| word == "write") {
            std::fs::write(path, format!("{head}<!-- parameters -->\n\n{table}")).unwrap();
            return;
        }
        assert!(old == table, "{path} is stale: REFERENCE=write cargo test --lib protocol::parameters");
    }
}
