//! A place → the messages that are sent.

use std::sync::Arc;

use super::blind::Labels;
use super::context::{context, talk_so_far};
use super::dialogue::Talk;
use super::{Texts, ballot, dialogue, history};
use crate::base::Digest;
use crate::judge::Form;
use crate::plan::{Ballot, Call, Chat, Mended, Place, Plan, StepKind, seed_of};
use crate::prompt::{Format, Message, RenderError, Role};

/// The model that each actor of the plan speaks through, in the plan's order.
pub type Models<'a> = &'a [Arc<str>];

/// A question, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Composed {
    /// In order.
    pub messages: Vec<Message>,
    /// What shape the answer must have.
    pub format: Format,
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
///
/// # Panics
/// The step needs no model: a bug of the caller.
pub fn compose(plan: &Plan, place: &Place, models: Models<'_>, texts: Texts<'_>) -> Result<Composed, ComposeError> {
    let kind = &plan.step(place.step).kind;
    let labels = match kind {
        StepKind::Judge(judge) => Labels::of(judge, ballot_of(place)),
        StepKind::Chat(_) | StepKind::Dialogue(_) | StepKind::Transform(_) | StepKind::Assert(_) => Labels::none(),
    };
    let turn = match place.call {
        Call::Turn(turn) => Some(turn),
        Call::Say | Call::Repair(_) | Call::Vote(_) | Call::Ask(_) => None,
    };
    let mut data = context(plan, &place.ground(), turn, models, &labels, texts)?;
    if let (StepKind::Dialogue(dialogue), Call::Ask(_)) = (kind, place.call) {
        talk_so_far(&mut data, dialogue, &place.turns, texts)?;
    }
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
    let mut format = Format::Text;
    let mut dropped_turns = 0;
    match kind {
        StepKind::Chat(chat) => {
            let text = asked(chat, render("prompt", chat.prompt)?);
            if let Some((schema, _)) = &chat.form {
                format = Format::Json(schema.value());
            }
            let mut talk = Talk::default();
            dropped_turns = history::continued(plan, chat, place, models, &mut talk, texts)?;
            talk.say(Role::User, &text);
            messages.extend(talk.messages());
        }
        StepKind::Dialogue(dialogue) if let Call::Ask(inquiry) = place.call => {
            let judge = &dialogue.judges[inquiry.which as usize];
            let mut text = render("question of `judge_says`", judge.question)?;
            add(&mut text, &Form::Choice(judge.choose.clone()).instructions(false));
            messages.push(user(text));
            format = Format::Choice(judge.choose.clone());
        }
        StepKind::Dialogue(dialogue) => {
            let mut talk = Talk::default();
            talk.say(Role::User, &render("opening", dialogue.opening)?);
            dropped_turns = dialogue::turns(plan, dialogue, place.actor, &place.turns, &mut talk, texts)?;
            messages.extend(talk.messages());
        }
        StepKind::Judge(judge) => {
            let ballot = ballot_of(place);
            let form = ballot::form(judge, ballot, &labels);
            let mut text = render("question", judge.question)?;
            for (letter, contestant) in ballot::shown(judge, ballot) {
                add(&mut text, &format!("{letter}:\n{}", render("text to compare", contestant.text)?.trim()));
            }
            add(&mut text, &form.instructions(judge.explain));
            if judge.blind.is_some() {
                text.push_str(" A and B are the speakers' labels.");
            }
            messages.push(user(text));
            format = match form {
                Form::Choice(options) if !judge.explain => Format::Choice(options),
                form => Format::Json(form.schema(judge.explain)),
            };
        }
        StepKind::Transform(_) | StepKind::Assert(_) => panic!("bug: a step without a model asks nothing"),
    }
    if let Some(Mended { answer, complaint }) = &place.mended {
        let content = texts(answer).ok_or(ComposeError::TextMissing(*answer))?;
        messages.push(Message { role: Role::Assistant, content });
        messages
            .push(user(format!("That cannot be used: {complaint}. Answer again, in the form that was asked for.")));
    }
    Ok(Composed { messages, format, seed: seed_of(plan, place), dropped_turns })
}

/// Returns which question to a judge a call is.
fn ballot_of(place: &Place) -> Ballot {
    match place.call {
        Call::Vote(ballot) => ballot,
        Call::Say | Call::Repair(_) | Call::Turn(_) | Call::Ask(_) => Ballot::first(),
    }
}

/// Returns the message of a chat, with what it says of the form of the answer.
pub(super) fn asked(chat: &Chat, mut prompt: String) -> String {
    if let Some((schema, _)) = &chat.form {
        add(&mut prompt, &schema.instructions());
    }
    prompt
}

/// Adds a paragraph to what the author wrote: the only words that `pipe` puts into a prompt by itself.
fn add(text: &mut String, paragraph: &str) {
    text.truncate(text.trim_end().len());
    text.push_str("\n\n");
    text.push_str(paragraph);
}
