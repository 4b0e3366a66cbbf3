//! HTTP surface.
pub mod error;
#[cfg(test)]
mod t {
    use utoipa::OpenApi;
    #[derive(OpenApi)]
    #[openapi(components(schemas(crate::contract::request::EventRequest, crate::contract::request::OutcomeRequest, crate::contract::answer::Answer, crate::http::error::ProblemDocument)))]
    struct C;
    #[test]
    fn show() { println!("{}", serde_json::to_string_pretty(&C::openapi()).unwrap()); }
}
