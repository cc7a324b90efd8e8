//! Who else decides about a request.

use super::*;

section! {
    /// Who else decides about a request.
    Authz {
        /// Open Policy Agent. Default: it is not asked.
        opa: Option<Opa>,
    }
}

section! {
    /// Open Policy Agent, asked about each request that roles and guards allow, before its tokens are reserved. It sees no
    /// text but what `text` says. What it answers only tightens.
    Opa {
        /// The Envoy cluster that serves OPA. Required.
        cluster: Option<String>,
        /// The host name to ask. Default opa.
        authority: Option<String>,
        /// The document of OPA's data API that decides, for example `/v1/data/bartizan/authz`. Required.
        path: Option<String>,
        /// How long a request waits for an answer. Default 500ms, 10ms to 30s.
        timeout: Option<Span>,
        /// What happens without an answer in time. Required. An answer that is not understood refuses the request all the same.
        on_unavailable: Option<OnNoAnswer>,
        /// How long an answer counts for the same input. Default 0s: every request asks. At most 5m.
        cache_for: Option<Span>,
        /// Which texts it is told, with credentials and personal data masked. Default: none.
        text: Option<OpinionText>,
        /// Default enforce. In shadow a refusal is recorded and the request goes on, without obligations.
        mode: Option<Mode>,
    }
}

choice! {
    /// What happens to a request about which a service that decides gave no answer.
    OnNoAnswer {
        /// It is refused with 503.
        Deny = "deny",
        /// It goes on, and the record says that nobody was asked.
        Allow = "allow",
    }
}

section! {
    /// An outside judge, asked about texts that a guard is in doubt about. Guards name it under `opinions`.
    Opinion {
        /// By which protocol it is asked. Required.
        kind: Option<OpinionKind>,
        /// The Envoy cluster that serves it. Required.
        cluster: Option<String>,
        /// The host name to ask. Default: the opinion's name.
        authority: Option<String>,
        /// The path to ask at. Default: that of the kind's protocol; a classifier has none.
        path: Option<String>,
        /// The model: of a `chatJudge` required, of a `moderation` optional; of a `classifier` the input tensor's name (`text`).
        model: Option<String>,
        /// What a `chatJudge` is told. It must answer with `{"score": N}`, N from 0 to 100. Default: to look for attacks in
        /// requests, and for harm in replies.
        instructions: Option<String>,
        /// A `chatJudge` is held to its form by a JSON schema (`response_format`). Default true; false for a server that knows none.
        structured: Option<bool>,
        /// The server's protocol, of a `classifier`. Default tei.
        format: Option<ClassifierFormat>,
        /// The classes that are attacks, of a `classifier`. Default INJECTION, JAILBREAK, MALICIOUS, UNSAFE, LABEL_1.
        labels: Option<Vec<String>>,
        /// The classes in the order of the numbers, of a `classifier` that answers with numbers alone.
        classes: Option<Vec<String>>,
        /// The texts' language, of `presidio`. Default en.
        language: Option<String>,
        /// The types that are looked for, of `presidio`. Default: all it knows.
        entities: Option<Vec<String>>,
        /// Entities that it is less sure of are left out, of `presidio`, 0 to 100. Default 50.
        threshold: Option<u64>,
        /// Our credential there. Default: none, or a filter of the cluster's adds it.
        credential: Option<OpinionCredential>,
        /// About which requests it is asked. Default: every one.
        when: Option<OpinionWhen>,
        /// Which texts it is shown. Default newest.
        text: Option<OpinionText>,
        /// It is shown the texts with a higher score, wherever they are. Goes without `text`.
        segments_above: Option<u64>,
        /// How long a request waits for an answer. Default 2s, 10ms to 30s.
        timeout: Option<Span>,
        /// What happens without an answer. Default localVerdict; required for `moderation`, `presidio` and `http`, because
        /// nothing here looks for what they find.
        on_unavailable: Option<OnNoOpinion>,
        /// It is shown credentials and personal data. Default false: they are masked before.
        raw: Option<bool>,
        /// Default enforce. In shadow it is asked and recorded, and changes nothing.
        mode: Option<Mode>,
        /// Longer texts are not shown, all of a question together, 256 to 1048576. Default 65536. It is then as without an answer.
        max_bytes: Option<u64>,
        /// Questions of a worker at a time, 1 to 1024. Default 64. One more is as without an answer.
        max_in_flight: Option<u64>,
        /// Questions of a worker in a second, 1 to 10000. Default 200. One more is as without an answer.
        per_second: Option<u64>,
        /// How long an answer counts for the same texts. Default 0s: each time it is asked. At most 1h.
        cache_for: Option<Span>,
    }
}

section! {
    /// About which requests an opinion is asked.
    OpinionWhen {
        /// One of the texts that it would be shown has a score from the first to the second, 0 to 100.
        score_between: Option<Vec<u64>>,
    }
}

section! {
    /// A header with a secret.
    OpinionCredential {
        /// `authorization` (the default), `api-key`, `ocp-apim-subscription-key`, `x-api-key` or `x-goog-api-key`.
        header: Option<String>,
        /// What is before the secret. Default `Bearer` in `authorization`, else nothing.
        scheme: Option<String>,
        /// The variable of the VM's environment that holds it. Required.
        from_env: Option<String>,
    }
}

choice! {
    /// By which protocol an opinion is asked.
    OpinionKind {
        /// OpenAI's moderations.
        Moderation = "moderation",
        /// A chat model behind OpenAI's chat completions, which is told to give a score.
        ChatJudge = "chatJudge",
        /// A classifier of texts.
        Classifier = "classifier",
        /// Presidio's analyzer: what it finds is masked.
        Presidio = "presidio",
        /// LiteLLM's generic guardrail API.
        Http = "http",
    }
}

choice! {
    /// How a classifier is served.
    ClassifierFormat {
        /// text-embeddings-inference: `/predict`.
        Tei = "tei",
        /// KServe's V1 protocol: `/v1/models/NAME:predict`.
        KserveV1 = "kserveV1",
        /// KServe's V2 protocol, which Triton speaks: `/v2/models/NAME/infer`.
        KserveV2 = "kserveV2",
    }
}

choice! {
    /// Which texts somebody else is shown.
    OpinionText {
        /// Those of the newest turn.
        Newest = "newest",
        /// Every text.
        All = "all",
    }
}

choice! {
    /// What happens to a request about which a judge gave no opinion.
    OnNoOpinion {
        /// What the guards say holds.
        LocalVerdict = "localVerdict",
        /// It is refused with 503.
        Deny = "deny",
        /// It is as if the judge had found nothing: what the scorer alone found is let go.
        Allow = "allow",
    }
}
