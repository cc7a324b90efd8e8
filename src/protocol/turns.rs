//! Messages one after the other, each of a role: the same in every format that has them in a list.

use super::form::Form;
use super::request::{Reader, Spot, newest_turn, spot_of};
use super::{Json, Path};
use crate::enums::Zone;
use crate::reason::Denial;

/// The roles of a format.
pub(super) struct Roles {
    /// The words, and whose texts a message of this role holds.
    pub(super) known: &'static [(&'static str, Zone)],
    /// Whose texts one of any other role holds; `None`: there is no other.
    pub(super) others: Option<Zone>,
}

/// Takes one field of a message apart. False: it is a text like any other.
pub(super) type Field<'f, 'b, 'j> =
    &'f dyn Fn(&mut Reader<'b, 'j>, &Path, (&str, &Json<'j>), Spot) -> Result<bool, Denial>;

/// Takes a list of messages apart; none of `names` is in a message in disguise.
///
/// # Errors
/// `body.shape` for what is no list of objects with roles, and what `field` says.
pub(super) fn read<'b, 'j>(
    reader: &mut Reader<'b, 'j>,
    path: &Path,
    value: &Json<'j>,
    roles: &Roles,
    names: &[&str],
    field: Field<'_, 'b, 'j>,
) -> Result<(), Denial> {
    let messages = reader.items(value)?;
    let zone_of = |role: &str| roles.known.iter().find(|(known, _)| *known == role).map(|(_, zone)| *zone);
    let mut zones = Vec::with_capacity(messages.len());
    for message in messages {
        let zone = zone_of(reader.inner_text(message, "role")?).or(roles.others);
        zones.push(zone.ok_or(reader.shape())?);
    }
    let current = newest_turn(&zones);
    for (index, (message, zone)) in messages.iter().zip(zones).enumerate() {
        let spot = spot_of(zone, index, current);
        for (at, (key, value)) in reader.entries(message, names)?.iter().enumerate() {
            let place = path.child(index).child(at);
            let is_role = key == "role" && value.as_str().is_some_and(|role| zone_of(role).is_some());
            let is_word = is_role && reader.parameter(value, Form::Word(&[value.as_str().unwrap_or_default()]));
            if !is_word && !field(reader, &place, (key.as_ref(), value), spot)? {
                reader.free_text(&place, value, spot);
            }
            reader.key(&place, key, spot);
        }
    }
    Ok(())
}
