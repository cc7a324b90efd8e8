//! What is looked for in texts and what follows: guards, exceptions, rules.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::duration::Span;
use super::{Mode, Zone};

#[cfg(feature = "cli")]
use schemars::JsonSchema;

section! {
    /// What is searched for and what follows.
    Guard {
        /// Default enforce.
        mode: Option<Mode>,
        /// Injection, jailbreak, extraction, exfiltration, agent hijack.
        injection: Option<Injection>,
        /// Personal data.
        pii: Option<Pii>,
        /// Credentials.
        secrets: Option<Secrets>,
        /// How the model is told which text comes from tools and documents. Default: it is not.
        spotlight: Option<Spotlight>,
        /// What the model answers.
        output: Option<Output>,
        /// Findings that are known and accepted.
        exceptions: Option<Vec<Exception>>,
    }
}

section! {
    /// Attacks on the model.
    Injection {
        /// What happens when the score in the caller's newest turn reaches the zone's threshold. Default block.
        action: Option<Action>,
        /// What happens when it does so in an earlier turn, a tool result or a document. Default replace.
        history: Option<Action>,
        /// Scores from 1 to 100 by zone; 101 switches a zone off.
        thresholds: Option<Thresholds>,
    }
}

section! {
    /// Scores from which a text counts as an attack.
    Thresholds {
        /// Default 101: only roles that may write the zone are judged by it.
        system: Option<u64>,
        /// Default 101, as `system`.
        developer: Option<u64>,
        /// Default 80.
        user: Option<u64>,
        /// Default 50.
        assistant: Option<u64>,
        /// Default 50.
        tool: Option<u64>,
        /// Default 50.
        document: Option<u64>,
    }
}

choice! {
    /// What follows from a finding, from the mildest.
    Action {
        /// It is recorded.
        Flag = "flag",
        /// A fixed notice takes the place of the text.
        Replace = "replace",
        /// The request is refused.
        Block = "block",
    }
}

choice! {
    /// What follows from personal data or a secret, from the mildest.
    DataAction {
        /// It is recorded.
        Flag = "flag",
        /// A numbered placeholder takes its place: `[EMAIL_1]`.
        Mask = "mask",
        /// A keyed hash takes its place: equal values stay equal.
        Hash = "hash",
        /// A placeholder keyed by the tenant takes its place in the request, and the reply gets the value back; never in an
        /// address, and never in a tool's arguments.
        Restore = "restore",
        /// The request is refused.
        Block = "block",
    }
}

section! {
    /// Personal data.
    Pii {
        /// Default flag.
        action: Option<DataAction>,
        /// Which types. Default: all.
        types: Option<Vec<PiiType>>,
        /// Another action for one type, which `types` must hold.
        #[cfg_attr(feature = "cli", schemars(extend("propertyNames" = serde_json::json!({ "$ref": "#/$defs/PiiType" }))))]
        by_type: Option<BTreeMap<PiiType, DataAction>>,
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
    }
}

section! {
    /// What the model answers, whole or as a stream.
    Output {
        /// Credentials. Default mask; `restore` is for requests alone.
        secrets: Option<DataAction>,
        /// Personal data of the types that `pii` names. Default flag; `restore` is for requests alone.
        pii: Option<DataAction>,
        /// Images that a reader's program fetches by itself, and links that carry data, to hosts other than `allowHosts`.
        /// Default flag.
        exfiltration: Option<OutputAction>,
        /// HTML and addresses that run code. Default flag.
        script: Option<OutputAction>,
        /// Calls of tools that the role may not use. Default remove.
        tool_calls: Option<OutputAction>,
        /// A token at the end of the system prompt, where the request has one, tells that the prompt has leaked. Absent:
        /// there is none.
        canary: Option<OutputAction>,
        /// How long a tenant's token stays the same, so that providers can cache the prompt. Default 1d, 1m to 31d.
        canary_epoch: Option<Span>,
        /// Host names or globs (`*` matches any text) that answers may point to.
        allow_hosts: Option<Vec<String>>,
    }
}

choice! {
    /// How text of tools and documents is marked for the model.
    Spotlight {
        /// It stands between two lines that the text can't know.
        Delimit = "delimit",
        /// The same, and a sign takes the place of every space in it.
        Datamark = "datamark",
    }
}

choice! {
    /// What follows from a finding in an answer.
    OutputAction {
        /// It is recorded.
        Flag = "flag",
        /// It is cut out.
        Remove = "remove",
        /// The answer is refused, or ended where it is a stream.
        Block = "block",
    }
}

section! {
    /// Credentials.
    Secrets {
        /// Default block.
        action: Option<DataAction>,
    }
}

section! {
    /// A finding that is known and accepted.
    Exception {
        /// Rule ids. Required.
        rules: Option<Vec<String>>,
        /// Route paths; absent: every route.
        routes: Option<Vec<String>>,
        /// Zones; absent: every zone.
        zones: Option<Vec<Zone>>,
        /// The last day, `2027-01-31`. Required: an exception ends by itself.
        until: Option<String>,
        /// Why. Required.
        reason: Option<String>,
    }
}

section! {
    /// Detection rules.
    Rules {
        /// Rule packs in force. Default: all.
        packs: Option<Vec<Pack>>,
        /// Rule ids that are off.
        disable: Option<Vec<String>>,
        /// Rules of the policy's own.
        custom: Option<Vec<CustomRule>>,
        /// The learned scorer beside the rules. Default true.
        scorer: Option<bool>,
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

section! {
    /// A rule that stands in the document. The same form as a rule file, without its samples.
    CustomRule {
        /// `X-` and a number, for example `X-1`. Required.
        id: Option<String>,
        /// A short title. Required.
        title: Option<String>,
        /// How much a match weighs. Default high.
        level: Option<Level>,
        /// The pack it counts to. Default injection.
        pack: Option<Pack>,
        /// Zones it looks at. Default: all.
        scope: Option<Vec<Zone>>,
        /// Literal words of which every match holds one, in lower case. Required, not empty.
        keywords: Option<Vec<String>>,
        /// A linear-time pattern; absent: a keyword is a match.
        pattern: Option<String>,
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
