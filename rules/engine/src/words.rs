//! The closed words of rules: zones, levels, packs, types of personal data.
//!
//! ```
//! use bartizan_rules::words::{Pack, Tag, Zone};
//!
//! assert_eq!(Pack::Injection.prefix(), "PI-");
//! assert_eq!(Zone::Tool.as_str(), "tool");
//! assert!(Tag::new("EMPLOYEE").is_some() && Tag::new("employee").is_none());
//! ```

#[cfg(feature = "cli")]
use schemars::JsonSchema;

use crate::invariant::{between, sure};

/// A closed list of words: an enum whose values are spelled alike wherever they are read and written.
///
/// With the feature `cli` schemars' `JsonSchema` must be in scope.
#[macro_export]
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
        #[cfg_attr(feature = "cli", derive(JsonSchema))]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant,)* }

        impl $name {
            /// Every value, in the order of the documentation.
            pub const ALL: &'static [$name] = &[ $( $name::$variant, )* ];

            /// The words of [`Self::ALL`].
            pub const WORDS: &'static [&'static str] = &[ $( $word, )* ];

            /// The word that stands for this value in the document, the record and the metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $( $name::$variant => $word, )* }
            }
        }
    };
}

choice! {
    /// Where in a conversation a text is. A zone is the caller's claim.
    Zone {
        /// The application's instructions.
        System = "system",
        /// The developer's instructions.
        Developer = "developer",
        /// The caller's words.
        User = "user",
        /// The model's earlier words, and the arguments of its tool calls.
        Assistant = "assistant",
        /// What a tool returned.
        Tool = "tool",
        /// A retrieved or attached document.
        Document = "document",
    }
}

choice! {
    /// How much a rule's match weighs.
    Level {
        /// 5 points.
        Informational = "informational",
        /// 20 points.
        Low = "low",
        /// 35 points.
        Medium = "medium",
        /// 60 points.
        High = "high",
        /// 95 points.
        Critical = "critical",
    }
}

choice! {
    /// A pack of rules: a folder below `rules/`.
    Pack {
        /// Instructions that override the application's.
        Injection = "injection",
        /// Personas and modes without rules.
        Jailbreak = "jailbreak",
        /// Extraction of the system prompt.
        Leakage = "leakage",
        /// Data carried out by links, images and tools.
        Exfiltration = "exfiltration",
        /// Tool results and documents that command the model.
        Hijack = "hijack",
        /// Text in disguise.
        Obfuscation = "obfuscation",
        /// Credentials.
        Secrets = "secrets",
        /// Personal data.
        Pii = "pii",
    }
}

choice! {
    /// A type of personal data.
    PiiType {
        /// E-mail address.
        Email = "email",
        /// Telephone number, international or national in context.
        Phone = "phone",
        /// Payment card number (Luhn, issuer prefix).
        CreditCard = "creditCard",
        /// International Bank Account Number (mod 97).
        Iban = "iban",
        /// US social security number.
        UsSsn = "usSsn",
        /// A national identity or tax number, with its checksum.
        NationalId = "nationalId",
        /// Passport number in context.
        Passport = "passport",
        /// IPv4 or IPv6 address.
        IpAddress = "ipAddress",
        /// MAC address.
        MacAddress = "macAddress",
        /// Address of a crypto wallet.
        CryptoWallet = "cryptoWallet",
        /// Date of birth in context.
        BirthDate = "birthDate",
        /// What a policy's own rule of the pack pii finds, unless the rule names another type.
        Custom = "custom",
    }
}

impl Pack {
    /// What the ids of its rules begin with.
    pub const fn prefix(self) -> &'static str {
        match self {
            Pack::Injection => "PI-",
            Pack::Jailbreak => "JB-",
            Pack::Leakage => "LK-",
            Pack::Exfiltration => "EX-",
            Pack::Hijack => "HJ-",
            Pack::Obfuscation => "OB-",
            Pack::Secrets => "SE-",
            Pack::Pii => "PD-",
        }
    }
}

/// What a rule looks for: decides which part of the guard answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An attack on the model; counts towards the score.
    Attack,
    /// A credential.
    Secret,
    /// Personal data of this type.
    Pii(PiiType),
    /// Personal data of this type, which a policy's own rule finds and calls by this label.
    Own(PiiType, Tag),
}

impl Kind {
    /// The type of personal data, where it is some.
    pub const fn pii(self) -> Option<PiiType> {
        match self {
            Kind::Pii(of) | Kind::Own(of, _) => Some(of),
            Kind::Attack | Kind::Secret => None,
        }
    }
}

/// A label of a policy's own: 1 to [`Tag::LONGEST`] of `A` to `Z` and `_`, with a letter at both ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag([u8; Tag::LONGEST]);

impl Tag {
    /// Bytes of the longest label.
    pub const LONGEST: usize = 12;

    /// Takes a word; `None` for one that is no label.
    pub fn new(word: &str) -> Option<Tag> {
        let plain = word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        let mut bytes = [0; Tag::LONGEST];
        bytes.get_mut(..word.len())?.copy_from_slice(word.as_bytes());
        (plain && !word.is_empty() && !word.starts_with('_') && !word.ends_with('_')).then_some(Tag(bytes))
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        let length = self.0.iter().position(|byte| *byte == 0).unwrap_or(Tag::LONGEST);
        sure(std::str::from_utf8(between(&self.0, 0..length)).ok()).unwrap_or("CUSTOM")
    }
}

impl std::fmt::Debug for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
