//! `[providers]`: mail that providers hand over by webhook.

use super::reader::Reader;
use super::secret::Secret;

/// `[providers]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Providers {
    /// Memory for bodies that are being read, in octets.
    pub memory: u64,
    /// Signing keys of Mailgun accounts; none: no signature is asked for.
    pub mailgun_signing_keys: Vec<Secret>,
    /// SNS topics that are listened to.
    pub ses_topics: Vec<String>,
}

impl Providers {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let keys = reader.secret("providers.mailgun_signing_keys", "providers.mailgun_signing_keys_file", 16);
        let topic = |text: &str| {
            let parts: Vec<&str> = text.split(':').collect();
            let is_topic = matches!(parts.as_slice(), ["arn", partition, "sns", region, account, name]
                if partition.starts_with("aws") && ![region, account, name].iter().any(|part| part.is_empty()));
            (is_topic && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| text.to_owned())
        };
        Self {
            memory: reader.size("providers.memory", (1 << 20)..=(1 << 40)),
            mailgun_signing_keys: keys
                .iter()
                .flat_map(|keys| keys.expose().split([',', ' ', '\n', '\r', '\t']))
                .filter(|key| !key.is_empty())
                .map(Secret::new)
                .collect(),
            ses_topics: reader.list(
                "providers.ses_topics",
                "the ARN of an SNS topic, such as arn:aws:sns:eu-west-1:123456789012:mail",
                topic,
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Loader};

    fn load(text: &str, keys: &str) -> Result<Config, String> {
        let environment = [("CONNEX__PROVIDERS__MAILGUN_SIGNING_KEYS".to_owned(), keys.to_owned())];
        let environment = environment.into_iter().filter(|(_, keys)| !keys.is_empty());
        Loader::new().text("test", text).environment(environment).load().map_err(|faults| faults.to_string())
    }

    #[test]
    fn signing_keys_are_a_list_that_is_not_shown() {
        let config = load("", "key-0123456789abcdef,key-fedcba9876543210").unwrap();
        let keys: Vec<_> = config.providers.mailgun_signing_keys.iter().map(super::Secret::expose).collect();
        assert_eq!(keys, ["key-0123456789abcdef", "key-fedcba9876543210"]);
        let shown = format!("{config:?}{}", crate::config::show::to_toml(&config.layers));
        assert!(!shown.contains("0123456789abcdef"), "{shown}");
        assert!(load("", "short").is_err());
        assert_eq!(load("", "").unwrap().providers.mailgun_signing_keys, []);
    }

    #[test]
    fn a_topic_is_an_arn_of_sns() {
        let topics = |topic: &str| load(&format!("[providers]\nses_topics = [\"{topic}\"]\n"), "");
        assert!(topics("arn:aws:sns:eu-west-1:123456789012:mail").is_ok());
        for wrong in ["mail", "arn:aws:sqs:eu-west-1:123456789012:mail", "arn:aws:sns:eu-west-1::mail", "arn:aws:sns:"]
        {
            assert!(topics(wrong).unwrap_err().contains("providers.ses_topics"), "{wrong}");
        }
    }
}
