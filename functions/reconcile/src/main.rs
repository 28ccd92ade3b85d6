//! The reconcile function: GET /windows and the schedule.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use vernier_reconcile::context::{Context, scaler_from_env};
use vernier_reconcile::handler;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::tracing::init_default_subscriber();
    let context = Context::from_env().await?;
    let scaler = scaler_from_env().await?;
    run(service_fn(|event: LambdaEvent<_>| {
        // Boxed: the SDK's futures inside the runtime's are deeper than the compiler looks.
        Box::pin(async {
            if let Some(scaler) = &scaler {
                handler::scale(scaler, &event).await;
            }
            handler::handle(&context, event).await
        })
    }))
    .await
}
