//! The command trees of all programs, for what is rendered from them.

/// A program of this project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Program {
    /// This command line
    #[default]
    Ciro,
    /// The coordinator
    CiroCoordinator,
    /// The worker
    CiroWorker,
    /// The simulator
    CiroSim,
}

impl Program {
    /// Every program.
    pub(crate) const ALL: [Program; 4] =
        [Program::Ciro, Program::CiroCoordinator, Program::CiroWorker, Program::CiroSim];

    /// Its command tree.
    pub(crate) fn command(self) -> clap::Command {
        match self {
            Program::Ciro => crate::command(),
            Program::CiroCoordinator => ciro_coordinator::cli::command(),
            Program::CiroWorker => ciro_worker::cli::command(),
            Program::CiroSim => ciro_sim::cli::command(),
        }
    }
}
