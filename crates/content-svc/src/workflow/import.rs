//! From a workflow to its file and back.

use std::collections::HashMap;

use kit::{Caller, Code, Fault, FieldError};

use super::model::WorkflowContent;
use super::ops::Workflows;
use super::{file, file_read};
use crate::error::Error;
use crate::template::Act;
use crate::text::Findings;
use crate::versioned::{Change, View, Which, changes};

/// What an import did, or would do.
#[derive(Clone, Debug)]
pub struct Imported {
    pub act: Act,
    /// None where a dry run would create one.
    pub view: Option<View<WorkflowContent>>,
    pub changes: Vec<Change>,
    /// What publishing would say.
    pub findings: Findings,
}

impl Workflows {
    /// The file of a version, or of the working copy (0).
    pub async fn export(&self, caller: &Caller, id: &str, number: u32) -> Result<String, Error> {
        let which = if number == 0 { Which::Working } else { Which::Number(number) };
        let view = self.objects.get(caller, id, which).await?;
        let content = view.content.ok_or_else(|| Fault::not_found("content of this workflow"))?;
        let templates = self.templates.objects.several(caller.scope()?, &content.template_ids()).await?;
        let keys: HashMap<String, String> = templates.into_iter().map(|t| (t.id, t.body.head.key)).collect();
        // One that is not there any more keeps its id: a file that says so is better than none.
        let key = |id: &str| keys.get(id).cloned().unwrap_or_else(|| id.to_owned());
        Ok(file::write(&view.name, &content, &key).map_err(Fault::internal)?)
    }

    /// Name and content of a file, with its templates by their ids here.
    pub async fn read_file(&self, caller: &Caller, text: &str) -> Result<(String, WorkflowContent), Error> {
        let mut ids = HashMap::new();
        for key in file_read::template_keys(text) {
            if !ids.contains_key(&key)
                && let Some(id) = self.templates.keyed(caller, &key).await?
            {
                ids.insert(key, id);
            }
        }
        let read = file_read::read(text, &|key| ids.get(key).cloned());
        read.map_err(|wrong| {
            let fields = wrong.into_iter().map(|w| FieldError::new(w.place, w.code, w.message));
            Fault::invalid(fields.collect()).into()
        })
    }

    /// Writes what was read into the draft of a workflow: the one that is named, the one of its name, or a new one.
    pub async fn import(
        &self,
        caller: &Caller,
        workflow: Option<&str>,
        name: String,
        content: WorkflowContent,
        dry_run: bool,
    ) -> Result<Imported, Error> {
        let found = match workflow {
            Some(id) => Some(id.to_owned()),
            None => self.named(caller, &name).await?,
        };
        let there = match &found {
            Some(id) => Some(self.objects.get(caller, id, Which::Working).await?),
            None => None,
        };
        let findings = self.look_over(caller, &content).await?;
        let (act, differs) = match &there {
            None => (Act::Create, Vec::new()),
            Some(view) => {
                let before = (&view.name, view.content.as_ref());
                let differs = changes(&before, &(&name, Some(&content))).map_err(Fault::internal)?;
                let act = if differs.is_empty() { Act::Nothing } else { Act::Update };
                (act, differs.into_iter().map(placed).collect())
            }
        };
        let view = match there {
            there if dry_run => there,
            None => Some(self.create(caller, name, content).await?),
            Some(view) if act == Act::Nothing => Some(view),
            Some(view) => {
                let edited = self.objects.edit(caller, &view.id, view.version, |object| {
                    object.name = name;
                    object.edit(content)
                });
                Some(edited.await?)
            }
        };
        Ok(Imported { act, view, changes: differs, findings })
    }

    /// The workflow of this name.
    async fn named(&self, caller: &Caller, name: &str) -> Result<Option<String>, Error> {
        let all = self.objects.all(caller.scope()?).await?;
        let mut of_name = all.into_iter().filter(|w| w.body.name == name).map(|w| w.id);
        match (of_name.next(), of_name.next()) {
            (Some(_), Some(_)) => {
                let message = format!("several workflows are called {name}: say which by workflow_id");
                Err(Fault::new(Code::Refused, "ambiguous_name", message).into())
            }
            (found, _) => Ok(found),
        }
    }
}

/// The place of a change, out of the pair of name and content.
fn placed(change: Change) -> Change {
    let field = match change.field.strip_prefix("[1]") {
        Some("") => "content".to_owned(),
        Some(rest) => rest.trim_start_matches('.').to_owned(),
        None => "name".to_owned(),
    };
    Change { field, ..change }
}
