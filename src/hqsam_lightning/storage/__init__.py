"""Files that are whole or absent: atomic writes, checked reads, locks."""
