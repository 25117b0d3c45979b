//! An axum application over SCTP and TCP.
//!
//! ```text
//! cargo run --example axum
//! cargo run -- get http+sctp://127.0.0.1:9899/ http+sctp://127.0.0.1:9899/hello/world
//! curl http://127.0.0.1:8080/
//! ```

use axum::{Extension, Router, extract::Path, routing::get};
use http_server::{Listen, Origin, Server};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let app = Router::new().route("/", get(whence)).route(
        "/hello/{name}",
        get(|Path(name): Path<String>| async move { format!("hello, {name}\n") }),
    );
    let server = Server::new(app)
        .listen(Listen::sctp(([127, 0, 0, 1], 9899).into()))
        .listen(Listen::tcp(([127, 0, 0, 1], 8080).into()))
        .bind()
        .await?;
    server
        .run_until(async { tokio::signal::ctrl_c().await.unwrap_or_default() })
        .await;
    Ok(())
}

/// Every request says where it came from.
async fn whence(Extension(origin): Extension<Origin>) -> String {
    match origin.stream {
        Some(stream) => format!("you came from {} on stream {}\n", origin.peer, stream.0),
        None => format!("you came from {} over {}\n", origin.peer, origin.transport),
    }
}
