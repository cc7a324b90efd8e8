//! Files that hold a policy: what Envoy and Istio read.

use serde_json::{Value, json};

use super::data;

/// The good document.
pub fn good_json() -> Value {
    serde_norway::from_str(&data("good.yaml")).unwrap()
}

/// A Wasm filter of Envoy's.
pub fn wasm_filter(configuration: Value, switch: bool) -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": {
            "name": "bartizan", "root_id": "bartizan", "failure_policy": "FAIL_RELOAD",
            "allow_on_headers_stop_iteration": switch,
            "vm_config": {
                "runtime": "envoy.wasm.runtime.v8",
                "code": { "local": { "filename": "bartizan.wasm" } },
                "environment_variables": { "key_values": { "BARTIZAN_HASH_KEY": "0123456789abcdef" } }
            },
            "configuration": configuration
        }
    })
}

/// The message that Envoy hands to the module.
pub fn string_value(policy: &Value) -> Value {
    json!({ "@type": "type.googleapis.com/google.protobuf.StringValue", "value": policy.to_string() })
}

/// A bootstrap of one listener with this filter.
pub fn bootstrap(filter: &Value) -> Value {
    let limit = 33_554_432;
    json!({ "static_resources": { "listeners": [{
        "name": "l", "per_connection_buffer_limit_bytes": limit, "filter_chains": [{ "filters": [{
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "request_timeout": "60s",
            "http2_protocol_options": { "initial_stream_window_size": limit },
            "http_filters": [
                { "name": "decompressor", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.decompressor.v3.Decompressor"
                } },
                { "name": "bartizan", "typed_config": filter },
                { "name": "router", "typed_config": null }
            ]
        }
    }] }] }] } })
}

/// Every kind of Envoy file that may hold a filter, and the path of its `config`.
pub fn in_every_envoy_file(filter: &Value) -> Vec<(&'static str, Value, &'static str)> {
    let ecds = json!({ "version_info": "1", "resources": [{
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig", "name": "x", "typed_config": filter
    }] });
    let patch = |typed_config: &Value| {
        json!({
            "apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter", "metadata": { "name": "bartizan" },
            "spec": { "configPatches": [{ "patch": { "operation": "INSERT_BEFORE", "value": {
                "name": "bartizan", "typed_config": typed_config
            } } }] }
        })
    };
    let wrapped = |kind: &str| {
        json!({
            "@type": format!("type.googleapis.com/{kind}"),
            "type_url": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "value": { "config": filter["config"] }
        })
    };
    let discovered = json!({ "static_resources": { "http_filters": [{ "name": "x", "config_discovery": {
        "default_config": filter, "type_urls": ["type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"]
    } }] } });
    const IN_PATCH: &str = "spec.configPatches[0].patch.value.typed_config.config";
    const IN_WRAPPED: &str = "spec.configPatches[0].patch.value.typed_config.value.config";
    vec![
        ("bootstrap.json", bootstrap(filter), IN_BOOTSTRAP),
        ("ecds.json", ecds, "resources[0].typed_config.config"),
        ("envoyfilter.json", patch(filter), IN_PATCH),
        ("wrapped.json", patch(&wrapped("udpa.type.v1.TypedStruct")), IN_WRAPPED),
        ("newer.json", patch(&wrapped("xds.type.v3.TypedStruct")), IN_WRAPPED),
        ("default.json", discovered, "static_resources.http_filters[0].config_discovery.default_config.config"),
    ]
}

/// The path of the filter's `config` in [`bootstrap`].
pub const IN_BOOTSTRAP: &str =
    "static_resources.listeners[0].filter_chains[0].filters[0].typed_config.http_filters[1].typed_config.config";
