//! Where text goes: data to stdout, talk to stderr, colour only where it is wanted.

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Write};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};

use super::args::ColorWhen;

/// Columns where the terminal does not say: what a log viewer shows without wrapping.
const COLUMNS_ELSEWHERE: usize = 100;
/// Longer lines are hard to read, however wide the terminal.
const WIDEST: usize = 100;

/// Words that stand out.
pub const BOLD: Style = Style::new().bold();
/// Words that step back.
pub const DIM: Style = Style::new().dimmed();
/// Something wrong.
pub const RED: Style = AnsiColor::Red.on_default().bold();

/// The two streams of a command.
pub struct Printer {
    out: Stream,
    err: Stream,
    quiet: bool,
}

/// One stream. What is written to it may hold ANSI styles: they are taken out where no colour is wanted.
pub struct Stream {
    writer: AutoStream<Box<dyn Write + Send>>,
    is_terminal: bool,
    width: usize,
}

impl Printer {
    /// Opens the process's streams.
    #[must_use]
    pub fn new(color: ColorWhen) -> Self {
        let choice = match color {
            ColorWhen::Auto => ColorChoice::Auto,
            ColorWhen::Always => ColorChoice::AlwaysAnsi,
            ColorWhen::Never => ColorChoice::Never,
        };
        choice.write_global();
        let (out, err) = (io::stdout(), io::stderr());
        let out_width = terminal_size::terminal_size_of(&out);
        let err_width = terminal_size::terminal_size_of(&err);
        let out_choice = AutoStream::choice(&out);
        let err_choice = AutoStream::choice(&err);
        let (out_terminal, err_terminal) = (out.is_terminal(), err.is_terminal());
        Self {
            out: Stream::new(Box::new(out), out_choice, out_terminal, columns(out_width)),
            err: Stream::new(Box::new(err), err_choice, err_terminal, columns(err_width)),
            quiet: false,
        }
    }

    /// Prints to the given streams.
    #[must_use]
    pub const fn over(out: Stream, err: Stream) -> Self {
        Self { out, err, quiet: false }
    }

    /// Leaves out everything but data and errors from here on.
    pub const fn hush(&mut self) {
        self.quiet = true;
    }

    /// Writes data.
    ///
    /// # Errors
    /// The stream does not take it; a reader that went away included.
    pub fn data(&mut self, text: &str) -> io::Result<()> {
        self.out.write(text)
    }

    /// Writes one line of data.
    ///
    /// # Errors
    /// See [`Self::data`].
    pub fn line(&mut self, line: &str) -> io::Result<()> {
        self.out.write(line)?;
        self.out.write("\n")
    }

    /// Says one line to people, unless hushed. A stderr that is gone is nobody's loss.
    pub fn say(&mut self, line: &str) {
        if !self.quiet {
            self.complain(line);
        }
    }

    /// Says one line to people, even when hushed.
    pub fn complain(&mut self, line: &str) {
        drop(self.err.write(line).and_then(|()| self.err.write("\n")));
    }

    /// Returns the stream for data.
    pub const fn out(&mut self) -> &mut Stream {
        &mut self.out
    }

    /// Returns the stream for talk.
    pub const fn err(&mut self) -> &mut Stream {
        &mut self.err
    }

    /// Opens the stream for talk once more, for a display on a thread of its own.
    #[must_use]
    pub fn err_again(&self) -> Stream {
        let err = io::stderr();
        let choice = AutoStream::choice(&err);
        Stream::new(Box::new(err), choice, self.err.is_terminal, self.err.width)
    }
}

impl Stream {
    /// Wraps a writer.
    #[must_use]
    pub fn new(writer: Box<dyn Write + Send>, color: ColorChoice, is_terminal: bool, width: usize) -> Self {
        Self { writer: AutoStream::new(writer, color), is_terminal, width }
    }

    /// Writes a text and hands it on at once.
    ///
    /// # Errors
    /// The writer does not take it.
    pub fn write(&mut self, text: &str) -> io::Result<()> {
        self.writer.write_all(text.as_bytes())?;
        self.writer.flush()
    }

    /// Tells whether a person sees it come.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Returns how many columns there are.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Returns how many columns a text for reading should take.
    #[must_use]
    pub fn reading_width(&self) -> usize {
        self.width.min(WIDEST)
    }
}

fn columns(size: Option<(terminal_size::Width, terminal_size::Height)>) -> usize {
    // A terminal of no columns (some containers) does not know its size.
    size.map_or(COLUMNS_ELSEWHERE, |(width, _)| if width.0 == 0 { COLUMNS_ELSEWHERE } else { usize::from(width.0) })
        .max(40)
}

/// Puts a text in a style.
#[must_use]
pub fn paint(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// Returns the style of an actor's name, by its place among the actors seen so far. Six that are legible on dark
/// and light grounds, then again: the name itself is always there.
#[must_use]
pub const fn actor_style(place: usize) -> Style {
    let color = match place % 6 {
        0 => AnsiColor::Cyan,
        1 => AnsiColor::Magenta,
        2 => AnsiColor::Green,
        3 => AnsiColor::Blue,
        4 => AnsiColor::Yellow,
        _ => AnsiColor::Red,
    };
    color.on_default().bold()
}

/// Makes a text from outside harmless to a terminal: control characters, the start of every escape sequence, become
/// their pictures (`␛`). Line breaks and tabs stay; carriage returns go.
#[must_use]
pub fn inert(text: &str) -> Cow<'_, str> {
    let harmless = |letter: char| !letter.is_control() || letter == '\n' || letter == '\t';
    if text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    let picture = |letter: char| match letter {
        '\r' => None,
        letter if harmless(letter) => Some(letter),
        '\u{7f}' => Some('␡'),
        letter => Some(char::from_u32(0x2400 + u32::from(letter)).filter(|_| letter < ' ').unwrap_or('\u{fffd}')),
    };
    Cow::Owned(text.chars().filter_map(picture).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_in_texts_are_inert() {
        assert_eq!(inert("plain\n\ttext"), "plain\n\ttext");
        assert_eq!(inert("\u{1b}[2Jgone\u{7}\u{7f}\r\n"), "␛[2Jgone␇␡\n");
        // A single code point that some terminals take for ESC [.
        assert_eq!(inert("\u{9b}31m"), "\u{fffd}31m");
        assert!(matches!(inert("我们"), Cow::Borrowed(_)));
    }

    #[test]
    fn styles_leave_where_no_colour_is_wanted() {
        let shared = crate::cli::testing::Shared::default();
        let mut stream = Stream::new(Box::new(shared.clone()), ColorChoice::Never, false, 80);
        stream.write(&paint(BOLD, "word")).unwrap();
        assert_eq!(shared.text(), "word");
        let shared = crate::cli::testing::Shared::default();
        let mut stream = Stream::new(Box::new(shared.clone()), ColorChoice::AlwaysAnsi, true, 80);
        stream.write(&paint(BOLD, "word")).unwrap();
        assert_eq!(shared.text(), "\u{1b}[1mword\u{1b}[0m");
    }
}
