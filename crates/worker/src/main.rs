//! The `ciro-worker` program.

fn main() {
    if std::env::args_os()
        .nth(1)
        .is_some_and(|argument| argument == ciro_worker::executor::SUBCOMMAND)
    {
        ciro_worker::executor::child_main();
    }
}
