//! Bounces that have no delivery-status part: more than half of those that mail systems really send.
//!
//! Neither sender, subject nor words alone make one: people write "Undeliverable" too, and quote bounces when they ask
//! about them. Who wrote it counts first, then how it begins.

use super::failure;
use super::{Automated, Evidence, answer};
use crate::mail::thread;

/// What `evidence` says, where it is a bounce.
pub(super) fn read(evidence: &Evidence<'_>) -> Option<Automated> {
    is_bounce(evidence).then(|| failure::read(evidence))
}

fn is_bounce(evidence: &Evidence<'_>) -> bool {
    let local = evidence.local_part();
    let is_daemon = DAEMONS.iter().any(|name| local.starts_with(name));
    if evidence.is_list && !is_daemon {
        return false;
    }
    if evidence.author.ends_with("@sns.amazonaws.com") {
        return failure::is_ses_bounce(evidence.text);
    }
    let subject = evidence.subject.to_lowercase();
    let is_mailer = is_daemon || MAILERS.contains(&local) || MAILER_NAMES.iter().any(|name| evidence.name == *name);
    let has_report = evidence.report_type.as_deref() == Some("delivery-status");
    if has_report || (!evidence.failed.is_empty() && (is_mailer || evidence.is_from_nobody)) {
        return true;
    }
    // Who answers or forwards a bounce is a person, or writes from no mailer.
    let is_answer = thread::base_subject(&subject).1 && !is_daemon;
    if is_answer || (!is_daemon && answer::has_subject(&subject)) {
        return false;
    }
    let has_subject = SUBJECTS.iter().any(|phrase| subject.contains(phrase));
    let opening = evidence.opening();
    if is_daemon {
        return !SUCCESSES.iter().any(|phrase| subject.contains(phrase));
    }
    if is_mailer || evidence.is_from_nobody {
        return has_subject || PHRASES.iter().chain(OPENINGS).any(|phrase| opening.contains(phrase));
    }
    // A system that hides behind an ordinary address is known by both.
    has_subject && OPENINGS.iter().any(|phrase| opening.contains(phrase))
}

/// Local parts of what writes bounces and nothing else, or begins with them.
const DAEMONS: [&str; 6] =
    ["mailer-daemon", "mailerdaemon", "mail-daemon", "maildaemon", "microsoftexchange329e71", "mdaemon"];

/// Local parts under which mail systems write, and people too.
const MAILERS: &[&str] = &["postmaster", "mailadmin", "mail-admin", "bounce", "bounces"];

/// Names under which mail systems write.
const MAILER_NAMES: &[&str] = &[
    "mail delivery system",
    "mail delivery subsystem",
    "mail deliver system",
    "mail delivery service",
    "mail administrator",
    "system administrator",
    "mail router",
    "microsoft outlook",
];

/// Subjects of reports that nothing failed.
const SUCCESSES: &[&str] = &["successful", "(success)", "(relay)", "delivery confirmation"];

/// What subjects of bounces contain, lower case.
const SUBJECTS: &[&str] = &[
    "undeliver",
    "delivery status notification",
    "mail delivery fail",
    "delivery failure",
    "delivery failed",
    "delivery has failed",
    "delivery problem",
    "delivery error",
    "delivery report",
    "delivery notification",
    "delivery unsuccessful",
    "failed delivery",
    "failed mail",
    "failure notice",
    "failure delivery",
    "mail failure",
    "returned mail",
    "returned message",
    "returned to sender",
    "returning message to sender",
    "returned email",
    "return to sender",
    "not delivered",
    "non-delivery",
    "nondelivery",
    "nondeliverable",
    "non-deliverable",
    "mail system error",
    "delayed mail",
    "mail delayed",
    "message delayed",
    "delivery delay",
    "delivery is delayed",
    "could not send m",
    "could not be delivered",
    "couldn't be delivered",
    "cannot be delivered",
    "can't be delivered",
    "unable to deliver",
    "not yet been delivered",
    "unknown user",
    "user unknown",
    "invalid recipient",
    "mailbox full",
    "mailbox is full",
    "message you sent blocked",
    "message rejected",
    "mail rejected",
    "rejected mail",
    "bounce notification",
    "bounced mail",
    "email bounce",
    "postmaster notify",
    "unzustellbar",
    "nicht zustellbar",
    "zustellung fehlgeschlagen",
    "zustellfehler",
    "fehler bei der zustellung",
    "zustellung verzögert",
    "nicht zugestellt",
    "konnte nicht zugestellt",
    "non remis",
    "non délivré",
    "non distribu",
    "échec de remise",
    "échec de la remise",
    "échec de distribution",
    "échec de livraison",
    "retour à l'expéditeur",
    "no se pudo entregar",
    "no se ha podido entregar",
    "no se puede entregar",
    "no entregado",
    "imposible de entregar",
    "error de entrega",
    "entrega fallida",
    "correo devuelto",
    "mancato recapito",
    "mancata consegna",
    "non recapitabile",
    "impossibile recapitare",
    "consegna fallita",
    "não entregue",
    "não foi possível entregar",
    "falha na entrega",
    "falha de entrega",
    "devolvida ao remetente",
    "onbestelbaar",
    "niet bezorgd",
    "bezorging mislukt",
    "niet afgeleverd",
    "niedostarczal",
    "nie można dostarczyć",
    "nie dostarczono",
    "kunde inte levereras",
    "kan inte levereras",
    "går inte att leverera",
    "kunne ikke leveres",
    "недоставлен",
    "не доставлен",
    "配信不能",
];

/// What bounces say in the beginning, lower case, where a mail system wrote them or nobody did.
const PHRASES: &[&str] = &[
    "undeliver",
    "could not be delivered",
    "couldn't be delivered",
    "cannot be delivered",
    "wasn't delivered",
    "was not delivered",
    "not been delivered",
    "unable to deliver",
    "unable to be delivered",
    "failed to deliver",
    "delivery failed",
    "delivery has failed",
    "delivery attempt",
    "delivery failure",
    "did not reach",
    "could not be reached",
    "has been rejected",
    "was rejected",
    "has been blocked",
    "was blocked",
    "has been returned",
    "user unknown",
    "unknown user",
    "no such user",
    "recipient rejected",
    "mailbox full",
    "mailbox is full",
    "over quota",
    "does not exist",
    "doesn't exist",
    "nicht zugestellt",
    "nicht erreicht",
    "n'a pas été remis",
    "n'a pu être remis",
    "no ha sido posible entregar",
    "no se pudo entregar",
    "non è stato recapitato",
    "não pôde ser entregue",
    "kon niet worden bezorgd",
    "送信できませんでした",
    "配送できませんでした",
    "не доставлено",
];

/// How the well-known systems begin, lower case: nobody writes so by chance.
const OPENINGS: &[&str] = &[
    "this message was created automatically by mail delivery software",
    "this is the qmail-send program",
    "this is the mail system at host",
    "this is the postfix program at host",
    "i'm sorry to have to inform you that your message could not",
    "i'm afraid i wasn't able to deliver your message",
    "the original message was received at",
    "delivery to the following recipient",
    "delivery has failed to these recipients",
    "sorry, we were unable to deliver your message",
    "your message did not reach some or all of the intended recipients",
    "an error occurred while trying to deliver the mail to the following recipients",
    "this report relates to a message you sent",
    "this is an automatically generated delivery status notification",
    "dies ist eine automatisch erzeugte benachrichtigung",
    "your message wasn't delivered to",
    "we could not deliver your message",
];
