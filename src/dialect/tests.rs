//! Errors, lists and watching, through the room's front door.
