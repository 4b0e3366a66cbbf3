//! The networks of mail providers, as their SPF records name them.
//!
//! Only `ip4`, `ip6`, `include` and `redirect` count: a provider that names its networks in another way has to be named by
//! network. What was found is kept for an hour; while DNS does not answer, what it said last stands, for a day. Until it has
//! answered nobody is in a network, and copies are put off, which loses none.
//!
//! Standards: RFC 7208 §4.6.4 (how many look-ups), §5.2 (include), §6.1 (redirect).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::clock::{Clock, Timestamp};
use crate::dns::{DnsError, Resolver};
use crate::store::routes::RouteRow;

/// How long networks are kept.
const KEPT: Duration = Duration::from_secs(3_600);
/// How long they stand while DNS does not answer.
const STANDING: Duration = Duration::from_secs(24 * 3_600);
/// After trouble of DNS it is asked again no sooner than this.
const AGAIN: Duration = Duration::from_secs(10);
/// Records of one provider at most; its own, and what they include.
const RECORDS: usize = 20;
/// Networks of one provider at most.
const NETWORKS: usize = 2_000;
/// Providers that are remembered.
const PROVIDERS: u64 = 1_000;

/// The networks of providers. Clones share what was found.
#[derive(Debug, Clone)]
pub(in crate::pipeline) struct Ranges {
    resolver: Option<Resolver>,
    clock: Clock,
    found: moka::future::Cache<String, Arc<Known>>,
}

/// What is known of one provider.
#[derive(Debug)]
struct Known {
    networks: Vec<IpNet>,
    /// When DNS last told them.
    told_at: Option<Timestamp>,
    /// When to ask anew.
    due_at: Timestamp,
}

impl Ranges {
    pub(in crate::pipeline) fn new(clock: Clock, resolver: Option<Resolver>) -> Self {
        let found = moka::future::Cache::builder().max_capacity(PROVIDERS).build();
        Self { resolver, clock, found }
    }

    /// Whether `peer` is in a network of a provider that the route names, which is everybody's.
    pub(in crate::pipeline) async fn are_named(&self, route: &RouteRow, peer: Option<IpAddr>) -> bool {
        let Some(peer) = peer else { return false };
        for provider in route.peers.iter().filter_map(|rule| rule.provider()) {
            if self.contains(provider.spf(), peer).await {
                return true;
            }
        }
        false
    }

    /// Whether `peer` is in a network that the SPF record of `domain` names.
    async fn contains(&self, domain: &str, peer: IpAddr) -> bool {
        let known = self.found.get(domain).await.filter(|known| self.clock.now() < known.due_at);
        let known = match known {
            Some(known) => known,
            // However many ask at the same time: DNS is asked once.
            None => {
                let asked = self.found.entry_by_ref(domain);
                let entry = asked.or_insert_with_if(self.ask(domain), |known| self.clock.now() >= known.due_at).await;
                entry.into_value()
            }
        };
        known.networks.iter().any(|network| network.contains(&peer))
    }

    async fn ask(&self, domain: &str) -> Arc<Known> {
        let before = self.found.get(domain).await;
        let found = self.networks(domain).await;
        let now = self.clock.now();
        Arc::new(match found {
            Ok(networks) => Known { networks, told_at: Some(now), due_at: now.plus(KEPT) },
            Err(error) => {
                tracing::warn!(
                    error.kind = "dns",
                    temporary = true,
                    dns.name = domain,
                    "The networks of a provider cannot be looked up: {error}"
                );
                let told_at = before.as_ref().and_then(|known| known.told_at);
                let stands = told_at.is_some_and(|told_at| now.since(told_at) < STANDING);
                let networks = before.filter(|_| stands).map(|known| known.networks.clone()).unwrap_or_default();
                Known { networks, told_at, due_at: now.plus(AGAIN) }
            }
        })
    }

    async fn networks(&self, domain: &str) -> Result<Vec<IpNet>, DnsError> {
        let Some(resolver) = &self.resolver else { return Ok(Vec::new()) };
        let (mut networks, mut asked) = (Vec::new(), Vec::new());
        let mut waiting = vec![domain.to_owned()];
        while let Some(name) = waiting.pop() {
            if asked.len() >= RECORDS || asked.contains(&name) {
                continue;
            }
            for text in resolver.texts(&name).await? {
                let text = String::from_utf8_lossy(&text).to_ascii_lowercase();
                read(&text, &mut networks, &mut waiting);
            }
            asked.push(name);
        }
        networks.truncate(NETWORKS);
        Ok(networks)
    }
}

/// Takes the networks and the further names out of an SPF record; nothing of any other text.
fn read(record: &str, networks: &mut Vec<IpNet>, names: &mut Vec<String>) {
    let mut terms = record.split_ascii_whitespace();
    if terms.next() != Some("v=spf1") {
        return;
    }
    for term in terms {
        // What a record fails, softens or leaves open is no network of the provider.
        let term = term.strip_prefix('+').unwrap_or(term);
        if let Some(range) = term.strip_prefix("ip4:").or_else(|| term.strip_prefix("ip6:")) {
            let alone = || range.parse::<IpAddr>().ok().map(IpNet::from);
            networks.extend(range.parse::<IpNet>().ok().or_else(alone));
        } else if let Some(name) = term.strip_prefix("include:").or_else(|| term.strip_prefix("redirect=")) {
            names.push(name.trim_end_matches('.').to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::ResolverSettings;
    use crate::dns::zone::{Trouble, Zone};

    #[test]
    fn of_a_record_its_networks_and_further_names_are_taken() {
        let (mut networks, mut names) = (Vec::new(), Vec::new());
        let record = "v=spf1 ip4:192.0.2.0/24 +ip4:198.51.100.7 ip6:2001:db8::/32 -ip4:203.0.113.0/24 ?ip4:203.0.113.9 \
                      a mx include:a.example redirect=b.example. ip4:x -all";
        read(record, &mut networks, &mut names);
        let networks: Vec<String> = networks.iter().map(ToString::to_string).collect();
        assert_eq!(networks, ["192.0.2.0/24", "198.51.100.7/32", "2001:db8::/32"]);
        assert_eq!(names, ["a.example", "b.example"]);
        let mut none = Vec::new();
        read("v=spf10 ip4:192.0.2.0/24", &mut none, &mut names);
        read("ip4:192.0.2.0/24", &mut none, &mut names);
        assert!(none.is_empty());
    }

    #[tokio::test]
    async fn networks_are_followed_through_includes_and_stand_a_day_without_an_answer() {
        let zone = Zone::start().unwrap();
        zone.txt("spf.provider.example", "v=spf1 include:a.example -all");
        zone.txt("a.example", "v=spf1 ip4:192.0.2.0/24 include:spf.provider.example ~all");
        let settings = ResolverSettings { servers: vec![zone.address()], timeout: Duration::from_secs(2), attempts: 2 };
        let clock = Clock::fixed(Timestamp::from_micros(0));
        let ranges = || Ranges::new(clock.clone(), Some(Resolver::new(&settings).unwrap()));
        let kept = ranges();
        let contains =
            async |ranges: &Ranges, peer: &str| ranges.contains("spf.provider.example", peer.parse().unwrap()).await;
        assert!(contains(&kept, "192.0.2.9").await);
        assert!(!contains(&kept, "198.51.100.9").await);
        let asked = zone.asked();
        assert!(contains(&kept, "192.0.2.9").await);
        assert_eq!(zone.asked(), asked, "kept for an hour");
        zone.trouble_everywhere(Some(Trouble::Fails));
        // A resolver of its own: what is asked is not in its cache.
        let fresh = Ranges { found: kept.found.clone(), ..ranges() };
        clock.advance(2 * KEPT);
        assert!(contains(&fresh, "192.0.2.9").await, "what DNS said last stands");
        clock.advance(STANDING);
        assert!(!contains(&fresh, "192.0.2.9").await, "for a day");
        zone.trouble_everywhere(None);
        assert!(!contains(&fresh, "192.0.2.9").await);
        clock.advance(AGAIN);
        assert!(contains(&ranges(), "192.0.2.9").await);
    }
}
