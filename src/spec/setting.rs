//! A value that is not a template: a literal, or something known once params and environment are.

use super::decode::{Decode, Place};
use super::node::{Kind, Node, Spanned};
use super::{Literal, Text};
use crate::diag::{Diagnostic, Span, code};

/// A value of type `T`, now or when the plan is made.
#[derive(Clone, Debug)]
pub enum Setting<T> {
    /// Written out and checked.
    Literal(Spanned<T>),
    /// One whole `{{ … }}`, or text with `${…}`.
    Deferred(Text),
}

/// A type that a scalar can be read as.
pub trait FromScalar: Sized {
    /// What the key takes: ends the sentence "`votes` must be …".
    const EXPECTED: &'static str;

    /// Reads a scalar.
    ///
    /// # Errors
    /// Why not, for the author.
    fn from_scalar(literal: &Literal) -> Result<Self, Refusal>;
}

/// Why a scalar is not a value of a type.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// From [`code`].
    pub code: &'static str,
    /// A few words at the place.
    pub reason: String,
    /// What to write instead, when there is more to say than what is expected.
    pub help: Option<String>,
}

impl Refusal {
    /// Says that the value is of another type.
    #[must_use]
    pub fn wrong_type(literal: &Literal) -> Self {
        let help = match literal {
            Literal::Text(text) if !matches!(Literal::of_plain(text), Literal::Text(_)) => {
                Some(format!("remove the quotes: {text}"))
            }
            Literal::Text(text) if matches!(text.as_str(), "yes" | "no" | "on" | "off") => {
                Some("`yes`, `no`, `on` and `off` are text here; write true or false".to_owned())
            }
            Literal::Text(_) | Literal::Null | Literal::Bool(_) | Literal::Integer(_) | Literal::Float(_) => None,
        };
        Self { code: code::WRONG_TYPE, reason: format!("this is {}", literal.describe()), help }
    }

    /// Says that a text was expected; quotes make one.
    #[must_use]
    pub fn not_text(literal: &Literal) -> Self {
        Self {
            code: code::WRONG_TYPE,
            reason: format!("YAML reads this as {}", literal.describe()),
            help: Some(format!("put it into quotes: \"{}\"", literal.show())),
        }
    }

    /// Says that the value is not in the range.
    pub fn out_of_range(reason: impl Into<String>) -> Self {
        Self { code: code::OUT_OF_RANGE, reason: reason.into(), help: None }
    }

    /// Adds what to write instead.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// Makes a message of it.
    #[must_use]
    pub fn report<T: FromScalar>(self, what: &str, at: &Span) -> Diagnostic {
        let diagnostic = Diagnostic::error(self.code, format!("{what} must be {}", T::EXPECTED)).at(at, self.reason);
        self.help.into_iter().fold(diagnostic, Diagnostic::help)
    }
}

impl<T> Setting<T> {
    /// Returns where it is written.
    pub const fn span(&self) -> &Span {
        match self {
            Self::Literal(literal) => &literal.span,
            Self::Deferred(text) => &text.span,
        }
    }
}

impl<T: FromScalar> Decode for Setting<T> {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let text = match &node.kind {
            Kind::Scalar(text) => text,
            Kind::Invalid => return None,
            Kind::List(_) | Kind::Map(_) => {
                report.push(super::decode::wrong_type(node, place, T::EXPECTED));
                return None;
            }
        };
        if text.value.contains("{{") {
            return whole_reference(text, place, report).then(|| Self::Deferred(text.clone()));
        }
        if text.value.contains("${") {
            return Some(Self::Deferred(text.clone()));
        }
        match T::from_scalar(&text.literal()) {
            Ok(value) => Some(Self::Literal(Spanned::new(value, text.span.clone()))),
            Err(refusal) => {
                report.push(refusal.report::<T>(&place.what, &text.span));
                None
            }
        }
    }
}

impl<T: FromScalar> Decode for Spanned<T> {
    fn decode(node: &Node, place: &Place, report: &mut Vec<Diagnostic>) -> Option<Self> {
        let Kind::Scalar(text) = &node.kind else {
            if !matches!(node.kind, Kind::Invalid) {
                report.push(super::decode::wrong_type(node, place, T::EXPECTED));
            }
            return None;
        };
        match T::from_scalar(&text.literal()) {
            Ok(value) => Some(Self::new(value, text.span.clone())),
            Err(refusal) => {
                report.push(refusal.report::<T>(&place.what, &text.span));
                None
            }
        }
    }
}

/// Returns the expression inside of `{{ … }}` when a text is that and nothing else.
#[must_use]
pub fn reference(text: &str) -> Option<&str> {
    let inside = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    (!inside.contains("{{") && !inside.contains("}}") && !inside.trim().is_empty()).then_some(inside)
}

fn whole_reference(text: &Text, place: &Place, report: &mut Vec<Diagnostic>) -> bool {
    if text.value.contains("${") {
        report.push(
            Diagnostic::error(code::ENVIRONMENT_SYNTAX, format!("{} mixes `${{…}}` and `{{{{ … }}}}`", place.what))
                .at(&text.span, "two languages in one value")
                .help("give a param the default `${…}` and read the param here"),
        );
        return false;
    }
    if reference(&text.value).is_some() {
        return true;
    }
    report.push(
        Diagnostic::error(
            code::NOT_ONE_REFERENCE,
            format!("{} must be a literal or one whole `{{{{ … }}}}`", place.what),
        )
        .at(&text.span, "this is a mixture")
        .help("put the whole expression into one pair of braces: \"{{ 'a' ~ params.b }}\""),
    );
    false
}
