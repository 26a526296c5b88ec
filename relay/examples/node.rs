//! The smallest program around a node: listens on 127.0.0.1 until ctrl-C.

use headwater_relay::{
    config::Config,
    node::{Node, Shutdown},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:4443".to_owned());
    let config = Config {
        listen: address.parse()?,
        admin: None,
        ..Config::default()
    };
    let node = Node::bind(config).await?;
    eprintln!("listening on {}", node.local_addr());
    let shutdown = Shutdown::default();
    let drain = shutdown.drain.clone();
    let interrupted = async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            drain.cancel();
        }
    };
    tokio::join!(node.run(shutdown), interrupted);
    Ok(())
}
