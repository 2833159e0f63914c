//! A place → the messages that are sent.

use std::fmt::Write as _;
use std::sync::Arc;

use super::blind::Labels;
use super::context::context;
use super::{Texts, dialogue};
use crate::base::Digest;
use crate::plan::{Judge, Place, Plan, StepKind, seed_of};
use crate::prompt::{Message, RenderError, Role};

/// The model that each actor of the plan speaks through, in the plan's order.
pub type Models<'a> = &'a [Arc<str>];

/// A question, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Composed {
    /// In order.
    pub messages: Vec<Message>,
    /// What the answer must be one of; empty for any text.
    pub options: Vec<String>,
    /// 31 bits.
    pub seed: u32,
    /// Turns that the dialogue's `history` leaves out.
    pub dropped_turns: u32,
}

/// A question that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// The template does not fit the data of this case.
    #[error("the {what} does not render for case {case}: {source}")]
    Render {
        /// Which template.
        what: &'static str,
        /// The case.
        case: crate::base::CaseNo,
        /// What is wrong.
        source: RenderError,
    },
    /// A text that must be in the journal is not.
    #[error("text {0} is not in the journal")]
    TextMissing(Digest),
    /// The stored row is no JSON.
    #[error("row {0} in the journal is not JSON")]
    RowUnreadable(Digest),
}

/// Makes the messages of one call.
///
/// # Errors
/// A template that does not render with this case's data, or a text that is missing; asking again cannot help.
pub fn compose(plan: &Plan, place: &Place, models: Models<'_>, texts: Texts<'_>) -> Result<Composed, ComposeError> {
    let kind = &plan.step(place.step).kind;
    let labels = match kind {
        StepKind::Judge(judge) => Labels::of(judge, place.call),
        StepKind::Chat(_) | StepKind::Dialogue(_) => Labels::none(),
    };
    let data = context(plan, place, models, &labels, texts)?;
    let render = |what, template| {
        plan.templates.render(template, &data).map_err(|source| ComposeError::Render {
            what,
            case: place.case,
            source,
        })
    };

    let mut messages = Vec::new();
    if let Some(system) = plan.actor(place.actor).system {
        messages.push(Message { role: Role::System, content: Arc::from(render("system prompt", system)?) });
    }
    let user = |text: String| Message { role: Role::User, content: Arc::from(text) };
    let mut options = Vec::new();
    let mut dropped_turns = 0;
    match kind {
        StepKind::Chat(chat) => messages.push(user(render("prompt", chat.prompt)?)),
        StepKind::Dialogue(talk) => {
            let opening = render("opening", talk.opening)?;
            let seen = dialogue::seen(plan, talk, place, opening, texts)?;
            dropped_turns = seen.dropped_turns;
            messages.extend(seen.messages);
        }
        StepKind::Judge(judge) => {
            options = labels.options(&judge.choose);
            messages.push(user(question(render("question", judge.question)?, judge, &options)));
        }
    }
    Ok(Composed { messages, options, seed: seed_of(plan, place), dropped_turns })
}

/// Adds how to answer: the only words that `pipe` puts into a prompt by itself.
fn question(mut text: String, judge: &Judge, options: &[String]) -> String {
    let list = options.iter().map(|option| format!("{option:?}")).collect::<Vec<_>>().join(", ");
    text.truncate(text.trim_end().len());
    write!(text, "\n\nAnswer with one JSON object and nothing else: {{\"choice\": X}}, where X is one of {list}.")
        .expect("writing to a String cannot fail");
    if judge.blind.is_some() {
        text.push_str(" A and B are the speakers' labels.");
    }
    text
}
