//! What a service must be to be served.

use http::{Request, Response};
use http_body::Body;
use tower::Service;

use crate::body::{BoxError, RequestBody};

/// A tower service that answers HTTP requests: an axum `Router`, [`Files`](crate::Files),
/// [`Demo`](crate::Demo), or any other [`Service`] that takes a [`Request`] with a [`RequestBody`]
/// and gives a [`Response`]. Implemented for all of these; there is nothing to implement by hand.
pub trait HttpService:
    Service<
        Request<RequestBody>,
        Response = Response<Self::Body>,
        Error: Into<BoxError>,
        Future: Send,
    > + Clone
    + Send
    + 'static
{
    /// Body of the responses.
    type Body: Body<Data: Send, Error: Into<BoxError>> + Send + 'static;
}

impl<S, B> HttpService for S
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + 'static,
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Body = B;
}
