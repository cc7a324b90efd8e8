//! Text as the rules and the scorer see it, with the way back to the original bytes.

/// The normalised form alone, for keywords, training and explanation.
pub fn to_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(&word.to_lowercase());
    }
    out
}
