//! One measurement for all who ask at the same time.

use std::{
    sync::{Arc, Weak},
    time::Instant,
};

use minke_engine::{ContainerUsage, Engine, Error};
use tokio::sync::Mutex;

use crate::{containers, exposition::Labels};

/// All containers, measured, each with its labels.
pub(crate) type Measured = Vec<(ContainerUsage, Labels)>;

/// Measures containers; however many ask, one measurement goes on at a time.
#[derive(Debug, Default)]
pub(crate) struct Scraper {
    /// The last one, kept only as long as somebody writes it, and when it began.
    last: Mutex<Option<(Instant, Weak<Measured>)>>,
}

impl Scraper {
    /// A measurement that began after this call: a new one, or one that others who waited here have made.
    ///
    /// # Errors
    /// Those of [`Engine::usage`].
    pub(crate) async fn measure(&self, engine: &Engine) -> Result<Arc<Measured>, Error> {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        if let Some((began, measured)) = &*last
            && *began >= asked
            && let Some(measured) = measured.upgrade()
        {
            return Ok(measured);
        }
        let began = Instant::now();
        let containers = engine.usage().await?;
        let labelled = containers.into_iter().map(|container| {
            let labels = containers::labels(&container);
            (container, labels)
        });
        let measured = Arc::new(labelled.collect());
        *last = Some((began, Arc::downgrade(&measured)));
        Ok(measured)
    }
}
