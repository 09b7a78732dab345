"""Rules that keep tags true. Owns: tag_rule."""
