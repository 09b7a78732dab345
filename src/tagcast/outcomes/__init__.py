"""What became of recipients, as sets that segments can name. Owns: sending."""
