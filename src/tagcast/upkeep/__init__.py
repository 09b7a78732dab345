"""Tags kept in order: where used, merge, clean-up."""
