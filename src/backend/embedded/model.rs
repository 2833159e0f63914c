//! Loading a GGUF file, and why that may fail.
//! Reads: a path. Gives: the model, its template and name. Never: contexts or threads.
//! Start at [`LoadedModel::load`].

use std::cell::OnceCell;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::model::{LlamaChatTemplate, LlamaModel};

use super::prompt;
use super::spelling::Spelling;

/// Why the embedded model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// The file cannot be read.
    #[error("cannot read the model file {path}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is something else.
    #[error("{path} is not a GGUF model file")]
    NotGguf {
        /// Which.
        path: PathBuf,
    },
    /// llama.cpp refuses the file.
    #[error(
        "llama.cpp cannot load {path}: the file is damaged, needs more memory than there is, \
         or holds a kind of model that this build does not know"
    )]
    NotLoaded {
        /// Which.
        path: PathBuf,
    },
    /// The model was not made for talks, or its template is unknown to llama.cpp.
    #[error("the model in {path} has no chat template that llama.cpp knows; take an instruction-tuned model")]
    NoTemplate {
        /// Which.
        path: PathBuf,
    },
    /// There is no memory for the sequences.
    #[error("no memory for {slots} sequences of {context_per_slot} tokens; ask for fewer (limits.concurrency)")]
    NoContext {
        /// How many were asked for.
        slots: u32,
        /// How long each.
        context_per_slot: u32,
    },
    /// llama.cpp was built for newer processors.
    #[error("this processor lacks {lacking}, which the embedded llama.cpp is built for; use a model server instead")]
    Processor {
        /// What it lacks.
        lacking: &'static str,
    },
    /// A setting cannot be read.
    #[error("{variable} is {value:?}; it takes a whole number from 1 on")]
    Setting {
        /// Which.
        variable: &'static str,
        /// What it holds.
        value: String,
    },
    /// llama.cpp or its thread did not start.
    #[error("llama.cpp did not start: {reason}")]
    NotStarted {
        /// What was said.
        reason: String,
    },
}

/// A model with what is needed to talk to it.
pub(super) struct LoadedModel {
    pub(super) model: LlamaModel,
    pub(super) template: LlamaChatTemplate,
    pub(super) name: String,
    spelling: OnceCell<Spelling>,
}

impl LoadedModel {
    /// Loads the weights; takes from tenths of a second to many seconds, by size.
    pub(super) fn load(path: &Path) -> Result<Self, EmbeddedError> {
        check_processor()?;
        check_magic(path)?;
        let refused = || EmbeddedError::NotLoaded { path: path.to_owned() };
        let model =
            LlamaModel::load_from_file(llama()?, path, &LlamaModelParams::default()).map_err(|_| refused())?;
        let no_template = || EmbeddedError::NoTemplate { path: path.to_owned() };
        let template = model.chat_template(None).map_err(|_| no_template())?;
        prompt::probe(&model, &template).map_err(|_| no_template())?;
        Ok(Self { model, template, name: name(path), spelling: OnceCell::new() })
    }

    /// Returns what the vocabulary can write; gathered when first asked for.
    pub(super) fn spelling(&self) -> &Spelling {
        self.spelling.get_or_init(|| {
            let vocabulary = self.model.vocab();
            let tokens = self.model.tokens(true).filter(|(token, _)| !vocabulary.is_eog(*token));
            Spelling::new(tokens.map(|(_, piece)| piece))
        })
    }
}

/// Starts llama.cpp once per process, silent: nothing but our own words may reach the terminal.
pub(super) fn llama() -> Result<&'static LlamaBackend, EmbeddedError> {
    static LLAMA: OnceLock<Result<LlamaBackend, String>> = OnceLock::new();
    LLAMA
        .get_or_init(|| {
            let mut llama = LlamaBackend::init().map_err(|error| error.to_string())?;
            llama.void_logs();
            Ok(llama)
        })
        .as_ref()
        .map_err(|reason| EmbeddedError::NotStarted { reason: reason.clone() })
}

fn check_magic(path: &Path) -> Result<(), EmbeddedError> {
    let unreadable = |source| EmbeddedError::Unreadable { path: path.to_owned(), source };
    let mut magic = [0; 4];
    let mut file = File::open(path).map_err(unreadable)?;
    match file.read_exact(&mut magic) {
        Ok(()) if &magic == b"GGUF" => Ok(()),
        Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => Err(unreadable(error)),
        Ok(()) | Err(_) => Err(EmbeddedError::NotGguf { path: path.to_owned() }),
    }
}

// ggml's x86-64 build without `-march=native` still assumes these four; without them it dies of an illegal instruction.
#[cfg(target_arch = "x86_64")]
fn check_processor() -> Result<(), EmbeddedError> {
    let needs = [
        ("AVX2", is_x86_feature_detected!("avx2")),
        ("FMA", is_x86_feature_detected!("fma")),
        ("F16C", is_x86_feature_detected!("f16c")),
        ("BMI2", is_x86_feature_detected!("bmi2")),
    ];
    match needs.iter().find(|(_, there)| !there) {
        Some(&(lacking, _)) => Err(EmbeddedError::Processor { lacking }),
        None => Ok(()),
    }
}

#[cfg(not(target_arch = "x86_64"))]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere ggml asks the processor itself")]
fn check_processor() -> Result<(), EmbeddedError> {
    Ok(())
}

// The file's name and not its `general.name`: that one is often a training label ("Smollm2 135M 8k Lc100K Mix1 Ep2"), while
// the file's name is what the user chose and says how the weights are quantised.
fn name(path: &Path) -> String {
    path.file_stem().map_or_else(|| "embedded".into(), |stem| stem.to_string_lossy().into_owned())
}
