//! What is sent to a collector, and which variables of the environment speak of it.

use super::collector::Variable;

/// A kind of telemetry; each has a place of its own at a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Judgements, as records beside the requests that they are about.
    Logs,
    /// Counts and histograms.
    Metrics,
}

/// A variable of one signal, and the one that speaks of all of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair(&'static str, &'static str);

impl Pair {
    /// Returns the nearer of both that is set, with its name.
    pub(super) fn read(self, variable: Variable<'_>) -> Option<(&'static str, String)> {
        let Self(own, any) = self;
        set(own, variable).map(|value| (own, value)).or_else(|| set(any, variable).map(|value| (any, value)))
    }
}

/// Returns what a variable says; an empty one says nothing.
pub(super) fn set(name: &str, variable: Variable<'_>) -> Option<String> {
    variable(name).filter(|value| !value.trim().is_empty())
}

/// The variables of a signal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Variables {
    /// `otlp`, `none`, or what else other programs do.
    pub(super) exporter: &'static str,
    pub(super) endpoint: &'static str,
    pub(super) protocol: Pair,
    pub(super) headers: Pair,
    pub(super) compression: Pair,
    pub(super) timeout: Pair,
    pub(super) certificate: Pair,
    /// A certificate of our own, and its key.
    pub(super) own_certificate: [Pair; 2],
}

/// Names a variable of one signal with that of all.
macro_rules! pair {
    ($signal:literal, $what:literal) => {
        Pair(concat!("OTEL_EXPORTER_OTLP_", $signal, "_", $what), concat!("OTEL_EXPORTER_OTLP_", $what))
    };
}

/// Names the variables of one signal, which differ in one word.
macro_rules! variables {
    ($signal:literal) => {
        Variables {
            exporter: concat!("OTEL_", $signal, "_EXPORTER"),
            endpoint: concat!("OTEL_EXPORTER_OTLP_", $signal, "_ENDPOINT"),
            protocol: pair!($signal, "PROTOCOL"),
            headers: pair!($signal, "HEADERS"),
            compression: pair!($signal, "COMPRESSION"),
            timeout: pair!($signal, "TIMEOUT"),
            certificate: pair!($signal, "CERTIFICATE"),
            own_certificate: [pair!($signal, "CLIENT_CERTIFICATE"), pair!($signal, "CLIENT_KEY")],
        }
    };
}

impl Signal {
    pub(super) const fn variables(self) -> Variables {
        match self {
            Self::Traces => variables!("TRACES"),
            Self::Logs => variables!("LOGS"),
            Self::Metrics => variables!("METRICS"),
        }
    }

    /// Returns where it is posted, below a collector's address.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Logs => "/v1/logs",
            Self::Metrics => "/v1/metrics",
        }
    }

    /// Returns what people call it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Traces => "spans",
            Self::Logs => "judgements",
            Self::Metrics => "metrics",
        }
    }
}
