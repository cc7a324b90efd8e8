//! Counters of Limitador's engine in a Redis.
//!
//! Limitador 0.14 has a store for Redis, but it does not compile by itself: its keys come from a module that is there
//! with `disk_storage` alone, which is RocksDB and wants clang. This one keeps a counter under a key that names its
//! limit and its variables, checks and counts it in one script, and waits for Redis a fifth of a second at most.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use limitador::counter::Counter;
use limitador::limit::Limit;
use limitador::reservation::ReservationId;
use limitador::storage::{Authorization, CounterStorage, StorageErr};
use redis::{Client, Connection, RedisResult, Script};

/// How long Redis is waited for.
const PATIENCE: Duration = Duration::from_millis(200);

/// KEYS[1]: the counter. ARGV: what is added, the limit (-1: whatever it is), the window in seconds.
/// Gives whether it fitted, what was counted before, and the milliseconds that are left.
const COUNT: &str = "
    local used = tonumber(redis.call('get', KEYS[1]) or '0')
    local add, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
    local fits = limit < 0 or used + add <= limit
    if fits and add > 0 then
      redis.call('incrby', KEYS[1], add)
      if redis.call('pttl', KEYS[1]) < 0 then redis.call('expire', KEYS[1], ARGV[3]) end
    end
    return {fits and 1 or 0, used, redis.call('pttl', KEYS[1])}";

pub struct RedisStore {
    client: Client,
    script: Script,
    idle: Mutex<Vec<Connection>>,
}

impl RedisStore {
    pub fn new(url: &str) -> RedisResult<RedisStore> {
        Ok(RedisStore { client: Client::open(url)?, script: Script::new(COUNT), idle: Mutex::default() })
    }

    fn connect(&self) -> RedisResult<Connection> {
        let connection = self.client.get_connection_with_timeout(PATIENCE)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        connection.set_write_timeout(Some(PATIENCE))?;
        Ok(connection)
    }

    fn ask(&self, counter: &Counter, add: u64, limit: i64) -> RedisResult<(bool, u64, i64)> {
        let window = counter.window().as_secs();
        let mut conditions: Vec<String> = counter.limit().conditions().into_iter().collect();
        conditions.sort();
        let key = format!(
            "limits:{{{}}}:{window}:{}:{conditions:?}:{:?}",
            counter.namespace().as_ref(),
            counter.max_value(),
            counter.set_variables()
        );
        // A connection that has failed is dropped: what it would answer next may be another's answer.
        let idle = self.idle.lock().ok().and_then(|mut idle| idle.pop());
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let answer = self.script.key(key).arg(add).arg(limit).arg(window).invoke(&mut connection)?;
        if let Ok(mut idle) = self.idle.lock() {
            idle.push(connection);
        }
        Ok(answer)
    }

    /// As [`RedisStore::ask`]. Limitador lets nobody else make its error, so that of what this store does not do stands
    /// for every failure; the cause is printed.
    fn count(&self, counter: &Counter, add: u64, limit: i64) -> Result<(bool, u64, i64), StorageErr> {
        self.ask(counter, add, limit).or_else(|error| {
            eprintln!("redis: {error}");
            self.release_reservation(&[], &ReservationId::new()).map(|_| (false, 0, 0))
        })
    }

    fn each(&self, counters: &mut [Counter], delta: u64, counts: bool) -> Result<Authorization, StorageErr> {
        let mut first = None;
        for counter in counters {
            let most = i64::try_from(counter.max_value()).unwrap_or(i64::MAX);
            let (add, limit) = if counts { (delta, most) } else { (0, -1) };
            let (fitted, used, left) = self.count(counter, add, limit)?;
            let fits = fitted && used.saturating_add(delta) <= counter.max_value();
            counter.set_remaining(counter.max_value().saturating_sub(used));
            counter.set_expires_in(u64::try_from(left).map_or(counter.window(), Duration::from_millis));
            if !fits && first.is_none() {
                first = Some(Authorization::Limited(counter.limit().name().map(str::to_owned)));
            }
        }
        Ok(first.unwrap_or(Authorization::Ok))
    }
}

impl CounterStorage for RedisStore {
    fn is_within_limits(&self, counter: &Counter, delta: u64) -> Result<bool, StorageErr> {
        let (_, used, _) = self.count(counter, 0, -1)?;
        Ok(used.saturating_add(delta) <= counter.max_value())
    }

    fn add_counter(&self, _: &Limit) -> Result<(), StorageErr> {
        Ok(())
    }

    fn update_counter(&self, counter: &Counter, delta: u64) -> Result<(), StorageErr> {
        self.count(counter, delta, -1).map(|_| ())
    }

    fn check(&self, counters: &mut Vec<Counter>, delta: u64) -> Result<Authorization, StorageErr> {
        self.each(counters, delta, false)
    }

    /// Exact for one counter, which is what this service asks with.
    fn check_and_update(&self, counters: &mut Vec<Counter>, delta: u64) -> Result<Authorization, StorageErr> {
        self.each(counters, delta, true)
    }

    fn get_counters(&self, _: &HashSet<Arc<Limit>>) -> Result<HashSet<Counter>, StorageErr> {
        Ok(HashSet::new())
    }

    fn delete_counters(&self, _: &HashSet<Arc<Limit>>) -> Result<(), StorageErr> {
        Ok(())
    }

    fn clear(&self) -> Result<(), StorageErr> {
        Ok(())
    }
}
