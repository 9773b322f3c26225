//! How the components are. Each reports here when it changes; `/health` and `/status` read.

use ciro_api::system::{Component, ComponentState};
use ciro_core::time::Timestamp;
use parking_lot::RwLock;
use std::collections::BTreeMap;

/// The state of every component.
#[derive(Debug, Default)]
pub struct Health {
    components: RwLock<BTreeMap<&'static str, Component>>,
}

impl Health {
    /// Says how the component `name` is. `since` stays while the state does.
    pub fn report(
        &self,
        name: &'static str,
        state: ComponentState,
        detail: impl Into<String>,
        now: Timestamp,
    ) {
        self.update(name, now, |component| {
            if component.state != state {
                component.since = now.into();
            }
            component.state = state;
            component.detail = detail.into();
        });
    }

    /// Changes what is known of the component `name`.
    pub fn update(&self, name: &'static str, now: Timestamp, change: impl FnOnce(&mut Component)) {
        let mut components = self.components.write();
        change(components.entry(name).or_insert_with(|| Component {
            state: ComponentState::Ok,
            detail: String::new(),
            since: now.into(),
            breaker: None,
            last_error: None,
        }));
    }

    /// Every component.
    #[must_use]
    pub fn components(&self) -> BTreeMap<String, Component> {
        self.components
            .read()
            .iter()
            .map(|(name, component)| ((*name).to_owned(), component.clone()))
            .collect()
    }

    /// The worst of the components.
    #[must_use]
    pub fn worst(&self) -> ComponentState {
        let components = self.components.read();
        let states = components.values().map(|component| component.state);
        states.filter(|state| *state != ComponentState::Off).max().unwrap_or(ComponentState::Ok)
    }
}
