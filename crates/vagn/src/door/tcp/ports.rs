//! The listeners of the TCP door, from the settings to its child.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use vagn_otp::ChildSpec;

use super::TcpDoor;
use crate::config::{Settings, TcpSettings};
use crate::door::listen::{self, ListenError};
use crate::door::{Door, DoorParts};

/// Name of the door.
pub(super) const TCP: &str = "tcp";

/// The bound listeners.
#[derive(Debug)]
pub(crate) struct TcpPorts {
    listeners: Vec<TcpListener>,
    settings: TcpSettings,
}

/// Binds the door.
pub(crate) fn bind(settings: &Settings) -> Result<Box<dyn Door>, ListenError> {
    Ok(Box::new(TcpPorts::bind(&settings.tcp)?))
}

impl TcpPorts {
    pub(crate) fn bind(settings: &TcpSettings) -> Result<Self, ListenError> {
        let listeners = listen::tcp(&settings.listen)?;
        Ok(Self { listeners, settings: settings.clone() })
    }
}

impl Door for TcpPorts {
    fn name(&self) -> &'static str {
        TCP
    }

    fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    fn children(self: Box<Self>, parts: &DoorParts) -> Vec<ChildSpec> {
        let door = Arc::new(TcpDoor::new(self.listeners, &self.settings, parts));
        let run = move |ctx| {
            let door = door.clone();
            async move { door.run(&ctx).await }
        };
        vec![ChildSpec::task(TCP, run)]
    }
}
