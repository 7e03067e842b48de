//! The whole hub as `serve` starts it.

use super::world::new_store;
use mamba_core::{
    clock::{Clock, SystemClock, SystemEntropy},
    db::DataDir,
    error::chain,
};
use mamba_hub::{
    app::{App, AppError},
    config::Config,
    store::KIND,
};
use std::{path::Path, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

fn config(data: &Path, http: &str) -> Config {
    let text = format!(
        "data_dir = \"{}\"\nhttp_listen = \"{http}\"\nlink_listen = \"127.0.0.1:0\"\n\
         public_link_address = \"localhost:7443\"\n",
        data.display()
    );
    Config::parse("hub.toml", &text).unwrap()
}

async fn start(config: Config) -> Result<App, AppError> {
    App::start(config, Arc::new(SystemClock::new().unwrap()), Arc::new(SystemEntropy)).await
}

#[tokio::test]
async fn a_hub_starts_answers_stops_and_starts_again() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("hub");
    let unused = start(config(&data, "127.0.0.1:0")).await.err().unwrap();
    assert!(matches!(unused, AppError::NotInitialised { .. }), "{unused}");
    assert!(!data.exists(), "looking makes nothing");
    let opened = DataDir::open(&data, KIND).unwrap();
    new_store(&opened, SystemClock::new().unwrap().wall()).await.close().await;
    drop(opened);
    for _ in 0..2 {
        let app = start(config(&data, "127.0.0.1:0")).await.unwrap();
        let second = chain(&start(config(&data, "127.0.0.1:0")).await.err().unwrap());
        assert!(second.contains("in use by process"), "{second}");
        let mut socket = TcpStream::connect(app.http).await.unwrap();
        socket.write_all(b"GET /healthz HTTP/1.1\r\nhost: hub\r\n\r\n").await.unwrap();
        let mut head = [0; 15];
        socket.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200 OK");
        let http = app.http;
        app.stop().await;
        assert!(TcpStream::connect(http).await.is_err(), "nobody listens any more");
    }
}

#[tokio::test]
async fn a_used_port_is_named_with_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("hub");
    let opened = DataDir::open(&data, KIND).unwrap();
    new_store(&opened, SystemClock::new().unwrap().wall()).await.close().await;
    drop(opened);
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let err = chain(&start(config(&data, &address)).await.err().unwrap());
    assert!(err.contains("`http_listen`") && err.contains(&address), "{err}");
    drop(taken);
    // What was started before the failure has ended: the directory is free again.
    start(config(&data, &address)).await.unwrap().stop().await;
}
