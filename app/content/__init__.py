"""What a message says: templates, the text part, links, MIME bytes."""
