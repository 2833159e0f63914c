//! One traced request, for `pipe doctor`: does the collector take its span, and does the server tell one of its own?

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::args::DoctorArgs;
use super::exit::{CommandError, Exit, with_causes};
use super::printer::Printer;
use super::trace::no_collector;
use crate::backend::discover::{Chosen, Env, explicit_key};
use crate::backend::{
    self, CallLimits, ChatRequest, Completion, ConnectError, Connected, Format, Message, Role, Target, TraceHeaders,
    Wanted,
};
use crate::base::{BackendName, SpanContext};
use crate::event::{Failure, FailureKind, TimeoutPhase};
use crate::run::Clock;
use crate::telemetry::{Collector, Lookup, Made, Other, Probe, Seen, Signal, Untaken};

/// How long the server may take for its one token; it may have to load its model first.
const LIMIT: Duration = Duration::from_secs(60);
/// Between two looks for the server's span.
const LOOK: Duration = Duration::from_millis(500);

/// What became of a traced request.
pub(super) struct Traced {
    /// The collector.
    pub(super) place: String,
    /// The trace, by which it is found.
    pub(super) trace: String,
    /// What came of the request.
    pub(super) request: Request,
    /// Whether the collector took the spans.
    pub(super) taken: Result<(), Untaken>,
    /// Whether the server's own span joined.
    pub(super) joined: Joined,
}

/// What came of the request.
pub(super) enum Request {
    /// There was nobody to ask.
    Nobody,
    /// Nobody could be asked; why.
    Unusable(String),
    /// There is an answer.
    Answered { model: String, took: Duration },
    /// There is none.
    Failed { model: String, why: String },
}

/// Whether a span of the server is in the trace.
pub(super) enum Joined {
    /// There is nothing to look for; why.
    Pointless(&'static str),
    /// It cannot be looked up; why.
    NoApi(String),
    /// What was seen, and where.
    Seen { seen: Seen, place: String, server: String },
}

/// Asks once and follows the span; none where no collector is named.
///
/// # Errors
/// What names a collector or a query API is no address.
pub(super) async fn follow(
    args: &DoctorArgs,
    env: Env<'_>,
    chosen: Option<Chosen<'_>>,
    printer: &mut Printer,
) -> Result<Option<Traced>, CommandError> {
    let collector = Collector::find(Signal::Traces, args.trace_to.as_deref(), &env);
    let collector = collector.map_err(|error| no_collector(&error))?;
    let Some(collector) = collector else { return Ok(None) };
    let lookup = Lookup::beside(&collector, args.query.as_deref()).map_err(|error| no_collector(&error))?;
    let (place, clock) = (collector.to_string(), Clock::start(None));
    let probe = Probe::new(collector, clock.now());
    let probe = probe.map_err(|error| CommandError::new(Exit::BackendUnusable, error))?;
    let connected = match chosen {
        Some(chosen) => connect(&chosen, env).await.map(Some),
        None => Ok(None),
    };
    let (request, taken) = match &connected {
        Ok(Some(connected)) => ask(&probe, connected, &clock).await,
        Ok(None) => (Request::Nobody, probe.send(None, clock.now()).await),
        Err(why) => (Request::Unusable(why.clone()), probe.send(None, clock.now()).await),
    };
    let joined = match (&request, &connected, &taken) {
        (_, _, Err(_)) => Joined::Pointless("not looked up, as the collector did not take the span"),
        (Request::Answered { .. } | Request::Failed { .. }, Ok(Some(connected)), Ok(())) => {
            let server = connected.resolved.server.clone();
            look(&probe, lookup, server, Duration::from_millis(args.patience.0), printer).await
        }
        _ => Joined::Pointless("no server was asked"),
    };
    Ok(Some(Traced { place, trace: probe.context().trace.to_string(), request, taken, joined }))
}

async fn connect(chosen: &Chosen<'_>, env: Env<'_>) -> Result<Connected, String> {
    let is_explicit = chosen.looked.place.why.is_explicit();
    let wanted = Wanted {
        name: BackendName::from("auto"),
        target: Target::Url(chosen.url.with_secrets()),
        api_key: explicit_key(env, None).filter(|_| is_explicit),
        headers: Vec::new(),
        is_unlisted: false,
        models: vec![None],
        concurrency: Some(NonZeroU32::MIN),
    };
    let connected = backend::connect(&[wanted], env, &|_| {}).await;
    let told =
        |errors: Vec<ConnectError>| errors.iter().map(|error| with_causes(error)).collect::<Vec<_>>().join("; ");
    connected.map_err(told)?.into_iter().next().ok_or_else(|| "it went away".to_owned())
}

/// Asks for one token and sends the span of that.
async fn ask(probe: &Probe, connected: &Connected, clock: &Clock) -> (Request, Result<(), Untaken>) {
    let model = connected.resolved.models.first().map_or_else(String::new, |(_, sent)| sent.to_string());
    let request = request(&model, probe.context());
    let start = clock.now();
    let outcome = timeout(LIMIT, connected.backend.chat(&request, &|_| {})).await;
    let late = || {
        let detail = format!("no answer within {} s", LIMIT.as_secs());
        Failure::new(FailureKind::TimedOut(TimeoutPhase::Total), detail)
    };
    let outcome: Result<Completion, Failure> = outcome.unwrap_or_else(|_| Err(late()));
    let end = clock.now();
    let made =
        Made { backend: &connected.resolved, model: &model, max_tokens: 1, start, end, outcome: outcome.as_ref() };
    let taken = probe.send(Some(&made), end).await;
    let took = Duration::from_micros(u64::try_from(end.0 - start.0).unwrap_or_default());
    match outcome {
        Ok(_) => (Request::Answered { model, took }, taken),
        Err(failure) => (Request::Failed { model, why: failure.detail }, taken),
    }
}

fn request(model: &str, context: SpanContext) -> ChatRequest {
    ChatRequest {
        model: Arc::from(model),
        messages: vec![Message { role: Role::User, content: Arc::from("Say yes.") }],
        temperature: None,
        top_p: None,
        max_tokens: Some(1),
        stop: Vec::new(),
        seed: 1,
        format: Format::Text,
        stream: false,
        reasoning: None,
        extra: Arc::default(),
        lacks: crate::event::Features::NONE,
        trace: Some(TraceHeaders { span: context, state: None }),
        limits: CallLimits { connect: Duration::from_secs(5), first_token: LIMIT, idle: LIMIT },
    }
}

/// Looks until the server's span is there, or there is no more patience.
async fn look(
    probe: &Probe,
    lookup: Option<Lookup>,
    server: String,
    patience: Duration,
    printer: &mut Printer,
) -> Joined {
    let Some(lookup) = lookup else {
        return Joined::NoApi("cannot be looked up here: name Jaeger by --query http://HOST:16686".to_owned());
    };
    let (until, mut is_told) = (Instant::now() + patience, false);
    let place = lookup.to_string();
    loop {
        let seen = probe.look(&lookup).await;
        if let Seen::NoApi(why) = &seen {
            let remedy = "--query http://HOST:16686 names another";
            return Joined::NoApi(format!(
                "cannot be looked up here: no Jaeger query API at {place} ({why}); {remedy}"
            ));
        }
        if matches!(seen, Seen::Joined(_)) || Instant::now() + LOOK > until {
            return Joined::Seen { seen, place, server };
        }
        if !std::mem::replace(&mut is_told, true) {
            printer.say(&format!("looking up to {} s for a span of the server's at {place}", patience.as_secs()));
        }
        sleep(LOOK).await;
    }
}

impl Traced {
    /// Tells whether what was asked for failed.
    pub(super) const fn is_refused(&self) -> bool {
        self.taken.is_err()
    }

    /// Returns what was found, each line with what it is about.
    pub(super) fn lines(&self) -> Vec<(&'static str, String)> {
        let taken = match &self.taken {
            Ok(()) => format!("{} took the span: trace {}", self.place, self.trace),
            Err(Untaken { answer, help }) => format!("{} did not take the span: {answer}; {help}", self.place),
        };
        vec![("traced", self.request.says()), ("collector", taken), ("joined", self.joined.says())]
    }

    /// Returns what was found, for programs.
    pub(super) fn to_json(&self) -> Value {
        let untaken = self.taken.as_ref().err();
        let (model, took) = match &self.request {
            Request::Answered { model, took } => (Some(model), Some(took.as_secs_f64())),
            Request::Failed { model, .. } => (Some(model), None),
            Request::Nobody | Request::Unusable(_) => (None, None),
        };
        let others = match &self.joined {
            Joined::Seen { seen: Seen::Joined(others), .. } => others.as_slice(),
            Joined::Seen { .. } | Joined::NoApi(_) | Joined::Pointless(_) => &[],
        };
        let others = others.iter().map(|Other { name, service, is_child }| {
            json!({ "name": name, "service": service, "below_request": is_child })
        });
        json!({
            "collector": self.place,
            "trace": self.trace,
            "taken": self.taken.is_ok(),
            "problem": untaken.map(|untaken| &untaken.answer),
            "help": untaken.map(|untaken| untaken.help),
            "request": { "model": model, "answered_in_s": took, "says": self.request.says() },
            "joined": {
                "state": self.joined.word(),
                "spans": others.collect::<Vec<_>>(),
                "says": self.joined.says(),
            },
        })
    }
}

impl Request {
    fn says(&self) -> String {
        match self {
            Self::Nobody => "no request, as no server with a model answers".to_owned(),
            Self::Unusable(why) => format!("no request: {why}"),
            Self::Answered { model, took } => format!("{model} answered one token in {:.2} s", took.as_secs_f64()),
            Self::Failed { model, why } => format!("{model} did not answer: {why}"),
        }
    }
}

impl Joined {
    /// Returns what programs look at: `yes`, `no` or `unknown`.
    const fn word(&self) -> &'static str {
        match self {
            Self::Seen { seen: Seen::Joined(_), .. } => "yes",
            Self::Seen { seen: Seen::Alone, .. } => "no",
            Self::Seen { seen: Seen::Unknown | Seen::NoApi(_), .. } | Self::Pointless(_) | Self::NoApi(_) => {
                "unknown"
            }
        }
    }

    fn says(&self) -> String {
        match self {
            Self::Pointless(why) => (*why).to_owned(),
            Self::NoApi(why) => why.clone(),
            Self::Seen { seen, place, server } => match seen {
                Seen::Joined(others) => joined(others, place),
                Seen::Alone => {
                    format!("no: the trace is at {place}, with no span of the server's in it; {}", remedy(server))
                }
                Seen::Unknown | Seen::NoApi(_) => format!(
                    "unknown: {place} does not have the trace; does the collector hand on to it? --patience 30s waits longer"
                ),
            },
        }
    }
}

fn joined(others: &[Other], place: &str) -> String {
    let Some(first) = others.first() else { return String::new() };
    let below = if first.is_child { "below the request" } else { "in the trace, but not below the request" };
    let more = match others.len() - 1 {
        0 => String::new(),
        1 => " and 1 more".to_owned(),
        more => format!(" and {more} more"),
    };
    format!("yes: {} of {}{more}, {below} ({place})", first.name, first.service)
}

/// Says how a server comes to tell spans of its own.
fn remedy(server: &str) -> &'static str {
    match server {
        "vllm" => "start vLLM with --otlp-traces-endpoint, at an address of the same Jaeger",
        "sglang" => "start SGLang with --enable-trace and --otlp-traces-endpoint, at an address of the same Jaeger",
        "llama.cpp" | "ollama" | "lm-studio" => "servers of its kind tell none",
        _ => "does it tell any? vLLM does, with --otlp-traces-endpoint",
    }
}
