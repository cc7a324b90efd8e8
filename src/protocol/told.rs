//! What a refusal tells its caller: the class in words, an id to report it by, and what the operator adds.

use std::borrow::Cow;

use crate::reason::{Denial, Hint, Reason};

/// A refusal as it is told.
#[derive(Clone, Debug)]
pub struct Told<'t> {
    /// Why.
    pub denial: &'t Denial,
    /// In words. Never what was found, unless the policy trusts the caller with it.
    pub message: Cow<'t, str>,
    /// The id of the message that is answered, as JSON, in a protocol that repeats it.
    pub answers: Option<&'t str>,
    /// The media types that the caller accepts, as it sent them.
    pub accepts: &'t [u8],
    /// The id by which the operator finds the record (`http.request.id`).
    pub request: Option<&'t str>,
}

impl<'t> Told<'t> {
    /// The class in words, and nothing else.
    pub fn new(denial: &'t Denial) -> Told<'t> {
        Told { denial, message: message(denial), answers: None, accepts: &[], request: None }
    }
}

/// What a caller is told of a refusal: the class, and what to do about it, never what was found.
pub fn message(denial: &Denial) -> Cow<'static, str> {
    if denial.is_of_reply {
        match denial.reason {
            Reason::ScanInjection | Reason::ScanOpinion => {
                return "The answer was withheld by the content policy.".into();
            }
            Reason::OpinionUnavailable => {
                return "The answer was withheld: it can't be judged at the moment. Try again later.".into();
            }
            Reason::ScanSecret => {
                return "The answer was withheld by the content policy: it holds a credential.".into();
            }
            Reason::ScanPii => return "The answer was withheld by the content policy: it holds personal data.".into(),
            Reason::Overloaded => return "The answer was withheld: too much is being checked. Try again later.".into(),
            Reason::Internal => return "The answer was withheld: it could not be checked. Try again later.".into(),
            _ => {}
        }
    }
    match denial.hint {
        Some(Hint::ProviderKey) => {
            return "The token is not accepted here: a provider's API key was sent. Send a token of your identity provider, or \
                    a key that was issued for this gateway."
                .into();
        }
        Some(Hint::TokenTooLong { length, limit }) => {
            return format!("The token is too long: {length} bytes, and {limit} are taken here (authn.maxTokenBytes).")
                .into();
        }
        Some(Hint::Signed) => {
            return "A request that is signed with an AWS key is not accepted here, because the gateway may change it and signs \
                    it itself. Send a token of your identity provider as a bearer (AWS_BEARER_TOKEN_BEDROCK)."
                .into();
        }
        Some(Hint::GroupsOverage) => {
            return "The token is not accepted here: it lists no groups because there are too many of them. Ask for a token \
                    with roles, or with the groups of this application only."
                .into();
        }
        None => {}
    }
    if let (Reason::AuthzDenied, Some(detail)) = (denial.reason, &denial.detail) {
        return format!("The policy of your organisation does not allow this request: {detail}.").into();
    }
    Cow::Borrowed(match denial.reason {
        Reason::AuthzDenied => "The policy of your organisation does not allow this request.",
        Reason::AuthzUnavailable => "The request can't be authorized at the moment. Try again later.",
        Reason::JwtMissing => "No credential was sent. Send a bearer token in the Authorization header.",
        Reason::JwtExpired => "The token has expired. Get a new one.",
        Reason::JwtRevoked => "The token has been revoked. Get a new one.",
        Reason::JwtInactive => "The token is not active. Get a new one.",
        Reason::JwtNotYetValid => "The token is not valid yet.",
        Reason::JwtAmbiguous => "Two different credentials were sent. Send one.",
        Reason::JwtMalformed
        | Reason::JwtAlgorithm
        | Reason::JwtKey
        | Reason::JwtSignature
        | Reason::JwtIssuer
        | Reason::JwtAudience
        | Reason::JwtClaims => "The token is not accepted here.",
        Reason::JwtUnavailable => "The token can't be checked at the moment. Try again later.",
        Reason::RbacOperation => "Your role does not allow this operation.",
        Reason::RbacWorkload => "Your role does not allow calls from this workload.",
        Reason::RbacCondition => "The conditions of your role do not hold for this request.",
        Reason::RbacModel => "Your role does not allow this model.",
        Reason::RbacTool => "Your role does not allow one of the tools in this request.",
        Reason::RbacParameter => "A parameter is given twice or over the limit of your role.",
        Reason::RbacTenant => "This is not your tenant's, or the request does not say whose it is.",
        Reason::ModelRetired => "This model is no longer served here.",
        Reason::ModelAlias => "An alias of a model can't be used in this place. Name the model itself.",
        Reason::PromptUnknown => "The system prompt is not one that your role may use.",
        Reason::QuotaRequests => "Rate limit reached for requests. Try again later.",
        Reason::QuotaTokens => "Rate limit reached for tokens. Try again later.",
        Reason::QuotaCost => "The budget for this has no room for the request. Try again later.",
        Reason::QuotaUnpriced => "The model has no price here, and your budget needs one.",
        Reason::QuotaTooLarge => {
            "Request too large: the prompt and the output tokens it asks for are more than the limit. Shorten the prompt or ask for fewer output tokens."
        }
        Reason::QuotaUnavailable => "Rate limits can't be checked at the moment. Try again later.",
        Reason::QuotaConcurrent => "Too many requests are under way. Try again when one has ended.",
        Reason::AbuseCooldown => "Too many of your requests were refused by the content policy. Try again later.",
        Reason::RouteUnmatched => "There is nothing here.",
        Reason::RouteMethod => "This path does not take this method.",
        Reason::RouteUpgrade => "This path accepts no protocol upgrades: send plain HTTP requests.",
        Reason::RouteRealtime => "The Realtime API and gRPC can't be used here: what goes over them can't be checked.",
        Reason::BodyTooLarge => "The request body is too large.",
        Reason::BodyLength => "The request body does not have the length it announced.",
        Reason::BodyMalformed => "The request body is not valid JSON in UTF-8.",
        Reason::BodyDuplicateKey => "A JSON object in the request body holds the same key twice.",
        Reason::BodyDepth => "The request body is nested too deep.",
        Reason::BodyShape => "The request body does not have the form this API reads.",
        Reason::McpHeader => "A header of the request does not say what its body says.",
        Reason::McpRevision => "This revision of the Model Context Protocol is not known here.",
        Reason::McpDefinition => "The server offers something that was not approved.",
        Reason::McpSession => "This session is not known here. Start a new one.",
        Reason::GraphqlLimit => "The operation is over a limit of this API: too long, too deep or too expensive.",
        Reason::GraphqlOperation => "This API does not serve operations of this kind.",
        Reason::GraphqlPersisted => "This persisted operation is not known here.",
        Reason::BodyContentType => "This API accepts application/json in UTF-8.",
        Reason::BodyEncoding => {
            "The request body is compressed in a way that is not taken here. Send it without content-encoding."
        }
        Reason::BodyUnscanned => "The request holds content of a kind that is not allowed here.",
        Reason::ScanInjection | Reason::ScanOpinion => "The request was refused by the content policy.",
        Reason::OpinionUnavailable => "The request can't be judged at the moment. Try again later.",
        Reason::ScanSecret => "The request was refused by the content policy: it holds a credential.",
        Reason::ScanPii => "The request was refused by the content policy: it holds personal data.",
        Reason::ScanOutput | Reason::ScanCanary => "The answer was withheld by the content policy.",
        Reason::ReplyUnreadable => "The upstream sent a reply that can't be checked.",
        Reason::ReplyTooLarge => "The upstream sent a reply that is too large.",
        Reason::ReplyTokens => "The answer was ended at its limit of tokens.",
        Reason::Internal => "The request could not be checked. Try again later.",
        Reason::Overloaded => "Too many requests are being checked. Try again later.",
    })
}
