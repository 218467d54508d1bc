//! An address that stays while what is behind it moves: for clients whose configuration names one.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// Hands every connection on to where `to` points at that moment. Dropped, it ends with its connections.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Relay {
    /// On a free port.
    ///
    /// # Panics
    /// When there is none.
    pub async fn start(to: watch::Receiver<SocketAddr>) -> Self {
        Self::start_on(Ipv4Addr::LOCALHOST.into(), to).await
    }

    /// On a free port of another of this machine's addresses.
    ///
    /// # Panics
    /// When there is none.
    pub async fn start_on(at: IpAddr, to: watch::Receiver<SocketAddr>) -> Self {
        let listener = TcpListener::bind((at, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let behind = *to.borrow();
                connections.spawn(async move {
                    // Either side may end the connection badly: the other then sees its end.
                    if let Ok(mut server) = TcpStream::connect(behind).await {
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    }
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, task }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}
