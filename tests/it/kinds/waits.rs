//! Limits of a minute, waits of an hour, waits in odd places, and states that pass. F1, F2, F14, F22.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime};

use super::{
    Answered, Case, Chats, Exit, Failed, Hides, Resumes, Shows, ShowsTime, Text, Way, Within, always, case,
    check_all, check_at_once, fine, once, refused, shows_time,
};
use crate::scripted_server::{Reply, well};

/// A refusal of a limit that passes within a second or two, as vendors word it.
fn minute_limits() -> Vec<(&'static str, Reply)> {
    let json = |body: &str| Reply::json(429, body);
    vec![
        (
            "groq, tokens per minute",
            json(r#"{"error":{"message":"Rate limit reached for model `llama-3.1-8b-instant` in organization `org_01x` service tier `on_demand` on tokens per minute (TPM): Limit 6000, Used 5034, Requested 1443. Please try again in 1.2s. Need more tokens? Upgrade to Dev Tier today at https://console.groq.com/settings/billing","type":"tokens","code":"rate_limit_exceeded"}}"#)
                .header("retry-after", "1"),
        ),
        (
            "gemini, requests per minute",
            json(r#"{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits.\n* Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 10\nPlease retry in 1.4s.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1s"}]}}"#),
        ),
        (
            "gemini, requests per minute, no delay",
            json(r#"{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaMetric":"generativelanguage.googleapis.com/generate_content_free_tier_requests","quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier","quotaValue":"10"}]}]}}"#),
        ),
        (
            "openrouter, credits",
            json(r#"{"error":{"message":"Rate limit exceeded: 20 requests per minute for accounts with less than 10 credits. Retry in 1 s","code":429}}"#)
                .header("retry-after", "1"),
        ),
        (
            "openrouter, upstream",
            json(r#"{"error":{"message":"Provider returned error","code":429,"metadata":{"raw":"test-7b:free is temporarily rate-limited upstream. Please retry shortly, or add your own key to accumulate your rate limits: https://openrouter.ai/settings/integrations","provider_name":"Chutes"}}}"#),
        ),
        (
            "cerebras, quota in the code",
            json(r#"{"message":"Requests per minute limit exceeded - too many requests sent.","type":"too_many_requests_error","param":"quota","code":"request_quota_exceeded"}"#),
        ),
        (
            "azure, pricing tier",
            json(r#"{"error":{"code":"429","message":"Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-10-21 have exceeded call rate limit of your current OpenAI S0 pricing tier. Please retry after 1 second. Please go here: https://aka.ms/oai/quotaincrease if you would like to further increase the default rate limit."}}"#),
        ),
        (
            "together, sales",
            json(r#"{"error":{"message":"You have reached the rate limit specific to this model. The maximum rate limit for this model is 6.0 queries per minute. For increasing it, please upgrade your plan at https://api.together.xyz/settings/billing or contact our sales team.","type":"model_rate_limit","param":null,"code":null}}"#),
        ),
        (
            "github models",
            json(r#"{"error":{"code":"RateLimitReached","message":"Rate limit of 15 per 60s exceeded for UserByModelByMinute. Please wait 1 seconds before retrying.","details":"Rate limit of 15 per 60s exceeded for UserByModelByMinute."}}"#)
                .header("retry-after", "1"),
        ),
        (
            "anthropic, contact sales",
            json(r#"{"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed your organization's rate limit of 50 requests per minute. For details see your plan's billing page. Please reduce the prompt length or the maximum tokens requested, or try again later. You may also contact sales at https://www.anthropic.com/contact-sales to discuss your options for a rate limit increase."}}"#),
        ),
    ]
}

#[test]
fn f01_a_limit_of_a_minute_is_no_empty_account() {
    let case = |(name, reply): (&str, Reply)| {
        refused(&format!("F1 {name}"), |number| number == 2 || number == 3, reply)
            .items(12)
            .expect(fine(12))
            .expect([Text("Canberra."), Chats(14, 14), Hides(&["quota exhausted"]), Within(30)])
    };
    check_all(minute_limits().into_iter().map(case));
}

#[test]
fn f01_an_empty_account_stops_the_run_at_once() {
    let empty = |name: &str, status: u16, body: &str| {
        always(&format!("F1 empty: {name}"), Reply::json(status, body)).items(12).concurrency(3).expect([
            Exit(&[4]),
            Answered(0),
            Failed(0),
            Chats(1, 8),
            Within(10),
            Shows(&["pipe resume"]),
            Resumes,
        ])
    };
    check_all(vec![
        empty("402", 402, r#"{"error":{"message":"Payment required","code":402}}"#),
        empty(
            "deepseek",
            402,
            r#"{"error":{"message":"Insufficient Balance","type":"unknown_error","param":null,"code":"invalid_request_error"}}"#,
        ),
        empty(
            "openrouter credits",
            402,
            r#"{"error":{"message":"This request requires more credits, or fewer max_tokens. You requested up to 20 tokens, but can only afford 3.","code":402}}"#,
        ),
        empty(
            "openai code",
            429,
            r#"{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#,
        ),
        empty(
            "openai type alone",
            429,
            r#"{"error":{"message":"You exceeded your current quota.","type":"insufficient_quota"}}"#,
        ),
        empty(
            "billing_hard_limit_reached",
            400,
            r#"{"error":{"message":"Billing hard limit has been reached","type":"invalid_request_error","param":null,"code":"billing_hard_limit_reached"}}"#,
        ),
        empty(
            "billing_hard_limit_reached, 429",
            429,
            r#"{"error":{"message":"Billing hard limit has been reached","code":"billing_hard_limit_reached"}}"#,
        ),
        empty(
            "gemini, per day",
            429,
            r#"{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}]}}"#,
        ),
        empty(
            "gemini, tokens per day",
            429,
            r#"[{"error":{"code":429,"message":"You exceeded your current quota.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateContentInputTokensPerModelPerDay-FreeTier"}]}]}}]"#,
        ),
        empty(
            "moonshot",
            429,
            r#"{"error":{"message":"Your account org-x<ak-y> is suspended due to insufficient balance, please recharge your account or check your plan and billing details","type":"exceeded_current_quota_error"}}"#,
        ),
    ]);
}

/// An hour from now as headers write it.
fn in_an_hour() -> String {
    let second = jiff::Timestamp::try_from(SystemTime::now()).expect("now is a time").as_second() + 3_600;
    let time = jiff::Timestamp::from_second(second).expect("so is an hour later");
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Refusals that dictate a wait of more than ten minutes.
fn long_waits() -> Vec<(&'static str, Reply)> {
    let overloaded = r#"{"error":{"message":"The server is overloaded"}}"#;
    let limited = r#"{"error":{"message":"Rate limit reached for requests","code":"rate_limit_exceeded"}}"#;
    vec![
        (
            "requests per day",
            Reply::json(429, r#"{"error":{"message":"Rate limit reached on requests per day (RPD): Limit 1000, Used 1000, Requested 1. Please try again in 1h2m.","type":"requests","code":"rate_limit_exceeded"}}"#)
                .header("retry-after", "3720"),
        ),
        ("overloaded for 20 minutes", Reply::json(503, overloaded).header("retry-after", "1200")),
        ("a date", Reply::json(429, limited).header("retry-after", &in_an_hour())),
        ("milliseconds", Reply::json(429, limited).header("retry-after-ms", "3600000")),
        (
            "words alone",
            Reply::json(429, r#"{"error":{"message":"Rate limit reached for test-7b on tokens per day (TPD): Limit 100000, Used 99999, Requested 30. Please try again in 7h12m30.5s.","type":"tokens","code":"rate_limit_exceeded"}}"#),
        ),
        (
            "retryDelay",
            Reply::json(429, r#"{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"43200s"}]}}"#),
        ),
        (
            "a reset of two hours",
            Reply::json(429, limited)
                .header("x-ratelimit-remaining-requests", "0")
                .header("x-ratelimit-reset-requests", "2h0m0s"),
        ),
        (
            "an overload in a 200",
            Reply::json(200, r#"{"error":{"message":"Overloaded, please retry after 1800 seconds","code":503}}"#),
        ),
    ]
}

#[test]
fn f02_a_wait_beyond_within_stops_the_run_and_says_when_to_come_back() {
    let case = |(name, reply): (&str, Reply)| {
        once(&format!("F2 {name}"), reply)
            .items(6)
            .concurrency(2)
            .retries("within: 10m, backoff: 50ms..400ms")
            .expect([Exit(&[4]), Failed(0), Within(10), ShowsTime, Shows(&["pipe resume"]), Resumes])
    };
    let minute = once(
        "F2 a minute beyond 20 s",
        Reply::json(
            429,
            r#"{"error":{"message":"Rate limit reached. Please try again in 1m2.5s.","code":"rate_limit_exceeded"}}"#,
        ),
    );
    let minute = minute.items(4).retries("within: 20s, backoff: 50ms..400ms").expect([
        Exit(&[4]),
        Failed(0),
        Within(10),
        ShowsTime,
        Resumes,
    ]);
    check_all(long_waits().into_iter().map(case).chain([minute]));
}

/// More lines than such a run prints, so that its reader never waits for this test.
const MOST_LINES: usize = 10_000;

/// Waits until a line with a time of day comes; returns all that came before, and whether it did.
fn waits_aloud(case: &Case, way: Way) -> Result<(), String> {
    let (project, server) = case.stage();
    let arguments = case.arguments(way, &server.address);
    let mut command = project.pipe(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("pipe starts");
    let stderr = BufReader::new(child.stderr.take().expect("piped"));
    let (lines, comes) = mpsc::sync_channel(MOST_LINES);
    let reading = std::thread::spawn(move || {
        for line in stderr.lines().map_while(Result::ok) {
            lines.send(line).ok();
        }
    });
    let deadline = Instant::now() + Duration::from_secs(8);
    let mut told = String::new();
    let mut is_told = false;
    while let Ok(line) = comes.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        told.push_str(&line);
        told.push('\n');
        is_told = shows_time(&line);
        if is_told {
            break;
        }
    }
    let is_alive = child.try_wait().expect("it can be looked at").is_none();
    let interrupt = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(interrupt, rustix::process::Signal::INT).ok();
    let begun = Instant::now();
    let code = child.wait().expect("waited for").code();
    reading.join().expect("the reader ends with its pipe");
    told.extend(comes.try_iter().flat_map(|line| [line, "\n".to_owned()]));
    let after = begun.elapsed();
    if is_told && is_alive && code == Some(130) && after < Duration::from_secs(10) {
        return Ok(());
    }
    Err(format!(
        "{} ({way:?}): a time was {}shown, {} after 8 s, exit {code:?} {after:.1?} after the interrupt: {told}",
        case.name,
        if is_told { "" } else { "not " },
        if is_alive { "alive" } else { "over" },
    ))
}

#[test]
fn f02_a_wait_within_within_says_until_when() {
    let case = |(name, reply): (&str, Reply)| {
        once(&format!("F2 waits: {name}"), reply).items(4).retries("within: 2h, backoff: 50ms..400ms")
    };
    let cases: Vec<Case> = long_waits().into_iter().take(4).map(case).collect();
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let runs = cases.iter().flat_map(|case| [(case, Way::Whole), (case, Way::Streamed)]);
        let threads: Vec<_> = runs.map(|(case, way)| scope.spawn(move || waits_aloud(case, way))).collect();
        threads.into_iter().filter_map(|thread| thread.join().expect("no panic").err()).collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A server that refuses for so long since its first request, and then answers.
pub(super) fn refuses_for(name: &str, time: Duration, reply: Reply) -> Case {
    case(&format!("F14 {name}"), move |ask| {
        // What is asked a moment early by the server's clock was on time by the client's.
        let refuses = ask.number == 1 || ask.since_first + Duration::from_millis(150) < time;
        ask.is_chat().then(|| if refuses { reply.clone() } else { well(ask) })
    })
    .retries("attempts: 3, backoff: 50ms..400ms")
    .expect(fine(1))
    .expect([Text("Canberra.")])
}

const LIMITED: &str = r#"{"error":{"message":"Rate limit reached for requests","code":"rate_limit_exceeded"}}"#;
const SIX: Duration = Duration::from_secs(6);

/// Refusals that tell a wait of seconds, each in its own place.
fn told_waits() -> Vec<Case> {
    let two = Duration::from_secs(2);
    let told = |name: &str, time: Duration, reply: Reply| {
        refuses_for(name, time, reply).expect([Chats(2, 3), Within(time.as_secs() + 12)])
    };
    vec![
        told(
            "azure's words",
            SIX,
            Reply::json(
                429,
                r#"{"error":{"code":"429","message":"Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-10-21 have exceeded token rate limit of your current OpenAI S0 pricing tier. Please retry after 6 seconds. Please go here: https://aka.ms/oai/quotaincrease if you would like to further increase the default rate limit."}}"#,
            ),
        ),
        told(
            "x-ratelimit-reset-requests",
            SIX,
            Reply::json(429, LIMITED)
                .header("x-ratelimit-remaining-requests", "0")
                .header("x-ratelimit-reset-requests", "6s"),
        ),
        told(
            "retryDelay",
            SIX,
            Reply::json(
                429,
                r#"{"error":{"code":429,"message":"Resource has been exhausted (e.g. check quota).","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"6s"}]}}"#,
            ),
        ),
        told(
            "x-ms-retry-after-ms",
            SIX,
            Reply::json(429, r#"{"error":{"message":"Requests have exceeded the call rate limit."}}"#)
                .header("x-ms-retry-after-ms", "6000"),
        ),
        told(
            "a fraction in words",
            Duration::from_millis(5_400),
            Reply::json(
                429,
                r#"{"error":{"message":"Rate limit reached for test-7b on requests per min (RPM): Limit 3, Used 3, Requested 1. Please try again in 5.4s. Visit https://platform.openai.com/account/rate-limits to learn more.","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#,
            ),
        ),
        told(
            "please wait 6 seconds",
            SIX,
            Reply::json(
                429,
                r#"{"error":{"code":"RateLimitReached","message":"Rate limit of 10 per 60s exceeded for UserByModelByMinute. Please wait 6 seconds before retrying."}}"#,
            ),
        ),
        told(
            "the limit that is spent, tokens",
            two,
            Reply::json(429, LIMITED)
                .header("x-ratelimit-remaining-requests", "14")
                .header("x-ratelimit-reset-requests", "1h0m0s")
                .header("x-ratelimit-remaining-tokens", "0")
                .header("x-ratelimit-reset-tokens", "2s"),
        ),
        told(
            "the limit that is spent, requests",
            two,
            Reply::json(429, LIMITED)
                .header("x-ratelimit-remaining-requests", "0")
                .header("x-ratelimit-reset-requests", "2s")
                .header("x-ratelimit-remaining-tokens", "4000")
                .header("x-ratelimit-reset-tokens", "3h"),
        ),
        told(
            "retry_after in the body",
            two,
            Reply::json(
                429,
                r#"{"error":{"message":"The model is rate limited.","type":"rate_limited","retry_after":2}}"#,
            ),
        ),
        told(
            "a 503's header",
            two,
            Reply::json(503, r#"{"error":{"message":"Service unavailable"}}"#).header("retry-after", "2"),
        ),
        told(
            "a whole minute's fraction",
            two,
            Reply::json(
                429,
                r#"{"error":{"message":"Rate limit reached for model `test-7b`. Please try again in 0m1.9s.","type":"tokens","code":"rate_limit_exceeded"}}"#,
            ),
        ),
    ]
}

#[test]
fn f14_a_wait_is_found_wherever_it_stands() {
    let soon = |name: &str, reply: Reply| {
        refuses_for(name, Duration::from_millis(6), reply).expect([Chats(2, 3), Within(4)])
    };
    // How long a load lasts is not told: so the attempts that it takes are not bounded by 3.
    let loads = |name: &str, reply: Reply| refuses_for(name, SIX, reply).expect([Chats(2, 20), Within(20)]);
    let mut cases = told_waits();
    cases.extend([
        soon(
            "6ms in a header",
            Reply::json(429, LIMITED)
                .header("x-ratelimit-remaining-requests", "0")
                .header("x-ratelimit-reset-requests", "6ms"),
        ),
        soon(
            "6ms in words",
            Reply::json(
                429,
                r#"{"error":{"message":"Rate limit reached for requests. Please try again in 6ms.","type":"requests","code":"rate_limit_exceeded"}}"#,
            ),
        ),
        loads(
            "ollama loads",
            Reply::json(
                500,
                r#"{"error":{"message":"unexpected server status: llm server loading model","type":"api_error"}}"#,
            ),
        ),
        loads(
            "llama.cpp loads",
            Reply::json(503, r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#),
        ),
        loads(
            "hugging face loads",
            Reply::json(503, r#"{"error":"Model test-7b is currently loading","estimated_time":6.0}"#),
        ),
        loads(
            "loads, with a 400",
            Reply::json(400, r#"{"error":"The model is still loading. Please wait until it is loaded."}"#),
        ),
    ]);
    check_at_once(cases.len() * 2, &cases);
}

#[test]
fn f22_states_that_pass_are_asked_again() {
    let passes = |name: &str, status: u16, body: &str| {
        once(&format!("F22 {name}"), Reply::json(status, body)).items(2).expect(fine(2)).expect([
            Text("Canberra."),
            Chats(3, 4),
            Within(20),
        ])
    };
    check_all(vec![
        passes("unloaded", 400, r#"{"error":"Model is unloaded."}"#),
        passes(
            "crashed",
            400,
            r#"{"error":"The model has crashed without additional information. (Exit code: 18446744072635812000)"}"#,
        ),
        passes("flex tier", 498, r#"{"error":{"message":"Flex tier capacity exceeded","type":"capacity_exceeded"}}"#),
        passes("upstream", 424, r#"{"error":{"message":"Failed to call upstream: connection refused"}}"#),
        passes("too early", 425, r#"{"error":{"message":"Too early"}}"#),
        passes(
            "too busy",
            400,
            r#"{"error":{"message":"Service is too busy, we're currently experiencing high demand. Please try again later","code":400}}"#,
        ),
        passes("unloaded while it worked", 400, r#"{"error":"Model unloaded while still processing the request."}"#),
        passes(
            "load cancelled",
            400,
            r#"{"error":{"message":"Failed to load model \"test-7b\". Error: Operation canceled.","type":"invalid_request_error","param":"model","code":"model_load_failed"}}"#,
        ),
        passes(
            "mlx crash",
            400,
            r#"{"error":"The model has crashed without additional information. (Exit code: 6)"}"#,
        ),
        passes(
            "upstream reset",
            400,
            r#"{"error":{"message":"upstream connect error or disconnect/reset before headers. reset reason: connection failure"}}"#,
        ),
        passes(
            "at capacity",
            400,
            r#"{"error":{"message":"The model test-7b is currently at capacity. Please try again shortly.","type":"engine_overloaded_error"}}"#,
        ),
        passes("loading, 409", 409, r#"{"error":"model is loading"}"#),
        passes(
            "tgi",
            424,
            r#"{"error":"Request failed during generation: Server error: connection to the shard was lost","error_type":"generation"}"#,
        ),
    ]);
}
