//! A rate-limit service for tests: Limitador's engine behind `envoy.service.ratelimit.v3.RateLimitService`.
//!
//! `bartizan-test-limits PORT [count-refused] [redis URL]`. A limit is made when a descriptor first brings it along, and the
//! counter of a descriptor is that of all its entries. Limitador does not count what it refuses; with `count-refused` it
//! does, as the usual server. It can't give back.

mod redis_store;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use envoy_types::pb::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_response::{Code, DescriptorStatus, RateLimit};
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_service_server::{
    RateLimitService, RateLimitServiceServer,
};
use envoy_types::pb::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use envoy_types::pb::google::protobuf::Duration;
use limitador::limit::{Context, Expression, Limit, Predicate};
use limitador::{CheckResult, RateLimiter};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

struct Limits {
    engine: RateLimiter,
    count_refused: bool,
}

struct Service(Arc<Limits>);

impl Limits {
    /// One descriptor: checked and counted at once, as Limitador does it.
    fn count(&self, domain: &str, descriptor: &RateLimitDescriptor, default: u64) -> Result<DescriptorStatus, Status> {
        let entries: HashMap<String, String> =
            descriptor.entries.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect();
        let invalid = |text: &str| Status::invalid_argument(text.to_owned());
        let limit = descriptor.limit.as_ref().ok_or_else(|| invalid("a descriptor without a limit"))?;
        let seconds = match limit.unit {
            1 => 1,
            2 => 60,
            3 => 3_600,
            4 => 86_400,
            _ => return Err(invalid("an unknown unit")),
        };
        if descriptor.is_negative_hits {
            return Err(Status::unimplemented("Limitador gives nothing back"));
        }
        let hits = descriptor.hits_addend.as_ref().map_or(default, |hits| hits.value);
        let quota = entries.get("quota").ok_or_else(|| invalid("a descriptor without a quota"))?;
        let condition = format!("descriptors[0].quota == '{quota}'");
        let bad = |error: String| Status::invalid_argument(error);
        let condition = Predicate::parse(condition).map_err(|error| bad(error.to_string()))?;
        let variables: Result<Vec<Expression>, _> = entries
            .keys()
            .filter(|key| *key != "quota")
            .map(|key| Expression::parse(format!("descriptors[0].{key}")))
            .collect();
        let variables = variables.map_err(|error| bad(error.to_string()))?;
        let units = u64::from(limit.requests_per_unit);
        self.engine.add_limit(Limit::new(domain, units, seconds, [condition], variables));
        let mut context = Context::default();
        context.list_binding("descriptors".into(), vec![entries]);
        let namespace = domain.into();
        let checked = self.engine.check_rate_limited_and_update(&namespace, &context, hits);
        let CheckResult { limited, counters, .. } = checked.map_err(|error| Status::unavailable(error.to_string()))?;
        let counter = counters.first().ok_or_else(|| Status::internal("no limit applies"))?;
        let mut remaining = counter.remaining().unwrap_or(0);
        if limited && self.count_refused {
            let counted = self.engine.update_counters(&namespace, &context, hits);
            counted.map_err(|error| Status::unavailable(error.to_string()))?;
            remaining = 0;
        }
        let expires = counter.expires_in().unwrap_or(counter.window());
        Ok(DescriptorStatus {
            code: if limited { Code::OverLimit } else { Code::Ok } as i32,
            current_limit: Some(RateLimit {
                requests_per_unit: limit.requests_per_unit,
                unit: limit.unit,
                ..Default::default()
            }),
            limit_remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            duration_until_reset: Some(Duration { seconds: expires.as_secs().max(1) as i64, nanos: 0 }),
            ..Default::default()
        })
    }

    fn answer(&self, request: &RateLimitRequest) -> Result<RateLimitResponse, Status> {
        let default = u64::from(request.hits_addend.max(1));
        let count = |descriptor| self.count(&request.domain, descriptor, default);
        let statuses = request.descriptors.iter().map(count).collect::<Result<Vec<_>, _>>()?;
        let over = statuses.iter().any(|status| status.code == Code::OverLimit as i32);
        Ok(RateLimitResponse {
            overall_code: if over { Code::OverLimit } else { Code::Ok } as i32,
            statuses,
            ..Default::default()
        })
    }
}

#[tonic::async_trait]
impl RateLimitService for Service {
    async fn should_rate_limit(
        &self,
        request: Request<RateLimitRequest>,
    ) -> Result<Response<RateLimitResponse>, Status> {
        let limits = Arc::clone(&self.0);
        // A store may block.
        let answered = tokio::task::spawn_blocking(move || limits.answer(&request.into_inner())).await;
        answered.map_err(|error| Status::internal(error.to_string()))?.map(Response::new)
    }
}

fn engine(redis: Option<&str>) -> Result<RateLimiter, Box<dyn std::error::Error>> {
    let Some(url) = redis else { return Ok(RateLimiter::new(100_000)) };
    Ok(RateLimiter::new_with_storage(Box::new(redis_store::RedisStore::new(url)?)))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let port: u16 = arguments.first().ok_or("which port?")?.parse()?;
    let count_refused = arguments.iter().any(|word| word == "count-refused");
    let redis = arguments.iter().position(|word| word == "redis").and_then(|at| arguments.get(at + 1));
    let limits = Arc::new(Limits { engine: engine(redis.map(String::as_str))?, count_refused });
    println!("limits on 127.0.0.1:{port}");
    let service = RateLimitServiceServer::new(Service(limits));
    Server::builder().add_service(service).serve(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    Ok(())
}
