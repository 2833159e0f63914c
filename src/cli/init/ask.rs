//! The two questions of `pipe init`, and what is taken where nobody is asked.

use std::io::BufRead;

use super::Template;
use crate::cli::exit::{CommandError, Exit};
use crate::cli::printer::{BOLD, DIM, Printer, inert, paint};

/// How often a question is put before giving up: a terminal that answers nonsense is no person.
const MOST_ASKED: usize = 5;

/// What `auto` would be here.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// A server: the model, its server, the address.
    pub(super) server: Option<String>,
    /// Whether the model inside this program can be used.
    pub(super) has_embedded: bool,
}

/// Asks on a terminal.
pub(super) struct Question<'a> {
    /// False takes the first choice without a word.
    pub(super) asks: bool,
    pub(super) input: &'a mut dyn BufRead,
    pub(super) printer: &'a mut Printer,
}

impl Question<'_> {
    /// Asks what to do.
    ///
    /// # Errors
    /// Nobody answers.
    pub(super) fn template(&mut self) -> Result<Template, CommandError> {
        let choices = Template::ALL.map(|template| (template.word().to_owned(), template.says().to_owned()));
        let answer = self.choose("What do you want to do?", &choices, None)?;
        let chosen = Template::ALL.into_iter().find(|template| template.word() == answer);
        Ok(chosen.unwrap_or(Template::Debate))
    }

    /// Asks where answers come from; the first choice is what works here.
    ///
    /// # Errors
    /// Nobody answers.
    pub(super) fn backend(&mut self, found: &Found) -> Result<String, CommandError> {
        let auto = match found {
            Found { server: Some(server), .. } => format!("{server}, found here"),
            Found { has_embedded: true, .. } => "the small model inside of pipe".to_owned(),
            Found { .. } => "whatever server is there when it runs; none is now".to_owned(),
        };
        let auto = ("auto".to_owned(), auto);
        let sim = ("sim".to_owned(), "answers that are made up: to try things out without a model".to_owned());
        let works = found.server.is_some() || found.has_embedded;
        let choices = if works { [auto, sim] } else { [sim, auto] };
        self.choose(
            "Where do answers come from?",
            &choices,
            Some("or the URL of a server, such as http://127.0.0.1:8080/v1"),
        )
    }

    /// Puts a question; the answer is a number, a name, or, with `free`, a URL.
    fn choose(
        &mut self,
        question: &str,
        choices: &[(String, String)],
        free: Option<&str>,
    ) -> Result<String, CommandError> {
        let first = choices[0].0.clone();
        if !self.asks {
            return Ok(first);
        }
        self.printer.complain(&paint(BOLD, question));
        let widest = choices.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (number, (name, says)) in choices.iter().enumerate() {
            self.printer.complain(&format!("  {}  {name:<widest$}  {}", number + 1, paint(DIM, &inert(says))));
        }
        if let Some(free) = free {
            self.printer.complain(&format!("     {}", paint(DIM, free)));
        }
        for _ in 0..MOST_ASKED {
            drop(self.printer.err().write(&format!("[{first}] ")));
            let mut line = String::new();
            if self.input.read_line(&mut line)? == 0 {
                break;
            }
            let answer = line.trim();
            let by_number = answer.parse::<usize>().ok().and_then(|number| choices.get(number.checked_sub(1)?));
            let named = choices.iter().find(|(name, _)| name == answer);
            match by_number.or(named) {
                _ if answer.is_empty() => return Ok(first),
                Some((name, _)) => return Ok(name.clone()),
                None if free.is_some() && (answer.contains("://") || answer == "embedded") => {
                    return Ok(answer.to_owned());
                }
                None => self
                    .printer
                    .complain(&format!("{answer:?} is none of them: a number, a name, or Enter for {first}")),
            }
        }
        Err(CommandError::new(Exit::Usage, "nothing was written")
            .help("--template and --backend answer on the command line, --yes takes what is first"))
    }
}
