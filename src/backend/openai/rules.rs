//! What a refusal means, as data: status, codes and words on one side, the kind of failure on the other.
//!
//! The first rule that holds decides. [`BEFORE`] is tried first, then the fields that a refusal names
//! ([`super::fields`]), then [`AFTER`]. Codes and structure come before words; words that many refusals share, such as
//! billing, credit, quota or plan, prove nothing by themselves. A test holds a row for each rule.

use super::refusal::Refusal;
use crate::event::FailureKind;

/// One line of the table.
pub(super) struct Rule {
    /// What it is about; its name in the tests.
    #[cfg_attr(not(test), expect(dead_code, reason = "for who reads the table"))]
    pub(super) name: &'static str,
    /// Where it has been met.
    #[cfg_attr(not(test), expect(dead_code, reason = "for who reads the table"))]
    pub(super) source: &'static str,
    pub(super) status: Status,
    /// All of these hold.
    pub(super) signs: &'static [Sign],
    pub(super) kind: FailureKind,
}

/// Which statuses a rule is about.
pub(super) enum Status {
    Any,
    /// One of these.
    Of(&'static [u16]),
    /// All refusals but these; no status counts as one.
    But(&'static [u16]),
    /// Client errors but these.
    ClientBut(&'static [u16]),
    /// 500 and more, or none.
    ServerOrNone,
}

/// Something in a refusal.
pub(super) enum Sign {
    /// A code, type or status is one of these.
    Code(&'static [&'static str]),
    /// It holds a field of this name.
    Key(&'static [&'static str]),
    /// One of these stands in its words or codes.
    Says(&'static [&'static str]),
    /// None of these does.
    Without(&'static [&'static str]),
    /// No wait is dictated.
    NoWait,
    /// It is a page for people.
    Page,
}

use FailureKind as Kind;
use Sign::{Code, Key, NoWait, Page, Says, Without};

/// A limit for a time so short that it passes by itself.
const SHORT_LIMITS: &[&str] = &[
    "per minute", "per second", "perminute", "persecond", "per_minute", "per_second", "/min", "rpm)", "tpm)",
    "(rpm", "(tpm", "concurren",
];

/// Rules that hold whatever field a refusal names.
pub(super) const BEFORE: &[Rule] = &[
    Rule {
        name: "a page refuses the client",
        source: "Cloudflare and other firewalls: anthropics/claude-code#30437",
        status: Status::Of(&[403]),
        signs: &[Page],
        kind: Kind::Forbidden,
    },
    Rule {
        name: "a filter by its code",
        source: "OpenAI, Azure: content_filter; Alibaba: data_inspection_failed; Google: PROHIBITED_CONTENT",
        status: Status::But(&[401, 402]),
        signs: &[Code(&[
            "content_filter", "content_filtered", "content_policy_violation", "content_moderation", "moderation",
            "moderation_blocked", "moderation_error", "responsibleaipolicyviolation", "data_inspection_failed",
            "datainspectionfailed", "prohibited_content", "safety", "blocked_by_safety", "flagged", "content_blocked",
            "prompt_blocked", "sensitive_content", "sensitive_words_detected", "content_policy",
        ])],
        kind: Kind::ContentFiltered,
    },
    Rule {
        name: "a filter by its results",
        source: "Azure: content_filter_result; OpenRouter: metadata.flagged_input",
        status: Status::But(&[401, 402, 429]),
        signs: &[Key(&["content_filter_result", "content_filter_results", "flagged_input", "safety_ratings"])],
        kind: Kind::ContentFiltered,
    },
    Rule {
        name: "a filter by its words",
        source: "OpenRouter: requires moderation; OpenAI: usage policies; Azure: content management policy",
        status: Status::But(&[401, 402, 429]),
        signs: &[
            Says(&[
                "flagged", "moderation", "content management policy", "content policy", "content filter",
                "usage polic", "safety system", "safety filter", "safety polic", "safety guideline", "safety reasons",
                "violates our", "violates the", "that violates", "violating our", "violation of our",
                "inappropriate content", "sensitive content", "sensitive information", "sensitive word",
                "prohibited content", "harmful content", "unsafe content", "responsible ai", "content risk",
                "risk control", "considered high risk", "acceptable use",
            ]),
            Without(&["data policy", "api key", "your account", "organization", "subscription", "ip address"]),
        ],
        kind: Kind::ContentFiltered,
    },
    Rule {
        name: "payment required",
        source: "RFC 9110; DeepSeek, OpenRouter, Together",
        status: Status::Of(&[402]),
        signs: &[],
        kind: Kind::QuotaExhausted,
    },
    Rule {
        name: "a key by the status",
        source: "RFC 9110",
        status: Status::Of(&[401]),
        signs: &[],
        kind: Kind::Unauthorized,
    },
    Rule {
        name: "a key by its code",
        source: "OpenAI: invalid_api_key; Google: API_KEY_INVALID; Anthropic: authentication_error",
        status: Status::But(&[429]),
        signs: &[Code(&[
            "invalid_api_key", "api_key_invalid", "incorrect_api_key", "missing_api_key", "authentication_error",
            "invalid_authentication", "unauthenticated", "invalid_token", "expired_api_key", "account_deactivated",
            "invalidapikey",
        ])],
        kind: Kind::Unauthorized,
    },
    Rule {
        name: "a key by its words",
        source: "xAI, Google: 400 with these words; AWS: 403 Missing Authentication Token; MiniMax: 200",
        status: Status::But(&[429]),
        signs: &[Says(&[
            "incorrect api key", "invalid api key", "api key not valid", "api key is invalid", "api key is not valid",
            "api key not found", "api key expired", "api key has expired", "missing api key", "no api key",
            "api key is missing", "api key is required", "invalid apikey", "invalid x-api-key", "x-api-key header is",
            "invalid access token", "invalid bearer token", "missing authentication token", "no auth credentials",
            "invalid authentication", "authentication failed", "login fail",
        ])],
        kind: Kind::Unauthorized,
    },
    Rule {
        name: "too little memory for the model",
        source: "Ollama: model requires more system memory; LM Studio: insufficient system resources",
        status: Status::Any,
        signs: &[Says(&["system memory", "more memory than", "not enough memory", "insufficient system resources"])],
        kind: Kind::Refused,
    },
    Rule {
        name: "a model that is being loaded",
        source: "llama.cpp, Ollama, LM Studio, Hugging Face: qwen-code#3802, lmstudio-bug-tracker#1492",
        status: Status::But(&[401, 402, 403]),
        signs: &[
            Says(&["model", "server", "engine", "llm", "runner"]),
            Says(&[
                "loading model", "is loading", "currently loading", "still loading", "being loaded", "loading the model",
                "model loading", "model is unloaded", "model unloaded", "model was unloaded", "has been unloaded",
                "no models loaded", "no model loaded", "no model is loaded", "is not loaded", "not loaded",
                "has crashed", "crashed", "failed to load", "failed loading", "unable to load", "could not load",
                "load failed", "warming up", "cold start", "starting up", "is starting", "not ready yet",
                "is not ready", "model_loading", "reloading",
            ]),
        ],
        kind: Kind::Loading,
    },
    Rule {
        name: "a spent account by its code",
        source: "OpenAI: insufficient_quota, billing_hard_limit_reached; Zhipu: 1113; Alibaba: Arrearage",
        status: Status::Any,
        signs: &[
            Code(&[
                "insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "insufficient_balance",
                "insufficient_credits", "insufficient_funds", "insufficient_user_quota", "payment_required",
                "arrearage", "1113",
            ]),
            Without(SHORT_LIMITS),
            NoWait,
        ],
        kind: Kind::QuotaExhausted,
    },
    Rule {
        name: "a spent account by its words",
        source: "Anthropic: credit balance is too low; DeepSeek: Insufficient Balance; Zhipu: Account in arrears",
        status: Status::Any,
        signs: &[
            Says(&[
                "balance is too low", "insufficient balance", "balance is insufficient", "insufficient account balance",
                "insufficient credit", "insufficient funds", "not enough credit", "not enough balance", "out of credits",
                "run out of credit", "ran out of credit", "used all your credit", "used all available credit",
                "no credits left", "credits exhausted", "account in arrears", "in arrears", "overdue payment",
                "exceeded your current quota", "insufficient_quota", "hard limit has been reached",
                "spending limit", "account is not active", "recharge",
            ]),
            Without(SHORT_LIMITS),
            NoWait,
        ],
        kind: Kind::QuotaExhausted,
    },
    Rule {
        name: "a limit per day without a wait",
        source: "Google: quotaId …PerDay…; OpenRouter: free-models-per-day",
        status: Status::Of(&[429]),
        signs: &[Says(&["perday", "per day", "per-day", "per_day", "daily"]), Without(SHORT_LIMITS), NoWait],
        kind: Kind::QuotaExhausted,
    },
    Rule {
        name: "one request beyond a limit of tokens",
        source: "Groq: 413 Request too large for model … on tokens per minute",
        status: Status::Of(&[413]),
        signs: &[Says(&["token", "context", "prompt"])],
        kind: Kind::ContextOverflow,
    },
    Rule {
        name: "too many requests by the status",
        source: "RFC 6585",
        status: Status::Of(&[429]),
        signs: &[],
        kind: Kind::Throttled,
    },
    Rule {
        name: "too many requests by the code",
        source: "Groq, OpenAI in streams: rate_limit_exceeded; Google: RESOURCE_EXHAUSTED; llama-swap: rate_limit_error",
        status: Status::But(&[401, 402]),
        signs: &[Code(&[
            "429", "rate_limit", "rate_limit_exceeded", "rate_limit_error", "rate_limited", "ratelimit", "resource_exhausted",
            "too_many_requests", "throttling", "throttled", "throttlingexception", "concurrency_limit", "1302",
        ])],
        kind: Kind::Throttled,
    },
    Rule {
        name: "too many requests by the words",
        source: "MiniMax: rate limit exceeded(RPM); gateways that send 403 or 500",
        status: Status::But(&[401, 402]),
        signs: &[Says(&[
            "rate limit", "rate_limit", "ratelimit", "rate-limit", "too many requests", "throttl", "requests per minute",
            "tokens per minute", "request limit reached", "concurrency limit",
        ])],
        kind: Kind::Throttled,
    },
    Rule {
        name: "the pool of contexts is full",
        source: "llama.cpp under load: the sequences share one cache; no count of this prompt is given",
        status: Status::ServerOrNone,
        signs: &[
            Says(&["context size has been exceeded", "failed to find free space in the kv cache", "no free slots"]),
            Without(&["exceed_context_size"]),
        ],
        kind: Kind::Overloaded,
    },
    Rule {
        name: "a prompt that is too long, by its code",
        source: "OpenAI: context_length_exceeded; llama.cpp: exceed_context_size_error",
        status: Status::Any,
        signs: &[Code(&[
            "context_length_exceeded", "exceed_context_size_error", "context_window_exceeded", "contextwindowexceedederror",
            "string_above_max_length", "prompt_too_long", "input_too_long", "max_tokens_exceeded", "model_max_prompt_tokens_exceeded",
        ])],
        kind: Kind::ContextOverflow,
    },
    Rule {
        name: "a prompt that is too long, by its context",
        source: "OpenAI, vLLM, SGLang, Ollama, Anthropic: 188240 + 21333 > 200000",
        status: Status::Any,
        signs: &[
            Says(&["context length", "context size", "context window", "context limit", "maximum context", "context_length", "n_ctx"]),
            Says(&[
                "exceed", "maximum", "too long", "too large", "larger", "greater", "longer", "beyond", "over", "fit",
                "reduce", "must be", "limit", "available", " > ", "requested",
            ]),
        ],
        kind: Kind::ContextOverflow,
    },
    Rule {
        name: "a prompt that is too long, by its tokens",
        source: "Anthropic, Cohere, Google, Mistral, TabbyAPI, text-generation-inference",
        status: Status::Any,
        signs: &[Says(&[
            "prompt is too long", "prompt too long", "input is too long", "input too long", "input token count",
            "prompt length", "too many tokens", "input tokens exceed", "tokens exceed", "token limit exceeded",
            "exceeds the token limit", "exceeds maximum tokens", "reduce the length", "max_new_tokens` must be",
            "max_seq_len", "max_model_len", "maximum input length", "input length exceed", "message is too long",
            "messages is too long", "maximum number of tokens", "maximum prompt",
        ])],
        kind: Kind::ContextOverflow,
    },
];

/// Rules for what names no field.
pub(super) const AFTER: &[Rule] = &[
    Rule {
        name: "a template or a schema that does not work",
        source: "llama.cpp: Jinja Exception; vLLM#17349; LM Studio: Error rendering prompt with jinja template",
        status: Status::ServerOrNone,
        signs: &[Says(&[
            "jinja", "chat template", "chat_template", "template", "system role not supported", "roles must alternate",
            "conversation roles", "schema", "grammar",
        ])],
        kind: Kind::Refused,
    },
    Rule {
        name: "a passing state by its status",
        source: "Groq: 498; RFC 8470: 425; gateways: 424; RFC 9110: 408, 409",
        status: Status::Of(&[408, 409, 423, 424, 425, 449, 498, 499]),
        signs: &[],
        kind: Kind::Overloaded,
    },
    Rule {
        name: "a passing state by its code",
        source: "Groq: capacity_exceeded; Anthropic: overloaded_error; Google: UNAVAILABLE",
        status: Status::But(&[401, 402, 403]),
        signs: &[Code(&[
            "capacity_exceeded", "overloaded_error", "overloaded", "server_overloaded", "engine_overloaded",
            "engine_overloaded_error", "service_unavailable", "unavailable", "temporarily_unavailable", "slow_down",
            "upstream_error", "timeout", "timeout_error", "server_busy", "model_overloaded",
        ])],
        kind: Kind::Overloaded,
    },
    Rule {
        name: "a passing state by its words",
        source: "SiliconFlow: Service is too busy; gateways: Failed to call upstream",
        status: Status::ClientBut(&[401, 403]),
        signs: &[Says(&[
            "try again later", "try again in", "try again soon", "please try again", "please retry", "retry later",
            "too busy", "is busy", "are busy", "server busy", "high demand", "heavy load", "high load", "overloaded",
            "at capacity", "over capacity", "capacity", "temporarily", "temporary", "currently unavailable",
            "service unavailable", "upstream", "connection refused", "connection reset", "connection error",
            "econnrefused", "econnreset", "timed out", "gateway timeout", "bad gateway", "too early", "queue is full",
            "queue full", "no available channel", "no healthy", "not ready", "no backend available",
        ])],
        kind: Kind::Overloaded,
    },
    Rule {
        name: "a model by its code",
        source: "OpenAI: model_not_found; Mistral: invalid_model; Azure: DeploymentNotFound",
        status: Status::Any,
        signs: &[Code(&[
            "model_not_found", "invalid_model", "invalid_model_error", "deploymentnotfound", "deployment_not_found",
            "model_not_exist", "modelnotfound", "unknown_model", "model_not_available", "invalid_model_name",
        ])],
        kind: Kind::ModelMissing,
    },
    Rule {
        name: "a client that may not",
        source: "RFC 9110",
        status: Status::Of(&[403]),
        signs: &[],
        kind: Kind::Forbidden,
    },
    Rule {
        name: "a request that the server calls wrong",
        source: "OpenAI's and vLLM's types, in a 500 or in a stream",
        status: Status::ServerOrNone,
        signs: &[
            Code(&[
                "invalid_request_error", "bad_request", "bad_request_error", "badrequesterror", "invalid_argument",
                "validation_error", "not_implemented", "not_found_error", "400", "404", "422",
            ]),
            Without(&["upstream", "internal", "try again", "timeout", "unexpected eof"]),
        ],
        kind: Kind::Refused,
    },
    Rule {
        name: "what the server does not know",
        source: "RFC 9110",
        status: Status::Of(&[501, 505]),
        signs: &[],
        kind: Kind::Refused,
    },
    Rule {
        name: "a server in trouble",
        source: "RFC 9110; Anthropic: 529; Cloudflare: 520 to 530",
        status: Status::ServerOrNone,
        signs: &[],
        kind: Kind::Overloaded,
    },
];

impl Rule {
    /// Returns true when all of it holds.
    pub(super) fn holds(&self, refusal: &Refusal) -> bool {
        self.status.holds(refusal.status) && self.signs.iter().all(|sign| sign.holds(refusal))
    }
}

impl Status {
    fn holds(&self, status: Option<u16>) -> bool {
        match self {
            Self::Any => true,
            Self::Of(of) => status.is_some_and(|status| of.contains(&status)),
            Self::But(but) => status.is_none_or(|status| !but.contains(&status)),
            Self::ClientBut(but) => {
                status.is_some_and(|status| (400..500).contains(&status) && !but.contains(&status))
            }
            Self::ServerOrNone => status.is_none_or(|status| status >= 500),
        }
    }
}

impl Sign {
    fn holds(&self, refusal: &Refusal) -> bool {
        let says = |words: &&[&str]| words.iter().any(|word| refusal.said.contains(word));
        match self {
            Self::Code(codes) => refusal.error.has_code(codes),
            Self::Key(keys) => refusal.error.keys.iter().any(|key| keys.contains(&key.as_str())),
            Self::Says(words) => says(words),
            Self::Without(words) => !says(words),
            Self::NoWait => refusal.wait_ms.is_none(),
            Self::Page => refusal.page.is_some(),
        }
    }
}
