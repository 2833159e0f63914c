//! The `pipe` command: parses arguments, builds the world, returns an exit code.

use std::process::ExitCode;

use clap::Parser as _;
use pipe::cli::{Arguments, Exit, Printer, execute};

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        if std::env::var_os("RUST_BACKTRACE").is_some() {
            let mut printer = Printer::new(pipe::cli::args::ColorWhen::Auto);
            printer.complain(&format!("{panic}\n{}", std::backtrace::Backtrace::capture()));
        }
    }));
    let arguments = Arguments::parse();
    let mut printer = Printer::new(arguments.color);
    let exit = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(arguments, &mut printer)));
    let exit = exit.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        printer.complain(&format!(
            "error: this is a bug in pipe {}: {}\n   = help: nothing acknowledged is lost; set RUST_BACKTRACE=1 and run \
             again for a report worth sending",
            env!("CARGO_PKG_VERSION"),
            text.unwrap_or("a panic without a message")
        ));
        Exit::Bug
    });
    ExitCode::from(exit.code())
}

fn run(arguments: Arguments, printer: &mut Printer) -> Exit {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            printer.complain(&format!("error: the system gives no threads: {error}"));
            return Exit::Bug;
        }
    };
    let json = arguments.command.wants_json();
    match runtime.block_on(execute(arguments, printer)) {
        Ok(exit) => exit,
        Err(error) => {
            if json {
                error.print_json(printer);
            }
            error.say(printer);
            error.exit()
        }
    }
}
