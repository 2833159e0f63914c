//! Refusals that repeat stop the run early; those of a filter do not. F13, F27, R2, R3, R8.

use super::{Answered, Chats, Exit, Failed, Hides, Resumes, Shows, Within, always, chats, check_all};
use crate::scripted_server::{Answer, Ask, Reply, TEXT, well};

/// Requests at once in the cases of F13.
const IN_FLIGHT: usize = 4;
/// The first refusal, those in flight beside it, and what may follow: as many as are in flight and five.
const MOST: usize = 1 + (IN_FLIGHT - 1) + IN_FLIGHT + 5;

#[test]
fn f13_what_refuses_everything_is_not_asked_everything() {
    let refuses = |name: &str, reply: Reply, words: &'static [&'static str]| {
        always(&format!("F13 {name}"), reply)
            .items(60)
            .concurrency(IN_FLIGHT)
            .actor("temperature: 0.7")
            .expect([Exit(&[4]), Answered(0), Failed(0), Chats(1, MOST), Within(20), Shows(words)])
            .expect([Shows(&["pipe resume"]), Hides(&["is the base url right"]), Resumes])
    };
    let json = |status: u16, body: &str| Reply::json(status, body);
    check_all(vec![
        refuses(
            "temperature",
            json(
                400,
                r#"{"error":{"message":"Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) value is supported.","type":"invalid_request_error","param":"temperature","code":"unsupported_value"}}"#,
            ),
            &["'temperature' does not support 0.7"],
        ),
        refuses(
            "anthropic's credit",
            json(
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."}}"#,
            ),
            &["credit balance is too low"],
        ),
        refuses(
            "xai's key",
            json(
                400,
                r#"{"code":"Client specified an invalid argument","error":"Incorrect API key provided: sk***45. You can obtain an API key from https://console.x.ai."}"#,
            ),
            &["Incorrect API key provided"],
        ),
        refuses(
            "mistral's model",
            json(
                400,
                r#"{"object":"error","message":"Invalid model: mistral-huge-latest","type":"invalid_model","param":null,"code":"1500"}"#,
            ),
            &["Invalid model: mistral-huge-latest"],
        ),
        refuses(
            "azure's deployment (R3)",
            json(
                404,
                r#"{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, please wait a moment and try again."}}"#,
            ),
            &["The API deployment for this resource does not exist"],
        ),
        refuses(
            "openrouter's policy (R3)",
            json(
                404,
                r#"{"error":{"message":"No endpoints found matching your data policy (Free model publication). Configure: https://openrouter.ai/settings/privacy","code":404}}"#,
            ),
            &["No endpoints found matching your data policy"],
        ),
        refuses(
            "groq, terms",
            json(
                400,
                r#"{"error":{"message":"The model `test-7b` requires terms acceptance. Please have the org admin accept the terms at https://console.groq.com/playground?model=test-7b","type":"invalid_request_error","code":"model_terms_required"}}"#,
            ),
            &["requires terms acceptance"],
        ),
        refuses(
            "openai, the organization",
            json(
                400,
                r#"{"error":{"message":"Your organization must be verified to use the model `test-7b`. Please go to: https://platform.openai.com/settings/organization/general and click on Verify Organization.","type":"invalid_request_error","param":"model","code":"unsupported_value"}}"#,
            ),
            &["organization must be verified"],
        ),
        refuses(
            "a version that is missing",
            json(
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"anthropic-version: header is required"}}"#,
            ),
            &["anthropic-version: header is required"],
        ),
        refuses(
            "a tier",
            json(422, r#"{"detail":"Model test-7b is not available on the Hobby tier"}"#),
            &["not available on the Hobby tier"],
        ),
    ]);
}

#[test]
fn f13_ids_and_numbers_do_not_make_refusals_differ() {
    let numbered = |name: &str, reply: fn(usize) -> Reply, words: &'static [&'static str]| {
        chats(&format!("F13 {name}"), move |ask| reply(ask.number)).items(60).concurrency(IN_FLIGHT).expect([
            Exit(&[4]),
            Failed(0),
            Chats(1, MOST),
            Within(20),
            Shows(words),
            Resumes,
        ])
    };
    check_all(vec![
        numbered(
            "one-api's request id",
            |n| {
                Reply::json(
                    400,
                    format!(
                        r#"{{"error":{{"message":"This token may not use group default (request id: 20261203194423578{n:03}506y281RrS{n})","type":"new_api_error"}}}}"#
                    ),
                )
            },
            &["This token may not use group default"],
        ),
        numbered(
            "hex ids, times",
            |n| {
                Reply::json(
                    400,
                    format!(
                        r#"{{"message":"tenant is disabled","trace":"{:016x}-{:08x}","at":{}}}"#,
                        n * 7_919_131,
                        n * 104_729,
                        1_790_000_000 + n
                    ),
                )
            },
            &["tenant is disabled"],
        ),
        numbered(
            "uuids in the words",
            |n| {
                Reply::json(
                    400,
                    format!(
                        r#"{{"error":{{"message":"Request {:08x}-93ab-4c1d-8e{:02x}-a0b1c2d3e4f5 refused: the project is archived"}}}}"#,
                        n * 15_485_863,
                        n
                    ),
                )
            },
            &["the project is archived"],
        ),
    ]);
}

#[test]
fn f13_what_was_answered_once_is_asked_to_the_end() {
    let refused = r#"{"error":{"message":"Unsupported value in messages[0]","type":"invalid_request_error","code":"unsupported_value"}}"#;
    check_all(vec![
        chats("F13 after an answer", move |ask| if ask.number == 1 { well(ask) } else { Reply::json(400, refused) })
            .items(16)
            .expect([Exit(&[1]), Answered(1), Failed(15), Chats(16, 16)]),
        chats("F13 two in three are refused", move |ask| {
            if ask.number % 3 == 0 { well(ask) } else { Reply::json(400, refused) }
        })
        .items(15)
        .expect([Exit(&[1]), Answered(5), Failed(10), Chats(15, 15)]),
    ]);
}

/// Refusals that are about what a prompt says.
fn flagged() -> Vec<(&'static str, Reply, &'static [&'static str])> {
    vec![
        (
            "openrouter",
            Reply::json(
                403,
                r#"{"error":{"code":403,"message":"meta-llama/x requires moderation on OpenInference. Your input was flagged for \"violence\".","metadata":{"reasons":["violence"],"flagged_input":"What is"}}}"#,
            ),
            &["flagged"],
        ),
        (
            "azure",
            Reply::json(
                400,
                r#"{"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please modify your prompt and retry.","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":{"violence":{"filtered":true,"severity":"medium"}}}}}"#,
            ),
            &["content management policy"],
        ),
        (
            "alibaba",
            Reply::json(
                400,
                r#"{"error":{"code":"data_inspection_failed","param":null,"message":"Input data may contain inappropriate content.","type":"data_inspection_failed"}}"#,
            ),
            &["inappropriate content"],
        ),
        (
            "xai",
            Reply::json(
                403,
                r#"{"code":"The caller does not have permission to execute the specified operation","error":"Content violates usage guidelines. Team: x, API key ID: y, Model: test-7b, Failed check: SAFETY_CHECK_TYPE_BIO"}"#,
            ),
            &["violates usage guidelines"],
        ),
        (
            "openai",
            Reply::json(
                400,
                r#"{"error":{"message":"Invalid prompt: your prompt was flagged as potentially violating our usage policy. Please try again with a different prompt.","type":"invalid_request_error","param":null,"code":"invalid_prompt"}}"#,
            ),
            &["flagged"],
        ),
        (
            "metadata alone",
            Reply::json(
                403,
                r#"{"error":{"code":403,"message":"Forbidden by provider","metadata":{"reasons":["harassment"],"flagged_input":"What is the capital"}}}"#,
            ),
            &["Forbidden by provider"],
        ),
        (
            "the policy in words (R8)",
            Reply::json(
                400,
                r#"{"error":{"message":"Your prompt contains content that violates our policy","type":"invalid_request_error"}}"#,
            ),
            &["violates our policy"],
        ),
    ]
}

#[test]
fn f27_a_flagged_prompt_costs_its_own_call_alone() {
    let mut cases = vec![];
    for (name, reply, words) in flagged() {
        cases.push(
            always(&format!("F27 all: {name}"), reply.clone())
                .items(12)
                .concurrency(2)
                .expect([Exit(&[1]), Failed(12), Chats(12, 24), Shows(words)])
                .expect([Hides(&["check what the api key", "context overflow", "context length"])]),
        );
        let some = move |ask: &Ask| if (4..9).contains(&ask.number) { reply.clone() } else { well(ask) };
        cases.push(
            chats(&format!("F27 five of twelve: {name}"), some)
                .items(12)
                .retries("attempts: 1, within: 1m, backoff: 50ms..400ms")
                .expect([Exit(&[1]), Answered(7), Failed(5), Chats(12, 12)]),
        );
    }
    check_all(cases);
}

#[test]
fn f27_a_403_about_the_key_stops_the_run() {
    let key = |name: &str, body: &str, words: &'static [&'static str]| {
        always(&format!("F27 key: {name}"), Reply::json(403, body)).items(12).concurrency(2).expect([
            Exit(&[4]),
            Failed(0),
            Chats(1, 8),
            Shows(words),
            Resumes,
        ])
    };
    check_all(vec![
        key(
            "permissions",
            r#"{"error":{"message":"You have insufficient permissions for this operation. Missing scopes: model.request.","type":"invalid_request_error","code":"missing_scope"}}"#,
            &["Missing scopes"],
        ),
        key(
            "project",
            r#"{"error":{"message":"Project `proj_x` does not have access to model `test-7b`","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#,
            &["does not have access to model"],
        ),
        key(
            "key",
            r#"{"error":{"message":"Your API key does not have permission to use this model","code":403}}"#,
            &["does not have permission"],
        ),
    ]);
}

#[test]
fn r02_a_page_of_a_firewall_is_not_about_the_key() {
    let page = |name: &str, reply: Reply| {
        always(&format!("R2 {name}"), reply)
            .items(6)
            .expect([Exit(&[4]), Chats(1, 10), Hides(&["api key may do", "check the api key"])])
            .expect([Shows(&["in front of", "firewall", "proxy"])])
    };
    check_all(vec![
        page("cloudflare", Reply::page(403, "Just a moment...").header("cf-mitigated", "challenge")),
        page(
            "cloudflare, blocked",
            Reply::page(403, "Attention Required! | Cloudflare").header("server", "cloudflare"),
        ),
        page("a company's proxy", Reply::page(403, "Access Denied - Zscaler")),
        page("an application firewall", Reply::page(403, "Request Rejected")),
    ]);
}

#[test]
fn r03_a_404_that_says_what_is_wrong_is_believed() {
    let told = |name: &str, body: &str, words: &'static [&'static str]| {
        always(&format!("R3 {name}"), Reply::json(404, body)).expect([
            Exit(&[1, 4]),
            Chats(1, 2),
            Shows(words),
            Hides(&["is the base url right"]),
        ])
    };
    check_all(vec![
        told(
            "openrouter",
            r#"{"error":{"message":"No endpoints found matching your data policy (Free model publication). Configure: https://openrouter.ai/settings/privacy","code":404}}"#,
            &["matching your data policy"],
        ),
        told(
            "no route",
            r#"{"error":{"message":"No allowed providers are available for the selected model.","code":404}}"#,
            &["No allowed providers"],
        ),
        told(
            "an account",
            r#"{"error":{"code":"ResourceNotFound","message":"The workspace lab-eu was deleted"}}"#,
            &["workspace lab-eu was deleted"],
        ),
    ]);
}

#[test]
fn r08_policy_is_no_overflow_and_an_overflow_in_numbers_is_one() {
    let overflow = |name: &str, status: u16, body: &str| {
        always(&format!("R8 {name}"), Reply::json(status, body))
            .expect([Exit(&[1, 4]), Answered(0), Chats(1, 1), Shows(&["context"])])
            .is("an overflow is named a filter", |ended| !ended.shows("filter"))
    };
    check_all(vec![
        overflow(
            "anthropic",
            400,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000, decrease input length or `max_tokens` and try again"}}"#,
        ),
        overflow(
            "mistral",
            400,
            r#"{"object":"error","message":"Prompt contains 40210 tokens and 0 draft tokens, too large for model with 32768 maximum context length","type":"invalid_request_prompt","code":"3051"}"#,
        ),
        overflow(
            "groq",
            400,
            r#"{"error":{"message":"Please reduce the length of the messages or completion.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#,
        ),
    ]);
    // What a model says is never read as what a server says.
    let quotes = "This model's maximum context length is 10 tokens, and content_filter.";
    check_all(vec![
        chats("R8 an answer about overflow", move |ask| Answer::text(quotes).to(ask)).expect([
            Exit(&[0]),
            super::Text(quotes),
            Chats(1, 1),
        ]),
        chats("R8 an answer", |ask| Answer::text(TEXT).to(ask)).expect([Exit(&[0]), super::Text(TEXT)]),
    ]);
}
