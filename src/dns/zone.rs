//! A name server on loopback that answers from a table: for tests and for measurements that must not leave the machine.
//!
//! It knows only what it was told, can be told to fail, and is never part of a running gateway. It answers on threads of its
//! own until it is dropped.

mod signed;

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use hickory_resolver::proto::op::{Edns, Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, MX, PTR, TLSA, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use self::signed::{Signed, authority};
use super::Anchors;

/// Octets of one text of a TXT record (RFC 1035 §3.3.14).
const TEXT: usize = 255;
/// How often the threads look whether they are still wanted.
const TICK: Duration = Duration::from_millis(50);

/// What a name is answered with instead of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// SERVFAIL.
    Fails,
    /// Nothing at all.
    Silent,
    /// By UDP, an answer that does not fit; by TCP, the records.
    Truncated,
}

#[derive(Default)]
struct Table {
    records: HashMap<Name, Vec<RData>>,
    trouble: HashMap<Name, Trouble>,
    trouble_everywhere: Option<Trouble>,
    asked: u64,
    signed: Option<Signed>,
}

/// A running name server. Clones are the same one.
#[derive(Clone)]
pub struct Zone {
    table: Arc<Mutex<Table>>,
    address: SocketAddr,
    _wanted: Arc<Wanted>,
}

struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl Zone {
    /// Starts one with an empty table, on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port or thread can be had.
    pub fn start() -> io::Result<Self> {
        let (udp, tcp) = sockets()?;
        let address = udp.local_addr()?;
        let (table, is_wanted) = (Arc::<Mutex<Table>>::default(), Arc::new(AtomicBool::new(true)));
        let (first, wanted) = (Arc::clone(&table), Arc::clone(&is_wanted));
        thread::Builder::new().name("zone-udp".into()).spawn(move || serve_udp(&udp, &first, &wanted))?;
        let (second, wanted) = (Arc::clone(&table), Arc::clone(&is_wanted));
        thread::Builder::new().name("zone-tcp".into()).spawn(move || serve_tcp(&tcp, &second, &wanted))?;
        Ok(Self { table, address, _wanted: Arc::new(Wanted(is_wanted)) })
    }

    /// Where it answers.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many questions it was asked.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.lock().asked
    }

    /// Adds a TXT record.
    pub fn txt(&self, name: &str, text: &str) -> &Self {
        let texts: Vec<String> =
            text.as_bytes().chunks(TEXT).map(|chunk| String::from_utf8_lossy(chunk).into_owned()).collect();
        self.add(name, RData::TXT(TXT::new(texts)))
    }

    /// Adds an address, and nothing for the way back.
    pub fn address_of(&self, name: &str, address: IpAddr) -> &Self {
        self.add(
            name,
            match address {
                IpAddr::V4(address) => RData::A(A(address)),
                IpAddr::V6(address) => RData::AAAA(AAAA(address)),
            },
        )
    }

    /// Adds the name of an address.
    pub fn name_of(&self, address: IpAddr, name: &str) -> &Self {
        let pointer = RData::PTR(PTR(absolute(name)));
        self.lock().records.entry(Name::from(address)).or_default().push(pointer);
        self
    }

    /// Adds a mail server.
    pub fn mx(&self, name: &str, host: &str) -> &Self {
        self.exchanger(name, 10, host)
    }

    /// Adds a mail server with its preference; the root (`.`) is the null MX of RFC 7505.
    pub fn exchanger(&self, name: &str, preference: u16, host: &str) -> &Self {
        self.add(name, RData::MX(MX::new(preference, absolute(host))))
    }

    /// Makes a name an alias of another, which need not exist.
    pub fn cname(&self, name: &str, target: &str) -> &Self {
        self.add(name, RData::CNAME(CNAME(absolute(target))))
    }

    /// Says of a server's certificate (RFC 6698 §2.1); the name is `_25._tcp.` and the server's.
    pub fn tlsa(&self, name: &str, usage: u8, selector: u8, matching: u8, data: &[u8]) -> &Self {
        self.add(name, RData::TLSA(TLSA::new(usage.into(), selector.into(), matching.into(), data.to_vec())))
    }

    /// Signs all answers from now on, with a key that is believed by [`Zone::anchor`].
    pub fn sign(&self) -> &Self {
        let made = Signed::new().ok();
        self.lock().signed = made;
        self
    }

    /// The key that answers are signed with; empty while they are not.
    #[must_use]
    pub fn anchor(&self) -> Option<Anchors> {
        self.lock().signed.as_ref().map(|signed| Anchors::of_key(&signed.key))
    }

    /// The same as a file of DNSKEY records.
    #[must_use]
    pub fn anchor_text(&self) -> Option<String> {
        self.lock().signed.as_ref().map(Signed::key_text)
    }

    /// Leaves a domain and all below it out of what is signed, provably.
    pub fn unsigned(&self, name: &str) -> &Self {
        if let Some(signed) = &mut self.lock().signed {
            signed.unsigned.insert(absolute(name));
        }
        self
    }

    /// Answers this name with signatures that are wrong.
    pub fn forge(&self, name: &str) -> &Self {
        if let Some(signed) = &mut self.lock().signed {
            signed.forged.insert(absolute(name));
        }
        self
    }

    /// Answers `name` with trouble from now on.
    pub fn trouble_at(&self, name: &str, trouble: Trouble) -> &Self {
        self.lock().trouble.insert(absolute(name), trouble);
        self
    }

    /// Answers every name with trouble from now on, or as before.
    pub fn trouble_everywhere(&self, trouble: Option<Trouble>) -> &Self {
        self.lock().trouble_everywhere = trouble;
        self
    }

    fn add(&self, name: &str, record: RData) -> &Self {
        self.lock().records.entry(absolute(name)).or_default().push(record);
        self
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Zone {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Zone").field("address", &self.address).finish_non_exhaustive()
    }
}

/// One port for both transports.
fn sockets() -> io::Result<(UdpSocket, TcpListener)> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..20 {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        match TcpListener::bind(udp.local_addr()?) {
            Ok(tcp) => {
                udp.set_read_timeout(Some(TICK))?;
                tcp.set_nonblocking(true)?;
                return Ok((udp, tcp));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn serve_udp(socket: &UdpSocket, table: &Mutex<Table>, is_wanted: &AtomicBool) {
    let mut packet = [0_u8; 4096];
    while is_wanted.load(Ordering::Relaxed) {
        let Ok((length, peer)) = socket.recv_from(&mut packet) else { continue };
        let answered = packet.get(..length).and_then(|question| answer(question, table, true));
        if let Some(reply) = answered {
            let _ = socket.send_to(&reply, peer); // Who asked may be gone.
        }
    }
}

fn serve_tcp(listener: &TcpListener, table: &Mutex<Table>, is_wanted: &AtomicBool) {
    while is_wanted.load(Ordering::Relaxed) {
        let Ok((mut stream, _)) = listener.accept() else {
            thread::sleep(TICK);
            continue;
        };
        let mut exchange = || -> io::Result<()> {
            stream.set_nonblocking(false)?;
            stream.set_read_timeout(Some(TICK * 20))?;
            let mut length = [0_u8; 2];
            stream.read_exact(&mut length)?;
            let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut question)?;
            if let Some(reply) = answer(&question, table, false) {
                let length = u16::try_from(reply.len()).map_err(io::Error::other)?;
                stream.write_all(&[length.to_be_bytes().as_slice(), &reply].concat())?;
            }
            Ok(())
        };
        let _ = exchange(); // Who asked may be gone.
    }
}

/// `None`: no answer at all.
fn answer(question: &[u8], table: &Mutex<Table>, is_udp: bool) -> Option<Vec<u8>> {
    let asked = Message::from_vec(question).ok()?;
    let query = asked.queries.first()?.clone();
    let name = query.name().to_lowercase();
    let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
    table.asked += 1;
    let mut reply = Message::response(asked.metadata.id, OpCode::Query);
    reply.metadata.recursion_available = true;
    reply.metadata.recursion_desired = asked.metadata.recursion_desired;
    reply.add_query(query.clone());
    let trouble = table.trouble_everywhere.or_else(|| table.trouble.get(&name).copied());
    match trouble {
        Some(Trouble::Silent) => return None,
        Some(Trouble::Fails) => reply.metadata.response_code = ResponseCode::ServFail,
        Some(Trouble::Truncated) if is_udp => reply.metadata.truncation = true,
        Some(Trouble::Truncated) | None => fill(&mut reply, &name, query.query_type(), &table),
    }
    reply.to_vec().ok()
}

fn fill(reply: &mut Message, name: &Name, kind: RecordType, table: &Table) {
    let of = |name: &Name, kind: RecordType| -> Vec<Record> {
        let records = table.records.get(name).into_iter().flatten().filter(|record| record.record_type() == kind);
        records.map(|record| Record::from_rdata(name.clone(), 0, record.clone())).collect()
    };
    let records = table.records.get(name);
    reply.add_answers(of(name, kind));
    // RFC 1034 §3.6.2: an alias is answered with what its target has; here one step far, which is enough for tests.
    if let Some(Record { data: RData::CNAME(target), .. }) = of(name, RecordType::CNAME).first()
        && kind != RecordType::CNAME
    {
        reply.add_answers(of(name, RecordType::CNAME));
        reply.add_answers(of(&target.0, kind));
    }
    if reply.answers.is_empty() {
        // RFC 8020: a name above another one exists.
        let exists = records.is_some() || table.records.keys().any(|other| name.zone_of(other));
        reply.metadata.response_code = if exists { ResponseCode::NoError } else { ResponseCode::NXDomain };
        reply.add_authority(authority(&Name::root()));
    }
    if let Some(signed) = &table.signed {
        let types: Vec<RecordType> = records.into_iter().flatten().map(RData::record_type).collect();
        signed.finish(reply, name, kind, &types);
        // Whoever asks for signatures says how much it takes (RFC 6891 §6.1.1).
        let mut edns = Edns::new();
        edns.set_dnssec_ok(true);
        reply.set_edns(edns);
    }
}

/// The names that were given, in lower case with the final dot; what is no name is the root.
fn absolute(name: &str) -> Name {
    let mut name = Name::from_ascii(name).unwrap_or_else(|_| Name::root()).to_lowercase();
    name.set_fqdn(true);
    name
}
