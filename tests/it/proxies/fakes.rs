//! Proxies that do what a test says.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::Growing;

/// A proxy of our own, and the heads of all requests to it.
pub(super) struct Fake {
    pub(super) port: u16,
    pub(super) heads: Growing<Vec<String>>,
}

impl Fake {
    /// Reads the head of each request, and does with the connection what the test says.
    pub(super) async fn http<F: Future<Output = ()> + Send>(
        does: impl Fn(String, TcpStream) -> F + Clone + Send + 'static,
    ) -> Self {
        let (listener, port) = listening().await;
        let heads = Growing::<Vec<String>>::default();
        let kept = heads.clone();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (does, kept) = (does.clone(), kept.clone());
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        let Ok(byte) = socket.read_u8().await else { return };
                        head.push(byte);
                    }
                    let head = String::from_utf8(head).expect("a head is ASCII");
                    kept.grow(|kept| kept.push(head.clone()));
                    does(head, socket).await;
                });
            }
        });
        Self { port, heads }
    }

    /// Answers every request so, and closes.
    pub(super) async fn answering(answer: &'static str) -> Self {
        Self::http(move |_, mut socket| async move {
            socket.write_all(answer.as_bytes()).await.ok();
        })
        .await
    }

    /// A proxy that finds these names, and nothing else.
    pub(super) async fn finding(names: Vec<(String, SocketAddr)>) -> Self {
        Self::http(move |head, mut socket| {
            let asked = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let found = names.iter().find(|(name, _)| *name == asked).map(|(_, address)| *address);
            async move {
                let Some(address) = found else {
                    socket.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await.ok();
                    return;
                };
                let mut behind = TcpStream::connect(address).await.expect("it is up");
                socket.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.ok();
                tokio::io::copy_bidirectional(&mut socket, &mut behind).await.ok();
            }
        })
        .await
    }

    /// Says these words in turn, whatever it hears: after the first, one for each message of the other side. Then it
    /// closes.
    pub(super) async fn saying(words: &'static [&'static [u8]]) -> Self {
        let (listener, port) = listening().await;
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut message = [0; 1_024];
                for words in words {
                    if !matches!(socket.read(&mut message).await, Ok(1..)) {
                        break;
                    }
                    socket.write_all(words).await.ok();
                }
            }
        });
        Self { port, heads: Growing::default() }
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

async fn listening() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let port = listener.local_addr().expect("it is bound").port();
    (listener, port)
}

/// A port where nobody listens.
pub(super) async fn nobody() -> u16 {
    listening().await.1
}
