use super::*;
use crate::contract::request::AppContext;

fn app(statuses: &[&str]) -> AppProfile {
    let allowed_statuses = statuses.iter().map(|&status| status.to_owned()).collect();
    AppProfile { context: AppContext { allowed_statuses, ..AppContext::default() }, ..AppProfile::default() }
}

fn map(status: &str, approval: bool, app: &AppProfile) -> Mapped {
    let taxonomy = Taxonomy::read(include_str!("../data/taxonomy.json")).unwrap();
    let mapping = Mapping::read(include_str!("../data/mapping.toml"), &taxonomy).unwrap();
    mapping.map(taxonomy.find(status).unwrap(), approval, app)
}

fn mapped(status: &str, app: &AppProfile) -> (Option<String>, String) {
    let mapped = map(status, false, app);
    (mapped.status, mapped.matched_by)
}

fn is(status: &str, matched_by: &str) -> (Option<String>, String) {
    (Some(status.to_owned()), matched_by.to_owned())
}

#[test]
fn each_step_is_taken_only_where_the_one_before_found_nothing() {
    let mut app = app(&["Mapped", "Meeting requested", "Said", "Showing", "Meetings"]);
    app.context.industry = Some("real_estate".to_owned());
    app.context.status_map.insert("meeting_requested".to_owned(), "Mapped".to_owned());
    app.synonyms.insert("meeting requested".to_owned(), "Said".to_owned());
    assert_eq!(mapped("meeting_requested", &app), is("Mapped", "statusMap"));
    app.context.status_map.clear();
    assert_eq!(mapped("meeting_requested", &app), is("Meeting requested", "name"));
    app.context.allowed_statuses.remove(1);
    assert_eq!(mapped("meeting_requested", &app), is("Said", "synonym"));
    app.synonyms.clear();
    assert_eq!(mapped("meeting_requested", &app), is("Showing", "industry"));
    app.context.industry = None;
    assert_eq!(mapped("meeting_requested", &app), is("Meetings", "area"));
    app.context.allowed_statuses.pop();
    assert_eq!(mapped("meeting_requested", &app), (None, "unmapped".to_owned()));
}

#[test]
fn a_status_that_the_app_does_not_allow_is_never_answered() {
    let mut app = app(&["New", "Closed"]);
    app.context.industry = Some("real_estate".to_owned());
    app.context.status_map.insert("interested".to_owned(), "Hot".to_owned());
    app.synonyms.insert("interested".to_owned(), "Warm".to_owned());
    assert_eq!(mapped("interested", &app), (None, "unmapped".to_owned()));
}

#[test]
fn names_are_compared_by_their_telling_words() {
    let app = app(&["Needs Proof-of-Funds", "NOT INTERESTED", "Legal notice"]);
    assert_eq!(mapped("proof_of_funds_requested", &app), is("Needs Proof-of-Funds", "name"));
    assert_eq!(mapped("not_interested", &app), is("NOT INTERESTED", "name"));
    assert_eq!(mapped("interested", &app), (None, "unmapped".to_owned()));
}

#[test]
fn the_inbox_is_for_approval_first_then_for_the_area() {
    let mut app = app(&[]);
    app.context.inboxes = ["Billing", "Sales", "Human Approval", "Quarantine"].map(str::to_owned).to_vec();
    assert_eq!(map("interested", true, &app).inbox.as_deref(), Some("Human Approval"));
    assert_eq!(map("interested", false, &app).inbox.as_deref(), Some("Sales"));
    assert_eq!(map("payment_confirmed", false, &app).inbox.as_deref(), Some("Billing"));
    assert_eq!(map("spam", true, &app).inbox.as_deref(), Some("Quarantine"));
    assert_eq!(map("candidate_withdrawn", false, &app).inbox, None);
}
