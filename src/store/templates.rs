//! Templates of answers: words of a tenant, or of one of its apps, for a status in a language. Other words are a further
//! version; what was proposed with the former keeps its name.

use serde_json::json;

use super::audit::{NewEntry, append};
use super::sql::{Connection, Row, query};
use super::{StoreError, TenantStore, from_id};
use crate::clock::Timestamp;
use crate::governance::audit::Who;
use crate::ids::{AppId, TemplateId};

/// A template in one version.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateRow {
    /// Its id, the same in all versions.
    pub id: TemplateId,
    /// 1, 2, 3 …
    pub version: u32,
    /// The app; `None` for every app of the tenant.
    pub app: Option<AppId>,
    /// A canonical status, or `any`.
    pub status: String,
    /// ISO 639-1.
    pub language: String,
    /// `None`: that of the message that is answered.
    pub subject: Option<String>,
    /// The words; empty once they were removed.
    pub body: String,
    /// Since when it has these words.
    #[serde(skip)]
    pub created_at: Timestamp,
}

/// Words to be kept.
#[derive(Debug, Clone)]
pub struct NewTemplate {
    /// The app; `None` for every app of the tenant.
    pub app: Option<AppId>,
    /// A canonical status, or `any`.
    pub status: String,
    /// ISO 639-1.
    pub language: String,
    /// `None`: that of the message that is answered.
    pub subject: Option<String>,
    /// The words; empty: there are none any more.
    pub body: String,
}

impl TenantStore {
    /// The newest version of every template that has words, at most 1,000.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn templates(&self) -> Result<Vec<TemplateRow>, StoreError> {
        const LIST: &str = "\
SELECT t.template_id, t.version, t.app_id, t.status, t.language, t.subject, t.body, t.created_at FROM reply_templates AS t
WHERE t.tenant_id = $1 AND t.body <> '' AND NOT EXISTS (SELECT 1 FROM reply_templates AS n
    WHERE n.tenant_id = t.tenant_id AND n.template_id = t.template_id AND n.version > t.version)
ORDER BY t.app_id, t.status, t.language LIMIT 1000";
        let rows = query(LIST).bind(self.tenant.to_string()).fetch_all(&self.store.readers).await?;
        rows.iter().map(read).collect()
    }

    /// Keeps words as the next version of the template for their app, status and language.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where words are to be removed that there are not; [`StoreError::Conflict`] when others were
    /// kept at the same time.
    pub async fn set_template(&self, new: NewTemplate, who: Who) -> Result<TemplateRow, StoreError> {
        const NEWEST: &str = "SELECT template_id, version, app_id, status, language, subject, body, created_at \
FROM reply_templates WHERE tenant_id = $1 AND app_id = $2 AND status = $3 AND language = $4 ORDER BY version DESC LIMIT 1";
        let (tenant, now) = (self.tenant, self.store.clock.now());
        let fresh: TemplateId = self.store.clock.mint();
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let app = new.app.map(|id| id.to_string()).unwrap_or_default();
                    let newest = query(NEWEST).bind(tenant.to_string()).bind(app).bind(&new.status).bind(&new.language);
                    let newest = newest.fetch_optional(&mut *connection).await?.as_ref().map(read).transpose()?;
                    if new.body.is_empty() && newest.as_ref().is_none_or(|newest| newest.body.is_empty()) {
                        return Err(StoreError::NotFound("template"));
                    }
                    let row = TemplateRow {
                        id: newest.as_ref().map_or(fresh, |newest| newest.id),
                        version: newest.map_or(0, |newest| newest.version).saturating_add(1),
                        app: new.app,
                        status: new.status,
                        language: new.language,
                        subject: new.subject,
                        body: new.body,
                        created_at: now,
                    };
                    add(connection, tenant, &row).await?;
                    let action = if row.body.is_empty() { "template.removed" } else { "template.changed" };
                    let detail = json!({ "version": row.version, "app": row.app, "status": row.status,
                        "language": row.language });
                    append(connection, tenant, now, vec![NewEntry::new(who, action, row.id, detail)]).await?;
                    Ok(row)
                })
            })
            .await
    }
}

async fn add(connection: &mut Connection, tenant: crate::ids::TenantId, row: &TemplateRow) -> Result<(), StoreError> {
    const ADD: &str = "\
INSERT INTO reply_templates (tenant_id, template_id, version, app_id, status, language, subject, body, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";
    let add = query(ADD)
        .bind(tenant.to_string())
        .bind(row.id.to_string())
        .bind(i64::from(row.version))
        .bind(row.app.map(|id| id.to_string()).unwrap_or_default())
        .bind(&row.status)
        .bind(&row.language)
        .bind(row.subject.as_deref())
        .bind(&row.body)
        .bind(row.created_at.as_micros());
    match add.execute(connection).await? {
        0 => Err(StoreError::Conflict("other words were kept at the same time")),
        _ => Ok(()),
    }
}

fn read(row: &Row) -> Result<TemplateRow, StoreError> {
    let app: &str = row.try_get(2)?;
    Ok(TemplateRow {
        id: from_id("template_id", row.try_get(0)?)?,
        version: u32::try_from(row.try_get::<i64>(1)?).unwrap_or(0),
        app: (!app.is_empty()).then(|| from_id("app_id", app)).transpose()?,
        status: row.try_get(3)?,
        language: row.try_get(4)?,
        subject: row.try_get(5)?,
        body: row.try_get(6)?,
        created_at: Timestamp::from_micros(row.try_get(7)?),
    })
}
