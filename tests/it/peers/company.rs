//! A company whose own mail server copies mail to a route, set up as `docs/journaling.md` says.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::domains::prove;
use crate::harness::{Authority, Destination, Engine, Gateway, Wire, free_port, list, stuffed, text, wait_for};

/// A gateway with TLS whose tenant has proven a domain, and the server at which the company's mail arrives.
pub struct Company {
    pub gateway: Gateway,
    /// The proven domain.
    pub domain: String,
    pub far: Destination,
    pub folder: tempfile::TempDir,
    pub authority: Authority,
    port: u16,
}

/// A route of it.
pub struct Route {
    pub id: String,
    pub address: String,
}

impl Company {
    /// On any engine.
    pub fn start(engine: Engine) -> Self {
        Self::with(|tls| Gateway::serving(engine, tls))
    }

    /// One whose gateway has the same port after it was started again.
    pub fn at_one_port() -> (Self, tempfile::TempDir) {
        let data = tempfile::tempdir().unwrap();
        let listen = format!("[smtp]\nlisten = [\"127.0.0.1:{}\"]", free_port());
        let company = Self::with(|tls| {
            Gateway::serving_with(data.path(), tls, |text| text.replace("[smtp]\nlisten = [\"127.0.0.1:0\"]", &listen))
        });
        (company, data)
    }

    fn with(start: impl FnOnce(&str) -> Gateway) -> Self {
        let folder = tempfile::Builder::new().prefix("connex-company-").tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let authority = Authority::new("Lake CA");
        authority.write(&folder.path().join("ca.pem"));
        let own = authority.issue(folder.path(), "localhost");
        let gateway = start(&format!(
            "[tls]\ncert_file = {:?}\nkey_file = {:?}\nclient_ca_file = {:?}\n",
            own.cert,
            own.key,
            folder.path().join("ca.pem")
        ));
        let domain = prove(&gateway);
        let port = gateway.smtp().port();
        Self { gateway, domain, far: Destination::start(), folder, authority, port }
    }

    /// Adds a route for blind copies that believes `peer`.
    pub fn route(&self, peer: &str) -> Route {
        let add = ["route", "add", "--tenant", "acme", "--app", "crm", "--kind", "bcc", "--peer", peer];
        let route = self.gateway.json(&add);
        Route { id: text(&route, "/id").to_owned(), address: text(&route, "/address").to_owned() }
    }

    /// The authority of the gateway's certificate.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The block of `docs/journaling.md` that has this line in it, with the values of this company in place of the examples.
    pub fn documented(&self, line: &str, route: &Route) -> String {
        let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/journaling.md");
        let text = std::fs::read_to_string(document).unwrap();
        let blocks = text.split("```text\n").skip(1).filter_map(|rest| rest.split("```").next());
        let block = blocks.into_iter().find(|block| block.lines().any(|own| own == line));
        let block = block.unwrap_or_else(|| panic!("no block of the document has the line {line:?}"));
        let (user, domain) = route.address.split_once('@').unwrap();
        block
            .replace("bcc-TOKEN", user)
            .replace("in.example.org", domain)
            .replace("[mx.example.org]:25", &format!("[localhost]:{}", self.port))
            .replace("acme\\.example", &self.domain.replace('.', "\\."))
            .replace("/etc/ssl/certs/ca-certificates.crt", self.ca().to_str().unwrap())
            .replace("/etc/postfix", self.folder.path().to_str().unwrap())
    }

    /// The same for Exim: routers and transports.
    pub fn exim(&self, route: &Route) -> String {
        let block = self.documented("# routers", route);
        let (routers, transports) = block.split_once("# transports\n").expect("transports");
        let routers = routers.replace("* mx.example.org", "* localhost byname\n  self = send");
        let transports = transports
            .replace("= system", "= OWN/ca.pem")
            .replace("driver = smtp\n", &format!("driver = smtp\n  port = {}\n", self.port));
        let far = self.far.port();
        format!(
            "begin routers\n{routers}far:\n  driver = manualroute\n  transport = far\n  route_list = * 127.0.0.1 byname\n  \
             self = send\nbegin transports\n{transports}far:\n  driver = smtp\n  port = {far}\nbegin retry\n* * F,1h,1s\n"
        )
    }

    /// The same for Postfix: its main.cf, whose tables are written.
    pub fn postfix(&self, route: &Route) -> String {
        let main = self.files(&self.documented("# /etc/postfix/main.cf", route));
        format!("default_transport = smtp:[127.0.0.1]:{}\n{main}", self.far.port())
    }

    /// Writes the files that a block names by comments, but for main.cf, which is given back.
    pub fn files(&self, block: &str) -> String {
        let folder = format!("# {}/", self.folder.path().display());
        let mut name = "main.cf";
        let mut main = String::new();
        for line in block.lines() {
            if let Some(rest) = line.strip_prefix(&folder) {
                name = rest.split(',').next().unwrap();
                continue;
            }
            if name == "main.cf" {
                main += &format!("{line}\n");
                continue;
            }
            let path = self.folder.path().join(name);
            let before = std::fs::read_to_string(&path).unwrap_or_default();
            std::fs::write(path, format!("{before}{line}\n")).unwrap();
        }
        main
    }

    /// The events of this Message-ID, once its mail server has nothing in its queue and the gateway has read all it took.
    pub fn events(&self, id: &str, queued: impl Fn() -> usize) -> Vec<Value> {
        wait_for("an empty queue of the mail server", || (queued() == 0).then_some(()));
        let messages = wait_for("the copies in the index", || {
            let messages = self.gateway.messages();
            let is_read = |one: &Value| text(one, "/state") != "spooled";
            (!messages.is_empty() && messages.iter().all(is_read)).then_some(messages)
        });
        let explained: Vec<Value> = messages.iter().map(|one| self.gateway.explained(text(one, "/id"))).collect();
        let all = explained.iter().flat_map(|one| list(one, "/events"));
        all.filter(|one| text(one, "/event/rfcMessageId") == id).map(|one| one["event"].clone()).collect()
    }

    /// The one event of this Message-ID, which is a trusted copy and does not show the route.
    pub fn event(&self, id: &str, route: &Route, queued: impl Fn() -> usize) -> Value {
        let events = self.events(id, queued);
        assert_eq!(events.len(), 1, "one event for all copies of a mail: {events:?}{}", self.gateway.log());
        let event = events.into_iter().next().unwrap();
        assert_eq!((text(&event, "/source/kind"), &event["trusted"]), ("bcc", &Value::Bool(true)), "{event}");
        self.is_hidden(route, &event.to_string());
        event
    }

    /// Neither what apps see nor what arrives anywhere else has the route's address in it.
    pub fn is_hidden(&self, route: &Route, shown: &str) {
        let secret = route.address.split('@').next().unwrap();
        assert!(!shown.contains(secret), "the address of the route is shown: {shown}");
        for mail in self.far.delivered() {
            let all = format!("{:?}{}", mail.to, String::from_utf8_lossy(&mail.bytes));
            assert!(!all.contains(secret), "the address of the route went out: {all}");
        }
    }
}

/// Recipients of an event, each with its type, in the order of their addresses.
pub fn recipients(event: &Value) -> Vec<(&str, &str)> {
    let mut all: Vec<_> =
        list(event, "/recipients").iter().map(|one| (text(one, "/address"), text(one, "/type"))).collect();
    all.sort_unstable();
    all
}

/// Gives a mail to the company's server as one of its clients does.
pub fn hand_over(server: std::net::SocketAddr, from: &str, to: &[&str], mail: &[u8]) {
    let mut wire = Wire::hello(server).unwrap();
    let paths = to.iter().map(|to| format!("RCPT TO:<{to}>"));
    for line in std::iter::once(format!("MAIL FROM:<{from}> BODY=8BITMIME")).chain(paths) {
        let (code, reply) = wire.command(&line).unwrap();
        assert_eq!(code, 250, "{reply}");
    }
    assert_eq!(wire.command("DATA").unwrap().0, 354);
    wire.send(&stuffed(mail)).unwrap();
    let (code, reply) = wire.reply().unwrap();
    assert_eq!(code, 250, "{reply}");
}

/// A mail of somebody to somebody, as people write them.
pub fn mail(id: &str, from: &str, to: &str) -> Vec<u8> {
    format!(
        "From: <{from}>\r\nTo: <{to}>\r\nSubject: Proof of funds\r\nDate: Mon, 23 Nov 2026 09:01:00 +0000\r\n\
         Message-ID: <{id}>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 8bit\r\n\r\n.\r\nZw\u{f6}lf: could you send the proof of funds by Friday?\r\n"
    )
    .into_bytes()
}
