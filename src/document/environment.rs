//! Secrets in the VM's environment, not in the document.

use super::FromEnv;
use super::errors::{Errors, KeyPath};

/// Reads a variable of the VM's environment.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads a secret from the environment. No message holds its value.
pub(crate) fn secret(
    raw: &FromEnv,
    at: &KeyPath,
    environment: Environment<'_>,
    errors: &mut Errors,
) -> Option<Vec<u8>> {
    let name = errors.require(at, "fromEnv", raw.from_env.as_ref())?;
    let at = at.key("fromEnv");
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if name.is_empty() || name.len() > 128 || !name.bytes().all(plain) {
        errors.push(&at, "expected the name of an environment variable");
        return None;
    }
    match environment(name) {
        None => {
            let message = format!("the VM's environment has no variable {name} (vm_config.environment_variables)");
            errors.push(&at, message);
            None
        }
        Some(value) if value.len() < 16 => {
            errors.push(&at, format!("the variable {name} holds {} bytes, expected at least 16", value.len()));
            None
        }
        Some(value) => Some(value.into_bytes()),
    }
}
