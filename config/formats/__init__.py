"""How dates and times read: the same in admin as on every page."""
