//! The domain's closed words: what documents, records, metrics and headers spell alike.
//!
//! ```
//! use bartizan::enums::{Mode, Operation};
//!
//! assert_eq!(Mode::Shadow.as_str(), "shadow");
//! assert!(Operation::ALL.contains(&Operation::Chat));
//! ```

use bartizan_rules::choice;
pub use bartizan_rules::words::{Level, Pack, PiiType, Tag, Zone};

#[cfg(feature = "cli")]
use schemars::JsonSchema;

choice! {
    /// An operation on a model.
    Operation {
        /// Chat: OpenAI's chat completions, Anthropic's messages, Ollama's chat.
        Chat = "chat",
        /// The list of models, and one model's card.
        Models = "models",
        /// A prompt through the `generic` protocol, Ollama's or text-generation-inference's generate.
        Generate = "generate",
        /// OpenAI's older completions.
        Completions = "completions",
        /// OpenAI's responses.
        Responses = "responses",
        /// Embeddings.
        Embeddings = "embeddings",
        /// OpenAI's moderations.
        Moderations = "moderations",
        /// OpenAI's conversations: making one, and what is done with it.
        Conversations = "conversations",
        /// Anthropic's count of a request's tokens.
        CountTokens = "countTokens",
        /// Ollama's card of one model.
        ModelCard = "modelCard",
        /// OpenAI's batches: making one, their list, and to read and cancel one.
        Batch = "batch",
        /// OpenAI's files: their list, and to upload, read and delete one. What is uploaded is not read: `unscanned` decides, and
        /// only a role of every model may do it. With `unscanned.lines: scan` batches and training files are read.
        Files = "files",
        /// An upload of a training file: a role needs `files` too.
        TrainingFiles = "trainingFiles",
        /// OpenAI's fine-tuning: jobs, their events and checkpoints, and who may use a checkpoint. The model of a new job counts.
        FineTuning = "fineTuning",
        /// OpenAI's images, made from a prompt.
        Images = "images",
        /// OpenAI's speech, made from a text.
        Audio = "audio",
        /// Documents, put in the order in which they fit a query.
        Rerank = "rerank",
        /// A store's reading: searches, what has an id, lists, counts, and to open a collection.
        Query = "query",
        /// A store's writing: new texts and vectors, and changes of them.
        Upsert = "upsert",
        /// A store's deleting: records, and whole collections or namespaces.
        Delete = "delete",
        /// A store's other business: tenants, databases, schemas, settings of collections.
        Admin = "admin",
        /// Everything of a Model Context Protocol server; `tools` says which of its tools, prompts and resources.
        Mcp = "mcp",
    }
}

choice! {
    /// Whether a verdict takes effect.
    Mode {
        /// It does.
        Enforce = "enforce",
        /// It is made, recorded and counted, and changes nothing.
        Shadow = "shadow",
    }
}

choice! {
    /// What follows from a finding, from the mildest.
    Action {
        /// It is recorded.
        Flag = "flag",
        /// A fixed notice replaces the text.
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
        /// A numbered placeholder replaces it: `[EMAIL_1]`.
        Mask = "mask",
        /// A keyed hash replaces it: equal values stay equal.
        Hash = "hash",
        /// A placeholder keyed by the tenant replaces it in the request, and the reply gets the value back; never in an
        /// address, and in arguments of tool calls only where `guards.*.restore.tools` names them.
        Restore = "restore",
        /// The request is refused.
        Block = "block",
    }
}

choice! {
    /// Where a request names the tenant.
    ConfinedBy {
        /// Pinecone's namespace, Weaviate's tenant.
        Namespace = "namespace",
        /// The collection's own name: Weaviate's class.
        Collection = "collection",
        /// The tenant in Chroma's paths.
        Path = "path",
        /// A field of what is stored. Queries and deletes by a filter alone: an id carries no filter.
        Field = "field",
    }
}
