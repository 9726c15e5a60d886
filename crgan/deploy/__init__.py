"""For people with cameras of their own: adapt, export and search."""
