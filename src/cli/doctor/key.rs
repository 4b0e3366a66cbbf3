//! Whether the instance key that is in place opens this installation, and whether it is being changed.

use super::report::Finding;
use crate::app::instance::keyring::{SEEN_WITHIN, look};
use crate::config::Config;
use crate::seal::keyring::SecretId;
use crate::store::Store;

const CHECK: &str = "key";

/// Looks at the key, and changes nothing.
pub(super) async fn gather(config: &Config, store: &Store) -> Finding {
    let unlocked = match look(config, store).await {
        Ok(Some(unlocked)) => unlocked,
        Ok(None) => {
            return Finding::note(CHECK, "there is no instance key yet", "nothing to do: the first start makes it");
        }
        Err(error) => {
            let remedy = "nothing is lost by that: with the right key all mail and all secrets are there";
            return Finding::problem(CHECK, error.to_string(), remedy);
        }
    };
    let own = unlocked.secret.id();
    let keys = unlocked.locked.map(|locked| locked.keys()).unwrap_or_default();
    let holders = store.key_holders(SEEN_WITHIN).await.unwrap_or_default();
    let newest = keys.last().unwrap_or(&own).to_string();
    let behind: Vec<String> =
        holders.into_iter().filter(|holder| holder.key != newest).map(|holder| holder.name).collect();
    judge(&own, &keys, &behind)
}

/// Judges the key `own`, where `keys` open the keyring, the newest last, and the gateways `behind` have another than that.
fn judge(own: &SecretId, keys: &[SecretId], behind: &[String]) -> Finding {
    let changing = "the instance key is being changed";
    match keys {
        [] => Finding::good(CHECK, format!("the instance key {own} was never changed")),
        [_] => Finding::good(CHECK, format!("the instance key {own} opens the keyring, and no other does")),
        [.., newest] if newest == own => {
            let others = if behind.is_empty() {
                "no running gateway is known to have the old one".to_owned()
            } else {
                format!("these gateways still have the old one: {}", behind.join(", "))
            };
            Finding::note(
                CHECK,
                format!("{changing}: the new one, {own}, is in place here; {others}"),
                "put the new key in place on every node, then run `connex instance rotate-key --finish`",
            )
        }
        [.., newest] => Finding::note(
            CHECK,
            format!("{changing}: the old one, {own}, is in place here, and the new one is {newest}"),
            "put the new key in place here and start the gateway again; or, if the change was interrupted, run `connex instance rotate-key` again",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::Level;
    use super::*;

    #[test]
    fn a_change_is_told_with_the_key_that_is_in_place_and_who_is_behind() {
        let key = |name: &str| SecretId::from_text(name.to_owned());
        let (old, new) = (key("aaaa"), key("bbbb"));
        assert_eq!(judge(&old, &[], &[]).level, Level::Good);
        assert_eq!(judge(&new, std::slice::from_ref(&new), &[]).level, Level::Good);
        let both = [old.clone(), new.clone()];
        let found = judge(&old, &both, &[]);
        assert!(found.level == Level::Note && found.what.contains("the old one, aaaa, is in place here"), "{found:?}");
        let found = judge(&new, &both, &["gw-2".to_owned()]);
        assert!(found.level == Level::Note && found.what.contains("still have the old one: gw-2"), "{found:?}");
        assert!(found.remedy.unwrap().contains("--finish"));
    }
}
