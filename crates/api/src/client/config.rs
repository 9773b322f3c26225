//! The settings of a running coordinator.

use super::{Client, Error};
use crate::config::Configuration;

impl Client {
    /// The settings that apply, who set them, and what waits for a restart.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn config(&self) -> Result<Configuration, Error> {
        self.get("/v1/admin/config").await
    }
}
