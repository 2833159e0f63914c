//! What a scrape says of runs made by hand.

use std::sync::Arc;

use expect_test::{Expect, expect};

use super::*;
use crate::base::{Millis, RunId};
use crate::event::{CaseStatus, Event, FailureKind, FinishReason, RunOutcome, TaskStatus};
use crate::report::Watch;
use crate::report::testing::Story;

fn metrics() -> Metrics {
    let model_of: ModelOf = Box::new(|_, actor| Some(format!("model-of-{actor}").into()));
    Metrics::new(&RunId::from("debate-1"), "debate", Watch::default(), model_of, None).unwrap()
}

/// Returns the samples of the families that begin so, without what all of them carry.
fn samples(metrics: &Metrics, families: &[&str]) -> String {
    let text = String::from_utf8((metrics.scrape().metrics)().unwrap()).unwrap();
    let wanted = |line: &&str| families.iter().any(|family| line.starts_with(family));
    let mut lines: Vec<String> = text
        .lines()
        .filter(wanted)
        .map(|line| line.replace("pipe_pipeline=\"debate\",", "").replace("pipe_run_id=\"debate-1\"", ""))
        .map(|line| line.replace(",}", "}").replace("{,", "{").replace("{}", ""))
        .collect();
    lines.sort();
    lines.join("\n") + "\n"
}

fn check(story: &Story, families: &[&str], expected: &Expect) {
    let mut metrics = metrics();
    metrics.take(&story.log);
    expected.assert_eq(&samples(&metrics, families));
}

#[test]
fn requests_are_told_by_model_server_and_failure() {
    let mut story = Story::begin("debate");
    story.admit(0, "m0", &serde_json::json!({}));
    let first = story.start(0, "debate", "turn/1", 1, "pro");
    story.fail_again(&first, FailureKind::TimedOut(crate::event::TimeoutPhase::Total), "too slow");
    let second = story.start(0, "debate", "turn/1", 2, "pro");
    story.answer(&second, "Tea.", FinishReason::Stop);
    check(
        &story,
        &["gen_ai_client_inference_duration_seconds_count", "gen_ai_client_inference_usage", "pipe_call"],
        &expect![[r#"
            gen_ai_client_inference_duration_seconds_count{error_type="timeout",gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="model-of-pro",server_address="127.0.0.1",server_port="8080"} 1
            gen_ai_client_inference_duration_seconds_count{gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="model-of-pro",server_address="127.0.0.1",server_port="8080"} 1
            gen_ai_client_inference_usage_input_tokens_total{error_type="timeout",gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="model-of-pro",gen_ai_token_modality="unknown",server_address="127.0.0.1",server_port="8080"} 0
            gen_ai_client_inference_usage_input_tokens_total{gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="model-of-pro",gen_ai_token_modality="text",server_address="127.0.0.1",server_port="8080"} 20
            gen_ai_client_inference_usage_output_tokens_total{error_type="timeout",gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="model-of-pro",gen_ai_token_modality="unknown",server_address="127.0.0.1",server_port="8080"} 0
            gen_ai_client_inference_usage_output_tokens_total{gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="model-of-pro",gen_ai_token_modality="text",server_address="127.0.0.1",server_port="8080"} 10
            pipe_call_in_flight{pipe_backend_name="auto"} 0
            pipe_call_queued{pipe_backend_name="auto"} 0
            pipe_call_retries_total{error_type="timeout",pipe_backend_name="auto"} 1
            pipe_call_waiting{pipe_backend_name="auto"} 0
        "#]],
    );
}

#[test]
fn what_the_cache_answers_is_no_request() {
    let mut story = Story::begin("debate");
    story.admit(0, "m0", &serde_json::json!({}));
    let call = story.start(0, "debate", "turn/1", 1, "pro");
    story.answer(&call, "Tea.", FinishReason::Stop);
    check(
        &story.cached_from("debate-1"),
        &["gen_ai_client_inference", "pipe_call_in_flight"],
        &expect![[r#"
        pipe_call_in_flight{pipe_backend_name="auto"} 0
    "#]],
    );
}

#[test]
fn durations_have_the_bounds_of_the_conventions() {
    let mut story = Story::begin("debate");
    story.admit(0, "m0", &serde_json::json!({}));
    let call = story.start(0, "debate", "turn/1", 1, "pro");
    story.answer(&call, "Tea.", FinishReason::Stop);
    let mut metrics = metrics();
    metrics.take(&story.log);
    let text = samples(&metrics, &["gen_ai_client_inference_duration_seconds_bucket"]);
    let bounds: Vec<&str> = text.lines().filter_map(|line| line.split("le=\"").nth(1)?.split('"').next()).collect();
    assert_eq!(bounds.len(), names::CALL_SECONDS.len() + 1, "{text}");
    assert!(text.contains(r#"le="0.32"} 0"#) && text.contains(r#"le="0.64"} 1"#), "450 ms: {text}");
}

#[test]
fn steps_and_cases_are_told_as_they_stand_and_as_they_end() {
    let mut story = Story::begin("debate");
    story.debate(0, Some("pro"));
    story.admit(1, "m1", &serde_json::json!({}));
    let call = story.start(1, "debate", "turn/1", 1, "pro");
    story.fail(&call, FailureKind::Refused, "no");
    story.settle(1, "debate", TaskStatus::Failed, None);
    story.settle(1, "verdict", TaskStatus::Skipped, None);
    story.over(1, CaseStatus::Failed);
    story.admit(2, "m2", &serde_json::json!({}));
    check(
        &story,
        &[
            "pipe_case",
            "pipe_task",
            "gen_ai_invoke_agent_duration_seconds_sum",
            "gen_ai_invoke_agent_inference_calls_sum",
        ],
        &expect![[r#"
            gen_ai_invoke_agent_duration_seconds_sum{error_type="_OTHER",gen_ai_agent_name="debate",gen_ai_operation_name="invoke_agent"} 1
            gen_ai_invoke_agent_duration_seconds_sum{gen_ai_agent_name="debate",gen_ai_operation_name="invoke_agent"} 2
            gen_ai_invoke_agent_duration_seconds_sum{gen_ai_agent_name="verdict",gen_ai_operation_name="invoke_agent"} 1
            gen_ai_invoke_agent_inference_calls_sum{gen_ai_agent_name="debate",gen_ai_operation_name="invoke_agent"} 3
            gen_ai_invoke_agent_inference_calls_sum{gen_ai_agent_name="verdict",gen_ai_operation_name="invoke_agent"} 1
            pipe_case_settled_total{pipe_case_status="failed"} 1
            pipe_case_settled_total{pipe_case_status="ok"} 1
            pipe_cases{pipe_case_status="failed"} 1
            pipe_cases{pipe_case_status="ok"} 1
            pipe_cases{pipe_case_status="open"} 1
            pipe_cases{pipe_case_status="unscored"} 0
            pipe_task_settled_total{pipe_step="debate",pipe_task_reused="false",pipe_task_status="failed"} 1
            pipe_task_settled_total{pipe_step="debate",pipe_task_reused="false",pipe_task_status="ok"} 1
            pipe_task_settled_total{pipe_step="verdict",pipe_task_reused="false",pipe_task_status="ok"} 1
            pipe_task_settled_total{pipe_step="verdict",pipe_task_reused="false",pipe_task_status="skipped"} 1
        "#]],
    );
}

#[test]
fn the_state_and_budgets_follow_the_run() {
    let mut story = Story::begin("debate");
    story.debate(0, Some("pro"));
    let mut metrics = metrics();
    metrics.expect(Some(3));
    metrics.allow(Allowed { tokens: Some(1_000), cost: None, time: Some(Millis::seconds(3_600)) });
    metrics.take(&story.log);
    let scrape = metrics.scrape();
    assert_eq!((scrape.state)(), "running");
    expect![[r#"
        pipe_budget_used_ratio{pipe_budget="time"} 0.001388888888888889
        pipe_budget_used_ratio{pipe_budget="tokens"} 0.09
        pipe_case_expected 3
        pipe_run_last_answer_time_seconds 1760000004
        pipe_run_state{pipe_run_state="over"} 0
        pipe_run_state{pipe_run_state="paused"} 0
        pipe_run_state{pipe_run_state="running"} 1
        pipe_run_state{pipe_run_state="stopping"} 0
    "#]]
    .assert_eq(&samples(&metrics, &["pipe_budget", "pipe_run_", "pipe_case_expected"]));
    let at = story.log.last().unwrap().at;
    metrics.take(&[crate::event::Recorded { at, event: Event::RunPaused(crate::event::RunPaused {}) }]);
    assert_eq!((scrape.state)(), "paused");
    let before = story.log.len();
    story.end(RunOutcome::Complete);
    metrics.take(&story.log[before..]);
    assert_eq!((scrape.state)(), "over");
}

#[test]
fn devices_are_told_as_they_were_last_seen_and_lost_ones_no_more() {
    use crate::event::{GpuDevice, GpuSample, GpuUser, Sampled, Throttle};
    let metrics = metrics();
    let id: Arc<str> = Arc::from("GPU-a");
    let device = GpuDevice { memory: Some(1_000), ..GpuDevice::for_tests("GPU-a") };
    let mut sample = GpuSample::empty(Arc::clone(&id), crate::base::Timestamp(0));
    sample.energy = vec![(0, 9_000), (100_000, 16_000)];
    sample.busy = vec![(0, 100), (100_000, 50)];
    (sample.power_mw, sample.memory, sample.celsius) = (Some(70_000), Some(600), Some(61));
    sample.users = Some(vec![GpuUser(7, Some(500), Some(90), None), GpuUser(8, None, None, None)]);
    sample.throttled = vec![Throttle::Heat];
    metrics.sampled(&[Sampled::Device(device), Sampled::Sample(sample.clone())]);
    let told = |metrics: &Metrics| {
        let told = samples(metrics, &["hw_", "pipe_gpu"]);
        told.replace("hw_id=\"GPU-a\",hw_model=\"NVIDIA L4\",hw_name=\"GPU 0\",hw_type=\"gpu\"", "")
    };
    expect![[r#"
        hw_energy_joules_total{} 7
        hw_gpu_memory_limit_bytes{} 1000
        hw_gpu_memory_usage_bytes{} 600
        hw_gpu_utilization_ratio{} 0.75
        hw_power_watts{} 70
        hw_temperature_celsius{} 61
        pipe_gpu_process_memory_bytes{,process_pid="7"} 500
        pipe_gpu_throttled{,pipe_gpu_reason="hardware"} 0
        pipe_gpu_throttled{,pipe_gpu_reason="heat"} 1
        pipe_gpu_throttled{,pipe_gpu_reason="power"} 0
        pipe_gpu_throttled{,pipe_gpu_reason="power_brake"} 0
        pipe_gpu_throttled{,pipe_gpu_reason="sync_boost"} 0
    "#]]
    .assert_eq(&told(&metrics));
    sample.lost = true;
    metrics.sampled(&[Sampled::Sample(sample)]);
    assert_eq!(told(&metrics), "\n");
}
