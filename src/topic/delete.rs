//! Deletes a topic, in a way that a crash leaves all of it or nothing. Knows no groups: their positions are the offset layer's.

use std::sync::Arc;

use parking_lot::MutexGuard;

use crate::error::{IoContext, TopicError};
use crate::log::{Log, Refusal};
use crate::topic::catalog::TOPICS;
use crate::topic::name::TopicName;
use crate::topic::store::{Shared, Slot, Store, UnsureNames, note_failed_sync};
use crate::topic::topic_state::TopicState;

impl Store {
    /// Deletes a topic with all its records, for good. Handles of it that are open, here or in other processes, answer with a typed error from
    /// then on, also when a topic of the name is made anew. The positions of groups are not the engine's: see
    /// [`delete_topic`](crate::delete_topic).
    ///
    /// ```
    /// use tidelog::{AppendError, Record, Store, TopicError};
    ///
    /// # let dir = tempfile::tempdir()?;
    /// let store = Store::open(dir.path())?;
    /// let orders = store.topic("orders")?.partition(0)?;
    /// orders.append(Record::new("12 apples"))?;
    /// store.delete_topic("orders")?;
    /// assert!(matches!(orders.append(Record::new("more")), Err(AppendError::TopicDeleted)));
    /// assert!(matches!(store.existing_topic("orders"), Err(TopicError::Unknown { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`TopicError::Unknown`], [`TopicError::Internal`]; [`TopicError::Io`]: the topic is as it was, unless it was the last sync that failed; then it is deleted, a power
    /// cut may bring it back whole, and none of the name is made until the store is opened again. One that is damaged can be deleted.
    pub fn delete_topic(&self, name: &str) -> Result<(), TopicError> {
        let name: TopicName = name.parse()?;
        name.check_public()?;
        self.inner.shared.delete_topic(&name)
    }

    /// Whether [`delete_topic`](Self::delete_topic) would be refused.
    pub(crate) fn check_deletable(&self, name: &TopicName) -> Result<(), TopicError> {
        name.check_public()?;
        let shared = &self.inner.shared;
        shared.deletable(name, &mut shared.naming.lock()).map(drop)
    }
}

impl Shared {
    fn delete_topic(&self, name: &TopicName) -> Result<(), TopicError> {
        let mut naming = self.naming.lock();
        let topic = self.deletable(name, &mut naming)?;
        // From here on nobody opens a partition, or makes one: whoever has begun holds its slot, or is changing the catalogue.
        if let Some(topic) = &topic {
            topic.set_deleted(true);
        }
        let slots = self.slots_of(name);
        let mut slots: Vec<_> = slots.iter().map(|slot| slot.lock()).collect();
        if let Some(topic) = &topic {
            topic.wait_unchanging();
        }
        // One that was split refuses them already, and goes on to if nothing comes of this.
        let before: Vec<_> = open_logs(&slots).map(|log| log.refuse_appends(Refusal::Deleted)).collect();
        let namespace_dir = self.catalog.dir.join(TOPICS).join(&name.namespace);
        let (dir, aside) = (self.catalog.topic_dir(name), self.catalog.unfinished_name(&namespace_dir));
        // The one step that counts: a name that no topic can have is removed by this process, or by the next.
        if let Err(error) = self.catalog.storage.rename_new(&dir, &aside).at("delete", &dir) {
            open_logs(&slots).zip(before).for_each(|(log, before)| log.restore_appends(before));
            if let Some(topic) = &topic {
                topic.set_deleted(false);
            }
            return Err(error.into());
        }
        slots.iter_mut().filter_map(|slot| slot.take()).for_each(|log| log.retire());
        self.open.lock().retain(|(topic, _), _| topic != name);
        self.topics.lock().remove(name);
        let synced = self.catalog.storage.sync_dir(&namespace_dir).at("sync", &namespace_dir);
        synced.inspect_err(|error| note_failed_sync(&mut naming, name, error))?;
        self.catalog.give_up(&aside);
        Ok(())
    }

    /// The topic, unless it is one that cannot be opened and can be deleted all the same.
    fn deletable(&self, name: &TopicName, naming: &mut UnsureNames) -> Result<Option<Arc<TopicState>>, TopicError> {
        self.check_open()?;
        match self.topic_in(name, naming) {
            Ok(topic) => Ok(Some(topic)),
            Err(TopicError::CatalogDamaged { .. } | TopicError::PartitionsMissing { .. } | TopicError::RingSize { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// By number, as everybody takes them who takes more than one.
    fn slots_of(&self, name: &TopicName) -> Vec<Slot> {
        let open = self.open.lock();
        let mut slots: Vec<(u32, Slot)> =
            open.iter().filter(|((topic, _), _)| topic == name).map(|((_, number), slot)| (*number, slot.clone())).collect();
        slots.sort_unstable_by_key(|(number, _)| *number);
        slots.into_iter().map(|(_, slot)| slot).collect()
    }
}

fn open_logs<'a>(slots: &'a [MutexGuard<'_, Option<Arc<Log>>>]) -> impl Iterator<Item = &'a Arc<Log>> {
    slots.iter().filter_map(|slot| slot.as_ref())
}
