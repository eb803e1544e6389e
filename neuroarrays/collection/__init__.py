"""Work with many sessions: tables over recordings, builds of archives, parts of archives."""
