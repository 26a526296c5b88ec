//! Values of the wire as the JSON of `tests/vectors`: integers as decimal strings, bytes as hex, codes by name.

use headwater_pubsub::wire::control::*;
use headwater_pubsub::wire::data::*;
use headwater_pubsub::wire::parameter::ExtensionParameters;
use headwater_pubsub::wire::*;
use serde_json::{Map, Value, json};

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .map(|digit| digit.to_digit(16).unwrap().try_into().unwrap())
        .collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn int(value: u64) -> Value {
    value.to_string().into()
}

fn place(location: Location) -> Value {
    json!([int(location.group), int(location.object)])
}

fn block(properties: &Properties) -> Value {
    hex(properties.as_bytes()).into()
}

/// An object of the entries that are present.
fn object(entries: impl IntoIterator<Item = (&'static str, Option<Value>)>) -> Value {
    let present = entries
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)));
    Value::Object(present.collect::<Map<_, _>>())
}

fn token(token: &Token) -> Value {
    match token {
        Token::Delete { alias } => json!({"alias_type": "DELETE", "alias": int(*alias)}),
        Token::Register { alias, kind, value } => {
            json!({"alias_type": "REGISTER", "alias": int(*alias), "token_type": int(*kind), "value": hex(value)})
        }
        Token::UseAlias { alias } => json!({"alias_type": "USE_ALIAS", "alias": int(*alias)}),
        Token::UseValue { kind, value } => {
            json!({"alias_type": "USE_VALUE", "token_type": int(*kind), "value": hex(value)})
        }
    }
}

fn tokens(all: &[Token]) -> Option<Value> {
    (!all.is_empty()).then(|| all.iter().map(token).collect())
}

fn filter(filter: Filter) -> Value {
    match filter {
        Filter::NextGroupStart => json!({"type": "NEXT_GROUP_START"}),
        Filter::LargestObject => json!({"type": "LARGEST_OBJECT"}),
        Filter::AbsoluteStart(start) => json!({"type": "ABSOLUTE_START", "start": place(start)}),
        Filter::AbsoluteRange { start, end_group } => {
            json!({"type": "ABSOLUTE_RANGE", "start": place(start), "end_group": int(end_group)})
        }
    }
}

fn parameters(all: &Parameters) -> Value {
    object([
        ("OBJECT_DELIVERY_TIMEOUT", all.object_delivery_timeout_ms.map(int)),
        ("AUTHORIZATION_TOKEN", tokens(&all.authorization_tokens)),
        ("RENDEZVOUS_TIMEOUT", all.rendezvous_timeout_ms.map(int)),
        (
            "SUBGROUP_DELIVERY_TIMEOUT",
            all.subgroup_delivery_timeout_ms.map(int),
        ),
        ("EXPIRES", all.expires_ms.map(int)),
        ("LARGEST_OBJECT", all.largest_object.map(place)),
        ("FILL_TIMEOUT", all.fill_timeout_ms.map(int)),
        ("FORWARD", all.forward.map(|forward| u8::from(forward).into())),
        ("SUBSCRIBER_PRIORITY", all.subscriber_priority.map(Value::from)),
        ("SUBSCRIPTION_FILTER", all.filter.map(filter)),
        (
            "GROUP_ORDER",
            all.group_order.map(|order| order.into_inner().into()),
        ),
        ("NEW_GROUP_REQUEST", all.new_group_request.map(int)),
        (
            "TRACK_NAMESPACE_PREFIX",
            all.track_namespace_prefix
                .as_ref()
                .map(|prefix| prefix.to_string().into()),
        ),
        ("extensions", extensions(&all.extensions)),
    ])
}

fn extensions(all: &ExtensionParameters) -> Option<Value> {
    let entries: Map<String, Value> = all
        .iter()
        .map(|(kind, value)| (format!("{kind:#x}"), hex(value).into()))
        .collect();
    (!entries.is_empty()).then_some(entries.into())
}

pub(crate) fn message(message: &Message) -> Value {
    match message {
        Message::Setup(body) => object([
            ("type", Some("SETUP".into())),
            ("path", body.path.as_ref().map(|path| hex(path).into())),
            (
                "authority",
                body.authority.as_ref().map(|authority| hex(authority).into()),
            ),
            ("authorization_tokens", tokens(&body.authorization_tokens)),
            (
                "max_auth_token_cache_size",
                body.max_auth_token_cache_size.map(int),
            ),
            (
                "implementation",
                body.implementation.as_ref().map(|name| hex(name).into()),
            ),
            ("extensions", Some(block(&body.extensions))),
        ]),
        Message::Goaway(body) => object([
            ("type", Some("GOAWAY".into())),
            ("uri", Some(hex(&body.uri).into())),
            ("timeout_ms", Some(int(body.timeout_ms))),
            ("request_id", body.request_id.map(int)),
        ]),
        Message::RequestOk(body) => json!({
            "type": "REQUEST_OK",
            "parameters": parameters(&body.parameters),
            "properties": block(&body.properties),
        }),
        Message::RequestError(body) => object([
            ("type", Some("REQUEST_ERROR".into())),
            ("code", Some(body.code.to_string().into())),
            ("retry_after_ms", body.retry_after_ms.map(int)),
            ("reason", Some(body.reason.clone().into())),
            ("redirect", body.redirect.as_ref().map(redirect)),
        ]),
        Message::PublishDone(body) => object([
            ("type", Some("PUBLISH_DONE".into())),
            ("code", Some(body.code.to_string().into())),
            ("stream_count", body.stream_count.map(int)),
            ("reason", Some(body.reason.clone().into())),
        ]),
        Message::SubscribeOk(body) => json!({
            "type": "SUBSCRIBE_OK",
            "track_alias": int(body.track_alias),
            "parameters": parameters(&body.parameters),
            "properties": block(&body.properties),
        }),
        Message::FetchOk(body) => json!({
            "type": "FETCH_OK",
            "end_of_track": body.end_of_track,
            "end": place(body.end),
            "parameters": parameters(&body.parameters),
            "properties": block(&body.properties),
        }),
        Message::Namespace(body) => json!({"type": "NAMESPACE", "suffix": body.suffix.to_string()}),
        Message::NamespaceDone(body) => json!({"type": "NAMESPACE_DONE", "suffix": body.suffix.to_string()}),
        Message::PublishBlocked(body) => json!({
            "type": "PUBLISH_BLOCKED",
            "suffix": body.suffix.to_string(),
            "name": body.name.to_string(),
        }),
        request => self::request(request),
    }
}

fn redirect(redirect: &Redirect) -> Value {
    json!({
        "uri": hex(&redirect.uri),
        "namespace": redirect.namespace.to_string(),
        "name": redirect.name.to_string(),
    })
}

fn request(message: &Message) -> Value {
    let (kind, request_id, parameters_of, rest): (_, _, _, Vec<(&str, Value)>) = match message {
        Message::Subscribe(body) => (
            "SUBSCRIBE",
            body.request_id,
            &body.parameters,
            vec![("track", body.track.to_string().into())],
        ),
        Message::TrackStatus(body) => (
            "TRACK_STATUS",
            body.request_id,
            &body.parameters,
            vec![("track", body.track.to_string().into())],
        ),
        Message::RequestUpdate(body) => ("REQUEST_UPDATE", body.request_id, &body.parameters, vec![]),
        Message::Publish(body) => (
            "PUBLISH",
            body.request_id,
            &body.parameters,
            vec![
                ("track", body.track.to_string().into()),
                ("track_alias", int(body.track_alias)),
                ("properties", block(&body.properties)),
            ],
        ),
        Message::Fetch(body) => ("FETCH", body.request_id, &body.parameters, fetch_kind(&body.kind)),
        Message::PublishNamespace(body) => (
            "PUBLISH_NAMESPACE",
            body.request_id,
            &body.parameters,
            vec![("namespace", body.namespace.to_string().into())],
        ),
        Message::SubscribeNamespace(body) => (
            "SUBSCRIBE_NAMESPACE",
            body.request_id,
            &body.parameters,
            vec![("prefix", body.prefix.to_string().into())],
        ),
        Message::SubscribeTracks(body) => (
            "SUBSCRIBE_TRACKS",
            body.request_id,
            &body.parameters,
            vec![("prefix", body.prefix.to_string().into())],
        ),
        other => panic!("{other:?} is no request"),
    };
    let common = [
        ("type", kind.into()),
        ("request_id", int(request_id)),
        ("parameters", parameters(parameters_of)),
    ];
    object(
        common
            .into_iter()
            .chain(rest)
            .map(|(key, value)| (key, Some(value))),
    )
}

fn fetch_kind(kind: &FetchKind) -> Vec<(&'static str, Value)> {
    match kind {
        FetchKind::Standalone { track, start, end } => vec![
            ("fetch_type", "STANDALONE".into()),
            ("track", track.to_string().into()),
            ("start", place(*start)),
            ("end", place(*end)),
        ],
        FetchKind::RelativeJoining { subscription, groups } => vec![
            ("fetch_type", "RELATIVE_JOINING".into()),
            ("subscription", int(*subscription)),
            ("groups", int(*groups)),
        ],
        FetchKind::AbsoluteJoining { subscription, group } => vec![
            ("fetch_type", "ABSOLUTE_JOINING".into()),
            ("subscription", int(*subscription)),
            ("group", int(*group)),
        ],
    }
}

pub(crate) fn subgroup_header(header: &SubgroupHeader) -> Value {
    let subgroup = match header.subgroup {
        SubgroupId::Zero => "zero".into(),
        SubgroupId::FirstObject => "first_object".into(),
        SubgroupId::Explicit(id) => json!({"explicit": int(id)}),
    };
    object([
        ("track_alias", Some(int(header.track_alias))),
        ("group", Some(int(header.group))),
        ("subgroup", Some(subgroup)),
        ("priority", header.priority.map(Value::from)),
        ("has_properties", Some(header.has_properties.into())),
        ("end_of_group", Some(header.end_of_group.into())),
        ("first_object", Some(header.first_object.into())),
    ])
}

pub(crate) fn subgroup_object(object: &SubgroupObject, payload: &[u8]) -> Value {
    json!({
        "id": int(object.id),
        "properties": block(&object.properties),
        "status": object.status.into_inner(),
        "payload": hex(payload),
    })
}

pub(crate) fn fetch_object(object: &FetchObject, payload: &[u8]) -> Value {
    json!({
        "location": place(object.location),
        "subgroup": object.subgroup.map(int),
        "priority": object.priority,
        "properties": block(&object.properties),
        "payload": hex(payload),
    })
}

pub(crate) fn range(status: RangeStatus, location: Location) -> Value {
    match status {
        RangeStatus::NonExistent => json!({"end_of_non_existent_range": place(location)}),
        RangeStatus::Unknown => json!({"end_of_unknown_range": place(location)}),
    }
}

pub(crate) fn datagram(datagram: &Datagram) -> Value {
    object([
        ("track_alias", Some(int(datagram.track_alias))),
        ("group", Some(int(datagram.group))),
        ("object", Some(int(datagram.object))),
        ("priority", datagram.priority.map(Value::from)),
        ("end_of_group", Some(datagram.end_of_group.into())),
        ("properties", Some(block(&datagram.properties))),
        ("status", Some(datagram.status.into_inner().into())),
        ("payload", Some(hex(&datagram.payload).into())),
    ])
}

pub(crate) fn track(track: &FullTrackName) -> Value {
    let namespace: Vec<String> = track.namespace().fields().map(hex).collect();
    json!({"namespace": namespace, "track_name": hex(track.name().as_bytes())})
}
