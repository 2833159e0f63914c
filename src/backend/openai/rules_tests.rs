//! A row for each rule of the table, and the refusals of servers as they were reported.

use http::{HeaderMap, HeaderName, StatusCode};

use super::refusal::{Asked, Refusal};
use super::rules_after::AFTER;
use super::rules_before::BEFORE;
use super::{error_object::ErrorObject, request, wire};
use crate::backend::contract;
use crate::backend::discover::ServerKind;
use crate::backend::http::Scrub;
use crate::backend::port::{ChatRequest, Format, Reasoning};
use crate::event::{Failure, Feature, Features};

/// The rule's name, the status (0: an error in a 200), the body, and what it comes to.
const ROWS: &[(&str, u16, &str, &str)] = &[
    ("a page refuses the client", 403, "<html><title>Just a moment...</title>", "forbidden"),
    ("a filter by its code", 400, r#"{"error":{"message":"x","code":"content_filter"}}"#, "content filtered"),
    (
        "a filter by its results",
        400,
        r#"{"error":{"message":"x","innererror":{"content_filter_result":{}}}}"#,
        "content filtered",
    ),
    (
        "a filter by its words",
        403,
        r#"{"error":{"message":"Your input was flagged for \"violence\"."}}"#,
        "content filtered",
    ),
    (
        "a filter by its check",
        403,
        r#"{"code":"x","error":"Content violates usage guidelines. API key ID: y, Failed check: SAFETY_CHECK_TYPE_BIO"}"#,
        "content filtered",
    ),
    ("payment required", 402, r#"{"error":{"message":"This request requires more credits"}}"#, "quota exhausted"),
    ("a key by the status", 401, "", "unauthorized"),
    ("a key by its code", 400, r#"{"error":{"message":"x","code":"invalid_api_key"}}"#, "unauthorized"),
    (
        "a key by its words",
        400,
        r#"{"code":"Client specified an invalid argument","error":"Incorrect API key provided: sk***45."}"#,
        "unauthorized",
    ),
    (
        "too little memory for the model",
        500,
        r#"{"error":{"message":"model requires more system memory (7.5 GiB) than is available (6.0 GiB)","type":"api_error"}}"#,
        "refused",
    ),
    (
        "a model that is being loaded",
        500,
        r#"{"error":{"message":"unexpected server status: llm server loading model","type":"api_error"}}"#,
        "loading",
    ),
    (
        "a spent account by its code",
        429,
        r#"{"error":{"message":"x","code":"insufficient_quota"}}"#,
        "quota exhausted",
    ),
    (
        "a spent account by its words",
        400,
        r#"{"error":{"message":"Your credit balance is too low to access the Anthropic API.","type":"invalid_request_error"}}"#,
        "quota exhausted",
    ),
    (
        "a limit per day without a wait",
        429,
        r#"{"error":{"message":"Quota exceeded","details":[{"violations":[{"quotaId":"GenerateRequestsPerDayPerProject"}]}]}}"#,
        "quota exhausted",
    ),
    (
        "one request beyond a limit of tokens",
        413,
        r#"{"error":{"message":"Request too large on tokens per minute (TPM): Limit 6000, Requested 8000","code":"rate_limit_exceeded"}}"#,
        "context overflow",
    ),
    ("too many requests by the status", 429, "slow down", "throttled"),
    ("too many requests by the code", 0, r#"{"error":{"message":"x","status":"RESOURCE_EXHAUSTED"}}"#, "throttled"),
    (
        "too many requests by the words",
        0,
        r#"{"choices":null,"base_resp":{"status_code":1002,"status_msg":"rate limit exceeded(RPM)"}}"#,
        "throttled",
    ),
    (
        "the pool of contexts is full",
        500,
        r#"{"error":{"code":500,"message":"Context size has been exceeded.","type":"server_error"}}"#,
        "overloaded",
    ),
    (
        "a prompt that is too long, by its code",
        400,
        r#"{"error":{"message":"x","code":"context_length_exceeded"}}"#,
        "context overflow",
    ),
    (
        "a prompt that is too long, by its context",
        400,
        r#"{"error":{"message":"input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000"}}"#,
        "context overflow",
    ),
    (
        "a prompt that is too long, by its tokens",
        400,
        r#"{"error":{"message":"prompt is too long: 210000 tokens > 200000 maximum"}}"#,
        "context overflow",
    ),
    (
        "a template or a schema that does not work",
        500,
        r#"{"error":{"code":500,"message":"Jinja Exception: System role not supported","type":"server_error"}}"#,
        "refused",
    ),
    ("a passing state by its status", 425, r#"{"error":{"message":"Too early"}}"#, "overloaded"),
    (
        "a passing state by its code",
        400,
        r#"{"error":{"message":"Flex tier","type":"capacity_exceeded"}}"#,
        "overloaded",
    ),
    (
        "a passing state by its words",
        400,
        r#"{"error":{"message":"Service is too busy, we're currently experiencing high demand. Please try again later","code":400}}"#,
        "overloaded",
    ),
    (
        "a model by its code",
        404,
        r#"{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}"#,
        "model missing",
    ),
    ("a client that may not", 403, r#"{"error":{"message":"your key may not use this"}}"#, "forbidden"),
    (
        "a request that the server calls wrong",
        500,
        r#"{"error":{"message":"min_p must be in [0, 1]","type":"BadRequestError"}}"#,
        "refused",
    ),
    ("what the server does not know", 501, "", "refused"),
    ("a server in trouble", 502, "<html><title>502 Bad Gateway</title>", "overloaded"),
];

/// A request that has every field that no file asks for.
fn every_field() -> ChatRequest {
    ChatRequest {
        stream: true,
        max_tokens: Some(40),
        reasoning: Some(Reasoning::Low),
        format: Format::Choice(vec!["yes".into(), "no".into()]),
        stop: vec!["END".into()],
        ..contract::request("llama3.2")
    }
}

fn judge(request: &ChatRequest, extra_fields: &str, status: u16, headers: &HeaderMap, body: &str) -> Failure {
    let mut sent: serde_json::Value =
        serde_json::from_slice(&request::encode(request, "h", ServerKind::default())).expect("JSON");
    let more: serde_json::Value = serde_json::from_str(extra_fields).expect("JSON");
    let fields = sent.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    let sent = sent.to_string();
    let scrub = Scrub::default();
    let asked = Asked { request, body: sent.as_bytes(), scrub: &scrub };
    let refusal = if status == 0 {
        match wire::read(body).expect("JSON") {
            wire::Document::Error(error, usage) => Refusal::of_success(*error, usage),
            wire::Document::Chunk(_) => panic!("{body} is no error"),
        }
    } else {
        Refusal::of_body(StatusCode::from_u16(status).expect("a status"), headers, body.as_bytes(), &scrub)
    };
    refusal.failure(&asked)
}

fn kind(request: &ChatRequest, status: u16, body: &str) -> String {
    let failure = judge(request, "{}", status, &HeaderMap::new(), body);
    match failure.kind {
        crate::event::FailureKind::Unsupported(feature) => format!("lacks {}", feature.word()),
        kind => kind.word().to_owned(),
    }
}

#[test]
fn each_rule_of_the_table_has_a_row_that_it_decides() {
    for rule in BEFORE.iter().chain(AFTER) {
        assert!(ROWS.iter().any(|(name, ..)| *name == rule.name), "{} has no row", rule.name);
        assert!(!rule.source.is_empty(), "{} has no source", rule.name);
    }
    for (name, status, body, expected) in ROWS {
        assert_eq!(kind(&contract::request("llama3.2"), *status, body), *expected, "{name}");
        let code = StatusCode::from_u16((*status).max(200)).expect("a status");
        let refusal = if *status == 0 {
            let error = ErrorObject::find(&serde_json::from_str(body).expect("JSON")).expect("an error");
            Refusal::of_success(error, crate::event::Usage::default())
        } else {
            Refusal::of_body(code, &HeaderMap::new(), body.as_bytes(), &Scrub::default())
        };
        let first = BEFORE.iter().chain(AFTER).find(|rule| rule.holds(&refusal)).map(|rule| rule.name);
        assert_eq!(first, Some(*name), "{body}");
    }
}

/// Refusals as they were reported: the status (0: an error in a 200), the body, and what it comes to.
const REPORTED: &[(u16, &str, &str)] = &[
    // F1: a limit per minute that advertises a plan.
    (
        429,
        r#"{"error":{"message":"Rate limit reached for model `llama-3.1-8b-instant` on tokens per minute (TPM): Limit 6000, Used 5034, Requested 1443. Please try again in 1.2s. Need more tokens? Upgrade to Dev Tier today at https://console.groq.com/settings/billing","type":"tokens","code":"rate_limit_exceeded"}}"#,
        "throttled",
    ),
    (
        429,
        r#"{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.\nPlease retry in 1.4s.","status":"RESOURCE_EXHAUSTED","details":[{"violations":[{"quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]},{"retryDelay":"1s"}]}}"#,
        "throttled",
    ),
    (
        429,
        r#"{"error":{"message":"Rate limit exceeded: 20 requests per minute for accounts with less than 10 credits. Retry in 1 s","code":429}}"#,
        "throttled",
    ),
    (
        429,
        r#"{"error":{"code":429,"message":"Resource has been exhausted (e.g. check quota).","status":"RESOURCE_EXHAUSTED"}}"#,
        "throttled",
    ),
    (
        429,
        r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#,
        "quota exhausted",
    ),
    (429, r#"{"error":{"message":"hard limit","code":"billing_hard_limit_reached"}}"#, "quota exhausted"),
    (
        429,
        r#"{"error":{"message":"Rate limit exceeded: free-models-per-day. Add 10 credits","code":429}}"#,
        "quota exhausted",
    ),
    (0, r#"{"code":1113,"msg":"Account in arrears","success":false}"#, "quota exhausted"),
    // F13
    (
        400,
        r#"{"error":{"message":"Unsupported value: 'temperature' does not support 0.7 with this model.","param":"temperature","code":"unsupported_value"}}"#,
        "refused",
    ),
    (
        400,
        r#"[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}}]"#,
        "unauthorized",
    ),
    (
        400,
        r#"{"object":"error","message":"Invalid model: mistral-huge-latest","type":"invalid_model","code":"1500"}"#,
        "model missing",
    ),
    (
        404,
        r#"{"error":{"message":"No endpoints found matching your data policy (Free model publication). Configure: https://openrouter.ai/settings/privacy","code":404}}"#,
        "refused",
    ),
    (
        404,
        r#"{"error":{"message":"model \"llama3.2\" not found, try pulling it first","type":"api_error"}}"#,
        "model missing",
    ),
    (404, r#"{"error":{"message":"no router for requested model","code":"not_found"}}"#, "model missing"),
    (
        404,
        r#"{"error":{"message":"The model `gpt-9` does not exist or you do not have access to it.","code":"model_not_found"}}"#,
        "model missing",
    ),
    // F22
    (400, r#"{"error":"Model is unloaded."}"#, "loading"),
    (
        400,
        r#"{"error":"The model has crashed without additional information. (Exit code: 18446744072635812000)"}"#,
        "loading",
    ),
    (404, r#"{"error":{"message":"No models loaded. Please load a model first."}}"#, "loading"),
    (498, r#"{"error":{"message":"Flex tier capacity exceeded","type":"capacity_exceeded"}}"#, "overloaded"),
    (424, r#"{"error":{"message":"Failed to call upstream: connection refused"}}"#, "overloaded"),
    (503, r#"{"error":"server busy, please try again.  maximum pending requests exceeded"}"#, "overloaded"),
    // F27
    (
        403,
        r#"{"error":{"code":403,"message":"meta-llama/x requires moderation on OpenInference. Your input was flagged for \"violence\".","metadata":{"reasons":["violence"]}}}"#,
        "content filtered",
    ),
    (
        400,
        r#"{"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy.","code":"content_filter","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
        "content filtered",
    ),
    (
        400,
        r#"{"error":{"code":"data_inspection_failed","message":"Input data may contain inappropriate content."}}"#,
        "content filtered",
    ),
    (403, r#"{"error":{"message":"Your account was flagged; write to us"}}"#, "forbidden"),
    (403, r#"{"message":"Missing Authentication Token"}"#, "unauthorized"),
    // R8
    (400, r#"{"error":{"message":"Your prompt contains content that violates our policy"}}"#, "content filtered"),
    (
        400,
        r#"{"error":{"code":400,"message":"the request exceeds the available context size, try increasing it","type":"exceed_context_size_error","n_prompt_tokens":9000,"n_ctx":2048}}"#,
        "context overflow",
    ),
    (500, r#"{"error":{"message":"context size exceeded"}}"#, "context overflow"),
    // R6, and errors of servers further on
    (
        0,
        r#"{"choices":[{"error":{"code":502,"message":"Provider returned error"},"finish_reason":"error","delta":{"content":""}}]}"#,
        "overloaded",
    ),
    (
        0,
        r#"{"error":{"message":"Provider returned error","code":429,"metadata":{"raw":"{\"error\":{\"message\":\"slow down\"}}"}}}"#,
        "throttled",
    ),
    (
        0,
        r#"[{"error":{"code":429,"message":"You exceeded your current quota","details":[{"retryDelay":"1s"}]}}]"#,
        "throttled",
    ),
    (0, r#"{"error":{"message":"the engine died","type":"internal_error"}}"#, "overloaded"),
    (0, r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#, "overloaded"),
    (0, r#"{"error":{"message":"model 'x' not found","type":"not_found_error"}}"#, "model missing"),
    (529, "", "overloaded"),
    (422, r#"{"detail":[{"loc":["body","messages"],"msg":"field required"}]}"#, "refused"),
];

#[test]
fn refusals_are_read_as_they_were_reported() {
    let plain = contract::request("llama3.2");
    for (status, body, expected) in REPORTED {
        assert_eq!(kind(&plain, *status, body), *expected, "{status} {body}");
    }
}

#[test]
fn a_refused_field_that_no_file_asks_for_is_a_capability() {
    let request = every_field();
    for (status, body, expected) in [
        (
            422,
            r#"{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","seed"],"msg":"Extra inputs are not permitted","input":1}]},"type":"invalid_request_error"}"#,
            "lacks seed",
        ),
        (
            400,
            r#"{"error":{"message":"Additional properties are not allowed ('stream_options' was unexpected)","type":"invalid_request_error"}}"#,
            "lacks stream_options",
        ),
        (
            400,
            r#"{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.","param":"max_tokens","code":"unsupported_parameter"}}"#,
            "lacks max_tokens",
        ),
        (
            400,
            r#"{"error":{"message":"Unsupported parameter: unknown field `seed` for this model","param":"seed"}}"#,
            "lacks seed",
        ),
        (400, r#"{"error":{"message":"seed is not supported"}}"#, "lacks seed"),
        (500, r#"{"error":{"message":"unrecognized argument supplied: seed"}}"#, "lacks seed"),
        (400, r#"{"error":{"message":"json: unknown field \"stream_options\""}}"#, "lacks stream_options"),
        (
            400,
            r#"{"error":{"message":"x","details":[{"fieldViolations":[{"field":"seed","description":"no"}]}]}}"#,
            "lacks seed",
        ),
        // The length is the file's.
        (
            400,
            r#"{"error":{"message":"max_tokens is too large: 100000. This model supports at most 4096 completion tokens","param":"max_tokens"}}"#,
            "refused",
        ),
        (400, r#"{"error":{"message":"`max_tokens` must be less than 4096"}}"#, "refused"),
        // What the file asks for is refused, never left out.
        (
            400,
            r#"{"error":{"message":"Unsupported parameter: 'temperature' is not supported with reasoning models.","param":"temperature"}}"#,
            "refused",
        ),
        (400, r#"{"error":{"message":"Unrecognized request argument supplied: stop"}}"#, "refused"),
        // The format, in the words of many vendors.
        (
            400,
            r#"[{"error":{"code":400,"message":"Invalid JSON payload received. Unknown name \"additionalProperties\" at 'generation_config.response_schema': Cannot find field.","status":"INVALID_ARGUMENT"}}]"#,
            "format unsupported",
        ),
        (
            400,
            r#"{"error":{"code":"invalid_request_error","message":"output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false","type":"invalid_request_error"}}"#,
            "format unsupported",
        ),
        (
            500,
            r#"{"error":{"code":500,"message":"JSON schema conversion failed:\nUnrecognized schema: {}","type":"server_error"}}"#,
            "format unsupported",
        ),
        (400, r#"{"error":{"message":"This response_format type is unavailable now"}}"#, "format unsupported"),
        (
            400,
            r#"{"error":{"message":"Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model","param":"response_format"}}"#,
            "format unsupported",
        ),
        (
            422,
            r#"{"detail":[{"loc":["body","response_format","type"],"msg":"Input should be 'text' or 'json_object'"}]}"#,
            "lacks response_format json_schema",
        ),
        // The way of sending.
        (
            400,
            r#"{"error":{"message":"Streaming is not supported for this model","param":"stream"}}"#,
            "lacks streaming",
        ),
        (
            400,
            r#"{"error":{"message":"Your organization must be verified to stream this model.","param":"stream","code":"unsupported_value"}}"#,
            "lacks streaming",
        ),
    ] {
        assert_eq!(kind(&request, status, body), expected, "{status} {body}");
    }
    let whole = ChatRequest { stream: false, ..every_field() };
    let body = r#"{"error":{"message":"This model only support stream mode, please enable the stream parameter to access the model. "}}"#;
    assert_eq!(kind(&whole, 400, body), "lacks answers in one piece");
    // Known already: then it is refused.
    let known = ChatRequest { lacks: Features::NONE.with(Feature::Whole), ..whole };
    assert_eq!(kind(&known, 400, body), "refused");
    // Never sent: then it is none of ours.
    let text = ChatRequest { format: Format::Text, ..every_field() };
    assert_eq!(kind(&text, 400, r#"{"error":{"message":"bad response_format"}}"#), "refused");
    // Written in the file: then it is the file's.
    let extra = serde_json::Map::from_iter([("seed".to_owned(), 1.into())]);
    let own = ChatRequest { extra: extra.into(), ..every_field() };
    assert_eq!(kind(&own, 400, r#"{"error":{"message":"seed is not supported"}}"#), "refused");
}

#[test]
fn a_refusal_to_think_is_about_the_field_that_asked_for_it() {
    let request = ChatRequest { reasoning: None, ..every_field() };
    let lacks = |fields: &str, body: &str| judge(&request, fields, 400, &HeaderMap::new(), body).kind;
    let unsupported = crate::event::FailureKind::Unsupported;
    let ollama = r#"{"error":{"message":"\"smollm2:135m\" does not support thinking"}}"#;
    assert_eq!(lacks(r#"{"reasoning_effort":"low"}"#, ollama), unsupported(Feature::ReasoningEffort));
    assert_eq!(lacks(r#"{"chat_template_kwargs":{}}"#, ollama), unsupported(Feature::TemplateKwargs));
    assert_eq!(lacks(r#"{"thinking":{}}"#, ollama), unsupported(Feature::ThinkingObject));
    let named = r#"{"error":{"message":"Unknown parameter: 'reasoning'.","param":"reasoning"}}"#;
    assert_eq!(lacks(r#"{"reasoning":{}}"#, named), unsupported(Feature::ReasoningObject));
    let budget = r#"{"error":{"message":"extra fields not permitted: thinking_budget"}}"#;
    assert_eq!(lacks(r#"{"thinking_budget":9}"#, budget), unsupported(Feature::ThinkingBudget));
}

#[test]
fn what_is_shown_is_the_servers_reason_and_no_remedy_that_misleads() {
    let plain = contract::request("llama3.2");
    let check = |status: u16, header: Option<(&'static str, &str)>, body: &str, expected: &str| {
        let header = header.map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a value")));
        let failure = judge(&plain, "{}", status, &header.into_iter().collect(), body);
        assert_eq!(failure.detail, expected);
    };
    check(401, None, "", "401: no reason given; check the api key");
    check(404, None, r#"{"detail":"Not Found"}"#, "404: Not Found; is the base URL right?");
    check(404, None, "404 page not found", "404: 404 page not found; is the base URL right?");
    check(
        404,
        None,
        r#"{"error":{"code":"404","message":"Resource not found"}}"#,
        "404: Resource not found; is the base URL right?",
    );
    let policy = r#"{"error":{"message":"No endpoints found matching your data policy.","code":404}}"#;
    check(404, None, policy, "404: No endpoints found matching your data policy.");
    let page = "<!DOCTYPE html><title>Just a moment...</title>";
    check(
        403,
        Some(("cf-mitigated", "challenge")),
        page,
        "403: something in front of the server refuses this client (its page says \"Just a moment...\")",
    );
    check(
        504,
        None,
        "<h1>504 Gateway Time-out</h1>",
        "504: a page instead of an answer (its page says \"504 Gateway Time-out\"); a proxy may not wait for whole answers: with `limits.timeouts.first_token` set they stream",
    );
    check(
        422,
        None,
        r#"{"detail":[{"loc":["body","messages"],"msg":"field required"}]}"#,
        "422: body.messages: field required",
    );
    check(422, None, r#"{"detail":[{"loc":["body","seed"]}]}"#, r#"422: {"detail":[{"loc":["body","seed"]}]}"#);
    check(
        400,
        None,
        r#"{"error":{"message":"Provider returned error","code":400,"metadata":{"raw":"{\"error\":{\"message\":\"top_k is wrong\"}}"}}}"#,
        "400: Provider returned error: top_k is wrong",
    );
    check(400, None, r#"{"error":{"foo":"bar"}}"#, r#"400: {"foo":"bar"}"#);
    check(400, None, "data: {\"error\":{\"message\":\"in a stream\"}}\n\n", "400: in a stream");
}

#[test]
fn only_what_is_waited_for_has_a_wait() {
    let plain = contract::request("llama3.2");
    let wait = |status, body: &str| judge(&plain, "{}", status, &HeaderMap::new(), body).retry_after_ms;
    assert_eq!(wait(429, r#"{"error":{"message":"Please retry after 6 seconds."}}"#), Some(6_000));
    assert_eq!(wait(503, r#"{"error":{"message":"loading model, try again in 2s"}}"#), Some(2_000));
    assert_eq!(wait(400, r#"{"error":{"message":"no such thing, try again in 2s or never"}}"#), Some(2_000));
    assert_eq!(wait(401, r#"{"error":{"message":"try again in 2s"}}"#), None);
}
