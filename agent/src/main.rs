//! The agent's program: it reads the arguments, runs one command, and says how that went.
#![forbid(unsafe_code)]

mod cli;

fn main() -> std::process::ExitCode {
    cli::run()
}
