//! The output function: GET /receipts, /events, /healthz.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use vernier_output::{context::Context, handler};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::tracing::init_default_subscriber();
    let context = Context::from_env().await?;
    run(service_fn(|event: LambdaEvent<_>| {
        // Boxed: the SDK's futures inside the runtime's are deeper than the compiler looks.
        Box::pin(handler::handle(&context, event))
    }))
    .await
}
