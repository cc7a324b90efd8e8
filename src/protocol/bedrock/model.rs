//! Models by their ids and ARNs.

use std::borrow::Cow;

/// The longest ARN of the service.
const MAX_LENGTH: usize = 2048;

/// The model that a part of a path names, its escapes undone once. `None`: it is no id and no ARN of the service, or it is
/// written so that another reader could see another path in it.
pub(super) fn in_path(written: &str) -> Option<Cow<'_, str>> {
    let name = if written.contains('%') { Cow::Owned(unescaped(written)?) } else { Cow::Borrowed(written) };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:/".contains(&byte);
    let is_known = (1..=MAX_LENGTH).contains(&name.len())
        && name.bytes().all(is_plain)
        && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && (!name.contains('/') || name.starts_with("arn:"));
    is_known.then_some(name)
}

/// Every `%` begins an escape of a byte.
fn unescaped(written: &str) -> Option<String> {
    let mut parts = written.split('%');
    let mut out = parts.next()?.to_owned();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        let byte = u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?;
        out.push(char::from(byte));
        out.push_str(rest);
    }
    Some(out)
}

/// Who made a model, as its id says: `anthropic` of `us.anthropic.claude-sonnet-4-20250514-v1:0`, and of an ARN that ends
/// so. `None`: the id is of the account's own (a provisioned or imported model).
pub(super) fn maker(model: &str) -> Option<&str> {
    let id = model.rsplit('/').next().unwrap_or(model);
    let (first, rest) = id.split_once('.')?;
    // An inference profile has the name of its region before the maker's.
    let regions = ["us", "eu", "ap", "apac", "au", "ca", "jp", "sa", "global", "us-gov"];
    let maker = if regions.contains(&first) { rest.split_once('.')?.0 } else { first };
    (!maker.is_empty()).then_some(maker)
}

/// True for a prompt that the provider keeps: its messages go before those of the request.
pub(super) fn is_prompt(model: &str) -> bool {
    model.starts_with("arn:") && model.split(':').nth(5).is_some_and(|resource| resource.starts_with("prompt/"))
}

/// True for a model whose answer is numbers, pictures or films, as its maker's id says. The account's own names say nothing.
pub(super) fn answers_without_text(model: &str) -> bool {
    let kinds = ["embed", "rerank", "image", "canvas", "reel"];
    let Some(maker) = maker(model) else { return false };
    let id = model.rsplit('/').next().unwrap_or(model);
    matches!(maker, "stability" | "luma") || kinds.iter().any(|kind| id.contains(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_model_in_one_way() {
        for (written, name) in [
            ("anthropic.claude-3-haiku-20240307-v1:0", "anthropic.claude-3-haiku-20240307-v1:0"),
            ("us.amazon.nova-pro-v1%3A0", "us.amazon.nova-pro-v1:0"),
            (
                "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.meta.llama3-1-8b-instruct-v1%3A0",
                "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.meta.llama3-1-8b-instruct-v1:0",
            ),
        ] {
            assert_eq!(in_path(written).as_deref(), Some(name));
        }
        let arn = "arn:aws:bedrock:eu-west-1:1:x";
        for written in [
            "",
            "a%2Fb",
            "a%252Fb",
            "%2e%2e",
            "a%",
            "a%2",
            "a%zz",
            "a%+1",
            "a b",
            "a%00",
            "a%0d%0a",
            "a%5Cb",
            "%C3%A9",
            &format!("{arn}%2F..%2Fy"),
            &format!("{arn}%2F%2Fy"),
            &format!("{arn}%2F"),
            &"a".repeat(2049),
        ] {
            assert_eq!(in_path(written), None, "{written}");
        }
    }

    #[test]
    fn a_maker_is_told_by_the_id() {
        for (model, made) in [
            ("anthropic.claude-3-haiku-20240307-v1:0", Some("anthropic")),
            ("global.anthropic.claude-sonnet-4-20250514-v1:0", Some("anthropic")),
            ("arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-pro-v1:0", Some("amazon")),
            ("arn:aws:bedrock:us-east-1::foundation-model/openai.gpt-oss-20b-1:0", Some("openai")),
            ("arn:aws:bedrock:us-east-1:1:provisioned-model/abcdefghijkl", None),
            ("us.", None),
        ] {
            assert_eq!(maker(model), made, "{model}");
        }
    }

    #[test]
    fn a_prompt_is_told_by_its_arn() {
        for (model, is_kept) in [
            ("arn:aws:bedrock:us-east-1:1:prompt/ABCDEFGHIJ:1", true),
            ("arn:aws:bedrock:us-east-1:1:prompt/ABCDEFGHIJ", true),
            ("arn:aws:bedrock:us-east-1:1:default-prompt-router/anthropic.claude:1", false),
            ("amazon.titan-text-express-v1", false),
        ] {
            assert_eq!(is_prompt(model), is_kept, "{model}");
        }
    }
}
