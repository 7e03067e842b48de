//! Entry point of the hub.

fn main() -> std::process::ExitCode {
    mamba_hub::cli::main()
}
