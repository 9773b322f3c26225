//! The coordinators that share a database.

use super::{Client, Error};
use crate::coordinator::Coordinators;

impl Client {
    /// Who is there, who leads, and how long each has been silent.
    ///
    /// # Errors
    /// The server's problem, or why it could not be asked.
    pub async fn coordinators(&self) -> Result<Coordinators, Error> {
        self.get("/v1/admin/coordinators").await
    }
}
