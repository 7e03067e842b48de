//! Gets images: present ones are used as they are, others are pulled.

use super::{
    DockerRuntime,
    error::translate,
    registry::{credentials_for, explain_refusal},
};
use crate::runtime::{PullProgress, RuntimeError};
use bollard::{Docker, auth::DockerCredentials, query_parameters::CreateImageOptions};
use futures_util::StreamExt;
use std::{collections::BTreeMap, time::Duration};
use tokio::sync::mpsc;

/// Images under this name are built on the node and are in no registry. They are never pulled:
/// whoever took the name on a public registry could else run code on every node that lacks one.
const LOCAL_PREFIX: &str = "mamba/";
/// Time limit of a pull: 15 minutes, 4 GiB at 5 MB/s.
const PULL_MS: u64 = 15 * 60_000;
/// Deadline of looking whether an image is here.
const LOOK_MS: u64 = 10_000;

impl DockerRuntime {
    pub(super) async fn have_image(
        &self,
        image: &str,
        progress: &mpsc::Sender<PullProgress>,
    ) -> Result<(), RuntimeError> {
        if self.is_image_here(image).await? {
            return Ok(());
        }
        let missing = |error: String| RuntimeError::ImageMissing { image: image.to_owned(), error };
        if image.starts_with(LOCAL_PREFIX) {
            let error = "it is built on the node, never pulled, and is not here";
            return Err(missing(error.to_owned()));
        }
        let login = match credentials_for(&self.registries, &self.hub_registries, image) {
            Err(RuntimeError::Refused { error, .. }) => return Err(missing(error)),
            login => login?,
        };
        let docker = self.session().await?.docker;
        let set_by = login.as_ref().map(|it| it.by);
        let pull = pull(docker, image, login.map(|it| it.credentials), progress);
        match tokio::time::timeout(Duration::from_millis(PULL_MS), pull).await {
            Err(_) => return Err(RuntimeError::TimedOut { step: "pull image", ms: PULL_MS }),
            Ok(Err(RuntimeError::Refused { error, .. })) => {
                return Err(missing(explain_refusal(image, set_by, error)));
            }
            Ok(pulled) => pulled?,
        }
        // A stream that broke off looks like one that ended.
        match self.is_image_here(image).await? {
            true => Ok(()),
            false => Err(missing("the engine ended the pull without the image".to_owned())),
        }
    }

    async fn is_image_here(&self, image: &str) -> Result<bool, RuntimeError> {
        let look = self.call("look for image", LOOK_MS, |docker| async move {
            match docker.inspect_image(image).await {
                Ok(_) => Ok(true),
                Err(err) if super::is_status(&err, 404) => Ok(false),
                Err(err) => Err(err),
            }
        });
        look.await
    }
}

async fn pull(
    docker: Docker,
    image: &str,
    login: Option<DockerCredentials>,
    progress: &mpsc::Sender<PullProgress>,
) -> Result<(), RuntimeError> {
    let options =
        CreateImageOptions { from_image: Some(with_tag(image)), ..CreateImageOptions::default() };
    let mut steps = docker.create_image(Some(options), None, login).boxed();
    let (mut layers, mut told) = (BTreeMap::new(), None);
    while let Some(step) = steps.next().await {
        let step = step.map_err(|err| translate("pull image", err))?;
        let (Some(layer), Some(detail)) = (step.id, step.progress_detail) else { continue };
        let bytes = |count: Option<i64>| count.and_then(|it| u64::try_from(it).ok());
        // The same layer is told again while it is unpacked, with other numbers.
        if step.status.as_deref() == Some("Downloading")
            && let (Some(done), Some(total)) = (bytes(detail.current), bytes(detail.total))
        {
            layers.insert(layer, (done, total));
        } else if step.status.as_deref() == Some("Download complete")
            && let Some((done, total)) = layers.get_mut(&layer)
        {
            *done = *total;
        }
        let sum = layers.values().fold((0, 0), |sum, (done, total)| (sum.0 + done, sum.1 + total));
        if told != Some(sum) {
            told = Some(sum);
            // Full or closed: the next one tells as much.
            progress.try_send(PullProgress { done: sum.0, total: sum.1 }).ok();
        }
    }
    Ok(())
}

/// Names the tag, since the engine pulls all tags without one.
fn with_tag(image: &str) -> String {
    let name = image.rsplit('/').next().unwrap_or(image);
    if name.contains([':', '@']) { image.to_owned() } else { format!("{image}:latest") }
}

#[cfg(test)]
mod tests {
    use super::with_tag;

    #[test]
    fn one_tag_is_pulled_and_not_all() {
        for (image, expected) in [
            ("minetest", "minetest:latest"),
            ("a/b:1", "a/b:1"),
            ("localhost:5000/b", "localhost:5000/b:latest"),
            ("a/b@sha256:00", "a/b@sha256:00"),
        ] {
            assert_eq!(with_tag(image), expected);
        }
    }
}
