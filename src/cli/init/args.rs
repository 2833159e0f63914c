//! Options of `pipe init`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Options of `pipe init`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  pipe init                                    asks two questions, writes here
  pipe init talks --template debate            into the folder talks
  pipe init talks --template score --backend sim --yes
  pipe init --backend http://127.0.0.1:8080/v1 --yes")]
pub struct InitArgs {
    /// Where to write; made if it is not there.
    #[arg(value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
    /// What to start from; asked on a terminal, else `debate`.
    #[arg(long, value_name = "TEMPLATE")]
    pub template: Option<Template>,
    /// Where answers come from: `auto`, `sim`, `embedded` or a URL; asked on a terminal, else what is found here.
    #[arg(long, value_name = "BACKEND")]
    pub backend: Option<String>,
    /// Ask nothing.
    #[arg(long)]
    pub yes: bool,
    /// Write over files that are there.
    #[arg(long)]
    pub force: bool,
    /// Print what was written as JSON; asks nothing.
    #[arg(long)]
    pub json: bool,
}

/// What a new pipeline does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Template {
    /// Two debaters argue, a referee names the winner.
    Debate,
    /// Rows of a table are summed up and judged.
    Score,
    /// The same questions about every line of a list.
    Chat,
}

impl Template {
    /// All of them, in the order in which they are offered.
    pub const ALL: [Self; 3] = [Self::Debate, Self::Score, Self::Chat];

    /// Returns its name on the command line, which is also its file's.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Debate => "debate",
            Self::Score => "score",
            Self::Chat => "chat",
        }
    }

    /// Says what it does.
    #[must_use]
    pub const fn says(self) -> &'static str {
        match self {
            Self::Debate => "let two actors debate, and have a winner named",
            Self::Score => "have the rows of a table read and judged",
            Self::Chat => "ask the same about every line of a list",
        }
    }
}
