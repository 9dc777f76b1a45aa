"""Where the org's records live, and the rules by which they change."""
