//! No silent half-life: a part that ends unexpectedly ends the whole, with its name.

use std::io::{self, Write};
use std::sync::Arc;

use cvd_stream::app::{App, AppError};
use cvd_stream::exchange::{AtEnd, Exchange, Script};
use cvd_stream::feed::{Destination, Dialing, Network};
use cvd_stream::report::output::log_lines;

use crate::support::*;

async fn market() -> Exchange {
    exchange(Script::new([]).at_end(AtEnd::Market { per_second: 100 })).await
}

async fn ended(app: App) -> AppError {
    let Err(error) = story(app.run(std::future::pending())).await else { panic!("it must not end well") };
    error
}

struct Trap;

impl Network for Trap {
    fn dial<'a>(&'a self, _: Destination<'a>) -> Dialing<'a> {
        panic!("a trap for the feed")
    }
}

impl Write for Trap {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        panic!("a trap for a writing thread")
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_panic_of_the_processor_ends_the_run_with_its_name() {
    let exchange = market().await;
    let app = App::new(config(&exchange.stream_url())).write_to(io::sink()).unwrap();
    let error = ended(app.on_trade(|_| panic!("a trap for the processor"))).await;
    let said = "the processor ended unexpectedly (a trap for the processor): please report it";
    assert_eq!(error.to_string(), said);
    stopped_in_peace(exchange).await;
}

#[tokio::test]
async fn a_panic_of_the_feed_ends_the_run_with_its_name() {
    let exchange = market().await;
    let app = App::new(config(&exchange.stream_url())).write_to(io::sink()).unwrap();
    let error = ended(app.network(Arc::new(Trap))).await;
    assert_eq!(error.to_string(), "the feed ended unexpectedly (a trap for the feed): please report it");
    stopped_in_peace(exchange).await;
}

#[tokio::test]
async fn a_panic_of_the_thread_that_writes_records_ends_the_run_with_its_name() {
    let exchange = market().await;
    let error = ended(App::new(config(&exchange.stream_url())).write_to(Trap).unwrap()).await;
    assert!(error.to_string().starts_with("the thread that writes the records has ended"), "{error}");
    stopped_in_peace(exchange).await;
}

#[tokio::test]
async fn a_panic_of_the_thread_that_writes_the_log_ends_the_run_with_its_name() {
    let exchange = market().await;
    let log = log_lines(Box::new(Trap)).unwrap();
    log.line(b"a line\n");
    let app = App::new(config(&exchange.stream_url())).write_to(io::sink()).unwrap().log(log);
    let error = ended(app).await;
    assert!(error.to_string().starts_with("the thread that writes the log has ended"), "{error}");
    stopped_in_peace(exchange).await;
}
