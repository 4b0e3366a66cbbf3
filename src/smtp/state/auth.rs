//! AUTH: the exchange of one mechanism, and what its answer changes.
//!
//! Standard: RFC 4954 §4. Only under TLS, only between transactions, and once.

use super::{Channel, Dialect, Effect, Greeted, Machine, Next, State, Step};
use crate::intake::{AuthenticationAnswer, Credentials};
use crate::smtp::line::{self, Line};
use crate::smtp::reply::{self, Reply};
use crate::smtp::sasl::{self, Malformed, Mechanism};

/// Octets of a response (RFC 4954 §4.5), CRLF included.
const RESPONSE: usize = 12_288;

/// An exchange that waits for the peer's next response.
#[derive(Debug)]
pub(super) struct Exchange {
    greeted: Greeted,
    awaits: Awaited,
}

#[derive(Debug)]
enum Awaited {
    Plain,
    LoginUser,
    LoginPassword { user: String },
}

impl Exchange {
    pub(super) fn helo(&self) -> &str {
        &self.greeted.helo
    }
}

impl Machine {
    /// Whether EHLO offers AUTH.
    pub(super) fn offers_auth(&self) -> bool {
        self.channel == Channel::Encrypted && self.settings.dialect != Dialect::Lmtp
    }

    pub(super) fn auth<'a>(&mut self, state: State, mechanism: &str, initial: Option<&str>) -> Next<'a> {
        match (self.channel, self.settings.dialect) {
            (_, Dialect::Lmtp) | (Channel::Clear, _) => return self.fault(state, reply::NOT_IMPLEMENTED),
            (Channel::Upgradable, _) => return self.fault(state, reply::TLS_FIRST),
            (Channel::Encrypted, _) => {}
        }
        let greeted = match state {
            State::Greeted(greeted) if !self.is_authenticated => greeted,
            State::Greeted(_) => return self.fault(state, reply::AUTH_ALREADY),
            State::Addressing(_) => return self.fault(state, reply::AUTH_INSIDE_TRANSACTION),
            state => return self.fault(state, reply::HELO_FIRST),
        };
        let awaits = match Mechanism::parse(mechanism) {
            None => return self.fault(State::Greeted(greeted), reply::UNKNOWN_MECHANISM),
            Some(Mechanism::Plain) => Awaited::Plain,
            Some(Mechanism::Login) => Awaited::LoginUser,
        };
        let exchange = Exchange { greeted, awaits };
        match (initial, &exchange.awaits) {
            (Some(response), _) => self.respond(exchange, response),
            (None, Awaited::Plain) => Self::ask(exchange, reply::GO_ON),
            (None, _) => Self::ask(exchange, reply::USER_NAME),
        }
    }

    /// One line inside the exchange.
    pub(super) fn response<'a>(&mut self, exchange: Box<Exchange>, bytes: &'a [u8]) -> Next<'a> {
        let (consumed, line) = self.line.take(bytes, RESPONSE);
        let (state, step) = match line {
            None => (State::Authenticating(exchange), Step::nothing()),
            Some(Line::Overlong) => self.fault(State::Greeted(exchange.greeted), reply::LINE_TOO_LONG),
            Some(Line::Whole(line)) => match line::text(&line) {
                None => self.fault(State::Greeted(exchange.greeted), reply::BAD_RESPONSE),
                Some("*") => self.fault(State::Greeted(exchange.greeted), reply::AUTH_CANCELLED),
                Some(text) => self.respond(*exchange, text),
            },
        };
        (state, Step { consumed, ..step })
    }

    fn respond<'a>(&mut self, exchange: Exchange, response: &str) -> Next<'a> {
        let Exchange { greeted, awaits } = exchange;
        let credentials = match awaits {
            Awaited::Plain => sasl::plain(response),
            Awaited::LoginUser => match sasl::decode(response) {
                Ok(user) => {
                    let awaits = Awaited::LoginPassword { user };
                    return Self::ask(Exchange { greeted, awaits }, reply::PASSWORD);
                }
                Err(malformed) => Err(malformed),
            },
            Awaited::LoginPassword { user } => sasl::decode(response).map(|password| Credentials { user, password }),
        };
        match credentials {
            Ok(credentials) => (State::Verifying(greeted), Step::effect(Effect::Authenticate(Box::new(credentials)))),
            Err(Malformed) => self.fault(State::Greeted(greeted), reply::BAD_RESPONSE),
        }
    }

    fn ask<'a>(exchange: Exchange, reply: Reply) -> Next<'a> {
        (State::Authenticating(Box::new(exchange)), Step::reply(reply))
    }

    pub(super) fn authenticated<'a>(&mut self, greeted: Greeted, answer: AuthenticationAnswer) -> Next<'a> {
        match answer {
            AuthenticationAnswer::Known(_) => {
                self.is_authenticated = true;
                (State::Greeted(greeted), Step::reply(reply::AUTHENTICATED))
            }
            AuthenticationAnswer::Refused => self.fault(State::Greeted(greeted), reply::BAD_CREDENTIALS),
            AuthenticationAnswer::TooOften => Self::close(reply::TOO_MANY_FAILURES),
            AuthenticationAnswer::Unavailable => self.fault(State::Greeted(greeted), reply::CANNOT_AUTHENTICATE),
        }
    }
}
