//! Parameters by which a caller chooses beside `model` and `tools`, in the dialects of servers and routers that speak
//! the format. All of their text is scanned besides.

use super::super::Json;
use super::super::request::Reader;
use crate::reason::Denial;

/// Other models: those that a router falls back to, drafts, judges. Each is checked as `model` is.
const MODELS: [&str; 6] = ["models", "fallbacks", "fallback_models", "draft_model", "speculative_model", "judge_model"];

/// Addresses, keys, templates, adapters and routes: refused unless the role's `parameters.allow` names them.
const CHOICES: [&str; 33] = [
    "adapter",
    "adapter_id",
    "adapters",
    "api_base",
    "api_key",
    "api_type",
    "api_version",
    "aws_access_key_id",
    "aws_secret_access_key",
    "base_model",
    "base_url",
    "chat_template",
    "custom_llm_provider",
    "data_sources",
    "deployment_id",
    "engine",
    "extra_body",
    "extra_headers",
    "extra_query",
    "headers",
    "litellm_params",
    "lora",
    "lora_id",
    "lora_request",
    "model_list",
    "organization",
    "plugins",
    "provider",
    "route",
    "router_settings_override",
    "search_parameters",
    "transforms",
    "vertex_credentials",
];

pub(super) fn read(reader: &mut Reader<'_, '_>) -> Result<(), Denial> {
    for name in MODELS {
        if let Some((_, value)) = reader.take(name)? {
            named(value, &mut reader.out.models);
        }
    }
    for name in CHOICES {
        if reader.take(name)?.is_some() {
            reader.out.choices_of_operator.push(name);
        }
    }
    Ok(())
}

/// A name, names in a list, or objects that hold some: `["a", {"b": ["c"]}, {"model": "d"}]`. Keys count too: litellm
/// writes a model and what it falls back to as key and list.
fn named(value: &Json<'_>, models: &mut Vec<String>) {
    match value {
        Json::String(name) => models.push(name.to_string()),
        Json::Array(items) => items.iter().for_each(|item| named(item, models)),
        Json::Object(entries) => {
            for (key, inner) in entries {
                if key == "model" || key == "id" || matches!(inner, Json::Array(_)) {
                    named(inner, models);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::document::Operation;
    use crate::protocol::Protocol;

    #[test]
    fn every_choice_beside_the_model_is_named() {
        let read = |body: &str| {
            let json = Json::parse(body.as_bytes(), 16).unwrap();
            Protocol::new(super::super::Openai).read_request(Operation::Chat, None, &json).unwrap()
        };
        let body =
            r#"{"model":"m","messages":[],"models":["a"],"fallbacks":[{"m":["b","c"]},{"model":"d","x":"no"},"e"]}"#;
        assert_eq!(read(body).models, ["a", "b", "c", "d", "e"]);
        for name in CHOICES {
            let exchange = read(&format!(r#"{{"model":"m","messages":[],"{name}":"x"}}"#));
            assert_eq!(exchange.choices_of_operator, [name]);
            assert_eq!(exchange.segments.iter().filter(|segment| !segment.is_key).count(), 1, "{name} is scanned");
        }
    }
}
