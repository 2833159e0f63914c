//! What a terminal shows while a run goes. Displays are readers: nothing that they do or fail to do changes the run.
//! Reads: [`crate::run::Live`]. Gives: text on stderr, and at the end a tally.
//! Start at [`Display`] and [`start`].

mod ending;
mod line;
mod speech;
mod talk;
#[cfg(test)]
mod tests;
mod thread;

pub use ending::{Ending, say_ending};
pub use line::LineDisplay;
pub use talk::{TalkDisplay, TextLookup};
pub use thread::{CHANNEL, start};

use super::printer::Stream;
use crate::base::Timestamp;
use crate::report::Tally;
use crate::run::Live;

/// A display of a run.
pub enum Display {
    /// Turns as they are spoken, for one case or very few.
    Talk(Box<TalkDisplay>),
    /// One line that is kept up to date, or plain lines where none can be.
    Line(Box<LineDisplay>),
    /// Nothing but the tally.
    Silent(Box<Tally>),
}

/// How a run is shown.
pub enum Manner {
    /// As [`Display::Talk`], with where texts are found.
    Talk(TextLookup),
    /// As [`Display::Line`].
    Line,
    /// As [`Display::Silent`].
    Silent,
}

impl Display {
    /// Starts with what the run came to before this process.
    #[must_use]
    pub fn new(manner: Manner, stream: Stream, before: Tally) -> Self {
        match manner {
            Manner::Talk(texts) => Self::Talk(Box::new(TalkDisplay::new(stream, before, texts))),
            Manner::Line => Self::Line(Box::new(LineDisplay::new(stream, before))),
            Manner::Silent => Self::Silent(Box::new(before)),
        }
    }

    /// Takes the next message.
    pub fn take(&mut self, live: &Live, now: Timestamp) {
        match self {
            Self::Talk(talk) => talk.take(live),
            Self::Line(display) => display.take(live, now),
            Self::Silent(tally) => {
                if let Live::Facts(facts) = live {
                    facts.iter().for_each(|fact| tally.add(fact));
                }
            }
        }
    }

    /// Brings up to date what depends on the time alone.
    pub fn tick(&mut self, now: Timestamp) {
        match self {
            Self::Talk(_) | Self::Silent(_) => {}
            Self::Line(line) => line.tick(now),
        }
    }

    /// Leaves the screen in order and returns what the run came to.
    #[must_use]
    pub fn finish(self) -> Tally {
        match self {
            Self::Talk(talk) => talk.finish(),
            Self::Line(line) => line.finish(),
            Self::Silent(tally) => *tally,
        }
    }
}
