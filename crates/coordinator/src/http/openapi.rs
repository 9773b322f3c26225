//! The document: what is the same for every operation is added here, not by hand on each handler.

use super::problems::CATALOGUE;
use ciro_api::problem::Problem;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Components, Content, ContentBuilder, Info, KnownFormat, License, ObjectBuilder, OpenApi, Paths, Ref,
    RefOr, Response, ResponseBuilder, SchemaFormat, Server, Tag, Type,
};
use utoipa::{PartialSchema, ToSchema};

/// What stands above the paths.
pub(super) fn head() -> OpenApi {
    let mut info = Info::new("CIRO Network Coordinator", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "Clients submit jobs, workers run them, the coordinator admits, leases and supervises. \
         Every answer that is not a success is a problem document (RFC 9457); /problems lists them all."
            .to_owned(),
    );
    let mut licence = License::new("MIT");
    licence.identifier = Some("MIT".to_owned());
    info.license = Some(licence);
    let mut api = OpenApi::new(info, Paths::new());
    api.servers = Some(vec![Server::new("/")]);
    api.tags = Some(
        [
            ("system", "How the coordinator is"),
            ("jobs", "What is run"),
            ("artifacts", "Bytes named by their hash"),
            ("events", "What has happened"),
            ("batches", "One action on many jobs"),
            ("webhooks", "Who is told of it"),
            ("workers", "Who runs it"),
            ("work", "The channel of workers"),
            ("keys", "Who may call"),
            ("audit", "Who changed what"),
            ("admin", "Keeping the coordinator"),
            ("tenants", "Shares and quotas"),
            ("payments", "Money of tenants and providers"),
            ("chain", "Starknet"),
        ]
        .map(|(name, description)| {
            let mut tag = Tag::new(name);
            tag.description = Some(description.to_owned());
            tag
        })
        .into(),
    );
    api
}

/// Adds the security scheme, the problem responses and their schema.
pub(super) fn finish(mut api: OpenApi) -> OpenApi {
    let components = api.components.get_or_insert_with(Components::new);
    let words = "`ciro_<kid>_<secret>`: an API key or join token. `ciros_<secret>`: a worker's session.";
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(words));
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer.build()));
    let mut schemas = Vec::new();
    Problem::schemas(&mut schemas);
    schemas.push((Problem::name().into_owned(), Problem::schema()));
    components.schemas.extend(schemas);
    for (path, item) in &mut api.paths.paths {
        for (method, operation) in operations(item) {
            complete(path, method, operation);
            describe_bytes(operation);
        }
    }
    api
}

/// Raw bytes are a string of bytes; a vector of them would read as an array of numbers.
fn describe_bytes(operation: &mut Operation) {
    const BYTES: &str = "application/octet-stream";
    let binary = SchemaFormat::KnownFormat(KnownFormat::Binary);
    let schema = ObjectBuilder::new().schema_type(Type::String).format(Some(binary));
    let bytes: RefOr<Content> = ContentBuilder::new().schema(Some(schema)).build().into();
    if let Some(RefOr::T(request)) = &mut operation.request_body {
        request.content.entry(BYTES.to_owned()).and_modify(|content| *content = bytes.clone());
    }
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            response.content.entry(BYTES.to_owned()).and_modify(|content| *content = bytes.clone());
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    [
        ("get", item.get.as_mut()),
        ("put", item.put.as_mut()),
        ("post", item.post.as_mut()),
        ("delete", item.delete.as_mut()),
        ("head", item.head.as_mut()),
        ("patch", item.patch.as_mut()),
    ]
    .into_iter()
    .filter_map(|(method, operation)| operation.map(|operation| (method, operation)))
}

/// The statuses that an operation may answer with although no handler names them.
fn complete(path: &str, method: &str, operation: &mut Operation) {
    let mut statuses = vec![400, 405, 408, 413, 429, 500, 503];
    if operation.security.as_ref().is_none_or(|list| !list.is_empty()) {
        statuses.extend([401, 403]);
    }
    if path.contains('{') {
        statuses.push(404);
    }
    if operation.request_body.is_some() {
        statuses.extend([415, 422]);
    }
    if method != "get" && method != "head" {
        statuses.extend([409, 422]);
    }
    for status in statuses {
        let response = problem_response(status);
        operation.responses.responses.entry(status.to_string()).or_insert(response);
    }
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        let failure = status.starts_with(['4', '5']) && response.content.is_empty();
        if failure && let Ok(status) = status.parse() {
            let words = std::mem::take(&mut response.description);
            if let RefOr::T(problem) = problem_response(status) {
                *response = problem;
            }
            if !words.is_empty() {
                response.description = words;
            }
        }
    }
}

fn problem_response(status: u16) -> RefOr<Response> {
    let words =
        CATALOGUE.iter().filter(|entry| entry.status == status).map(|entry| format!("`{}`", entry.word));
    let words = words.collect::<Vec<_>>().join(", ");
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let response = ResponseBuilder::new()
        .description(format!("A problem: {words}"))
        .content("application/problem+json", content);
    RefOr::T(response.build())
}
