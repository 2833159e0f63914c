//! Every name that spans, metrics and logs use, in one place.
//!
//! `gen_ai.*` are those of the conventions for generative AI at the revision below; `pipe.*` are our own. The
//! conventions have no tagged release yet, so a name is changed here and nowhere else.

/// Where the meaning of `gen_ai.*` is written: stands on every scope.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/gen-ai-dev/1.42.0-dev";
/// The commit of `open-telemetry/semantic-conventions-genai` that the names below were read at.
pub const REVISION: &str = "066d4a7f";
/// The instrumentation scope.
pub const SCOPE: &str = "pipe";

/// Writes constants with their documentation: name, text, meaning.
macro_rules! names {
    ($( $name:ident = $text:literal, $doc:literal; )+) => {
        $( #[doc = $doc] pub const $name: &str = $text; )+
    };
}

names! {
    CHAT = "chat", "One request to a model.";
    INVOKE_AGENT = "invoke_agent", "A step that asks models.";
    INVOKE_WORKFLOW = "invoke_workflow", "A run, or a case of it.";
    EXECUTE_TOOL = "execute_tool", "A step without a model.";
    EVALUATION_RESULT = "gen_ai.evaluation.result", "The event of a judgement.";
}

names! {
    OPERATION = "gen_ai.operation.name", "What sort of span.";
    PROVIDER = "gen_ai.provider.name", "In whose dialect was asked.";
    REQUEST_MODEL = "gen_ai.request.model", "The model as sent.";
    RESPONSE_MODEL = "gen_ai.response.model", "The model that says it answered.";
    RESPONSE_ID = "gen_ai.response.id", "What the server calls the answer.";
    FINISH_REASONS = "gen_ai.response.finish_reasons", "Why each choice ended.";
    FIRST_CHUNK = "gen_ai.response.time_to_first_chunk", "Seconds from the request to the first piece of a stream.";
    INPUT_TOKENS = "gen_ai.usage.input_tokens", "Tokens of the prompt, cached ones included.";
    OUTPUT_TOKENS = "gen_ai.usage.output_tokens", "Tokens of the answer, reasoning included.";
    CACHED_TOKENS = "gen_ai.usage.cache_read.input_tokens", "Of the prompt, those found in a cache.";
    REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens", "Of the answer, those spent on reasoning.";
    MAX_TOKENS = "gen_ai.request.max_tokens", "Most tokens of the answer.";
    TEMPERATURE = "gen_ai.request.temperature", "As sent.";
    TOP_P = "gen_ai.request.top_p", "As sent.";
    STOP_SEQUENCES = "gen_ai.request.stop_sequences", "As sent.";
    SEED = "gen_ai.request.seed", "As sent.";
    STREAM = "gen_ai.request.stream", "True when a stream was asked for.";
    OUTPUT_TYPE = "gen_ai.output.type", "`json` when a form was asked for.";
    PROMPT_NAME = "gen_ai.prompt.name", "Pipeline and step of the template.";
    PROMPT_VERSION = "gen_ai.prompt.version", "The hash of the plan.";
    INPUT_MESSAGES = "gen_ai.input.messages", "What was sent, as JSON.";
    OUTPUT_MESSAGES = "gen_ai.output.messages", "What was answered, as JSON.";
    AGENT_NAME = "gen_ai.agent.name", "The step.";
    WORKFLOW_NAME = "gen_ai.workflow.name", "The pipeline.";
    TOOL_NAME = "gen_ai.tool.name", "The step.";
    TOOL_TYPE = "gen_ai.tool.type", "Always `function`.";
    EVALUATION_NAME = "gen_ai.evaluation.name", "The judge's step.";
    EVALUATION_SCORE = "gen_ai.evaluation.score.value", "A number on the judge's scale.";
    EVALUATION_LABEL = "gen_ai.evaluation.score.label", "What the judge chose.";
    EVALUATION_EXPLANATION = "gen_ai.evaluation.explanation", "The judge's words.";
    SERVER_ADDRESS = "server.address", "The host of the backend.";
    SERVER_PORT = "server.port", "Its port.";
    ERROR_TYPE = "error.type", "Why something failed, of a short list.";
    RESEND_COUNT = "http.request.resend_count", "Requests for the same call before this one.";
    OPENINFERENCE_KIND = "openinference.span.kind", "What Phoenix takes a span for.";
}

names! {
    RUN_ID = "pipe.run.id", "The run.";
    SEGMENT = "pipe.segment", "Which process of the run, from 0.";
    STEP = "pipe.step", "The step.";
    STEP_KIND = "pipe.step.kind", "What the step does.";
    EACH = "pipe.each", "The element, in a `for_each` step.";
    CALL = "pipe.call", "The question inside the task: `say`, `turn/3`, `vote/1`.";
    ACTOR = "pipe.actor", "Who speaks.";
    ATTEMPT = "pipe.attempt", "Which request for the call, from 1.";
    CASE = "pipe.case", "The position of the case in the order of admission, from 0.";
    CASE_STATUS = "pipe.case.status", "`ok`, `unscored` or `failed`.";
    ITEM_ID = "pipe.item.id", "The item.";
    REPEAT = "pipe.repeat", "Which repeat of it, from 1.";
    MATRIX = "pipe.matrix.", "Before the name of each value of the cell.";
    BACKEND_KIND = "pipe.backend.kind", "The server that was found: `vllm`, `ollama`, `llama.cpp`, `embedded`, `sim`.";
    BACKEND_NAME = "pipe.backend.name", "Its key in the pipeline.";
    QUEUE_WAIT = "pipe.queue.wait_s", "Seconds in our own queue before the request.";
    REQUEST_DIGESTS = "pipe.request.digests", "Under which its messages stand in the journal, in order.";
    RESPONSE_DIGEST = "pipe.response.digest", "Under which the answer stands in the journal.";
    REASONING_DIGEST = "pipe.reasoning.digest", "Under which the journal holds what the model thought before its answer.";
    TRUNCATED = "pipe.content.truncated", "True when texts are cut; the digests name them whole.";
    WINDOW_DROPPED = "pipe.window.dropped_turns", "Turns that the request had to leave out.";
    TASK_STATUS = "pipe.task.status", "`ok`, `unscored`, `failed` or `skipped`.";
    BECAUSE = "pipe.because", "Why a task ended as it did: `when` or `on_error`.";
    STOPPED_BY = "pipe.dialogue.stopped_by", "The condition that ended a dialogue.";
    TURNS = "pipe.dialogue.turns", "Turns of a dialogue.";
    VOTES = "pipe.judge.votes", "Votes of a judge.";
    FLIPPED = "pipe.judge.flipped", "Votes whose two askings differ.";
    UNSCORED = "pipe.judge.unscored", "Why there is no verdict.";
    LINK_TYPE = "pipe.link.type", "Why a span is linked: `run`, `evaluates`, `previous`, `caller`.";
    FROM_RUN = "pipe.adopted.run", "The run that settled an adopted task.";
    FROM_CASE = "pipe.adopted.case", "The case there.";
    CACHE_RUN = "pipe.cache.run", "The run whose request was answered so.";
    CACHE_CASE = "pipe.cache.case", "The case there.";
    OUTCOME = "pipe.run.outcome", "How a process left the run.";
    PLAN = "pipe.plan", "The hash of the plan.";
    RUN_SEED = "pipe.run.seed", "The run's seed.";
    CASES = "pipe.cases", "Cases admitted.";
    CASES_OK = "pipe.cases.ok", "Cases settled ok.";
    CASES_UNSCORED = "pipe.cases.unscored", "Cases settled unscored.";
    CASES_FAILED = "pipe.cases.failed", "Cases settled failed.";
    TASKS_OK = "pipe.tasks.ok", "Of a step, tasks settled ok, as often as they were.";
    TASKS_UNSCORED = "pipe.tasks.unscored", "Those settled unscored.";
    TASKS_FAILED = "pipe.tasks.failed", "Those settled failed.";
    TASKS_SKIPPED = "pipe.tasks.skipped", "Those skipped.";
    TASKS_REUSED = "pipe.tasks.reused", "Those taken over from another run, among the ones above.";
    REQUESTS = "pipe.requests", "Requests for a step.";
    REQUEST_ERRORS = "pipe.requests.failed", "Those that failed, asked again or not.";
    TASK_P50 = "pipe.task.duration.p50_s", "Half of a step's tasks took no longer, in seconds, within 1 part in 32.";
    TASK_P95 = "pipe.task.duration.p95_s", "95 of 100 of a step's tasks took no longer.";
    VERSION = "pipe.version", "The version of `pipe` that the process was.";
    SAMPLE_REASON = "pipe.sample.reason", "Why a case's spans are kept: `ratio`, `error`, `retried`, `unscored`.";
    CONDITION = "pipe.stop.condition", "The condition of the run's `stop` that holds.";
    EVIDENCE = "pipe.stop.evidence", "What it was judged by.";
    BACKEND_CHANGE = "pipe.backend.change", "What changed about a backend.";
    REASON = "pipe.reason", "Why, for people.";
}

names! {
    HW_ID = "hw.id", "A device's UUID.";
    HW_TYPE = "hw.type", "Always `gpu`.";
    HW_NAME = "hw.name", "Its place in the driver's order: `GPU 0`.";
    HW_MODEL = "hw.model", "What its maker calls it.";
    HW_VENDOR = "hw.vendor", "Its maker.";
    HW_DRIVER = "hw.driver_version", "Of the driver.";
    HW_PARENT = "hw.parent", "The device that an instance is a part of.";
    HW_GPU_UTILIZATION = "hw.gpu.utilization", "The share of time in which it computed.";
    HW_GPU_MEMORY = "hw.gpu.memory.usage", "Bytes in use.";
    HW_ENERGY = "hw.energy", "Joules since the sample before.";
    HW_POWER = "hw.power", "Watts.";
    HW_TEMPERATURE = "hw.temperature", "Degrees Celsius.";
    GPU_AVAILABLE = "pipe.gpu.available", "Whether devices were sampled, where they were looked for.";
    GPU_REASON = "pipe.gpu.reason", "Why none was.";
    GPU_UTIL_MEAN = "pipe.gpu.util.mean", "The share of a window in which a device computed.";
    GPU_UTIL_MAX = "pipe.gpu.util.max", "The largest entry of its ring.";
    GPU_BUSY = "pipe.gpu.busy_s", "Seconds in which it computed; of a request, its part of those.";
    GPU_ENERGY = "pipe.gpu.energy_j", "Joules by its counter; of a request, its part of those: an allocation.";
    GPU_CONCURRENCY = "pipe.gpu.concurrency", "Requests in flight with one, in the mean, itself included.";
    GPU_METHOD = "pipe.gpu.attribution.method", "How energy is shared among requests: `share-v1`.";
    GPU_METHOD_BY = "pipe.gpu.attribution.by", "What a request was weighed by: `tokens` or `time`.";
    GPU_COVERAGE = "pipe.gpu.attribution.coverage", "The share of a request's time that readings tell of.";
    GPU_POWER_MEAN = "pipe.gpu.power_w.mean", "Watts, by counter and time.";
    GPU_MEMORY_MAX = "pipe.gpu.mem_used.max_bytes", "The most memory in use.";
    GPU_THROTTLED = "pipe.gpu.throttled", "Whether its clocks were held down.";
    GPU_THROTTLED_BY = "pipe.gpu.throttled_by", "Why.";
    GPU_FOREIGN = "pipe.gpu.foreign", "More than one process computed: energy is an upper bound.";
    GPU_HOLES = "pipe.gpu.holes", "How often readings were missed.";
    GPU_MIG = "pipe.gpu.mig", "It is cut into instances, or is one.";
    GPU_LOST = "pipe.gpu.lost", "It was lost.";
}

names! {
    GPU_WINDOW_SPAN = "pipe.gpu.window", "What a device did for a minute.";
    GPU_SAMPLE_EVENT = "hw.gpu.sample", "A sample of it, of about a second.";
    RUN_START_SPAN = "pipe.run.start", "A span without length, as soon as a run begins: its root comes at the end.";
    SEGMENT_SPAN = "pipe.run.segment", "One process of a run.";
    SUMMARY_SPAN = "pipe.step.summary", "What a step came to in all cases: comes with the run's root.";
    BACKOFF_SPAN = "pipe.backoff", "The wait before a request is sent again.";
    EACH_SPAN = "pipe.for_each", "All elements of a `for_each` step.";
    DOCTOR_SPAN = "pipe.doctor", "What `pipe doctor` did to find out whether spans arrive.";
    SKIPPED_EVENT = "pipe.task.skipped", "A step that was not done in a case.";
    ADOPTED_EVENT = "pipe.task.adopted", "A task taken over from another run.";
    UNSENT_EVENT = "pipe.request.unsent", "A request that was not made.";
    CACHED_EVENT = "pipe.cache.hit", "A call that the project's cache answered: no request was made.";
    BACKEND_EVENT = "pipe.backend.changed", "What a backend can take changed.";
    STOP_EVENT = "pipe.stop.reached", "A condition of the run's `stop` holds.";
    DRAIN_EVENT = "pipe.run.draining", "The run is stopping.";
    PAUSED_EVENT = "pipe.run.paused", "No new call starts.";
    UNPAUSED_EVENT = "pipe.run.unpaused", "Calls start again.";
    TUNED_EVENT = "pipe.run.tuned", "Limits were changed.";
}
