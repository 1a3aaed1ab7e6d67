//! Attribute keys. Where OpenTelemetry's semantic conventions have a name it is used as it stands there (1.37); `weir.*` and
//! `nginx.*` are ours.

pub const CLIENT_ADDRESS: &str = "client.address";
pub const USER_NAME: &str = "user.name";
pub const METHOD: &str = "http.request.method";
pub const PATH: &str = "url.path";
pub const QUERY: &str = "url.query";
pub const PROTOCOL_NAME: &str = "network.protocol.name";
pub const PROTOCOL_VERSION: &str = "network.protocol.version";
pub const ROUTE: &str = "http.route";
pub const RESENDS: &str = "http.request.resend_count";
pub const STATUS: &str = "http.response.status_code";
pub const REQUEST_BODY_BYTES: &str = "http.request.body.size";
pub const RESPONSE_BODY_BYTES: &str = "http.response.body.size";
pub const REFERER: &str = "http.request.header.referer";
pub const FORWARDED_FOR: &str = "http.request.header.x-forwarded-for";
pub const HOST_HEADER: &str = "http.request.header.host";
pub const USER_AGENT: &str = "user_agent.original";
pub const PEER_ADDRESS: &str = "network.peer.address";
pub const PEER_PORT: &str = "network.peer.port";
pub const SERVER_ADDRESS: &str = "server.address";
pub const SERVER_PORT: &str = "server.port";

pub const REQUEST_TIME: &str = "nginx.request_time";
pub const UPSTREAM_TIME: &str = "nginx.upstream_response_time";
pub const UPSTREAM_CONNECT_TIME: &str = "nginx.upstream_connect_time";
pub const UPSTREAM_HEADER_TIME: &str = "nginx.upstream_header_time";
pub const UPSTREAM_STATUS: &str = "nginx.upstream_status";
pub const UPSTREAM_ADDRESS: &str = "nginx.upstream_addr";
pub const REQUEST_ID: &str = "http.request.id";
pub const CONNECTION: &str = "nginx.connection";

/// No convention names it; `logger` is what people type.
pub const LOGGER: &str = "logger";
pub const THREAD: &str = "thread.name";
pub const THREAD_ID: &str = "thread.id";
pub const PID: &str = "process.pid";
pub const PROCESS: &str = "process.executable.name";
pub const HOST: &str = "host.name";
pub const SERVICE: &str = "service.name";
pub const CODE_FILE: &str = "code.file.path";
pub const CODE_LINE: &str = "code.line.number";
pub const CODE_FUNCTION: &str = "code.function.name";
pub const EXCEPTION_TYPE: &str = "exception.type";
pub const EXCEPTION_MESSAGE: &str = "exception.message";
pub const EXCEPTION_STACK: &str = "exception.stacktrace";
pub const STREAM: &str = "log.iostream";
pub const SYSLOG_FACILITY: &str = "syslog.facility.code";
pub const SYSLOG_MSGID: &str = "syslog.msg.id";
pub const SYSLOG_DATA: &str = "syslog.structured_data";

/// What the line said about its time, where the record's time is another one.
pub const TIME_TEXT: &str = "weir.time.text";
/// What was wrong with a record, comma-separated: `bad_time`, `invalid_utf8`, `unparsed`, `too_many_attributes`.
pub const ISSUES: &str = "weir.issues";
