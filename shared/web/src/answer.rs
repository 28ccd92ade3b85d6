//! What happens to every request beside its route, and to every answer on its way out.

use crate::encoding::encoded;
use crate::method::{answered_at_the_door, without_body_for_head};
use crate::origins::AllowedOrigins;
use crate::problem::ProblemDocument;
use crate::request::Request;
use crate::response;
use aws_lambda_events::apigw::ApiGatewayProxyResponse;

/// The answer to a request: at the door, or by its route, which is asked for nothing else; then in the
/// encoding that is taken, without its body for HEAD, and with what browsers ask for.
pub async fn answered(
    origins: &AllowedOrigins,
    request: Request<'_>,
    route: impl Future<Output = Result<ApiGatewayProxyResponse, ProblemDocument>>,
) -> ApiGatewayProxyResponse {
    let answer = match answered_at_the_door(request) {
        Some(answer) => answer,
        None => route
            .await
            .unwrap_or_else(|document| response::refused(&document)),
    };
    let answer = without_body_for_head(request, encoded(answer, request));
    origins.told(request, answer)
}
