//! The native command line. Everything is in the library's `cli` room.

fn main() -> std::process::ExitCode {
    bartizan::cli::run()
}
