//! What metrics are called: the conventions for generative AI at `gen-ai-dev/1.42.0-dev`, and our own under `pipe.`.
//! Prometheus writes `_` for `.`, and adds the unit and `_total`. Whoever changes a name here changes the dashboards and
//! alerts in `otel/` with it: the test of those scrapes a live run.

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    /// Its name.
    pub name: &'static str,
    /// Its unit, by UCUM.
    pub unit: &'static str,
    /// What it says, for people.
    pub says: &'static str,
}

const fn name(name: &'static str, unit: &'static str, says: &'static str) -> Name {
    Name { name, unit, says }
}

/// How long requests took.
pub const INFERENCE_DURATION: Name =
    name("gen_ai.client.inference.duration", "s", "How long requests took, from sent to over");
/// How long the first piece of an answer took.
pub const TIME_TO_FIRST_CHUNK: Name =
    name("gen_ai.client.inference.time_to_first_chunk", "s", "From a request sent to the first piece of its answer");
/// Tokens of prompts, by request.
pub const OPERATION_INPUT: Name =
    name("gen_ai.client.inference.operation.input_tokens", "{token}", "Tokens of prompts, cached ones included");
/// Tokens of answers, by request.
pub const OPERATION_OUTPUT: Name =
    name("gen_ai.client.inference.operation.output_tokens", "{token}", "Tokens of answers, reasoning included");
/// Tokens of prompts in all.
pub const USAGE_INPUT: Name =
    name("gen_ai.client.inference.usage.input_tokens", "{token}", "Tokens of prompts, cached ones included");
/// Tokens of answers in all.
pub const USAGE_OUTPUT: Name =
    name("gen_ai.client.inference.usage.output_tokens", "{token}", "Tokens of answers, reasoning included");
/// Tokens found in a cache.
pub const USAGE_CACHE_READ: Name =
    name("gen_ai.client.inference.usage.cache_read.input_tokens", "{token}", "Tokens of prompts found in a cache");
/// Tokens spent on reasoning.
pub const USAGE_REASONING: Name =
    name("gen_ai.client.inference.usage.reasoning.output_tokens", "{token}", "Tokens of answers spent on reasoning");
/// How long steps took.
pub const AGENT_DURATION: Name =
    name("gen_ai.invoke_agent.duration", "s", "How long a step of a case took, from its first request to its output");
/// Requests of a step.
pub const AGENT_CALLS: Name =
    name("gen_ai.invoke_agent.inference_calls", "{inference_call}", "Requests that a step of a case took");
/// How long cases took.
pub const WORKFLOW_DURATION: Name =
    name("gen_ai.invoke_workflow.duration", "s", "How long a case took, from admitted to over");

/// Cases now, by how they stand.
pub const CASES: Name = name("pipe.cases", "{case}", "Cases of the run by how they stand");
/// Cases in all.
pub const CASE_EXPECTED: Name = name("pipe.case.expected", "{case}", "Cases that the run will have");
/// Cases over.
pub const CASE_SETTLED: Name = name("pipe.case.settled", "{case}", "Cases that this process saw end");
/// Steps of cases over.
pub const TASK_SETTLED: Name = name("pipe.task.settled", "{task}", "Steps of cases that this process saw end");
/// Requests under way.
pub const CALL_IN_FLIGHT: Name = name("pipe.call.in_flight", "{call}", "Requests that a backend works on");
/// Requests in our own queue.
pub const CALL_QUEUED: Name = name("pipe.call.queued", "{call}", "Requests that wait for a slot of a backend");
/// Requests to be sent again.
pub const CALL_WAITING: Name = name("pipe.call.waiting", "{call}", "Calls that failed and will be asked again");
/// Requests sent again.
pub const CALL_RETRIES: Name = name("pipe.call.retries", "{call}", "Failed requests that are asked again, by why");
/// Slots of a backend.
pub const BACKEND_SLOTS: Name = name("pipe.backend.slots", "{call}", "Requests that a backend works on at once");
/// Breaker of a backend.
pub const BACKEND_BROKEN: Name =
    name("pipe.backend.broken", "", "1 while single calls are tried because too many failed, else 0");
/// Budget.
pub const BUDGET_USED: Name = name("pipe.budget.used", "1", "What is spent of a budget, as a share of it");
/// Money.
pub const RUN_COST: Name =
    name("pipe.run.cost_usd", "{USD}", "What the answers of the run cost so far, in US dollars");
/// State.
pub const RUN_STATE: Name = name("pipe.run.state", "", "1 for the state that the run is in, 0 for the others");
/// Latest answer.
pub const RUN_LAST_ANSWER: Name =
    name("pipe.run.last_answer.time", "s", "When the latest request was answered, or the run began, as Unix time");

/// How busy a device is.
pub const GPU_UTILIZATION: Name =
    name("hw.gpu.utilization", "1", "Share of the last second in which a device computed");
/// Memory of a device.
pub const GPU_MEMORY_USAGE: Name = name("hw.gpu.memory.usage", "By", "Memory of a device in use");
/// All of it.
pub const GPU_MEMORY_LIMIT: Name = name("hw.gpu.memory.limit", "By", "Memory of a device in all");
/// Energy.
pub const ENERGY: Name = name("hw.energy", "J", "What a device has used since this process began");
/// Power.
pub const POWER: Name = name("hw.power", "W", "What a device draws");
/// Heat.
pub const TEMPERATURE: Name = name("hw.temperature", "Cel", "How hot a device is");
/// Clocks.
pub const GPU_THROTTLED: Name = name("pipe.gpu.throttled", "", "1 while a device's clocks are held down, by why");
/// Memory by process.
pub const GPU_PROCESS_MEMORY: Name = name("pipe.gpu.process.memory", "By", "Memory of a device that a process holds");

/// Bounds of durations of requests, in seconds.
pub const CALL_SECONDS: [f64; 14] =
    [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
/// Bounds of durations of steps, in seconds.
pub const AGENT_SECONDS: [f64; 13] = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6];
/// Bounds of requests of a step.
pub const AGENT_CALL_COUNTS: [f64; 8] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];
/// Bounds of durations of cases, in seconds.
pub const WORKFLOW_SECONDS: [f64; 11] = [1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0];
/// Bounds of tokens: powers of four.
pub const TOKENS: [f64; 14] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];
