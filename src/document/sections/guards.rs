//! What is looked for in texts and what follows: guards, exceptions, rules.

use crate::sorted::SortedMap;

use super::super::duration::Span;
use crate::enums::{Action, DataAction, Level, Mode, Pack, PiiType, Zone};

#[cfg(feature = "cli")]
use schemars::JsonSchema;

section! {
    /// What is searched for and what follows.
    Guard {
        /// A condition: the guard is applied only to requests for which it holds, and to their replies. What goes wrong holds.
        when: Option<String>,
        /// Default enforce.
        mode: Option<Mode>,
        /// Injection, jailbreak, extraction, exfiltration, agent hijack.
        injection: Option<Injection>,
        /// Personal data.
        pii: Option<Pii>,
        /// Credentials.
        secrets: Option<Secrets>,
        /// What `restore` does beside the answer's text.
        restore: Option<Restore>,
        /// Outside judges that are asked, by their names in `opinions`. Default: none.
        opinions: Option<Vec<String>>,
        /// How the model is told which text comes from tools and documents. Default: not at all.
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
        /// Default 90.
        user: Option<u64>,
        /// Default 90.
        assistant: Option<u64>,
        /// Default 84.
        tool: Option<u64>,
        /// Default 89.
        document: Option<u64>,
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
        by_type: Option<SortedMap<PiiType, DataAction>>,
    }
}

section! {
    /// Where values that were masked with `restore` come back. In the answer's text they always do.
    Restore {
        /// Arguments of tool calls that get values back; every other keeps its placeholders. Default none. Nothing comes back
        /// here when the request holds a tool result or a document in which an attack was found, or state or files at the
        /// provider that nobody scanned.
        tools: Option<Vec<RestoreTool>>,
    }
}

section! {
    /// One argument of one tool.
    RestoreTool {
        /// The tool's name. Required.
        tool: Option<String>,
        /// The name of the argument: a key of the call's arguments. All strings of its value count. Required.
        argument: Option<String>,
    }
}

section! {
    /// What the model answers, whole or as a stream.
    Output {
        /// Credentials. Default mask; `restore` is for requests only.
        secrets: Option<DataAction>,
        /// Personal data of the types that `pii` names. Default flag; `restore` is for requests only.
        pii: Option<DataAction>,
        /// Images that a reader's program fetches by itself, and links that carry data, to hosts other than `allowHosts`.
        /// Default flag.
        exfiltration: Option<OutputAction>,
        /// HTML and addresses that run code. Default flag. Like `exfiltration` it leaves code of Markdown as it is, fenced or
        /// between backticks, unless the answer begins with a tag.
        script: Option<OutputAction>,
        /// Calls of tools that the role may not use. Default remove.
        tool_calls: Option<OutputAction>,
        /// A token is written at the end of the system prompt, where the request has one. In a reply it shows that the prompt
        /// has leaked. Absent: no token.
        canary: Option<OutputAction>,
        /// How long a tenant's token stays the same, so that providers can cache the prompt. Default 1d, 1m to 31d.
        canary_epoch: Option<Span>,
        /// Host names or globs (`*` matches any text) that answers may point to.
        allow_hosts: Option<Vec<String>>,
        /// Outside judges that are shown answers. Default: none.
        opinions: Option<OutputOpinions>,
    }
}

section! {
    /// Outside judges that are shown answers.
    OutputOpinions {
        /// Their names in the document's `opinions`. Required.
        judges: Option<Vec<String>>,
        /// What happens when a judge's score reaches the guard's threshold for `assistant`, or for `tool` where a server of
        /// tools answers. Default block. A running text of a stream can't be cut out: `remove` ends the stream.
        action: Option<OutputAction>,
        /// How streams are shown. Default whole.
        streams: Option<StreamedOpinions>,
    }
}

choice! {
    /// How an outside judge is shown a stream.
    StreamedOpinions {
        /// At once, when it has ended. Nothing goes on before; what is held counts for `limits.maxResponseBytes`. A server of
        /// tools is held message by message.
        Whole = "whole",
        /// In parts of at least 1,024 bytes. Each part goes on when it was judged.
        Parts = "parts",
        /// Not at all. The record lists the judge as `skipped`.
        Skip = "skip",
    }
}

choice! {
    /// How text of tools and documents is marked for the model.
    Spotlight {
        /// It is put between two lines that the text can't know.
        Delimit = "delimit",
        /// The same, and a sign replaces every space in it.
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

section! {
    /// A rule of the document. `manual/rules.md` shows some.
    CustomRule {
        /// `X-` and a number, for example `X-1`. Required.
        id: Option<String>,
        /// A short title. Required.
        title: Option<String>,
        /// How much a match weighs. Default high.
        level: Option<Level>,
        /// The pack it counts to, which says what follows: `secrets` as `guards.*.secrets`, `pii` as `guards.*.pii`, every
        /// other as `guards.*.injection`. Default injection.
        pack: Option<Pack>,
        /// With pack `pii`: the type of data that it finds, by which guards act. Default custom.
        kind: Option<PiiType> = "type",
        /// With pack `pii`: the word in the placeholder, 1 to 12 of A-Z and `_`. Default: the type's own.
        label: Option<String>,
        /// Zones it looks at. `reply` is what the model answers, where packs `secrets` and `pii` are looked for; it belongs
        /// to `assistant` too. Default: all.
        zones: Option<Vec<RuleZone>>,
        /// Which form of the text it reads. Default raw with packs `secrets` and `pii`, else normalised.
        view: Option<View>,
        /// Literal words of which every match holds one. Required, not empty.
        keywords: Option<Vec<String>>,
        /// A linear-time pattern, tried within 256 bytes of a keyword; a group `value` is what is found. Absent: a keyword is
        /// a match.
        pattern: Option<String>,
        /// Texts that `bartizan check` judges.
        tests: Option<RuleTests>,
    }
}

section! {
    /// Samples of a rule.
    RuleTests {
        /// Texts in which the rule must find something, at most 100.
        matches: Option<Vec<String>> = "match",
        /// Texts in which it must find nothing, at most 100.
        no_match: Option<Vec<String>> = "no_match",
    }
}

choice! {
    /// A zone that a rule of the policy's own looks at.
    RuleZone {
        /// The application's instructions.
        System = "system",
        /// The developer's instructions.
        Developer = "developer",
        /// The caller's words.
        User = "user",
        /// The model's earlier words, and its answer.
        Assistant = "assistant",
        /// What a tool returned.
        Tool = "tool",
        /// A retrieved or attached document.
        Document = "document",
        /// The model's answer.
        Reply = "reply",
    }
}

choice! {
    /// The form of the text that a rule reads.
    View {
        /// As it came: upper and lower case, punctuation, invisible characters. Keywords match in any case.
        Raw = "raw",
        /// Lower case, one space between words, without punctuation that disguises words and without look-alikes.
        Normalised = "normalised",
    }
}
