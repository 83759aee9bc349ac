//! A supervisor as a child of another one.

use std::sync::Arc;

use super::Nest;
use super::engine::Engine;
use crate::child::{Body, Launch};
use crate::exit::ExitReason;
use crate::process::Process;
use crate::sync::Mutex;

/// Keeps the children and the settings while the supervisor does not run.
pub(super) struct SupervisorBody {
    process: Arc<Process>,
    nest: Arc<Mutex<Option<Nest>>>,
}

impl SupervisorBody {
    pub(super) fn new(process: Arc<Process>, nest: Nest) -> Self {
        SupervisorBody { process, nest: Arc::new(Mutex::new(Some(nest))) }
    }
}

impl Body for SupervisorBody {
    fn start(&mut self, launch: Launch) {
        let Some(nest) = self.nest.lock().take() else {
            // Only a panic in the supervisor's own code leaves it empty.
            launch.life.end(ExitReason::Failed(format!("{} has lost its children", self.process.name)));
            return;
        };
        let home = self.nest.clone();
        let mut engine = Engine::new(&launch, nest);
        launch.supervisor(async move {
            let exit = engine.run().await;
            let nest = engine.into_nest();
            // After the root nothing starts the children again, and their addresses should say so.
            *home.lock() = (!nest.is_root).then_some(nest);
            exit
        });
    }

    fn close(&mut self) {
        if let Some(nest) = self.nest.lock().as_mut() {
            for child in &mut nest.children {
                child.close();
            }
        }
    }
}
